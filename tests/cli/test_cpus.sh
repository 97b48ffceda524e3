#!/usr/bin/env bash
# --cpus: the number of workers, where they may run, the same text; lists that are no lists; processors that this process may not
# run on. Without the flag, the affinity of the process counts.
set -u
. "$(dirname "$0")/program.sh"
need_native
command -v taskset >/dev/null || { echo "skipped: no taskset" && exit 77; }
allowed=$(taskset -cp $$ | sed 's/.*: //') # "0-3,6"
first=${allowed%%[-,]*}
flags=(-p "And the LORD said" -n 8 --temp 0)
"$tern" compile -o "$dir/m.tern" 2>/dev/null
run 0 run "$dir/m.tern" "${flags[@]}" -t 1
text=$out
run 0 run "$dir/m.tern" "${flags[@]}" --cpus "$first"
is "--cpus of one: the text" "$out" "$text"
grep -q ', 1 threads' "$dir/err" || no "--cpus of one: $err"
run 0 run "$dir/m.tern" "${flags[@]}" --cpus "$first,$first-$first"
grep -q ', 2 threads' "$dir/err" || no "--cpus of one twice: $err"
is "--cpus of one twice: the text" "$out" "$text"
run 0 run "$dir/m.tern" "${flags[@]}" --cpus "$first" -t 2
is "more threads than --cpus: the text" "$out" "$text"
is "more threads than --cpus: said once" "$(grep -c 'more threads than processors' <<<"$err")" 1
out=$(taskset -c "$first" "$tern" run "$dir/m.tern" "${flags[@]}" 2>"$dir/err")
is "bound from outside: the text" "$out" "$text"
grep -q ', 1 threads' "$dir/err" || no "bound from outside: $(cat "$dir/err")"
for list in x 1- -1 2-1 0,,0 0- 99999999999 "0 1"; do
    run 2 run "$dir/m.tern" --cpus="$list"
    is "--cpus=$list" "$err" "tern run: --cpus: got '$list', expected processors, such as 0-3 or 0,2 (see tern run --help)"
done
# bench: as many threads as processors, for its tests and for what it measures of the machine
threads() { awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "n_threads") n = i } NR > 1 { print $n }' "$dir/out" | tr -d '"' | tr '\n' ' '; }
run 0 bench "$dir/m.tern" -p 8 -n 4 -r 1 --read-mib 4 -o csv --cpus "$first,$first,$first"
is "bench --cpus: threads" "$(threads)" "3 3 "
run 0 bench "$dir/m.tern" -p 8 -n 0 -r 1 --read-mib 4 -o csv --cpus "$first" -t 1,2 --profile
is "bench --cpus -t: threads" "$(threads)" "1 2 "
is "bench --cpus -t: said once" "$(grep -c "^tern: -t: 2 threads on the 1 processor of --cpus: more threads than processors" <<<"$err")" 1
run 2 bench "$dir/m.tern" --cpus x
is "bench --cpus x" "$err" "tern bench: --cpus: got 'x', expected processors, such as 0-3 or 0,2 (see tern bench --help)"
run 2 run "$dir/m.tern" --cpus 1023
is "a processor that is not there" "$err" "tern run: --cpus: processor 1023 is not one that this process may run on (see tern run --help)"
finish cpus
