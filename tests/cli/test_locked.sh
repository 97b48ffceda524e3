#!/usr/bin/env bash
# Where memory cannot become executable: PR_SET_MDWE, and the seccomp filters that systemd's MemoryDenyWriteExecute and
# SystemCallFilter install. The same text where code can be loaded, one line where it cannot. Also `tern check`, and files
# that are replaced under a running program.
set -u
. "$(dirname "$0")/program.sh"
need_native
confine=$build/tests/confine
m=$dir/verse.tern
flags=(-p "KING RICHARD:" -n 12 --temp 0 -t 2)
"$tern" compile -o "$m" 2>"$dir/log" || no "compile: $(cat "$dir/log")"
run 0 run "$m" "${flags[@]}"
free=$out

# confined RULES MODEL [FLAGS]: status in $got, output in $out, messages in $err
confined() {
    # shellcheck disable=SC2086
    "$confine" $1 -- "$tern" run "$2" "${flags[@]}" "${@:3}" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    out=$(cat "$dir/out")
    unquoted "$dir/err"
    err=$(cat "$dir/err")
}
for rules in mdwe mprotect "mdwe mprotect"; do
    for model_file in "$m" "$model"; do
        confined "$rules" "$model_file"
        if [ $got = 77 ]; then echo "$out" && continue; fi
        is "$rules: ${model_file##*/}: exit status" $got 0
        is "$rules: ${model_file##*/}: the text" "$out" "$free"
    done
done
confined "mprotect memfd" "$m"
if [ $got = 77 ]; then echo "$out"; else
    is "no way to load code: exit status" $got 1
    is "no way to load code: the line" "$err" "tern: error: $m: the system refuses executable memory (mprotect of $(
        sed 's/.*mprotect of \([0-9]*\).*/\1/' <<<"$err") bytes: Operation not permitted; memfd_create: Operation not permitted)"
fi

# check: a file of this machine, one of another architecture, one that is damaged, one that was cut
run 0 check "$m"
is "check: the first line" "$(head -1 "$dir/out" | sed 's/, .*//')" "$m: sound"
grep -q '^  hash     [0-9a-f]\{32\}$' "$dir/out" || no "check: no hash in: $out"
grep -q '; this machine runs ' "$dir/out" || no "check: no level in: $out"
other=neon-dotprod
[ "$(uname -m)" = aarch64 ] && other=avx2
run 0 compile --levels $other -o "$dir/other.tern"
run 0 check "$dir/other.tern"
grep -q "^  levels   $other; this machine's processor runs none of them\$" "$dir/out" || no "check: $other: $out"
grep -q "^           $other: [A-Z]" "$dir/out" || no "check: which machines run $other: $out"
size=$(stat -c %s "$m")
cp "$m" "$dir/bad.tern"
printf 'x' | dd of="$dir/bad.tern" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
cmp -s "$m" "$dir/bad.tern" && no "the damage changed nothing"
run 1 check "$dir/bad.tern"
is "check of a damaged file: lines" "$(wc -l <"$dir/err")" 1
head -c $((size - 100)) "$m" >"$dir/bad.tern"
run 1 check "$dir/bad.tern"
is "check of a cut file" "$err" "tern: error: $dir/bad.tern: head: the file has $((size - 100)) bytes, expected $size"
run 1 check "$model"
is "check of a .gguf: lines" "$(wc -l <"$dir/err")" 1

# begin: a run that does not end, as $pid, once it has written something
begin() {
    rm -f "$dir/out"
    "$tern" run "$dir/used.tern" -p "And" -n -1 --ignore-eos --temp 0 -c 1000000 -t 2 >"$dir/out" 2>"$dir/err" </dev/null &
    pid=$!
    while kill -0 $pid 2>/dev/null && ! [ -s "$dir/out" ]; do sleep 0.01; done
}
# cp over the file in use, by a larger file, and by another of the same size
"$tern" compile --override-kv bitnet-b1.58.context_length=int:1000000 -o "$m" 2>"$dir/log" || no "compile: $(cat "$dir/log")"
"$tern" compile --override-kv bitnet-b1.58.context_length=int:1000001 -o "$dir/new.tern" 2>"$dir/log" || no "compile: $(cat "$dir/log")"
(cat "$dir/new.tern" && head -c 100000 /dev/zero) >"$dir/larger.tern"
for new in new larger; do
    cp "$m" "$dir/used.tern"
    begin
    cp "$dir/$new.tern" "$dir/used.tern"
    wait $pid
    is "cp over a file in use ($new): exit status" $? 1
    unquoted "$dir/err"
    is "cp over a file in use ($new): lines" "$(grep -c . "$dir/err")" 1
    grep -qE "^tern: error: $dir/used.tern: (was written to while it was in use; replace such a file with mv, not with cp|was cut short while .*|byte .*)$" "$dir/err" ||
        no "cp over a file in use ($new): $(cat "$dir/err")"
done
# mv does no harm
cp "$m" "$dir/used.tern"
begin
cp "$dir/new.tern" "$dir/next.tern"
mv "$dir/next.tern" "$dir/used.tern"
n=$(stat -c %s "$dir/out")
while kill -0 $pid 2>/dev/null && [ "$(stat -c %s "$dir/out")" -le $((n + 200)) ]; do sleep 0.01; done
kill -TERM $pid # SIGINT is ignored in the background
wait $pid
is "mv over a file in use: exit status" $? 143

# 20 updates that are killed: the old file or the new one, whole
cp "$m" "$dir/used.tern"
old=$("$tern" check "$dir/used.tern" | sed -n 's/^  hash *//p')
for i in {1..20}; do
    { timeout -s KILL "$(printf '0.%02d' $((i * 4)))" "$tern" compile --levels ref -o "$dir/used.tern"; } 2>/dev/null
    run 0 check "$dir/used.tern"
done
kept=$(sed -n 's/^  hash *//p' <<<"$out")
"$tern" compile --levels ref -o "$dir/ref.tern" 2>/dev/null
new=$("$tern" check "$dir/ref.tern" | sed -n 's/^  hash *//p')
[ "$kept" = "$old" ] || [ "$kept" = "$new" ] || no "after 20 killed updates the file is neither the old nor the new one"
finish locked
