#!/bin/bash
# bench/serve.sh on the small model, against a server of its own as the other one: every row is there, and what it refuses.
set -u -o pipefail
build=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case $("$build/tern" serve --help 2>&1) in
*--port*) ;;
*)
    echo "skipped: this build has no libmicrohttpd (apt install libmicrohttpd-dev)"
    exit 77
    ;;
esac
case $("$build/tern" --version) in
*"cpu levels: none"* | *"no LLVM"*)
    echo "skipped: there is no compiled code for this machine"
    exit 77
    ;;
esac
dir=$(mktemp -d)
other=
trap '[ -n "$other" ] && kill "$other"; rm -rf "$dir"' EXIT
fault() {
    echo "FAILED: $*"
    exit 1
}
"$build/tern" compile -o "$dir/m.tern" --kv f16 2>/dev/null || fault "the small model was not compiled"
"$build/tern" serve "$dir/m.tern" -t 1 --slots 3 --port 0 2>"$dir/other" &
other=$!
at=
while [ -z "$at" ] && kill -0 "$other" 2>/dev/null; do
    sleep 0.1
    at=$(sed -n 's|.* at http://\([^,]*\),.*|\1|p' "$dir/other")
done
[ -n "$at" ] || fault "no server: $(cat "$dir/other")"
export TERN_THREADS=1 TERN_CLIENTS=3 TERN_TOKENS=7 TERN_VOCAB=500 TERN_LONG=900 TERN_SHARED=100
TERN_ROUNDS=2 TERN_RESULTS=$dir/results bash "$here/../../bench/serve.sh" "$build" "$dir/m.tern" --against "$at" \
    >"$dir/table" 2>"$dir/log" || grep -q "make it longer" "$dir/log" || fault "serve.sh: $(tail -2 "$dir/log")"
if grep -q "make it longer" "$dir/log"; then
    echo "skipped: this machine runs the long prompt before another can come"
    exit 77
fi
# one row each: those of tern, of the other server, and the ratios
for what in "tern bench, one sequence" "one client" "clients at once" "first token, prompt of 20" "the same, the worst" \
    "the same beginning again" "the other server, one client" "clients at once here" "here, between two tokens, 99 %"; do
    n=$(grep -c "^| $what | [0-9]" "$dir/table")
    [ "$n" = 1 ] || fault "rows of '$what': got $n, expected 1: $(cat "$dir/table")"
done
grep -q "^medians of 2 rounds, 1 threads, 3 clients" "$dir/table" || fault "the last line: $(tail -1 "$dir/table")"
# two prompts that begin alike: the second runs what is its own, and at most a page of the rest
"$build/bench_serve_clients" --vocab 500 --seed 7 "$at" prefix 300 20 >"$dir/prefix" || fault "prefix"
ran=$(sed -n 's/^second_ran //p' "$dir/prefix")
[ "$(sed -n 's/^first_ran //p' "$dir/prefix")" = 320 ] || fault "the first prompt: $(cat "$dir/prefix")"
[[ $ran -ge 20 && $ran -lt 100 ]] || fault "the second prompt: $(cat "$dir/prefix")"
[ "$("$build/bench_serve_clients" --vocab 500 "$at" load 3 8 7 | sed -n 's/^tokens //p')" = 21 ] || fault "tokens of load"
# refusals
got=$(TERN_ROUNDS=x bash "$here/../../bench/serve.sh" "$build" "$dir/m.tern" 2>&1) && fault "TERN_ROUNDS=x passed"
[ "$got" = "serve.sh: TERN_ROUNDS: got 'x', expected a whole number of at least 1" ] || fault "got '$got'"
got=$("$build/bench_serve_clients" "$at" load 0 8 7 2>&1) && fault "load 0 passed"
[ "$got" = "serve_clients: load: is no test, or its numbers are wrong" ] || fault "got '$got'"
echo "serve bench: all rows are there"
