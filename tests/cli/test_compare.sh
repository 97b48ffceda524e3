#!/usr/bin/env bash
# bench/compare.sh with scripts as the rivals: how it calls them, the tables, the refusals.
set -u
. "$(dirname "$0")/program.sh"
need_native
# A rival's speeds: about 10 or 20 by its flags, the first ones a hundred times as much, so that median and mean differ.
cat >"$dir/rival" <<SH
#!/bin/bash
echo "\$*" >>$dir/asked
n=\$(wc -l <$dir/asked)
case "\$*" in *"-rtr 1"*) base=20 ;; *) base=10 ;; esac
[ \$n -gt 4 ] || base=\$((base * 100))
printf '[\n  {\n    "n_prompt": 16,\n    "avg_ns": 5,\n    "avg_ts": %s.5,\n    "stddev_ts": 0.0\n  }\n]\n' \$base
SH
# Another: faster in prompts alone.
cat >"$dir/other" <<SH
#!/bin/bash
echo "\$*" >>$dir/asked.other
case "\$*" in *"-p 16"*) ts=31 ;; *) ts=7 ;; esac
printf '[{"avg_ts": %s}]\n' \$ts
SH
chmod +x "$dir/rival" "$dir/other"
touch "$dir/rival.gguf"
both="first one = $dir/rival | $dir/rival.gguf | -rtr 0; -rtr 1

other=$dir/other|$dir/rival.gguf"
export TERN=$build/tern TERN_MODEL=$root/models/verse-i2_s.gguf TERN_RIVALS=$both TERN_ROUNDS=3 TERN_THREADS=1
TERN_TESTS="pp16 tg4" "$root/bench/compare.sh" >"$dir/out" 2>"$dir/err" || no "it failed: $(cat "$dir/err")"
is "what the first was asked" "$(head -4 "$dir/asked")" "-m $dir/rival.gguf -p 16 -n 0 -rtr 0 -o json -r 1 -t 1
-m $dir/rival.gguf -p 16 -n 0 -rtr 1 -o json -r 1 -t 1
-m $dir/rival.gguf -p 0 -n 4 -rtr 0 -o json -r 1 -t 1
-m $dir/rival.gguf -p 0 -n 4 -rtr 1 -o json -r 1 -t 1"
is "calls of the first" "$(wc -l <"$dir/asked")" 12
is "what the other was asked" "$(head -2 "$dir/asked.other")" "-m $dir/rival.gguf -p 16 -n 0 -o json -r 1 -t 1
-m $dir/rival.gguf -p 0 -n 4 -o json -r 1 -t 1"
grep -qE "^\| pp16 \| [0-9.]+ \| [0-9.]+\.\.[0-9.]+ \| other \| 31\.00 \| 31\.00\.\.31\.00 \|  \| [0-9.]+ \|$" "$dir/out" ||
    no "the best of pp16: $(cat "$dir/out")"
grep -qE "^\| tg4 \| [0-9.]+ \| [0-9.]+\.\.[0-9.]+ \| first one \| 20\.50 \| 20\.50\.\.2000\.50 \| -rtr 1 \| [0-9.]+ \|$" "$dir/out" ||
    no "the best of tg4: $(cat "$dir/out")"
is "the head of the second table" "$(grep -c '^| test | tern | first one | other |$' "$dir/out")" 1
grep -qE "^\| pp16 \| [0-9.]+ \| 20\.50 \| 31\.00 \|$" "$dir/out" || no "all of pp16: $(cat "$dir/out")"
grep -qE "^\| tg4 \| [0-9.]+ \| 20\.50 \| 7\.00 \|$" "$dir/out" || no "all of tg4: $(cat "$dir/out")"
grep -q '^medians of 3 rounds, 1 threads, .*; tern ' "$dir/out" || no "last line: $(tail -1 "$dir/out")"
refused() { # refused WANTED VARIABLE=VALUE
    local got
    got=$(env "$2" "$root/bench/compare.sh" 2>&1 >/dev/null) && no "$2 was taken"
    is "$2" "$got" "compare.sh: $1"
}
refused "TERN_MODEL is not set (see the head of $root/bench/compare.sh)" TERN_MODEL=
refused "TERN_MODEL: there is no $dir/none" TERN_MODEL="$dir/none"
refused "TERN_RIVALS is not set (see the head of $root/bench/compare.sh)" TERN_RIVALS=
refused "TERN_RIVALS: got no rival, expected NAME = PROGRAM | MODEL | FLAGS" TERN_RIVALS=" "
refused "TERN_RIVALS: got '$dir/rival', expected NAME = PROGRAM | MODEL | FLAGS" TERN_RIVALS="$dir/rival"
refused "TERN_RIVALS: ik: there is no $dir/none" TERN_RIVALS="ik = $dir/rival | $dir/none"
refused "TERN_RIVALS: ik: got $dir/rival.gguf, expected a program" TERN_RIVALS="ik = $dir/rival.gguf | $dir/rival.gguf | -x"
refused "TERN_TESTS: got 'xx5', expected ppN or tgN" TERN_TESTS="pp16 xx5"
refused "TERN_ROUNDS: got 'many', expected a whole number of at least 1" TERN_ROUNDS=many
printf '#!/bin/bash\necho broken >&2\n' >"$dir/rival"
"$root/bench/compare.sh" >"$dir/out" 2>"$dir/err" && no "a rival that gives nothing was taken"
grep -q "^broken$" "$dir/err" && grep -q "^compare.sh: no avg_ts from: $dir/rival -m" "$dir/err" || no "its line: $(cat "$dir/err")"
finish compare
