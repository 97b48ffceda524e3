#!/bin/bash
# Measures tern serve: what clients get of the speed that tern bench measures, and, if asked, of another server's.
#
#   bench/serve.sh BUILD MODEL.tern [--against HOST:PORT]
#
# BUILD is a build folder with tern and bench_serve_clients (ninja bench_serve_clients). Every round runs, one after the other:
#
#   tern bench with one sequence and with CLIENTS of them, TOKENS tokens each, and then against one server of MODEL
#   one client, and CLIENTS at once: prompts of 8 ids, answers of TOKENS
#   a prompt of 20 ids, alone and while another prompt of 4,000 runs
#   two prompts that begin with the same 1,000 ids
#   with --against: the same one client and CLIENTS of the server there, such as llama-server, which runs all the while
#
# The table has medians over the rounds, and of ratios the median of each round's. Give the machine nothing else to do: the
# clients take from the same processors, which the table says too. Variables:
#
#   TERN_ROUNDS       5
#   TERN_THREADS      all processors
#   TERN_CLIENTS      8
#   TERN_TOKENS       96
#   TERN_VOCAB        ids of prompts are below it: 1000
#   TERN_LONG         4000: ids of the long prompt
#   TERN_SHARED       1000: ids that two prompts share
#   TERN_SERVE_FLAGS  further flags of tern serve, such as "--max-pause-ms 100"
#   TERN_RESULTS      a file that rounds are added to, and that the table is made of: rounds of several calls count together
set -u -o pipefail
die() {
    echo "serve.sh: $*" >&2
    exit 2
}
usage="usage: $0 BUILD MODEL.tern [--against HOST:PORT] (see its head)"
[ $# = 2 ] || [ $# = 4 ] || die "$usage"
build=$1 model=$2 rival=
if [ $# = 4 ]; then
    [ "$3" = --against ] || die "$usage"
    rival=${4#http://}
fi
rounds=${TERN_ROUNDS:-5} threads=${TERN_THREADS:-$(nproc)} clients=${TERN_CLIENTS:-8} tokens=${TERN_TOKENS:-96}
long=${TERN_LONG:-4000} shared=${TERN_SHARED:-1000}
for v in "TERN_ROUNDS=$rounds" "TERN_THREADS=$threads" "TERN_CLIENTS=$clients" "TERN_TOKENS=$tokens" "TERN_LONG=$long" \
    "TERN_SHARED=$shared"; do
    case ${v#*=} in "" | *[!0-9]* | 0) die "${v%%=*}: got '${v#*=}', expected a whole number of at least 1" ;; esac
done
[ -e "$model" ] || die "there is no $model"
for p in tern bench_serve_clients; do [ -x "$build/$p" ] || die "there is no $p in $build"; done
dir=$(mktemp -d)
server=
trap '[ -n "$server" ] && kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
results=${TERN_RESULTS:-$dir/results}
seed=$(date +%s)

# measure PREFIX COMMAND..: the command prints lines "name value"; they become lines "round PREFIX.name value" of the results
round=$(awk '$1 > n { n = $1 } END { print n + 0 }' "$results" 2>/dev/null)
round=${round:-0}
measure() {
    local prefix=$1 lines
    shift
    lines=$("$@") || die "$*: $(tail -1 "$dir/log")"
    [ -n "$lines" ] || die "$* gave nothing: $(tail -1 "$dir/log")"
    awk -v r="$round" -v p="$prefix" '{ print r, p "." $1, $2 }' <<<"$lines" >>"$results"
}
engine() { # of so many sequences
    "$build/tern" bench "$model" --read-mib 0 -p 0 -n "$tokens" -b "$1" -r 1 -t "$threads" -o json 2>"$dir/log" |
        sed -n 's/.*"avg_ts": *\([0-9.eE+-]*\).*/speed \1/p' | head -1
}
# every round has a seed of its own, so that no server has seen its prompts
ask() {
    "$build/bench_serve_clients" --vocab "${TERN_VOCAB:-1000}" --seed "$seed" "$@" 2>"$dir/log"
}
start() {
    # shellcheck disable=SC2086
    "$build/tern" serve "$model" -t "$threads" --slots "$clients" --port 0 ${TERN_SERVE_FLAGS:-} 2>"$dir/serve" &
    server=$!
    at=
    while [ -z "$at" ]; do
        kill -0 "$server" 2>/dev/null || die "tern serve ended: $(tail -1 "$dir/serve")"
        sleep 0.1
        at=$(sed -n 's|.* at http://\([^,]*\),.*|\1|p' "$dir/serve")
    done
}
one_round() {
    measure engine1 engine 1
    measure engine engine "$clients"
    measure one ask "$at" load 1 8 "$tokens"
    measure many ask "$at" load "$clients" 8 "$tokens"
    if [ -n "$rival" ]; then
        measure rival1 ask "$rival" load 1 8 "$tokens"
        measure rival ask "$rival" load "$clients" 8 "$tokens"
    fi
    measure alone ask "$at" alone 20 5
    measure beside ask "$at" beside "$long" 20 8
    measure prefix ask "$at" prefix "$shared" 20
}
start
for ((r = 0; r < rounds; r++)); do
    round=$((round + 1)) seed=$((seed % 1000000 + 1))
    one_round
    echo "round $round" >&2
done
awk '
    function sort(v, n, i, j, x) {
        for (i = 2; i <= n; i++) { x = v[i]; for (j = i - 1; j > 0 && v[j] > x; j--) v[j + 1] = v[j]; v[j + 1] = x }
    }
    # the median over rounds of a, or of a / b
    function median(a, b, v, n, r) {
        n = 0
        for (r = 1; r <= rounds; r++)
            if ((r, a) in value && (b == "" || value[r, b] > 0)) v[++n] = value[r, a] / (b == "" ? 1 : value[r, b])
        if (n == 0) return -1
        sort(v, n)
        return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
    }
    function row(what, a, unit, b, than) {
        if (median(a) < 0) return
        printf "| %s | %.4g %s | %s |\n", what, median(a), unit, b == "" ? "" : sprintf("%.3f of %s", median(a, b), than)
    }
    { value[$1, $2] = $3; if ($1 > rounds) rounds = $1 }
    END {
        print "| what | median | ratio |\n| ---- | -----: | ----: |"
        row("tern bench, one sequence", "engine1.speed", "tokens/s")
        row("one client", "one.steady", "tokens/s", "engine1.speed", "bench")
        row("tern bench, sequences together", "engine.speed", "tokens/s")
        row("clients at once", "many.steady", "tokens/s", "engine.speed", "bench")
        row("the same with their prompts", "many.whole", "tokens/s", "engine.speed", "bench")
        row("between two tokens, half", "many.p50", "s")
        row("between two tokens, 99 %", "many.p99", "s")
        row("first token, prompt of 20", "alone.first", "s")
        row("the same beside a long prompt", "beside.first", "s", "alone.first", "alone")
        row("the same, the worst", "beside.worst", "s")
        row("first token, long beginning", "prefix.first", "s")
        row("the same beginning again", "prefix.second", "s", "prefix.first", "the first")
        row("the other server, one client", "rival1.steady", "tokens/s")
        row("one client here", "one.steady", "tokens/s", "rival1.steady", "the other")
        row("the other server, clients at once", "rival.steady", "tokens/s")
        row("clients at once here", "many.steady", "tokens/s", "rival.steady", "the other")
        row("with their prompts, the other", "rival.whole", "tokens/s")
        row("with their prompts, here", "many.whole", "tokens/s", "rival.whole", "the other")
        row("the other, between two tokens, 99 %", "rival.p99", "s")
        row("here, between two tokens, 99 %", "many.p99", "s", "rival.p99", "the other")
        row("processor time of the clients at once", "many.processor", "s")
    }' "$results"
echo
echo "medians of $round rounds, $threads threads, $clients clients, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
