# shellcheck shell=bash
# What every script of the lab shares: where things are, how they speak, and what a process is.

# The cache outlives every lab; what a lab made lies under run/NAME and goes with it.
cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/shopctl/lab
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
key=$cache/id_ed25519

# The environment file names what is in the cache by paths that are the same for everybody.
link_cache() {
    mkdir -p "$cache"
    [ "$(readlink "$project/lab/cache" 2>/dev/null)" = "$cache" ] || ln -sfn "$cache" "$project/lab/cache"
}

say() { printf '%s\n' "$*" >&2; }

# die CODE MESSAGE [HINT]: the exit codes are shopctl's (1 failed, 2 wrong usage, 3 something is missing here).
die() {
    say "error: $2"
    [ -z "${3:-}" ] || say "  hint: $3"
    exit "$1"
}

need_root() {
    [ "$(id -u)" = 0 ] || die 3 "failed to use namespaces as user $(id -un)" "the lab makes network namespaces and mounts: run it as root"
}

# need PROGRAM PACKAGE …: all that is missing at once.
need() {
    local missing=()
    while [ $# -gt 0 ]; do
        command -v "$1" >/dev/null 2>&1 || missing+=("$2")
        shift 2
    done
    [ ${#missing[@]} -eq 0 ] || die 3 "programs are missing on this machine" "apt-get install ${missing[*]}"
}

# A pid alone may belong to somebody else by now: together with its start time it cannot.
start_time() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The name in parentheses may contain blanks; the start time is the 20th word after it.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    echo "${20}"
}

# wait_for SECONDS COMMAND…: true as soon as the command is.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}
