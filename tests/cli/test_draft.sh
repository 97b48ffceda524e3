#!/usr/bin/env bash
# Prompt lookup changes the speed, never the text: the same ids with and without guesses, for every kind of
# sampler, at the end of the context, at a limit, and where the guesses are nearly all wrong.
set -u
. "$(dirname "$0")/program.sh"
need_native
"$tern" compile "$model" -o "$dir/verse.tern" 2>"$dir/err" || {
    cat "$dir/err"
    exit 1
}
prompt="And the LORD said unto Moses, And the LORD said unto"
# same FLAGS...: the ids are those of plain decoding
same() {
    "$tern" run "$dir/verse.tern" -p "$prompt" --print-tokens "$@" >"$dir/plain" 2>"$dir/err" || no "$*: $(tail -1 "$dir/err")"
    for draft in 1 2 7 31; do
        checks=$((checks + 1))
        "$tern" run "$dir/verse.tern" -p "$prompt" --print-tokens "$@" --draft-max $draft >"$dir/drafted" 2>"$dir/err" ||
            no "$* --draft-max $draft: $(tail -1 "$dir/err")"
        cmp -s "$dir/plain" "$dir/drafted" || no "$* --draft-max $draft: other ids"
    done
}
same -n 150 --temp 0
grep -q "guessed ids were right" "$dir/err" || no "no line on the guesses"
right=$(sed -n 's/.*draft *= \([0-9]*\) of .*/\1/p' "$dir/err")
[ "${right:-0}" -gt 50 ] || no "a text that repeats itself: only '$right' guesses were right"
same -n 120 --seed 5
same -n 120 --seed 6 --temp 1.5 --top-k 0
same -n 120 --temp 0 --repeat-penalty 1.1
same -n -1 -c 96 --temp 0 --ignore-eos
same -n 13 --temp 0 -t 3
same -n 1 --temp 0
"$tern" run "$dir/verse.tern" -p a --draft-max 65 >"$dir/out" 2>"$dir/err"
[ $? = 2 ] || no "--draft-max 65 is taken"
[ "$(cat "$dir/err")" = "tern run: --draft-max: '65', expected a whole number from 0 to 64 (see tern run --help)" ] || no "$(cat "$dir/err")"
finish draft
