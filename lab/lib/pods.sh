# shellcheck shell=bash
# The stage `pods` of lab/e2e: what Kubernetes does to pods, and pods to each other. lab/e2e and shop.sh set what is not set
# here, secrets.sh has customers.
# shellcheck disable=SC2154

# connects_as COMPONENT ADDRESS PORT: a pod with the labels of a component gets a connection. It is never ready, so that no
# Service leads to it. What a pod may is settled a moment after it has begun, so whoever may is given some tries.
connects_as() {
    [ -n "$2" ] || return 2
    quietly kubectl delete pod stranger --ignore-not-found --wait
    on server 'k3s kubectl -n ecommerce apply -f -' >/dev/null <<POD || return 2
apiVersion: v1
kind: Pod
metadata: { name: stranger, labels: { app.kubernetes.io/name: $1 } }
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  readinessGates: [{ conditionType: lab/never }]
  securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: RuntimeDefault } }
  containers:
    - name: stranger
      image: rancher/mirrored-library-busybox:1.37.0
      imagePullPolicy: IfNotPresent
      command: [sh, -c, "for i in 1 2 3 4 5 6; do nc -w 2 $2 $3 </dev/null && exit 0; sleep 1; done; exit 1"]
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } }
POD
    wait_for 60 stranger_ended || return 2
    [ "$(kubectl get pod stranger -o jsonpath='{.status.phase}')" = Succeeded ]
}
stranger_ended() { kubectl get pod stranger -o jsonpath='{.status.phase}' | grep -qE 'Succeeded|Failed'; }
# A pod that could not be tried is no proof that it is kept out.
is_kept_out() {
    local ended=0
    connects_as "$@" || ended=$?
    [ "$ended" = 1 ]
}
service() { kubectl get service "$1" -o jsonpath='{.spec.clusterIP}'; }

# What somebody who asks the Service `redis-primary` is told by whom it meets, through a port of the server.
role_behind_primary() {
    on server bash -s <<'SCRIPT'
k3s kubectl -n ecommerce port-forward service/redis-primary 16379:6379 >/dev/null 2>&1 &
forward=$!
trap 'kill $forward' EXIT
for _ in $(seq 50); do (: </dev/tcp/127.0.0.1/16379) 2>/dev/null && break; sleep 0.1; done
password=$(k3s kubectl -n ecommerce get secret common -o 'jsonpath={.data.redis-admin}' | base64 -d)
exec 3<>/dev/tcp/127.0.0.1/16379
printf 'AUTH admin %s\r\nINFO\r\nQUIT\r\n' "$password" >&3
timeout 5 cat <&3
SCRIPT
}
# leads_to POD: who answers behind the Service is this one, and says that it leads.
leads_to() {
    local answer
    answer=$(role_behind_primary | tr -d '\r')
    grep -x "role:master" <<<"$answer" >/dev/null && grep -x "run_id:$(run_id "$1")" <<<"$answer" >/dev/null
}
leads_to_master() { leads_to "$(master)"; }
# asks POD COMMAND…: what a Redis answers to its administrator.
asks() {
    kubectl exec "$1" -- env REDISCLI_AUTH="$(secret common redis-admin)" redis-cli --no-auth-warning --user admin "${@:2}" 2>/dev/null | tr -d '\r'
}
run_id() { asks "$1" info server | sed -n 's/^run_id://p'; }
# The pods that say that they lead: one, but for a moment.
master() {
    local number
    for number in 0 1 2; do
        [ "$(asks "redis-$number" role | head -n 1)" != master ] || echo "redis-$number"
    done
}
another_master() {
    local now
    now=$(master)
    [[ $now =~ ^redis-[0-2]$ ]] && [ "$now" != "$1" ]
}

# Pods that have a volume of this node wait until they may come back to it; all others go elsewhere.
drains() { kubectl drain "$1" --ignore-daemonsets --delete-emptydir-data --timeout=120s >"$said" 2>&1; }
# k3s has one pod that knows names. While that moves, whoever has to ask for one waits, and a request may fail for it.
drains_under_load() {
    under_load drains "$1" || grep -q ' drained$' "$said" && [ "$(grep -cvE '^(200|201|409) ' "$answers")" -le 3 ] &&
        ! grep -qvE '^(200|201|409|000|502|503|504) ' "$answers"
}
elsewhere() {
    local there
    there=$(kubectl get pods -o json | jq -r --arg node "$1" '.items[] | select(.spec.nodeName == $node and (.metadata.ownerReferences[0].kind // "") == "ReplicaSet") | .metadata.name') || return 1
    [ -z "$there" ]
}

stage_pods() {
    need_shop
    find_entrance
    step "who is served by Postgres reaches it" connects_as order "$(service postgres)" 5432
    step "a gateway does not" is_kept_out gateway "$(service postgres)" 5432
    step "nor does a pod of nobody's" is_kept_out nobody "$(service postgres)" 5432
    step "an order reaches Redis" connects_as order "$(kubectl get pod redis-0 -o jsonpath='{.status.podIP}')" 6379
    step "an echo does not" is_kept_out echo "$(kubectl get pod redis-0 -o jsonpath='{.status.podIP}')" 6379
    quietly kubectl delete pod stranger --wait
    step "redis-primary leads to the master" leads_to_master
    local before
    before=$(master)
    [[ $before =~ ^redis-[0-2]$ ]] || die 1 "there is not exactly one master: $before"
    quietly kubectl delete pod "$before" --wait=false
    step "its pod is deleted, and another is the master" wait_for 30 another_master "$before"
    step "and redis-primary leads to that one" wait_for 10 leads_to_master
    step "a customer" becomes_customer
    # The node without the database, which has a volume that stays with its node.
    local node_of free=server
    node_of=$(kubectl get pod postgres-0 -o jsonpath='{.spec.nodeName}')
    [ "$node_of" = agent ] || free=agent
    step "a drain of $free ends within 120 s, and hardly a request fails meanwhile" drains_under_load "$free"
    step "  with every pod of a service elsewhere" elsewhere "$free"
    step "  where the shop is proved" serves
    quietly kubectl uncordon "$free"
    step "a drain of $node_of, with the database, ends too" drains "$node_of"
    quietly kubectl uncordon "$node_of"
    step "all pods come back" wait_for 120 all_pods_ready
    step "and the shop is proved again" serves
    step "with nothing left to do" shop_ends 0 plan
}
