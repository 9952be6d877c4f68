# shellcheck shell=bash
# The stage `wrong` of lab/e2e: wrong input and broken ways of every kind. Each is named, with the reason and a way out,
# changes nothing that it should not, and is followed by an `up` that ends with a proved shop.
# shellcheck disable=SC2154

# says_why CODE REASON HINT COMMAND…: it ends with that code, and an error of that reason and such a hint, within 30 s or
# $patience.
says_why() { within "${patience:-30}" shop_ends "$1" "${@:4}" && told "^(error| *cause): .*$2" && told "^hint: .*$3"; }
# Who sits at a terminal would be asked for a password.
without_terminal() { local alone="setsid --wait"; "$@"; }

# agent_with FIELD: the agent has this field besides, until `original`.
agent_with() { variant "s|^    role: agent\$|&\n    $1|"; }

# own_template PATH SED-EXPRESSION…: in the folder from which `apart` runs a command, this template is another one.
own_template() {
    mkdir -p "$work/own/templates/$(dirname "$1")"
    sed "${@:2}" "$project/templates/$1" >"$work/own/templates/$1"
    ! cmp -s "$project/templates/$1" "$work/own/templates/$1"
}
apart() { (cd "$work/own" && "$@"); }
shipped_templates() { rm -rf "$work/own/templates"; }

# taken HOST PORT: somebody listens there, until `free HOST PORT`.
taken() { on "$1" "systemd-run --quiet --unit taken-$2 systemd-socket-activate --accept --inetd -l $2 cat && until ss -Hlnt | grep -q :$2; do sleep 0.1; done"; }
free() { on "$1" systemctl stop "taken-$2"; }
# full HOST FOLDER MEBIBYTES: there is no more room than that in the folder, until `empty HOST FOLDER`.
full() { on "$1" "mkdir -p $2 && mount -t tmpfs -o size=$3m none $2"; }
empty() { on "$1" umount "$2"; }
# slow HOST: the way there from this machine takes 80 Mbit/s, until `fast HOST`.
wire() { echo "sl$(address "$1" | cut -d. -f3)-$(address "$1" | cut -d. -f4)"; }
slow() { tc qdisc replace dev "$(wire "$1")" root tbf rate 80mbit burst 64k latency 50ms; }
fast() { tc qdisc del dev "$(wire "$1")" root; }

stage_wrong() {
    [ ! -e "$environment" ] || quietly "$hosts" reset "$lab"
    rm -rf "$work/state"
    prepare_shop
    mkdir -p "$work/own"
    portraits before
    step "a plan for bare hosts" shop_ends 4 plan
    wrong_ways
    wrong_places
    wrong_files
    original
    step "none of it left anything on a host" are_as_before
    cut_uploads
    refused_objects
    step "the next up is the whole shop" brings_up_green
    step "with nothing to do after it" changes_nothing
    wrong_later
}

# What is wrong on the way to a host.
wrong_ways() {
    local agent
    agent=$(address agent)
    quietly "$hosts" unplug "$lab/agent"
    step "a host that cannot be reached" says_why 3 "failed to reach agent at $agent" "\`ssh $agent\` reaches it" up
    quietly "$hosts" plug "$lab/agent"
    quietly "$hosts" freeze "$lab/agent"
    step "a host that hangs" says_why 3 "failed to reach agent at $agent" "see whether the machine is up" up
    quietly "$hosts" thaw "$lab/agent"
    agent_with 'user: nobody-such'
    step "a user that is not there" says_why 3 'failed to log in to agent as nobody-such: .*Permission denied' "nobody-such's authorized_keys" up
    agent_with 'user: guest'
    step "a user without sudo" without_terminal says_why 3 'failed to become root on agent: .*guest' 'guest may use sudo' up
    agent_with 'user: clerk'
    step "sudo with a password that nobody gave" without_terminal says_why 3 'failed to become root on agent: sudo asks clerk' 'SHOPCTL_SUDO_PASSWORD' up
    SHOPCTL_SUDO_PASSWORD=wrong step "a wrong password for sudo" says_why 3 'failed to become root on agent: .*clerk' 'password is right' up
    step "which is in no answer" fails grep -q 'wrong$' "$said"
    SHOPCTL_SUDO_PASSWORD=lab-password step "the right one" shop_ends 4 plan
    original
    quietly "$hosts" rekey "$lab/agent"
    step "a changed host key" says_why 3 "failed to trust agent: $agent shows another host key.*nothing was sent" 'ssh-keygen -R' up
    step "with the command that forgets the old one" quietly bash -c "$(grep -o 'ssh-keygen -R [^`]*' "$said" | head -n 1)"
    step "after which it goes on" shop_ends 4 plan
    agent_with "fingerprints: [\"SHA256:$(printf '%043d' 0)\"]"
    step "a key that is none of the fingerprints" says_why 3 "failed to trust agent: $agent shows the host key SHA256:" 'ssh-keygen -lf' up
    original
}

# What is wrong on hosts that can be reached.
wrong_places() {
    taken server 6443
    taken agent 30443
    step "ports that others have" says_why 3 'server: port 6443/tcp.* is taken by systemd-socket' 'stop it' up
    step "all at once" told 'agent: port 30443/tcp.* is taken by systemd-socket'
    step "and nothing that only follows from it" fails told 'does not reach server'
    free server 6443
    free agent 30443
    step "a run that tries the ways between hosts" up_until on server 'ss -Hlntp | grep -q systemd-socket'
    step "and is killed" kill -9 "$upping"
    step "is in nobody's way" shop_ends 4 plan
    full agent /usr/local/bin 20
    step "a disk without room" says_why 3 'agent: /usr/local/bin has 20 MiB free, and [0-9]+ are needed' 'free some space' up
    empty agent /usr/local/bin
}

# What is wrong with files of this machine.
wrong_files() {
    local k3s archive=$work/redis-7.tar
    k3s=${SHOPCTL_K3S_BINARY:-$(find ~/.cache/shopctl/k3s -name k3s | sort | tail -n 1)}
    mkdir -p "$work/k3s"
    cp "$k3s" "$work/k3s/k3s"
    printf '%064d  k3s\n%064d  k3s-arm64\n' 0 0 | tee "$work/k3s/sha256sum-amd64.txt" >"$work/k3s/sha256sum-arm64.txt"
    variant "s|^k3s:|k3s:\n  binary: $work/k3s/k3s|"
    step "a k3s of another checksum than the published one" says_why 3 "failed to use $work/k3s/k3s: its SHA-256 is [0-9a-f]{64}, and the published one" 'put the published one' up
    rm "$work/k3s"/sha256sum-*
    truncate -s 50M "$work/k3s/k3s"
    step "a k3s that was cut short" says_why 3 "failed to use $work/k3s/k3s: it does not say its version" 'name a whole k3s' up
    rm -r "$work/k3s"
    variant "s|[^ ]*/redis-7.tar|$archive|"
    step "an archive of images that is not there" says_why 3 "failed to use $archive" 'k3s.images' up
    cp "$cache/images/redis-7.tar" "$archive"
    printf 'x' | dd of="$archive" bs=1 seek=9000000 conv=notrunc status=none
    step "a damaged one" says_why 3 "the archive $archive is damaged: .* has the SHA-256" "make or copy $archive again" up
    truncate -s 9M "$archive"
    step "one that was cut short" says_why 3 "the archive $archive is damaged" "make or copy $archive again" up
    rm "$archive"
    original
    own_template echo/echo.toml.j2 '$a x = {{ component.settings.nonsense }}'
    step "a template with an unknown variable" apart says_why 2 'templates/echo/echo.toml.j2:[0-9]+: .*component.settings.nonsense' 'a template sees' up
    shipped_templates
    own_template kubernetes/service.yaml.j2 's/targetPort: /targetPorts: /'
    step "one with an unknown field" apart says_why 2 'service/echo.*templates/kubernetes/service.yaml.j2: unknown field .spec.ports.0.targetPorts' 'kubectl explain' up
    shipped_templates
}

# up_until CONDITION…: an `up` runs in the background until that holds.
up_until() {
    local deadline=$((SECONDS + 60))
    "$program" --state-dir "$work/state" -e "$environment" up --yes >"$said" 2>&1 &
    upping=$!
    until "$@"; do
        if ! kill -0 "$upping" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
            say "the upload never came so far: $*"
            return 1
        fi
        sleep 0.05
    done
}
# sent MEBIBYTES: so much of k3s is on the agent.
sent() { [ "$(on agent 'stat -c %s /usr/local/bin/.k3s.*.part 2>/dev/null || echo 0')" -ge $(($1 << 20)) ]; }
# The connection of the running `up` to the agent is killed.
cut_connection() {
    local pid
    pid=$(pgrep -P "$upping" -f "ControlMaster=yes.* -- $(address agent) ")
    [ -n "$pid" ] && kill -9 "$pid"
}
ends_with() {
    local ended=0
    wait "$upping" || ended=$?
    [ "$ended" = "$1" ]
}
whole() { [ "$(on agent 'sha256sum </usr/local/bin/k3s')" = "$(on server 'sha256sum </usr/local/bin/k3s')" ]; }

# What breaks while files are sent.
cut_uploads() {
    local images=/var/lib/rancher/k3s/agent/images
    slow agent
    step "an upload to a slow host" up_until sent 10
    step "whose connection is killed" cut_connection
    step "goes on from what arrived" wait_for 30 sent 30
    step "and says so" told 'on agent: the connection was cut.*goes on from what arrived'
    quietly "$hosts" unplug "$lab/agent"
    step "one whose cable is pulled gives up within 60 s" within 60 ends_with 1
    step "says what was sent where" told '^error: failed to (reach agent at|put /usr/local/bin/k3s on agent)'
    step "and what to do" told '^hint: see whether'
    quietly "$hosts" plug "$lab/agent"
    fast agent
    step "what arrived is there" sent 30
    on agent 'printf spoiled | dd of="$(echo /usr/local/bin/.k3s.*.part)" bs=1 seek=1000 conv=notrunc status=none'
    full agent $images 4
    step "a disk that is full while images are sent" says_why 1 "failed to put $images/[^ ]* on agent: no space is left" 'free some space on agent' up
    step "leaves no half of a file there" on agent "[ -z \"\$(find $images -name '.*.part')\" ]"
    step "and what a broken disk spoiled of k3s was sent again" whole
    empty agent $images
}

no_namespace() { kubectl get namespace -o name >"$work/namespaces" && ! grep -q ecommerce "$work/namespaces"; }

# What the API server does not accept.
refused_objects() {
    local patience=120
    own_template kubernetes/service.yaml.j2 's/port: {{ number }}/port: {{ number + 100000 if name == "echo" else number }}/'
    step "an object that a new cluster refuses" apart says_why 2 'service/echo: .*108080.* must be between 1 and 65535' 'shopctl render' up
    step "after which there is no object" no_namespace
    shipped_templates
    own_template kubernetes/service.yaml.j2 's/^      containers:/      hostNetwork: {{ "true" if name == "echo" else "false" }}\n&/'
    step "pods that the namespace forbids" apart says_why 1 'failed to wait for deployment/echo: .*forbidden.*host namespaces' 'shopctl status' up
    shipped_templates
}

# What is wrong once the shop is up.
wrong_later() {
    own_template kubernetes/service.yaml.j2 's/port: {{ number }}/port: {{ number + 100000 if name == "echo" else number }}/'
    step "an object that is refused while the shop is up" apart says_why 2 'service/echo: .*108080.* must be between 1 and 65535' 'shopctl render' up
    step "changes nothing" apart shop_ends 2 plan
    shipped_templates
    step "at all" changes_nothing
    quietly "$hosts" unplug "$lab/server"
    step "a server that cannot be reached" says_why 3 "failed to reach server at $(address server)" 'see whether the machine is up' up
    quietly "$hosts" plug "$lab/server"
    on server systemctl stop k3s
    taken server 6443
    step "the port of a k3s that has ended" says_why 3 'server: port 6443/tcp.* is taken by systemd-socket' 'stop it' up
    free server 6443
    step "the next up starts it again" shop up
    # A node whose kubelet comes back is not ready for a moment, nor are its pods.
    step "and the shop serves" wait_for 60 is_proved_again
}
