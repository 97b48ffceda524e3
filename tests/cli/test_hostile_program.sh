#!/usr/bin/env bash
# Damaged files, full disks and missing permissions: the program runs, or it prints one line and exits with 1.
set -u
. "$(dirname "$0")/program.sh"
# either args...: exit 0, or 1 with one line on standard error
either() {
    timeout 600 "$tern" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    status=$?
    checks=$((checks + 1))
    [ $status = 0 ] && return
    [ $status = 1 ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -q '^tern: ' "$dir/err" && return
    no "$what: tern $*: exit $status, $(wc -l <"$dir/err") lines: $(head -c 300 "$dir/err")"
}
# refused args...: exit 1 with one line, and nothing on standard output
refused() {
    either "$@"
    [ $status = 1 ] || no "$what: tern $*: exit $status, expected 1"
    [ ! -s "$dir/out" ] || no "$what: tern $*: output $(head -c 100 "$dir/out")"
}
# one of the four places a blob's lines name
names_place() {
    grep -qE '^tern: error: [^:]*: (head: |section |padding )' "$dir/err" || no "$what: names no place: $(cat "$dir/err")"
}
poke() { # poke FILE OFFSET OCTAL-BYTES
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>"$dir/dd"
}

levels="" ref=""
case $("$tern" --version) in *"cpu levels: none"* | *"no LLVM"*) levels="--cpu ref" ref="--target ref" ;; esac
good=$dir/good.gguf
blob=$dir/good.tern
"$build/make_gguf" --hidden 128 --ffn 128 --layers 1 --heads 2 --kv-heads 1 --vocab 300 --ctx 64 --seed 5 -o "$good" || exit 1
# shellcheck disable=SC2086
"$tern" compile "$good" -o "$blob" $levels 2>"$dir/err" || { cat "$dir/err"; exit 1; }
size=$(stat -c %s "$good")
bytes=$(stat -c %s "$blob")
flags="--tokens 1,2,3 -n 3 --ignore-eos --print-tokens $ref"

# a model file, cut and flipped
for n in 0 3 4 24 100 $((size / 50)) $((size / 20)) $((size / 2)) $((size - 1)); do
    what="model file cut to $n of $size"
    head -c "$n" "$good" >"$dir/m.gguf"
    # shellcheck disable=SC2086
    refused run "$dir/m.gguf" $flags
    refused inspect "$dir/m.gguf"
    either tokenize "$dir/m.gguf" -p a # needs only the vocabulary, which may be undamaged
    refused compile "$dir/m.gguf" -o "$dir/x.tern"
    [ ! -e "$dir/x.tern" ] || no "$what: compile left a file"
done
for at in 4 8 16 25 40 90 400 1000 2000 3000 5000 8000 $((size / 3)) $((size / 2)) $((size - 9)); do
    what="model file with byte $at flipped"
    cp "$good" "$dir/m.gguf"
    poke "$dir/m.gguf" "$at" '\377'
    # shellcheck disable=SC2086
    either run "$dir/m.gguf" ${flags/ --target ref/} --target ref
    either tokenize "$dir/m.gguf" -p "a b"
    either opt "$dir/m.gguf" --passes=
done

# a blob, cut and flipped
for n in 0 8 63 64 200 2000 $((bytes / 3)) $((bytes - 1)); do
    what="blob cut to $n of $bytes"
    head -c "$n" "$blob" >"$dir/m.tern"
    # shellcheck disable=SC2086
    refused run "$dir/m.tern" $flags
    [ "$n" -lt 8 ] || names_place
    refused logits "$dir/m.tern" --tokens 1,2 -o "$dir/x"
    [ ! -e "$dir/x" ] || no "$what: logits left a file"
done
for at in 0 9 17 33 47 64 71 100 150 700 $((bytes / 5)) $((bytes / 3)) $((bytes / 2)) $((bytes - 2000)) $((bytes - 1)); do
    what="blob with byte $at flipped"
    cp "$blob" "$dir/m.tern"
    was=$(od -An -tu1 -j "$at" -N 1 "$blob")
    poke "$dir/m.tern" "$at" "\\$(printf %o $((was ^ 0x55)))"
    # shellcheck disable=SC2086
    refused run "$dir/m.tern" $flags
    names_place
    refused perplexity "$dir/m.tern" --tokens 1,2,3 --target ref
    names_place
done

# what is no model at all, and doors that are closed
what="no model"
# shellcheck disable=SC2086
for m in "$dir" /dev/null /dev/zero "$dir/none"; do refused run "$m" $flags; done
# shellcheck disable=SC2086
run 2 run "" $flags
is "an empty name" "$err" "tern run: got '', expected [MODEL] (see tern run --help)"
mkfifo "$dir/fifo"
# shellcheck disable=SC2086
refused run "$dir/fifo" $flags
refused inspect "$dir/fifo"
what="nowhere to write"
# shellcheck disable=SC2086
{
    refused compile "$good" -o "$dir/none/x.tern" $levels
    refused compile "$good" -o "$dir" $levels
    refused logits "$blob" --tokens 1,2 -o "$dir/none/x" $ref
}
if [ -w /dev/full ]; then
    what="a full device"
    # shellcheck disable=SC2086
    timeout 600 "$tern" run "$blob" $flags >/dev/full 2>"$dir/err" && no "$what: run: exit 0"
    grep -q '^tern: error: ' "$dir/err" || no "$what: run: $(cat "$dir/err")"
    # shellcheck disable=SC2086
    timeout 600 "$tern" logits "$blob" --tokens 1,2 -o - $ref >/dev/full 2>"$dir/err" && no "$what: logits: exit 0"
    [ "$(wc -l <"$dir/err")" = 1 ] || no "$what: logits: $(cat "$dir/err")"
fi
what="a file larger than allowed"
for m in compile logits; do
    (
        ulimit -f 8
        # shellcheck disable=SC2086
        if [ $m = compile ]; then timeout 600 "$tern" compile "$good" -o "$dir/x.tern" $levels
        else timeout 600 "$tern" logits "$blob" --tokens "$(seq -s, 1 60)" -o "$dir/x" $ref; fi
    ) >"$dir/out" 2>"$dir/err"
    status=$?
    checks=$((checks + 1))
    [ $status = 1 ] && [ "$(wc -l <"$dir/err")" = 1 ] || no "$what: $m: exit $status: $(cat "$dir/err")"
    [ ! -e "$dir/x.tern" ] && [ ! -e "$dir/x" ] || no "$what: $m left a file"
done
[ "$(find "$dir" -name 'x*' | wc -l)" = 0 ] || no "left behind: $(find "$dir" -name 'x*')"
finish hostile_program
