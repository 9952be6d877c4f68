# shellcheck shell=bash
# The stage `registry` of lab/e2e: the services' image goes through a registry on this machine, with TLS and a password,
# that the hosts reach over the lab's bridge.
# shellcheck disable=SC2154

registry=$work/registry
registry_pid=

# The address of this machine on the lab's bridge.
bridge() { address server | sed 's/[0-9]*$/1/'; }
registry_at() { echo "$(bridge):5443"; }

# Where the program is: of a package, or fetched by `./shop test`.
registry_program() { PATH=$PATH:$HOME/.cache/shopctl/docker-registry/usr/bin command -v docker-registry; }

make_certificates() {
    quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=lab \
        -keyout "$registry/ca.key" -out "$registry/ca.crt"
    quietly openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=registry \
        -keyout "$registry/server.key" -out "$registry/server.csr"
    quietly openssl x509 -req -in "$registry/server.csr" -CA "$registry/ca.crt" -CAkey "$registry/ca.key" -CAcreateserial \
        -days 30 -extfile <(echo "subjectAltName=IP:$(bridge)") -out "$registry/server.crt"
}

start_registry() {
    cat >"$registry/config.yml" <<CONFIG
version: 0.1
log: { level: error }
storage: { filesystem: { rootdirectory: $registry/data } }
http: { addr: "$(registry_at)", tls: { certificate: $registry/server.crt, key: $registry/server.key } }
auth: { htpasswd: { realm: lab, path: $registry/users } }
CONFIG
    "$(registry_program)" serve "$registry/config.yml" >>"$registry/log" 2>&1 &
    registry_pid=$!
    wait_for 10 listens
}
listens() { ss -Hlnt | grep -qF "$(registry_at) "; }
stop_registry() {
    [ -n "$registry_pid" ] || return 0
    kill "$registry_pid" 2>/dev/null || true
    wait "$registry_pid" 2>/dev/null || true
    registry_pid=
}

# with_registry NAME=VALUE…: the environment file has the registry, with these fields otherwise.
with_registry() {
    local address user=joe password=password authority=ca.crt
    address=$(registry_at)
    [ $# -eq 0 ] || local "$@"
    variant "1,/^k3s:/s|^k3s:|registry: { address: \"$address/shop\", user: $user, passwordFile: $registry/$password, caFile: $registry/$authority }\n&|"
}

puts() { grep -c '"\(PUT\|POST\) /v2/' "$registry/log" || true; }
sends_nothing() {
    local before
    before=$(puts)
    "$@" && [ "$(puts)" = "$before" ]
}
pods_name_it() { kubectl get deployment order -o jsonpath='{.spec.template.spec.containers[0].image}' | grep -qE "^$(registry_at)/shop/shopd:[0-9a-f]{12}@sha256:[0-9a-f]{64}\$"; }
pulled_on() { on "$1" k3s ctr -n k8s.io images ls -q | grep -q "^$(registry_at)/shop/shopd@sha256:"; }
no_archive_on() {
    local held
    held=$(on "$1" ls /var/lib/rancher/k3s/agent/images) && ! grep -q shopd <<<"$held"
}
pulled_everywhere() { pulled_on server && pulled_on agent && no_archive_on server && no_archive_on agent; }
secret_is_kept() { ! grep -rqs --exclude-dir=registry 'lab-registry-password' "$said" "$work/state"; }
forget_image() { rm -rf "$registry/data/docker/registry/v2/repositories/shop"; stop_registry; start_registry; }
unpull() { on "$1" "k3s ctr -n k8s.io images ls -q | grep shop/shopd | xargs k3s ctr -n k8s.io images rm --sync" >/dev/null; }

need_registry() {
    need openssl openssl ss iproute2 htpasswd apache2-utils
    registry_program >/dev/null || die 3 "there is no docker-registry" "apt-get install docker-registry, or ./shop test, which fetches it"
}

stage_registry() {
    [ ! -e "$environment" ] || quietly "$hosts" reset "$lab"
    rm -rf "$work/state" "$registry"
    prepare_shop
    mkdir -p "$registry"
    echo lab-registry-password >"$registry/password"
    echo another >"$registry/wrong"
    htpasswd -nbB joe lab-registry-password >"$registry/users"
    make_certificates
    portraits before
    wrong_registries
    start_registry
    step "a plan shows the push" shop_ends 4 plan
    step "with its name and size" told "^push +$(registry_at)/shop/shopd@sha256:.*\(3 parts, .* MiB"
    step "and pushes nothing" [ "$(puts)" = 0 ]
    step "none of it left anything on a host" are_as_before
    step "bare hosts to a green smoke test, through the registry" brings_up_green
    step "and a push" [ "$(puts)" -gt 0 ]
    step "pods name the image with its digest" pods_name_it
    step "both hosts pulled it, and were sent no archive of it" pulled_everywhere
    step "up again changes nothing, in less than 3 s" within 3 changes_nothing
    step "and sends nothing" sends_nothing changes_nothing
    step "the registry loses the image" forget_image
    step "which a plan shows" shop_ends 4 plan
    step "as a push" told '^push '
    step "the next up pushes it" brings_up
    step "after which there is nothing to do" changes_nothing
    quietly unpull agent
    step "an image lost on a node is known to a plan" shop_ends 4 plan
    step "by its name" told "check images on agent +\(it does not hold $(registry_at)/shop/shopd"
    step "the next up pulls it" brings_up
    step "so that it is there" pulled_everywhere
    quietly unpull agent
    block agent
    step "a node that does not reach the registry says so" says_why 1 "failed to pull $(registry_at)/shop/shopd on agent: .*$(bridge)" 'see that agent reaches' up
    unblock agent
    step "and pulls it when it does" brings_up
    stop_registry
    step "a registry that does not answer" shop plan
    step "is needed by nobody who has the image" told "^warning: failed to reach the registry $(registry_at): .*every host holds the image"
    start_registry
    step "the password is in nothing that was said or kept" secret_is_kept
    step "down --cluster needs no registry" leaves_without_registry
    step "and leaves the hosts as they were" are_as_before
    original
}

# A host's packets to the registry are lost on their way out.
block() { on "$1" iptables -I OUTPUT -p tcp --dport 5443 -j REJECT; }
unblock() { on "$1" iptables -D OUTPUT -p tcp --dport 5443 -j REJECT; }
leaves_without_registry() {
    stop_registry
    shop down --cluster --yes
}

# What is wrong with the registry, before anything is on a host.
wrong_registries() {
    with_registry
    step "a registry that is not there" says_why 3 "failed to reach the registry $(registry_at): .*refused" 'registry.address' up
    start_registry
    with_registry password=wrong
    step "a wrong password" says_why 3 "$(registry_at): it does not take the password of joe" 'registry/wrong .`registry.passwordFile`' up
    with_registry authority=server.key
    step "a file that holds no certificate" says_why 3 'server.key, which `registry.caFile` names: it holds no' 'registry.caFile' up
    with_registry password=none authority=none
    step "files that are not there, both at once" says_why 3 'registry/none, which `registry.passwordFile` names' 'registry.caFile' up
    variant "1,/^k3s:/s|^k3s:|registry: { address: \"$(registry_at)/shop\" }\n&|"
    step "an authority that nobody knows" says_why 3 "failed to trust the registry $(registry_at): its certificate is signed by nobody" 'registry.caFile' up
    variant "1,/^k3s:/s|^k3s:|registry: { address: \"$(registry_at)/shop\", plainHttp: true }\n&|"
    step "plain HTTP to one that speaks TLS" says_why 3 "$(registry_at): it answers plain HTTP with a demand for TLS" 'registry.plainHttp' up
    stop_registry
    with_registry
}
