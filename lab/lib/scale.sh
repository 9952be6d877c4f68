# shellcheck shell=bash
# The stage `scale` of lab/e2e: services that grow with their work and shrink without it, and who says how many pods
# there are. lab/e2e, shop.sh and proofs.sh set what is not set here.
# shellcheck disable=SC2154

# What of the processor time that it asks for a pod uses, as the autoscaler of that service knows it.
knows_use() { [ -n "$(kubectl get hpa "$1" -o jsonpath='{.status.currentMetrics[0].resource.current.averageUtilization}')" ]; }
# pods SERVICE: how many there are to be.
pods() { kubectl get deployment "$1" -o jsonpath='{.spec.replicas}'; }
has() { [ "$(pods "$1")" = "$2" ]; }
has_more() { [ "$(pods "$1")" -gt "$2" ]; }
# taken_away SERVICE: how often pods of it were.
taken_away() {
    kubectl get events --field-selector "reason=ScalingReplicaSet,involvedObject.name=$1" -o json |
        jq '[.items[] | select(.message | startswith("Scaled down")) | .count // 1] | add // 0'
}
nothing_was_taken_away() { [ "$(taken_away gateway)" = "$before" ]; }

# In the lab's environment file, as `variant` takes it.
growing_gateway='s/^  gateway:$/&\n    autoscaling: { maximumReplicas: 3, cpuPercent: 20 }/'
growing_echo='s/^services:$/services:\n  echo: { autoscaling: { maximumReplicas: 3, cpuPercent: 30 } }/'

stage_scale() {
    need_shop
    local before
    before=$(taken_away gateway)
    step "services that grow with their work" variant -e "$growing_gateway" -e "$growing_echo"
    step "are planned" shop_ends 4 plan
    step "with an autoscaler each" told 'create +horizontalpodautoscaler/gateway'
    step "and no other number of pods" fails told 'spec.replicas'
    step "and come to be" brings_up_green
    step "while no pod is taken away" nothing_was_taken_away
    step "the autoscalers learn what is used" wait_for 240 knows_use echo
    step "of each" wait_for 60 knows_use gateway
    step "nothing is left to do" changes_nothing
    step "200 users for a minute" proof '0|1|5' loadtest --vus 200 --duration 60s
    step "let echo grow" has_more echo 1
    step "and the gateway" has_more gateway 2
    step "every confirmed order is in the books" books_are_exact
    step "a plan lets them be as many" shop_ends 0 plan
    step "so does an up, which needs no other proof" changes_nothing
    step "what shall not grow any more" variant -e "$growing_gateway" -e "s/^services:\$/services:\n  echo: { settings: { logLevel: debug } }/"
    step "is planned, with the number that the file says" shop_ends 4 plan
    step "for echo" told 'spec.replicas: [23] -> 1'
    step "comes to be without a word about whose it was" brings_up_green
    step "and has that number" has echo 1
    original
    step "the gateway has its two again when nobody asks" wait_for 420 has gateway 2
    step "echo has what it was given" has echo 1
    step "and when none is to grow" brings_up_green
    step "nothing is left to do" changes_nothing
}
