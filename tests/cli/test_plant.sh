#!/usr/bin/env bash
# Two miscompiles planted in a compiler library of their own (TERN_PLANT): `tern verify` must find each, say where, and
# --bisect whose it is, and --reduce makes a graph of at most five ops of it. In the emitter of add, column 77 loses its last bit; in merge, the last part's slice begins at 0.
set -u
. "$(dirname "$0")/program.sh"
[ -e "$build/tests/planted/libternc.so.0" ] || { echo "skipped: this build has no LLVM"; exit 77; }
case $("$build/tern" --version) in *"cpu levels: none"*) echo "skipped: no code for this machine"; exit 77 ;; esac
# a folder as a build is one, with the planted library in the other's place
cp -L "$build/tern" "$build/libtern.so.0" "$build/libterntext.so.0" "$build/libterngenerate.so.0" "$build/tests/planted/libternc.so.0" "$dir/" || exit 1
# again PLANT STATUS PATTERN args... of tern verify; leaves the text in $got
again() {
    local plant=$1 status=$2 want=$3 is
    shift 3
    got=$(TERN_PLANT=$plant "$dir/tern" verify "$@" 2>&1 </dev/null)
    is=$?
    # shellcheck disable=SC2053
    if [ $is != "$status" ] || [[ $got != $want ]]; then
        echo "FAILED: plant $plant, tern verify $*: exit $is, expected $status; got '$got', expected '$want'"
        failures=$((failures + 1))
    fi
}
# try PLANT STATUS PATTERN args...: the same of a few tokens
try() {
    again "$1" "$2" "$3" --tokens 1789,978,1530,317,44,9,100,3,1,0 "${@:4}"
}
emitter="different: kernel @tmatmul* (launch * of *), level *, kv f16, rows *: step of 10 rows from position 0
  value %20: f32\[T,256\] = add %0, %19 {off=*}
  at    row *, column 77 (position *, token *)
  ref   * [(]*0x*)
  llvm  * [(]*0x*), 1 ulp apart
  * of 2560 values differ
  op    %20: f32\[T,256\] = add %0, %19 {off=*}, the first that differs (emitter llvm/add)"
pass="different: output \"*\" at position 0 (token 1789), step of 10 rows from position 0*
  model *
  code  *, * apart*
"
try "" 0 "* values (* bytes) equal, *"
try add 1 "$emitter"
try add 1 "$emitter
no pass: emitter llvm/add" --bisect
try merge 1 "$pass  every launch agrees with its graph, so a pass changed the graph: --bisect finds it"
try merge 1 "${pass}pass merge: %10 differs after it, in the step from position 0
  before %10: f32\[T,128\] = dequant %9, %2, \$l0.attn_v
  after  %10: f32\[T,128\] = slice %* {lo=0, n=128}
  at     row 0, column 0
  before * [(]*0x*)
  after  * [(]*0x*), * ulp apart" --bisect
# small PLANT MOST: a text that reads back, of few ops, and says nothing of the file it came from
small() {
    try "$1" 1 "different: *
reduced: * in $dir/$1.tir
again: tern verify $dir/$1.tir --seed * --rows * --kv f16 *" --reduce "$dir/$1.tir"
    # the line it ends with shows the fault again, as the text alone does; without the fault nothing differs
    read -r -a again <<<"${got##*again: tern verify }"
    again "$1" 1 "different: *
  value %*
  at       row *, column *
  expected *
  got      *, * apart" "${again[@]}"
    again "$1" 1 "different: *" "$dir/$1.tir"
    again "" 0 "* of 3 steps on random inputs equal: *" "${again[@]}"
    again "$1" 1 "different: *
reduced: * in $dir/less.tir
again: tern verify *" "${again[@]}" --reduce "$dir/less.tir"
    "$dir/tern" opt "$dir/$1.tir" --passes= -o "$dir/back.tir" || failures=1
    cmp -s "$dir/$1.tir" "$dir/back.tir" || { echo "FAILED: $1: the reduced text reads back as another"; failures=1; }
    n=$(grep -vcE '^(tir|graph|end)|= (input|output|random|const) ' "$dir/$1.tir")
    if [ "$n" -gt "$2" ] || grep -q 'gguf' "$dir/$1.tir"; then
        echo "FAILED: $1: reduced to $n ops, expected at most $2:"
        cat "$dir/$1.tir"
        failures=1
    fi
}
small add 1
small merge 5
grep -q '= add ' "$dir/add.tir" || { echo "FAILED: the fault in add was reduced to something else"; failures=1; }
[ $failures = 0 ] && echo "plant: both were found, named and reduced"
exit $failures
