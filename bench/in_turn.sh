#!/bin/bash
# Runs two builds of Tern in turn, to see whether a change costs speed.
#
#   bench/in_turn.sh OLD NEW MODEL.gguf      OLD and NEW are build folders
#
# Each build compiles the model once. Every round then runs each test once with each build. The build that goes first
# alternates, so that other load on the machine affects both alike. A round gives one ratio, new over old. The table has
# the median of the ratios and its 95 % interval by order statistics (the 4th to the 12th of 15 ratios). A change counts
# as no slower if the interval reaches 0.98. Variables:
#
#   TERN_TESTS          "pp512 tg128"
#   TERN_ROUNDS         15
#   TERN_THREADS        all processors
#   TERN_COMPILE_FLAGS  flags of `tern compile`, such as "--head q6"
set -u -o pipefail
die() {
    echo "in_turn.sh: $*" >&2
    exit 2
}
[ $# = 3 ] || die "usage: $0 OLD NEW MODEL.gguf (see its head)"
builds=("$1" "$2")
model=$3
tests=${TERN_TESTS:-pp512 tg128}
rounds=${TERN_ROUNDS:-15}
threads=${TERN_THREADS:-$(nproc)}
case $rounds in "" | *[!0-9]* | 0) die "TERN_ROUNDS: got '$rounds', expected a whole number of at least 1" ;; esac
for t in $tests; do
    [[ $t =~ ^(pp|tg)[0-9]+$ ]] || die "TERN_TESTS: got '$t', expected ppN or tgN"
done
[ -e "$model" ] || die "there is no $model"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for i in 0 1; do
    [ -x "${builds[i]}/tern" ] || die "there is no program in ${builds[i]}"
    # shellcheck disable=SC2086
    "${builds[i]}/tern" compile "$model" -o "$dir/$i.tern" --kv f16 ${TERN_COMPILE_FLAGS:-} 2>"$dir/log" || {
        tail -3 "$dir/log" >&2
        die "${builds[i]}/tern compile failed"
    }
done

# once BUILD TEST: prints its speed in tokens a second
once() {
    local flags
    case $2 in pp*) flags="-p ${2#pp} -n 0" ;; *) flags="-p 0 -n ${2#tg}" ;; esac
    # shellcheck disable=SC2086
    "${builds[$1]}/tern" bench "$dir/$1.tern" --read-mib 0 $flags -o json -r 1 -t "$threads" 2>"$dir/log" |
        sed -n 's/.*"avg_ts": *\([0-9.eE+-]*\).*/\1/p' | head -1
}
for ((r = 0; r < rounds; r++)); do
    for t in $tests; do
        got=("" "")
        for i in $((r % 2)) $((1 - r % 2)); do
            got[i]=$(once "$i" "$t")
            [ -n "${got[i]}" ] || die "${builds[i]}/tern bench gave no speed: $(tail -1 "$dir/log")"
        done
        echo "${got[*]}" >>"$dir/$t"
    done
    echo "round $((r + 1)) of $rounds" >&2
done

echo "| test | old t/s | new t/s | new / old | interval |"
echo "| ---- | ------: | ------: | --------: | -------: |"
for t in $tests; do
    awk -v t="$t" '
        function sort(v, n, i, j, x) {
            for (i = 2; i <= n; i++) { x = v[i]; for (j = i - 1; j > 0 && v[j] > x; j--) v[j + 1] = v[j]; v[j + 1] = x }
        }
        function median(v, n) { return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2 }
        { a[NR] = $1; b[NR] = $2; q[NR] = $2 / $1 }
        END {
            sort(a, NR); sort(b, NR); sort(q, NR)
            # k: the largest rank, counted from each end, with P(X <= k - 1) <= 2.5 % for X ~ B(n, 1/2)
            p = 0.5 ^ NR; sum = 0
            for (k = 0; sum + p <= 0.025; k++) { sum += p; p = p * (NR - k) / (k + 1) }
            lo = k > 0 ? k : 1
            printf "| %s | %.2f | %.2f | %.3f | %.3f..%.3f |\n", t, median(a, NR), median(b, NR), median(q, NR), q[lo], q[NR + 1 - lo]
        }' "$dir/$t"
done
echo
echo "medians of $rounds rounds, $threads threads, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
