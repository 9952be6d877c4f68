# shellcheck shell=bash
# The stage of lab/e2e that rotates secrets of a shop that serves. lab/e2e and shop.sh set what is not set here.
# shellcheck disable=SC2154

# The secrets as they were, and what customers were answered.
former=$work/former
answers=$work/answers
admin=admin@shop.local

# ask PATH [ARGUMENT…]: a request as clients make them; the answer's status, and its body in $work/body.
ask() {
    curl -sk --max-time 20 --resolve "$entrance:$node" -o "$work/body${asker:-}" -w '%{http_code}' \
        "$url${1#/}" "${@:2}" || true
}
post() { ask "$1" -H 'content-type: application/json' -d "$2" "${@:3}"; }
secret() { kubectl get secret "$1" -o jsonpath="{.data.${2//./\\.}}" | base64 -d; }
former() { jq -r --arg name "$1" '.[$name] | @base64d' "$former"; }
keep_former() { kubectl get secret common jwt-key -o json | jq '[.items[].data] | add' >"$former"; }

find_entrance() {
    url=$(kubectl get configmap common -o jsonpath='{.data.url}')
    entrance=${url#*://}
    entrance=${entrance%%/*}
    node=$(address server)
}

is_customer() { [ "$(ask /api/auth/me -H "authorization: Bearer $token")" = 200 ]; }
was_customer() { [ "$(ask /api/auth/me -H "authorization: Bearer $token")" = 401 ]; }
becomes_customer() {
    account="{\"email\": \"secrets-$RANDOM$RANDOM@example.com\", \"password\": \"correct horse battery\"}"
    [ "$(post /api/auth/register "$account")" = 201 ] && [ "$(post /api/auth/login "$account")" = 200 ] || return 1
    token=$(jq -r .accessToken "$work/body")
    ask '/api/products?limit=1' >/dev/null
    product=$(jq -r '.items[0].id' "$work/body")
    is_customer
}

# Customers who look around, order and log in, one request after the other, until the file $work/serving is gone. Who
# logs in more often than some times a minute is refused for that.
customers() {
    local number=0 asker=.customers status login=0
    while [ -e "$work/serving" ]; do
        number=$((number + 1))
        status=$(ask '/api/products?limit=5')
        echo "$status products" >>"$answers"
        status=$(post /api/orders "{\"productId\": \"$product\", \"quantity\": 1}" \
            -H "authorization: Bearer $token" -H "idempotency-key: secrets-$$-$number-$RANDOM")
        echo "$status orders" >>"$answers"
        if [ "$SECONDS" -ge "$login" ]; then
            echo "$(post /api/auth/login "$account") login" >>"$answers"
            login=$((SECONDS + 10))
        fi
        sleep 0.02
    done
}
# under_load COMMAND…: it holds, and of what customers asked meanwhile nothing failed. Sold out is an answer.
under_load() {
    local ended=0 loading
    : >"$answers"
    touch "$work/serving"
    customers &
    loading=$!
    "$@" || ended=$?
    rm -f "$work/serving"
    wait "$loading"
    say "         $(wc -l <"$answers") answers: $(sort "$answers" | uniq -c | awk '{ printf "%s%s x %s %s", sep, $1, $2, $3; sep = ", " }')"
    [ "$ended" = 0 ] && [ "$(wc -l <"$answers")" -ge 20 ] && ! grep -qvE '^(200|201|409) ' "$answers"
}

rotates() { shop secrets rotate "$@" --yes && green && told '(is|are) rotated'; }
is_another() { [ "$(secret "$1" "$2")" != "$(former "$2")" ] && [ -n "$(secret "$1" "$2")" ]; }
all_are_others() {
    local name
    for name in $(jq -r 'keys[] | select(endswith(".known") | not)' "$former"); do
        case $name in auth-signing-key) is_another jwt-key "$name" ;; *) is_another common "$name" ;; esac || return 1
    done
}

postgres_takes() {
    kubectl exec -i postgres-0 -- sh -c \
        'for folder in /usr/lib/postgresql/*/bin; do PATH=$folder:$PATH; done; PGPASSWORD=$(cat) psql -h 127.0.0.1 -U "$0" -d shop -c "SELECT 1"' "$1" >/dev/null 2>&1 <<<"$2"
}
# redis_takes POD PORT USER PASSWORD
redis_takes() {
    [ "$(kubectl exec -i "$1" -- sh -c 'REDISCLI_AUTH=$(cat) redis-cli --no-auth-warning -p "$0" --user "$1" ROLE 2>&1 | head -n 1' "$2" "$3" <<<"$4" | grep -cE '^(master|slave|sentinel)$')" = 1 ]
}
admin_logs_in() { [ "$(post /api/auth/login "{\"email\": \"$1\", \"password\": \"$2\"}")" = "$3" ]; }

# others_left NUMBER: so many are there beside others, and no more.
others_left() { [ "$(kubectl get secret common jwt-key -o json | jq '[.items[].data | keys[] | select(endswith(".other"))] | length')" = "$1" ]; }
former_is_refused() {
    ! postgres_takes shop_order "$(former postgres-order)" && postgres_takes shop_order "$(secret common postgres-order)" &&
        ! postgres_takes postgres "$(former postgres-superuser)" && postgres_takes postgres "$(secret common postgres-superuser)" &&
        ! redis_takes redis-0 6379 admin "$(former redis-admin)" && redis_takes redis-0 6379 admin "$(secret common redis-admin)" &&
        ! redis_takes sentinel-0 26379 client "$(former sentinel-client)" &&
        redis_takes sentinel-0 26379 client "$(secret common sentinel-client)"
}

# rotation_killed_at PATTERN NAME…: `secrets rotate` is killed as soon as it has said that.
rotation_killed_at() {
    local pid deadline=$((SECONDS + 300)) pattern=$1
    shift
    "$program" --state-dir "$work/state" -e "$environment" secrets rotate "$@" --yes >"$said" 2>&1 &
    pid=$!
    until told "$pattern"; do
        if ! kill -0 "$pid" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
            kill -9 "$pid" 2>/dev/null || true
            say "it was never said: $pattern"
            return 1
        fi
        sleep 0.02
    done
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
}
plan_tells() { shop plan; told 'rotation of .* stands unfinished' && told 'shopctl secrets rotate'; }
goes_on() { shop secrets rotate --yes && green; }

stage_secrets() {
    need_shop
    find_entrance
    step "the secrets are listed, without a value" shop secrets list
    keep_former
    step "with the names of those who use them" told '^postgres-order +common .*order, postgres'
    step "not one value is told" fails grep -qF "$(former postgres-order)" "$said"
    step "to rotate is asked about" shop_ends 2 secrets rotate postgres-order
    step "a name that nobody has is refused" shop_ends 2 secrets rotate postgres-orders --yes
    step "a customer logs in" becomes_customer
    step "the password of a role of Postgres is rotated under load" under_load rotates postgres-order
    step "the former is refused, the new one taken" fails postgres_takes shop_order "$(former postgres-order)"
    step "a password of Redis is rotated under load" under_load rotates redis-order
    step "the former is refused" fails redis_takes redis-0 6379 shop-order "$(former redis-order)"
    step "a plan has nothing to do" shop_ends 0 plan
    keep_former
    step "all secrets are rotated under load" under_load rotates --all
    step "all are others" all_are_others
    step "the former ones are refused" former_is_refused
    step "the admin logs in with the new password" admin_logs_in "$admin" "$(secret common auth-admin)" 200
    step "and not with the former one" admin_logs_in "$admin" "$(former auth-admin)" 401
    step "the token of before is good" is_customer
    step "the former key is all that is kept" others_left 1
    step "a plan has nothing to do, and says until when" shop_ends 0 plan
    step "  it says so" told 'former auth-signing-key is accepted until'
    step "the same key again is refused until then" shop_ends 2 secrets rotate auth-signing-key --yes
    local when pattern
    while IFS='|' read -r when pattern; do
        step "killed $when" rotation_killed_at "$pattern" postgres-order redis-order
        step "  a plan says so" plan_tells
        step "  the shop serves" under_load shop up --yes
        step "  the next one goes on with it" under_load goes_on
    done <<'PHASES'
when the next ones are there|^✓ make another
while everybody is told|^(✓ change|· wait for) (deployment|statefulset)
when they have changed places|^✓ put the new
PHASES
    step "killed when the former ones are gone" rotation_killed_at '^✓ take the former' postgres-order redis-order
    step "  that not everybody has heard is found" shop_ends 4 plan
    step "  up tells them" under_load shop up --yes
    step "nothing is left to do" shop_ends 0 plan
    step "with tokens that live shorter" variant 's/^services:$/services:\n  auth: { settings: { accessToken: 10s } }/'
    step "the shop comes up" brings_up
    step "the former key is taken away when they have expired" shop secrets rotate --wait --yes
    step "it is gone" others_left 0
    step "a token of it is refused" was_customer
    step "and a plan has nothing to do" shop_ends 0 plan
    original
    step "as before" brings_up_green
}
