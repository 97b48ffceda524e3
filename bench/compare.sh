#!/bin/bash
# Compares Tern with another engine's llama-bench on one machine, in one run, and prints a table with ratios.
#
#   TERN_MODEL=m.gguf TERN_RIVAL_BENCH=.../llama-bench TERN_RIVAL_MODEL=r.gguf bench/compare.sh
#
# Every round runs each test once with Tern and once with the rival, in turn, so that other load on the machine
# affects both alike. The table has the medians. Variables:
#
#   TERN               the program (build/tern)
#   TERN_MODEL         a .tern, or a .gguf, which is compiled first
#   TERN_FLAGS         more flags of `tern bench`, such as "--cpu avx2"
#   TERN_COMPILE_FLAGS more flags of `tern compile`, such as "--head f16"
#   TERN_RIVAL_BENCH   the rival's llama-bench
#   TERN_RIVAL_MODEL   the rival's model
#   TERN_RIVAL_FLAGS   more flags of the rival's llama-bench; separate several sets by ";". Each set runs, and the one
#                      with the best median counts.
#   TERN_TESTS         "pp128 pp512 tg128"
#   TERN_ROUNDS        5
#   TERN_THREADS       all processors
set -u -o pipefail
here=$(dirname "$(readlink -f "$0")")
tern=${TERN:-$here/../build/tern}
tests=${TERN_TESTS:-pp128 pp512 tg128}
rounds=${TERN_ROUNDS:-5}
threads=${TERN_THREADS:-$(nproc)}
die() {
    echo "compare.sh: $*" >&2
    exit 2
}
for name in TERN_MODEL TERN_RIVAL_BENCH TERN_RIVAL_MODEL; do
    [ -n "${!name:-}" ] || die "$name is not set (see the head of $0)"
    [ -e "${!name}" ] || die "$name: there is no ${!name}"
done
[ -x "$TERN_RIVAL_BENCH" ] || die "TERN_RIVAL_BENCH: got $TERN_RIVAL_BENCH, expected a program"
[ -x "$tern" ] || die "TERN: got $tern, expected a program"
case $rounds in "" | *[!0-9]* | 0) die "TERN_ROUNDS: got '$rounds', expected a whole number of at least 1" ;; esac
for t in $tests; do
    case $t in pp*[!0-9]* | tg*[!0-9]* | pp | tg) die "TERN_TESTS: got '$t', expected ppN or tgN" ;; pp* | tg*) ;; *) die "TERN_TESTS: got '$t', expected ppN or tgN" ;; esac
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

model=$TERN_MODEL
if [ "$(head -c 4 "$model")" = GGUF ]; then
    # shellcheck disable=SC2086
    "$tern" compile "$model" -o "$dir/model.tern" --kv f16 ${TERN_COMPILE_FLAGS:-} || die "tern compile failed"
    model=$dir/model.tern
fi
IFS=';' read -r -a sets <<<"${TERN_RIVAL_FLAGS:-}"
[ ${#sets[@]} -gt 0 ] || sets=("")

flags_of() { # llama-bench's flags for a test
    case $1 in pp*) echo "-p ${1#pp} -n 0" ;; tg*) echo "-p 0 -n ${1#tg}" ;; esac
}
# Reads a json result from standard input and prints its only avg_ts.
speed() {
    sed -n 's/.*"avg_ts": *\([0-9.eE+-]*\).*/\1/p' | head -1
}
# once FILE PROGRAM FLAGS...: runs the program and appends its speed to FILE
once() {
    local file=$1 got
    shift
    got=$("$@" -o json -r 1 -t "$threads" 2>"$dir/log" | speed)
    [ -n "$got" ] || {
        tail -5 "$dir/log" >&2
        die "no avg_ts from: $*"
    }
    echo "$got" >>"$file"
}
for ((r = 1; r <= rounds; r++)); do
    for t in $tests; do
        # shellcheck disable=SC2046,SC2086
        once "$dir/tern.$t" "$tern" bench "$model" --read-mib 0 $(flags_of "$t") ${TERN_FLAGS:-}
        for ((s = 0; s < ${#sets[@]}; s++)); do
            # shellcheck disable=SC2046,SC2086
            once "$dir/rival.$s.$t" "$TERN_RIVAL_BENCH" -m "$TERN_RIVAL_MODEL" $(flags_of "$t") ${sets[s]}
        done
    done
    echo "round $r of $rounds" >&2
done

# Prints "median least most" of the numbers in a file
middle() {
    sort -g "$1" | awk '{v[NR] = $1} END {m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
        printf "%.4f %.4f %.4f\n", m, v[1], v[NR]}'
}
echo "| test | tern t/s | least..most | rival t/s | least..most | rival's flags | tern / rival |"
echo "| ---- | -------: | ----------: | --------: | ----------: | ------------- | -----------: |"
for t in $tests; do
    best=""
    for ((s = 0; s < ${#sets[@]}; s++)); do
        this="$(middle "$dir/rival.$s.$t") $s"
        if [ -z "$best" ] || awk "BEGIN {exit !(${this%% *} > ${best%% *})}"; then best=$this; fi
    done
    # shellcheck disable=SC2086
    set -- $(middle "$dir/tern.$t") $best
    awk -v t="$t" -v f="${sets[$7]}" -v a="$1" -v al="$2" -v am="$3" -v b="$4" -v bl="$5" -v bm="$6" \
        'BEGIN {printf "| %s | %.2f | %.2f..%.2f | %.2f | %.2f..%.2f | %s | %.2f |\n", t, a, al, am, b, bl, bm, f, a / b}'
done
echo
echo "medians of $rounds rounds, $threads threads; $("$tern" --version | head -1)"
