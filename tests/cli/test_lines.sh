#!/usr/bin/env bash
# tern run --lines: a prompt a line, an answer a line, each as if it were run alone; what is wrong with one prompt leaves the
# others alone. -q prints nothing but answers and errors. A pipe that stays open serves one prompt after the other.
set -u
. "$(dirname "$0")/program.sh"
how=()
[ $native = no ] && how=(--target ref)
flags=(--temp 0 -n 12 -t 2 "${how[@]}")
alone() { "$tern" run "$model" -p "$1" "${flags[@]}" -q 2>"$dir/alone.err"; }
king=$(alone "KING RICHARD:"$'\n')
lord=$(alone "And the LORD said")
is "-q: messages" "$(cat "$dir/alone.err")" ""
one_line() { sed 's/\\/\\\\/g' | sed -z 's/\n$//; s/\n/\\n/g'; }

printf '%s\n' 'KING RICHARD:\n' 'And the LORD said' >"$dir/in"
in=$dir/in
run 0 run "$model" --lines -q "${flags[@]}"
is "an answer for each line" "$(wc -l <"$dir/out")" 2
is "the first answer" "$(sed -n 1p "$dir/out")" "$(one_line <<<"$king")"
is "the second answer" "$(sed -n 2p "$dir/out")" "$(one_line <<<"$lord")"
is "messages" "$err" ""
printf 'And the LORD said' >"$dir/in" # no newline at the end
run 0 run "$model" --lines -q "${flags[@]}"
is "a last line without a newline" "$out" "$(one_line <<<"$lord")"

# a prompt that does not fit: one line, an empty answer, and the next one is answered
{ head -c 4000 /dev/zero | tr '\0' 'x'; printf '\nAnd the LORD said\n'; } >"$dir/in"
run 1 run "$model" --lines -q -c 64 "${flags[@]}"
is "a prompt that is too long: its answer" "$(sed -n 1p "$dir/out")" ""
is "a prompt that is too long: the next answer" "$(sed -n 2p "$dir/out")" "$(one_line <<<"$lord")"
is "a prompt that is too long: lines" "$(grep -c . <<<"$err")" 1
in=/dev/null
run 0 run "$model" --lines -q "${flags[@]}"
is "no prompts" "$out$err" ""
run 2 run "$model" --lines -p a
is "--lines with -p" "$err" "tern run: -p goes with one prompt, and --lines reads many (see tern run --help)"

# a pipe with prompts, as a service has it: each answer comes before the next prompt is written
mkfifo "$dir/prompts"
exec 3<>"$dir/prompts"
: >"$dir/answers" # it is read before the program's own shell may have made it
"$tern" run "$model" --lines -q "${flags[@]}" <&3 >"$dir/answers" 2>"$dir/err" 3>&- &
pid=$!
for i in 1 2; do
    printf 'And the LORD said\n' >&3
    while kill -0 $pid 2>/dev/null && [ "$(wc -l <"$dir/answers")" -lt $i ]; do sleep 0.02; done
done
is "answers from a pipe" "$(sort -u "$dir/answers")" "$(one_line <<<"$lord")"
kill -TERM $pid
wait $pid
is "a service that is ended: exit status" $? 143
finish lines
