#!/bin/bash
# Compares Tern with other engines on one machine, in one run, and prints a table with the ratio to the best of them.
#
#   TERN_MODEL=m.gguf TERN_RIVALS='ik = .../llama-bench | r.gguf | -rtr 0; -rtr 1' bench/compare.sh
#
# Every round runs each test once with Tern and once with each rival, in turn, so that other load on the machine affects
# all alike. A rival is a program that takes llama-bench's flags and prints its json. The first table has medians of Tern
# and of the best rival, the second those of all. Variables:
#
#   TERN               the program (build/tern)
#   TERN_MODEL         a .tern, or a .gguf, which is compiled first
#   TERN_FLAGS         more flags of `tern bench`, such as "--cpu avx2"
#   TERN_COMPILE_FLAGS more flags of `tern compile`, such as "--head f16"
#   TERN_RIVALS        a rival a line: NAME = PROGRAM | MODEL | FLAGS. FLAGS may be left out; separate several sets by ";":
#                      each runs, and the one with the best median counts
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
for name in TERN_MODEL TERN_RIVALS; do
    [ -n "${!name:-}" ] || die "$name is not set (see the head of $0)"
done
[ -e "$TERN_MODEL" ] || die "TERN_MODEL: there is no $TERN_MODEL"
[ -x "$tern" ] || die "TERN: got $tern, expected a program"
case $rounds in "" | *[!0-9]* | 0) die "TERN_ROUNDS: got '$rounds', expected a whole number of at least 1" ;; esac
for t in $tests; do
    case $t in pp*[!0-9]* | tg*[!0-9]* | pp | tg) die "TERN_TESTS: got '$t', expected ppN or tgN" ;; pp* | tg*) ;; *) die "TERN_TESTS: got '$t', expected ppN or tgN" ;; esac
done

# Of each set of a rival's flags: the rival's name, its program, its model, the flags
names=() programs=() models=() sets=()
trim() {
    local s=$1
    s=${s#"${s%%[![:space:]]*}"}
    echo "${s%"${s##*[![:space:]]}"}"
}
while IFS= read -r line; do
    [ -n "$(trim "$line")" ] || continue
    [[ $line == *=*'|'* ]] || die "TERN_RIVALS: got '$line', expected NAME = PROGRAM | MODEL | FLAGS"
    name=$(trim "${line%%=*}")
    IFS='|' read -r program model flags <<<"${line#*=}"
    program=$(trim "$program") model=$(trim "$model")
    { [ -f "$program" ] && [ -x "$program" ]; } || die "TERN_RIVALS: $name: got $program, expected a program"
    [ -e "$model" ] || die "TERN_RIVALS: $name: there is no $model"
    IFS=';' read -r -a of_rival <<<"$flags"
    [ ${#of_rival[@]} -gt 0 ] || of_rival=("")
    for set in "${of_rival[@]}"; do
        names+=("$name") programs+=("$program") models+=("$model") sets+=("$(trim "$set")")
    done
done <<<"$TERN_RIVALS"
[ ${#names[@]} -gt 0 ] || die "TERN_RIVALS: got no rival, expected NAME = PROGRAM | MODEL | FLAGS"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

model=$TERN_MODEL
if [ "$(head -c 4 "$model")" = GGUF ]; then
    # shellcheck disable=SC2086
    "$tern" compile "$model" -o "$dir/model.tern" --kv f16 ${TERN_COMPILE_FLAGS:-} || die "tern compile failed"
    model=$dir/model.tern
fi

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
            once "$dir/rival.$s.$t" "${programs[s]}" -m "${models[s]}" $(flags_of "$t") ${sets[s]}
        done
    done
    echo "round $r of $rounds" >&2
done

# Prints "median least most" of the numbers in a file
middle() {
    sort -g "$1" | awk '{v[NR] = $1} END {m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
        printf "%.4f %.4f %.4f\n", m, v[1], v[NR]}'
}
# best TEST [NAME]: "median least most set" of the fastest set, or of that rival's fastest
best() {
    local found="" this s
    for ((s = 0; s < ${#sets[@]}; s++)); do
        [ -z "${2:-}" ] || [ "$2" = "${names[s]}" ] || continue
        this="$(middle "$dir/rival.$s.$1") $s"
        if [ -z "$found" ] || awk "BEGIN {exit !(${this%% *} > ${found%% *})}"; then found=$this; fi
    done
    echo "$found"
}
echo "| test | tern t/s | least..most | best rival | its t/s | least..most | its flags | tern / best |"
echo "| ---- | -------: | ----------: | ---------- | ------: | ----------: | --------- | ----------: |"
for t in $tests; do
    # shellcheck disable=SC2046
    set -- $(middle "$dir/tern.$t") $(best "$t")
    awk -v t="$t" -v n="${names[$7]}" -v f="${sets[$7]}" -v a="$1" -v al="$2" -v am="$3" -v b="$4" -v bl="$5" -v bm="$6" \
        'BEGIN {printf "| %s | %.2f | %.2f..%.2f | %s | %.2f | %.2f..%.2f | %s | %.2f |\n", t, a, al, am, n, b, bl, bm, f, a / b}'
done
mapfile -t rivals < <(printf '%s\n' "${names[@]}" | awk '!seen[$0]++')
printf '\n| test | tern |'
printf ' %s |' "${rivals[@]}"
printf '\n| ---- | ---: |'
printf ' ---: |%.0s' "${rivals[@]}"
for t in $tests; do
    read -r got _ <<<"$(middle "$dir/tern.$t")"
    printf '\n| %s | %.2f |' "$t" "$got"
    for name in "${rivals[@]}"; do
        read -r got _ <<<"$(best "$t" "$name")"
        printf ' %.2f |' "$got"
    done
done
echo
echo
echo "medians of $rounds rounds, $threads threads, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1); $("$tern" --version | head -1)"
