# shellcheck shell=bash
# A host: a folder for its disk, a network namespace, control groups, and an init that systemd has become.
# shellcheck disable=SC2154 # lab, run, host, names, address and here are set by lab/hosts

host_folder() { echo "$run/hosts/$1"; }

make_key() {
    [ -e "$key" ] || ssh-keygen -q -t ed25519 -N '' -C 'shopctl lab' -f "$key"
}

# Gives a host what its installation would have left, once; its disk is what it writes over the root file system.
furnish_host() {
    local name=$1 root=$2 folder upper other
    folder=$(host_folder "$name")
    upper=$folder/upper
    [ ! -e "$folder/furnished" ] || return 0
    mkdir -p "$upper/etc/ssh" "$folder/work" "$folder/rancher" "$folder/keys/etc/ssh"
    echo "$root" >"$folder/base"
    ssh-keygen -A -f "$folder/keys" >/dev/null
    cp "$folder"/keys/etc/ssh/ssh_host_* "$upper/etc/ssh/"
    cp "$key.pub" "$upper/etc/ssh/authorized_keys"
    chmod 644 "$upper/etc/ssh/authorized_keys"
    tr -d - </proc/sys/kernel/random/uuid >"$upper/etc/machine-id"
    echo "$name" >"$upper/etc/hostname"
    # Nobody answers there: names that no host knows fail at once, as they do without a network.
    echo "nameserver $(range).1" >"$upper/etc/resolv.conf"
    {
        printf '127.0.0.1\tlocalhost\n::1\tlocalhost\n'
        for other in "${names[@]}"; do
            printf '%s\t%s\n' "${address[$other]}" "$other"
        done
    } >"$upper/etc/hosts"
    touch "$folder/furnished"
    write_ssh_config
}

write_ssh_config() {
    local name
    {
        for name in "${names[@]}"; do
            printf 'Host %s\n    HostName %s\n    HostKeyAlias %s-%s\n' "$name" "${address[$name]}" "$lab" "$name"
        done
        printf 'Host *\n    User root\n    IdentityFile %s\n    IdentitiesOnly yes\n' "$key"
        printf '    UserKnownHostsFile %s/known_hosts\n    StrictHostKeyChecking yes\n    LogLevel ERROR\n' "$run"
    } >"$run/ssh_config"
    for name in "${names[@]}"; do
        [ ! -e "$(host_folder "$name")/keys/etc/ssh/ssh_host_ed25519_key.pub" ] ||
            echo "$lab-$name $(cut -d' ' -f1-2 "$(host_folder "$name")/keys/etc/ssh/ssh_host_ed25519_key.pub")"
    done >"$run/known_hosts"
}

# The pid of a host's init as this machine knows it, if it lives.
init_pid() {
    local pid started
    read -r pid started 2>/dev/null <"$(host_folder "$1")/init" || return 1
    [ "$(start_time "$pid")" = "$started" ] && echo "$pid"
}

is_running() { init_pid "$1" >/dev/null; }

# The control group hierarchies of this machine, as `options mountpoint`. The unified one counts even where it has no
# controllers: two systemds in one group of it take each other's groups away.
hierarchies() {
    local _ mountpoint type options
    while read -r _ mountpoint type options _; do
        case $type in
        cgroup) echo "$options $mountpoint" ;;
        cgroup2) echo "unified $mountpoint" ;;
        esac
    done </proc/mounts
}

group() { echo "shopctl-$lab-$1"; }

# Moves the process BASHPID into groups of the host's own, so that a namespace made after it has them as its roots.
enter_groups() {
    local options mountpoint group setting
    while read -r options mountpoint; do
        group=$mountpoint/$(group "$1")
        mkdir -p "$group"
        case ,$options, in
        *,cpuset,*)
            for setting in cpuset.cpus cpuset.mems; do
                cat "$mountpoint/$setting" >"$group/$setting"
            done
            ;;
        ,unified,) sed 's/[^ ]*/+&/g' "$mountpoint/cgroup.controllers" >"$mountpoint/cgroup.subtree_control" ;;
        esac
        echo "$BASHPID" >"$group/cgroup.procs"
    done < <(hierarchies)
}

# freeze_groups HOST yes|no: no process of a host runs, though its kernel still answers for it on the network.
freeze_groups() {
    local mountpoint group
    while read -r _ mountpoint; do
        group=$mountpoint/$(group "$1")
        if [ -e "$group/freezer.state" ]; then
            case $2 in yes) echo FROZEN ;; no) echo THAWED ;; esac >"$group/freezer.state"
        elif [ -e "$group/cgroup.freeze" ]; then
            case $2 in yes) echo 1 ;; no) echo 0 ;; esac >"$group/cgroup.freeze"
        fi
    done < <(hierarchies)
}

is_frozen() {
    local mountpoint
    while read -r _ mountpoint; do
        ! grep -qs -e FREEZING -e FROZEN "$mountpoint/$(group "$1")/freezer.state" || return 0
        ! grep -qsx 1 "$mountpoint/$(group "$1")/cgroup.freeze" || return 0
    done < <(hierarchies)
    return 1
}

remove_groups() {
    local mountpoint group
    while read -r _ mountpoint; do
        group=$mountpoint/$(group "$1")
        [ ! -d "$group" ] || wait_for 10 remove_group "$group" ||
            say "warning: $group is still in use"
    done < <(hierarchies)
}

remove_group() {
    find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
    [ ! -d "$1" ]
}

boot_host() {
    local name=$1 folder
    folder=$(host_folder "$name")
    say "booting $lab/$name at ${address[$name]}"
    remove_groups "$name"
    make_wire "$name"
    rm -f "$folder/init"
    (
        # No lock, terminal or file of this script may live as long as the host.
        exec 9>&- </dev/null >"$folder/boot.log" 2>&1
        enter_groups "$name"
        cd /
        exec setsid ip netns exec "$(netns "$name")" unshare --mount --uts --ipc --pid --cgroup --fork --kill-child \
            --propagation private "$here/lib/host-init" "$(cat "$folder/base")" "$folder"
    ) &
    disown
}

# Running means: systemd says so, over ssh.
await_hosts() {
    local name
    for name in "$@"; do
        wait_for 60 is_settled "$name" || {
            tail -3 "$(host_folder "$name")/boot.log" >&2
            die 1 "$lab/$name did not come up within 60 s (systemd: ${settled:-no answer over ssh})" \
                "its journal: $(host_folder "$name")/upper/var/log/journal; lab/hosts down removes what there is"
        }
        [ "$settled" = running ] || say "warning: on $lab/$name something failed to start: lab/hosts ssh $lab/$name systemctl --failed"
    done
}

is_settled() {
    settled=$(ssh -F "$run/ssh_config" -o ConnectTimeout=2 -o BatchMode=yes "$1" systemctl is-system-running 2>/dev/null) || true
    [ "$settled" = running ] || [ "$settled" = degraded ]
}

# SIGKILL for an init ends every process of its host. Its parent `unshare` ends with it.
kill_init() {
    local pid
    pid=$(init_pid "$1") || return 0
    # What is frozen cannot even die, and a stopped `unshare` would not see that its init did.
    freeze_groups "$1" no
    signal_groups "$1" CONT
    kill -KILL "$pid" 2>/dev/null || true
    wait_for 20 not_running "$1" || die 1 "$lab/$1: its init (pid $pid) did not end within 20 s of SIGKILL" "some process of it hangs in the kernel: ps -o pid,stat,wchan,args"
}

not_running() { ! is_running "$1"; }

# signal_groups HOST SIGNAL: to every process in a host's groups.
signal_groups() {
    local mountpoint pids
    while read -r _ mountpoint; do
        [ -d "$mountpoint/$(group "$1")" ] || continue
        pids=$(find "$mountpoint/$(group "$1")" -name cgroup.procs -exec cat {} + 2>/dev/null) || true
        # shellcheck disable=SC2086
        [ -z "$pids" ] || kill "-$2" $pids 2>/dev/null || true
    done < <(hierarchies)
}

# What a broken `up` left in a host's groups without an init that we know of: `unshare`, or what it was starting.
kill_leftovers() { signal_groups "$1" KILL; }

stop_host() {
    kill_init "$1"
    kill_leftovers "$1"
    [ -z "${address[$1]:-}" ] || remove_wire "$1"
    remove_groups "$1"
}

# An empty disk, but the same host: it keeps its name, address and ssh host keys.
empty_host() {
    local folder
    folder=$(host_folder "$1")
    rm -rf --one-file-system "$folder/upper" "$folder/work" "$folder/rancher" "$folder/furnished"
}

do_cut() {
    is_running "$host" || die 1 "$lab/$host is off already"
    # First the wire: a machine without power sends no farewell, which the kernel would do for its sockets.
    unplug_wire "$host"
    kill_init "$host"
    remove_wire "$host"
    say "$lab/$host has lost its power"
}

do_boot() {
    ! is_running "$host" || die 1 "$lab/$host is running already"
    make_bridge
    boot_host "$host"
    await_hosts "$host"
}

do_unplug() {
    is_running "$host" || die 1 "$lab/$host is off"
    unplug_wire "$host"
    say "$lab/$host is off the network"
}

do_plug() {
    is_running "$host" || die 1 "$lab/$host is off" "lab/hosts boot $lab/$host"
    plug_wire "$host"
    say "$lab/$host is on the network"
}

do_freeze() {
    is_running "$host" || die 1 "$lab/$host is off" "lab/hosts boot $lab/$host"
    freeze_groups "$host" yes
    say "$lab/$host hangs"
}

do_thaw() {
    is_running "$host" || die 1 "$lab/$host is off" "lab/hosts boot $lab/$host"
    freeze_groups "$host" no
    say "$lab/$host goes on"
}

do_rekey() {
    local folder
    folder=$(host_folder "$host")
    is_running "$host" || die 1 "$lab/$host is off" "lab/hosts boot $lab/$host"
    rm -f "$folder"/keys/etc/ssh/ssh_host_*
    ssh-keygen -A -f "$folder/keys" >/dev/null
    tar -C "$folder/keys" -c etc/ssh | ssh -F "$run/ssh_config" "$host" tar -C / -x
    write_ssh_config
    say "$lab/$host has other ssh host keys"
}
