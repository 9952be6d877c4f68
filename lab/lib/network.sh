# shellcheck shell=bash
# The lab's wires: a bridge, and for each host a network namespace with a veth pair to it. Nothing is routed beyond.
# shellcheck disable=SC2154 # lab, run, host and names are set by lab/hosts

environment_file=${SHOPCTL_LAB_ENVIRONMENT:-$project/environments/lab.yaml}
declare -A declared=() address=()
names=()

# Reads names and addresses of the hosts; everything else in the file is shopctl's business.
read_hosts() {
    local name value
    [ -r "$environment_file" ] || die 3 "failed to read $environment_file" "SHOPCTL_LAB_ENVIRONMENT names another file"
    while read -r name value; do
        names+=("$name")
        declared[$name]=$value
    done < <(awk '
        /^[^ #]/ { inside = /^hosts:/ }
        inside && /^  [a-z0-9-]+:/ { name = $1; sub(/:.*/, "", name) }
        inside && match($0, /address: *"?[0-9.]+/) {
            value = substr($0, RSTART, RLENGTH); sub(/.*[ "]/, "", value); print name, value
        }' "$environment_file")
    [ ${#names[@]} -gt 0 ] || die 2 "$environment_file names no host with an IPv4 address" "hosts: { server: { address: 198.18.64.11, … } }"
    for name in "${names[@]}"; do
        address[$name]=$(range).${declared[$name]##*.}
    done
}

# The first three numbers of the lab's addresses. They are the file's for the lab `lab`; others get the next free ones.
range() {
    if [ -r "$run/range" ]; then
        cat "$run/range"
    else
        local first=${declared[${names[0]}]}
        echo "${first%.*}"
    fi
}

choose_range() {
    local first=${declared[${names[0]}]} prefix third
    first=${first%.*}
    if [ ! -e "$run/range" ]; then
        exec 8>"$cache/ranges.lock"
        flock 8
        prefix=$first
        if [ "$lab" != lab ]; then
            third=${first##*.}
            while :; do
                third=$((third + 1))
                [ "$third" -lt 255 ] || die 1 "no range of addresses is left for lab \"$lab\"" "lab/hosts down removes a lab that nobody uses"
                prefix=${first%.*}.$third
                grep -qsx "$prefix" "$cache"/run/*/range || is_elsewhere "$prefix" || break
            done
        elif is_elsewhere "$prefix"; then
            die 1 "this machine has a route to $prefix.0/24 already" "take other addresses in $environment_file"
        fi
        echo "$prefix" >"$run/range"
        exec 8>&-
    fi
    read_addresses
}

read_addresses() {
    local name
    for name in "${names[@]}"; do
        address[$name]=$(range).${declared[$name]##*.}
    done
}

# Somebody else's network, or a bridge that is not this lab's.
is_elsewhere() {
    [ -n "$(ip -4 route show root "$1.0/24" 2>/dev/null)" ]
}

bridge() { echo "shoplab$(range | cut -d. -f3)"; }
netns() { echo "shopctl-$lab-$1"; }
outer_end() { echo "sl$(range | cut -d. -f3)-${address[$1]##*.}"; }

make_bridge() {
    local bridge
    bridge=$(bridge)
    if ! ip link show "$bridge" >/dev/null 2>&1; then
        ip link add "$bridge" type bridge forward_delay 0 ||
            die 1 "failed to make the bridge $bridge" "the kernel must permit namespaces and bridges here"
    fi
    ip addr replace "$(range).1/24" dev "$bridge"
    ip link set "$bridge" up
}

# A host's network card is made anew at every boot, as a kernel would find it: no address, rule or route of before.
make_wire() {
    local name=$1 netns outer last=${address[$1]##*.}
    netns=$(netns "$name")
    outer=$(outer_end "$name")
    remove_wire "$name"
    ip netns add "$netns"
    ip link add "$outer" type veth peer name eth0 netns "$netns" \
        address "$(printf '02:73:6c:%02x:00:%02x' "$(range | cut -d. -f3)" "$last")"
    ip link set "$outer" master "$(bridge)" up
    ip -n "$netns" link set lo up
    ip -n "$netns" addr add "${address[$name]}/24" dev eth0
    ip -n "$netns" link set eth0 up
    # k3s wants a default route, even one with nowhere to go.
    ip -n "$netns" route add default via "$(range).1"
}

remove_wire() {
    local netns outer
    netns=$(netns "$1")
    outer=$(outer_end "$1")
    ip link show "$outer" >/dev/null 2>&1 && ip link del "$outer"
    if [ -e "/run/netns/$netns" ]; then
        ip netns del "$netns"
    fi
}

is_plugged() { [ "$(cat "/sys/class/net/$(outer_end "$1")/operstate" 2>/dev/null)" = up ]; }
unplug_wire() { ip link set "$(outer_end "$1")" down; }
plug_wire() { ip link set "$(outer_end "$1")" up; }

# Everything of this lab that is there, also what a broken `up` left.
remove_network() {
    local found bridge
    [ -e "$run/range" ] || return 0
    bridge=$(bridge)
    for found in /sys/class/net/"sl$(range | cut -d. -f3)"-*; do
        [ -e "$found" ] && ip link del "$(basename "$found")"
    done
    for found in /run/netns/"shopctl-$lab"-*; do
        # Another lab's name may begin with this one's: only namespaces of hosts that this lab has.
        [ -e "$found" ] && [ -d "$run/hosts/${found##*/shopctl-"$lab"-}" ] && ip netns del "$(basename "$found")"
    done
    ip link show "$bridge" >/dev/null 2>&1 && ip link del "$bridge"
    return 0
}
