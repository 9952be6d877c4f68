# shellcheck shell=bash
# Stages of lab/e2e on a real k3s: what `shopctl` promises for shops on hosts. lab/e2e sets what is not set here.
# shellcheck disable=SC2154

# Where a stage keeps what it writes: the state folder, environment files, what the last command said.
work=$cache/run/$lab.e2e
program=${SHOPCTL:-${CARGO_TARGET_DIR:-$project/target}/debug/shopctl}
said=$work/said
environment=$work/lab.yaml
# The kubeconfig of whoever runs this is none of a test's business.
export KUBECONFIG=$work/kubeconfig

need_program() {
    need curl curl jq jq
    [ -x "$program" ] || die 3 "there is no shopctl at $program" "cargo build --workspace --bins, or name one with SHOPCTL"
}

prepare_shop() {
    mkdir -p "$work"
    quietly "$hosts" up "$lab"
    "$hosts" environment "$lab" >"$environment"
    "$here/images" >/dev/null 2>&1 || die 1 "the images of the lab cannot be made" "lab/images"
}

# shop COMMAND…: shopctl, and what it said in $said.
shop() { ${alone:-} "$program" --state-dir "$work/state" -e "$environment" "$@" >"$said" 2>&1; }
# shop_ends CODE COMMAND…: it ends with that exit code.
shop_ends() {
    local wanted=$1 ended=0
    shift
    shop "$@" || ended=$?
    [ "$ended" = "$wanted" ]
}
# The last command said something.
told() { grep -qE -- "$1" "$said"; }
kubectl() { on server "k3s kubectl -n ecommerce $(printf "%q " "$@")"; }
count() { kubectl get "$@" -o name 2>/dev/null | wc -l; }
# within SECONDS COMMAND…
within() {
    local limit=$1 began=$EPOCHREALTIME
    shift
    "$@" && [ "$(bc <<<"$EPOCHREALTIME - $began <= $limit")" = 1 ]
}

# variant SED-EXPRESSION…: the environment file with something else in it; `original` puts it back.
variant() {
    [ -e "$environment.original" ] || cp "$environment" "$environment.original"
    sed "$@" "$environment.original" >"$environment"
    ! cmp -s "$environment" "$environment.original"
}
original() { [ ! -e "$environment.original" ] || mv "$environment.original" "$environment"; }

green() { told 'checks passed'; }
brings_up() { shop up --yes && told 'The shop is up at'; }
brings_up_green() { brings_up && green; }
changes_nothing() { shop up && told '^Nothing to do: the shop is up'; }
all_pods_ready() { shop status -o json && jq -es '.[0] | (.pods | length > 15) and all(.pods[]; .ready) and (.nodes | length == 2) and all(.nodes[]; .ready)' "$said" >/dev/null; }
is_proved_again() { shop smoke && green; }
timings_are_kept() { shop status --timings && told 'start k3s on server' && told 'wait for statefulset/postgres'; }
logs_are_there() { shop logs auth -n 5 && told '^auth-'; }
kubectl_finds_it() { grep -q "^ *current-context: lab$" "$KUBECONFIG" && grep -q "https://$(address server):6443" "$KUBECONFIG"; }

need_shop() {
    [ -e "$environment" ] || prepare_shop
    step "the shop is up" shop up --yes
}

# ── changes

replicas_are() { [ "$(count pods -l app.kubernetes.io/name=echo --field-selector status.phase=Running)" = "$1" ]; }
image_fails() {
    ! shop up && told "$1" && told 'ErrImagePull|ImagePullBackOff' && told 'localhost/lab/none'
}

stage_changes() {
    need_shop
    step "another number of replicas" variant 's/^services:$/services:\n  echo: { replicas: 2 }/'
    step "is planned, with exit code 4" shop_ends 4 plan
    step "as one field" told 'spec.replicas: 1 -> 2'
    step "and comes to be" brings_up_green
    step "with two pods" replicas_are 2
    step "a component that is not wanted any more" variant 's/^services:$/services:\n  redis-primary: { enabled: false }/'
    step "is planned to be pruned" shop_ends 4 plan
    step "with its Deployment" told 'prune +deployment/redis-primary'
    step "is not removed without having been asked" shop_ends 2 up
    step "but with --yes" brings_up_green
    step "and nothing of it is left" none_of redis-primary
    step "while the other has its old number" replicas_are 1
    original
    step "it comes back" brings_up_green
    step "nothing is left to do" changes_nothing
}

none_of() { [ -z "$(kubectl get deployment,service,configmap,networkpolicy,serviceaccount,pdb -o name | grep "/$1" || true)" ]; }

# ── trouble

serves() { is_proved_again; }

stage_trouble() {
    need_shop
    variant 's/^services:$/services:\n  echo: { image: "localhost\/lab\/none:1" }/'
    step "an image that nobody has is said within 90 s" within 90 image_fails deployment/echo
    step "while the shop serves" serves
    original
    step "the next good up heals it" brings_up
    variant 's|^  sentinel: .*|  sentinel: { image: "localhost/lab/none:1" }|'
    step "the same in a StatefulSet" within 90 image_fails statefulset/sentinel
    original
    step "the next good up heals that too" brings_up_green
    quietly kubectl delete service product
    quietly kubectl patch configmap common --type merge -p '{"data":{"environment":"mine"}}'
    step "what was deleted and changed by hand is found" shop_ends 4 plan
    step "the Service" told 'create +service/product'
    step "and who changed the field" told 'kubectl'
    step "fields of others are not taken without a word" shop_ends 2 up
    step "but with --force-conflicts" shop up --force-conflicts
    step "nothing is left to do" shop_ends 0 plan
    quietly kubectl scale deployment/gateway --replicas=1
    step "a number of replicas by hand is found" shop_ends 4 plan
    step "and mended" shop up --force-conflicts
    variant 's/^services:$/services:\n  echo: { settings: { logLevel: "=nonsense=" } }/'
    step "a service that ends as soon as it starts is said within 120 s" within 120 crashes deployment/echo
    step "with what it wrote last" told 'echo-[^ ]* wrote: .*log.level'
    step "while the shop serves" serves
    original
    step "the next good up heals it" brings_up
    step "an image is lost on a node" loses_image agent
    step "and a pod there cannot start" wait_for 60 waits_for_image
    step "which a plan knows" shop_ends 4 plan
    step "by its name" told "check images on agent +\(it does not hold localhost/shopctl/shopd"
    step "the next up brings it back" brings_up
    step "for that pod too" all_pods_ready
    step "and the shop serves" serves
    step "a database loses what its volume held" loses_data
    step "a database whose volume comes back empty makes no new shop, which up says within 120 s" within 120 misses_data
    finds_data
    step "with its data the next up heals it" shop up
    step "and the shop serves" serves
    quietly only_ssh -D || true
    only_ssh -I
    step "nothing but ssh gets through" only_ssh_gets_through
    step "and a plan has nothing to do" shop_ends 0 plan
    step "up too" changes_nothing
    step "and the shop serves" serves
    step "through ssh, which is said" told 'only ssh gets through to the cluster'
    only_ssh -D
    variant '/^  agent:$/,/^$/d'
    step "a node that no host of the environment file is" shop_ends 4 plan
    step "is mentioned" told '^warning: agent is a node of this cluster and no host of the environment file'
    original
}

# The folder of the database's volume, on the node that has it.
volume() { kubectl get pv -o json | jq -r '.items[] | select(.spec.claimRef.name == "data-postgres-0") | "\(.spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].values[0]) \(.spec.local.path // .spec.hostPath.path)"'; }
loses_data() {
    read -r holder folder < <(volume) && [ -n "$folder" ] || return 1
    on "$holder" mv "$folder/pgdata" "$folder.kept"
    quietly kubectl delete pod postgres-0
}
misses_data() { ! shop up && told '^error: failed to wait for statefulset/postgres: ' && told 'holds no database, and this shop has had one since 20'; }
finds_data() { on "$holder" "rm -rf ${folder:?}/* && mv $folder.kept $folder/pgdata"; }

dials() { timeout 3 bash -c ": </dev/tcp/$(address server)/$1" 2>/dev/null; }
only_ssh_gets_through() { dials 22 && ! dials 6443 && ! dials 30443; }
# Packets of this machine to the API server and to the ingress are lost, with -I; with -D they are not any more.
only_ssh() {
    local name
    for name in server agent; do
        on "$name" iptables -t raw "$1" PREROUTING -s "$(bridge)" -p tcp -m multiport --dports 6443,30443 -j DROP
    done
}

# crashes OBJECT: `up` fails, and names the object, the container and how it ended.
crashes() {
    ! shop up && told "^error: failed to wait for $1: " && told 'CrashLoopBackOff.*container[= ]echo.* it ended with [0-9]+'
}
loses_image() {
    on "$1" 'k3s ctr -n k8s.io images ls -q | grep localhost/shopctl/shopd | xargs k3s ctr -n k8s.io images rm --sync' >/dev/null
    quietly kubectl cordon server
    quietly kubectl delete pod -l app.kubernetes.io/name=echo --wait=false
    wait_for 30 is_on "$1"
    quietly kubectl uncordon server
}
is_on() { kubectl get pods -l app.kubernetes.io/name=echo -o jsonpath='{.items[*].spec.nodeName}' | grep -q "$1"; }
waits_for_image() { kubectl get pods -l app.kubernetes.io/name=echo -o json | grep -qE 'ErrImagePull|ImagePullBackOff'; }

# ── kills

# killed_at PATTERN: `up` is killed as soon as it has said that.
killed_at() {
    local pid deadline=$((SECONDS + 240))
    "$program" --state-dir "$work/state" -e "$environment" up --yes >"$said" 2>&1 &
    pid=$!
    until told "$1"; do
        if ! kill -0 "$pid" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
            kill -9 "$pid" 2>/dev/null || true
            say "it was never said: $1"
            return 1
        fi
        sleep 0.02
    done
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
    # Connections end with whoever made them.
    wait_for 10 no_connection
}
no_connection() { ! grep -lqsa "$work/state" /proc/[0-9]*/cmdline 2>/dev/null | grep -q .; }

stage_kills() {
    local phase
    # What is run meanwhile may read its input, which is not this list.
    while IFS='|' read -r phase pattern <&3; do
        # Bare hosts for each: what one run has done, the next one does not do again.
        [ ! -e "$environment" ] || quietly "$hosts" reset "$lab"
        rm -rf "$work/state"
        prepare_shop
        step "killed $phase" killed_at "$pattern"
        step "  the next up converges to a proved shop" converges
        step "  after which there is nothing to do" changes_nothing
    done 3<<'PHASES'
while it sends files|^✓ claim (server|agent)
while it sends images|^✓ put k3s on (server|agent)
while it starts the server|^✓ configure k3s on server
while the agent joins|^✓ start k3s on server
while the cluster settles|^✓ fetch the kubeconfig
while it makes objects|^✓ make secrets
while it makes workloads|^✓ create service/traefik
while it waits for pods|^✓ create poddisruptionbudget/redis
while it waits for pods again|^· wait for deployment/order
before the smoke test|^✓ seed the catalogue
in the smoke test|^✓ three logins
PHASES
}
converges() { shop up --yes && green; }

# ── down

uids() { kubectl get pvc,secret -o json | jq -r '.items[] | "\(.kind)/\(.metadata.name) \(.metadata.uid)"' | sort; }
keeps_data() { diff <(printf '%s\n' "$kept") <(uids) >&2; }
only_data_is_left() { [ "$(count deployment,statefulset,daemonset,job,service,configmap,pods | cat)" -le 1 ]; }
products_are_there() { ! told 'seed the catalogue'; }
nothing_of_it() { ! quietly on server k3s kubectl get namespace ecommerce; }
forgotten_by_kubectl() { ! grep -q 'lab$' "$KUBECONFIG"; }

# What k3s and its pods leave on a host: files (but what kubectl keeps, which only these stages call there), interfaces, mounts,
# rules, processes, units, settings.
portrait() {
    on "$1" sh <<'SCRIPT'
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/log -o -path /var/tmp -o -path /root/.cache -o -path /root/.kube -o -path /run/systemd -o -path /run/udev -o -path /run/log -o -path /run/sudo \) -prune -o -printf 'file %p %y %m %u\n' | grep -v '/var/lib/systemd/\|/var/lib/sudo\|\.pyc\|/run/user\|/run/sshd'
find /var/lib/rancher /etc/rancher /run/k3s /run/flannel 2>/dev/null | sed 's/^/file /'
ip -o link | sed 's/^[0-9]*: \([^:@]*\).*/link \1/'
awk '{print "mount " $2}' /proc/self/mounts | grep -v '/run/user\|/run/credentials'
for program in iptables ip6tables; do $program-save 2>/dev/null | grep '^-A\|^:.* -' | sed 's/ \[.*//; s/^/rule /'; done
ipset list -n 2>/dev/null | sed 's/^/set /'
ps -eo comm= | grep -E 'k3s|containerd|shim|traefik|postgres|redis|shopd|coredns' | sed 's/^/process /'
systemctl list-unit-files --no-legend --plain | awk '{print "unit " $1 " " $2}'
for name in net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables; do echo "setting $name $(cat /proc/sys/$(echo $name | tr . /) 2>/dev/null)"; done
SCRIPT
}
portraits() { local name; for name in server agent; do portrait "$name" | LC_ALL=C sort -u >"$work/$name.$1"; done; }
are_as_before() {
    portraits after
    diff "$work/server.before" "$work/server.after" >&2 && diff "$work/agent.before" "$work/agent.after" >&2
}

# A disk of somebody's own is where k3s keeps what pods write: it stays mounted, and is emptied.
own_disk() { on agent 'mkdir -p /var/lib/rancher/k3s/storage && mount -t tmpfs own-disk /var/lib/rancher/k3s/storage && mkdir /var/lib/rancher/k3s/storage/lost+found'; }
disk_is_empty() { [ "$(on agent 'findmnt -no SOURCE /var/lib/rancher/k3s/storage; ls -A /var/lib/rancher/k3s/storage; ls -A /var/lib/rancher/k3s')" = $'own-disk\nlost+found\nstorage' ]; }

stage_down() {
    need_shop
    kept=$(uids)
    step "down" shop down
    step "says what is kept" told 'data and secrets are kept'
    step "leaves nothing that runs" only_data_is_left
    step "and all claims and Secrets" keeps_data
    step "down again has nothing to do" shop down
    step "with that word" told 'Nothing to do'
    step "up" brings_up_green
    step "has the same data" keeps_data
    step "and the same products" products_are_there
    others_clusters
    step "down --purge asks" shop_ends 2 down --purge
    step "down --purge" shop down --purge --yes
    step "leaves nothing" nothing_of_it
    step "up makes a new one" brings_up_green
    step "kubectl finds it beside the clusters that were there" is_among_others
    step "down --cluster" shop down --cluster --yes
    step "kubectl does not know it any more" forgotten_by_kubectl
    step "and all others as before" cmp "$work/others" "$KUBECONFIG"
    own_disk
    portraits before
    step "on a host with a disk of its own for k3s' data" brings_up_green
    step "down --cluster, without a k3s or an image at hand" leaves_with_nothing
    step "leaves the hosts as they were" are_as_before
    step "and the disk mounted and empty" disk_is_empty
    on agent 'umount /var/lib/rancher/k3s/storage && rm -r /var/lib/rancher/k3s'
}

leaves_with_nothing() {
    variant 's|- .*/traefik-.*\.tar|- /nowhere/traefik.tar|'
    SHOPCTL_K3S_BINARY=/nowhere/k3s shop down --cluster --yes && original
}

# A kubeconfig of somebody who has other clusters, in kubectl's own style.
others_clusters() {
    cat >"$work/others" <<'KUBECONFIG'
apiVersion: v1
clusters:
- cluster:
    insecure-skip-tls-verify: true
    server: "https://192.0.2.1:6443"
  name: office
- cluster:
    certificate-authority: /etc/ca.crt
    server: "https://192.0.2.2:6443"
  name: another
contexts:
- context:
    cluster: office
    namespace: books
    user: me
  name: office
current-context: office
kind: Config
users:
- name: me
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      args:
      - token
      command: login
      interactiveMode: Never
KUBECONFIG
    cp "$work/others" "$KUBECONFIG"
}
is_among_others() {
    local mine='k3s kubectl --kubeconfig /tmp/kubeconfig'
    diff "$work/others" "$KUBECONFIG" >"$work/added" && return 1
    ! grep -q '^<' "$work/added" && grep -q "https://$(address server):6443" "$work/added" || return 1
    on server "cat >/tmp/kubeconfig && $mine --context lab get nodes -o name && $mine config current-context; rm /tmp/kubeconfig" \
        <"$KUBECONFIG" >"$said" && told '^node/agent$' && told '^office$'
}

# ── the way from bare hosts and back

stage_short() {
    prepare_shop
    portraits before
    step "bare hosts to a green smoke test through the ingress" brings_up_green
    step "up again changes nothing" changes_nothing
    step "down --cluster" shop down --cluster --yes
    step "leaves the hosts as they were" are_as_before
}

stage_shop() {
    prepare_shop
    portraits before
    step "a plan for bare hosts changes nothing" shop_ends 4 plan
    step "bare hosts to a green smoke test through the ingress" brings_up_green
    step "all pods are ready on both nodes" all_pods_ready
    step "up again changes nothing, in less than 3 s" within 3 changes_nothing
    step "plan says so too" shop_ends 0 plan
    step "smoke proves it again" is_proved_again
    step "status --timings tells where the time went" timings_are_kept
    step "logs" logs_are_there
    step "kubectl finds the cluster" kubectl_finds_it
    step "down --cluster" shop down --cluster --yes
    step "leaves the hosts as they were" are_as_before
}

end_shop() { rm -rf "$work"; }
