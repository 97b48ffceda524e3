#!/usr/bin/env bash
# tern diff: one line a difference, by name; exit status as diff(1).
set -u
. "$(dirname "$0")/program.sh"
# diff STATUS EXPECTED args...
try() {
    local status=$1 want=$2
    shift 2
    got=$("$tern" diff "$@" 2>"$dir/err")
    local is=$?
    [ $is = "$status" ] || { echo "FAILED: tern diff $*: exit $is, expected $status: $got $(cat "$dir/err")"; failures=1; }
    case $got in
    $want) ;;
    *)
        echo "FAILED: tern diff $*: got '$got', expected '$want'"
        failures=1
        ;;
    esac
}
"$tern" opt "$model" --passes= -o "$dir/a.tir" || exit 1
try 0 "*" "$dir/a.tir" "$dir/a.tir"
try 0 "*" "$model" "$model"
try 0 "*" "$dir/a.tir" "$model"
sed '0,/ relu2 /s// silu /' "$dir/a.tir" >"$dir/b.tir"
try 1 "~ %28 relu2 -> silu (l0.ffn, f32\[T,768\])*1 changed, 0 added, 0 removed; 305 of 306 ops alike" "$dir/a.tir" "$dir/b.tir"
# the numbers of values are not a difference
sed 's/%28\b/%gate/g' "$dir/a.tir" >"$dir/c.tir"
try 0 "*" "$dir/a.tir" "$dir/c.tir"
# other weights: found by hash, reported by statistics
"$build/make_gguf" --shape tiny --seed 1 -o "$dir/1.gguf" >/dev/null || exit 1
"$build/make_gguf" --shape tiny --seed 2 -o "$dir/2.gguf" >/dev/null || exit 1
try 1 "*weights differ*zeros*" "$dir/1.gguf" "$dir/2.gguf"
# the same of weights as compiled files have them, with one scale and with a scale a group
for packed in "p64 i2_s" "r64 tq2_0 --grouped"; do
    for seed in 1 2; do
        # shellcheck disable=SC2086
        "$build/make_gguf" --shape tiny --seed $seed --weights ${packed#* } -o "$dir/m.gguf" >/dev/null || exit 1
        "$tern" compile "$dir/m.gguf" --target ref -o "$dir/$seed.tern" 2>"$dir/err" || { cat "$dir/err"; exit 1; }
    done
    try 1 "*weight * (${packed%% *}\[256,768\]) differs, 6* % of values differ, zeros *" "$dir/1.tern" "$dir/2.tern"
done
try 2 "" "$dir/a.tir" "$dir/none.tir"
try 2 "" "$dir/a.tir"
[ $failures = 0 ] && echo "diff: ok"
exit $failures
