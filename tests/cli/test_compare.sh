#!/usr/bin/env bash
# bench/compare.sh with a script as the rival: how it calls the rival, the table, the refusals.
set -u
. "$(dirname "$0")/program.sh"
need_native
# The rival's speeds: about 10 or 20 by its flags, different every time, so that median and mean differ.
cat >"$dir/rival" <<SH
#!/bin/bash
echo "\$*" >>$dir/asked
n=\$(wc -l <$dir/asked)
case "\$*" in *"-rtr 1"*) base=20 ;; *) base=10 ;; esac
[ \$n -gt 4 ] || base=\$((base * 100))
printf '[\n  {\n    "n_prompt": 16,\n    "avg_ns": 5,\n    "avg_ts": %s.5,\n    "stddev_ts": 0.0\n  }\n]\n' \$base
SH
chmod +x "$dir/rival"
touch "$dir/rival.gguf"
export TERN=$build/tern TERN_MODEL=$root/models/verse-i2_s.gguf TERN_RIVAL_BENCH=$dir/rival
export TERN_RIVAL_MODEL=$dir/rival.gguf TERN_RIVAL_FLAGS="-rtr 0;-rtr 1" TERN_ROUNDS=3 TERN_THREADS=1
TERN_TESTS="pp16 tg4" "$root/bench/compare.sh" >"$dir/out" 2>"$dir/err" || no "it failed: $(cat "$dir/err")"
[ "$(head -4 "$dir/asked")" = "-m $dir/rival.gguf -p 16 -n 0 -rtr 0 -o json -r 1 -t 1
-m $dir/rival.gguf -p 16 -n 0 -rtr 1 -o json -r 1 -t 1
-m $dir/rival.gguf -p 0 -n 4 -rtr 0 -o json -r 1 -t 1
-m $dir/rival.gguf -p 0 -n 4 -rtr 1 -o json -r 1 -t 1" ] || no "asked: $(cat "$dir/asked")"
[ "$(wc -l <"$dir/asked")" = 12 ] || no "$(wc -l <"$dir/asked") calls, expected 12"
for t in pp16 tg4; do
    grep -qE "^\| $t \| [0-9.]+ \| [0-9.]+\.\.[0-9.]+ \| 20\.50 \| 20\.50\.\.2000\.50 \| -rtr 1 \| [0-9.]+ \|$" \
        "$dir/out" || no "row of $t: $(cat "$dir/out")"
done
grep -q '^medians of 3 rounds, 1 threads; tern ' "$dir/out" || no "last line: $(tail -1 "$dir/out")"
refused() { # refused WANTED VARIABLE=VALUE
    local got
    got=$(env "$2" "$root/bench/compare.sh" 2>&1 >/dev/null) && no "$2 was taken"
    [ "$got" = "compare.sh: $1" ] || no "$2: '$got', expected '$1'"
}
refused "TERN_MODEL is not set (see the head of $root/bench/compare.sh)" TERN_MODEL=
refused "TERN_RIVAL_MODEL: there is no $dir/none" TERN_RIVAL_MODEL="$dir/none"
refused "TERN_RIVAL_BENCH: got $dir/rival.gguf, expected a program" TERN_RIVAL_BENCH="$dir/rival.gguf"
refused "TERN_TESTS: got 'xx5', expected ppN or tgN" TERN_TESTS="pp16 xx5"
refused "TERN_ROUNDS: got 'many', expected a whole number of at least 1" TERN_ROUNDS=many
printf '#!/bin/bash\necho broken >&2\n' >"$dir/rival"
"$root/bench/compare.sh" >"$dir/out" 2>"$dir/err" && no "a rival that gives nothing was taken"
grep -q "^broken$" "$dir/err" && grep -q "^compare.sh: no avg_ts from: $dir/rival -m" "$dir/err" || no "its line: $(cat "$dir/err")"
echo "compare: $failures failures"
[ $failures = 0 ]
