#!/usr/bin/env bash
# --prompt-cache: the next run of the same beginning runs only the rest, with the same ids; what is saved and when; and what is
# refused before anything is lost.
set -u
. "$(dirname "$0")/program.sh"
how="" other="--head q8"
[ $native = no ] && how="--target ref" other="--override-kv general.name=str:x --override-kv bitnet-b1.58.attention.layer_norm_rms_epsilon=float:1e-4"
cache=$dir/cache
# what is compiled at load has the hash of a blob for the same level and is compiled each time: most runs take the blob
ready=$model
if [ $native = yes ]; then
    ready=$dir/m.tern
    level=$("$tern" --version | sed -n 's/^cpu levels: \([^,]*\).*/\1/p')
    "$tern" compile "$model" -o "$ready" --levels "$level" --family here --kv f16 2>"$dir/log" || { cat "$dir/log"; exit 1; }
fi
line() { sed -n 's/^tern: prompt cache      = //p' <<<"$err"; }
saved() { sed -n 's/^tern: prompt cache: //p' <<<"$err"; }
# ask TOKENS flags..: greedy ids
ask() {
    local tokens=$1
    shift
    # shellcheck disable=SC2086
    run 0 run "$ready" --tokens "$tokens" --print-tokens --ignore-eos --temp 0 -n 10 $how "$@"
}
refused() { # WHAT STATUS TEXT flags..
    local what=$1 status=$2 text=$3
    shift 3
    # shellcheck disable=SC2086
    run "$status" run "$model" --tokens "$ids" --print-tokens --temp 0 -n 3 $how "$@"
    is "$what" "$err" "$text"
    is "$what: output" "$out" ""
}
ids=$(seq -s, 5 104)

# mistakes
refused "alone" 2 "tern run: --prompt-cache-all goes with --prompt-cache (see tern run --help)" --prompt-cache-all
refused "alone" 2 "tern run: --prompt-cache-ro goes with --prompt-cache (see tern run --help)" --prompt-cache-ro
refused "both" 2 "tern run: --prompt-cache-all: nothing is saved with --prompt-cache-ro (see tern run --help)" --prompt-cache "$cache" --prompt-cache-all --prompt-cache-ro
refused "nothing to read" 1 "tern: error: $cache: cannot open: No such file or directory" --prompt-cache "$cache" --prompt-cache-ro
refused "no folder" 1 "tern: error: $dir/none/c: cannot write: the folder $dir/none is not there" --prompt-cache "$dir/none/c"
refused "a folder" 1 "tern: error: $dir: is a directory, expected a file to write" --prompt-cache "$dir"
refused "the model" 1 "tern: error: --prompt-cache $model is the same file as the model $model, which is read and would be lost: give another" --prompt-cache "$model"
refused "standard output" 1 "tern: error: --prompt-cache: got '-', expected a file; for a file of that name write ./-" --prompt-cache -
echo "5,6" >"$dir/prompt"
run 1 run "$model" --token-file "$dir/prompt" --prompt-cache "$dir/prompt"
is "the prompt" "$err" "tern: error: --prompt-cache $dir/prompt is the same file as --token-file $dir/prompt, which is read and would be lost: give another"
is "it is still there" "$(cat "$dir/prompt")" "5,6"

# the first run saves, the second runs one id, a longer one its rest
ask "$ids"
plain=$out
ask "$ids" --prompt-cache "$cache"
is "the first" "$(line)" "0 of 100 ids of the prompt were not run again"
is "is saved" "$(saved)" "100 ids in $cache"
is "its answer" "$out" "$plain"
sum=$(md5sum <"$cache")
ask "$ids" --prompt-cache "$cache"
is "the second" "$(line)" "99 of 100 ids of the prompt were not run again"
is "is there already" "$(saved)" ""
is "its answer" "$out" "$plain"
is "the file stays" "$(md5sum <"$cache")" "$sum"
ask "$ids" --prompt-cache "$cache" -c 120
is "in another context" "$out" "$plain"
ask "$ids" --prompt-cache "$cache" -t 1 --draft-max 4
is "with guesses" "$out" "$plain"
ask "5,6,7,8"
short=$out
ask "5,6,7,8" --prompt-cache "$cache" -c 20
is "a shorter one" "$(line)" "3 of 4 ids of the prompt were not run again"
is "its answer" "$out" "$short"
is "leaves the longer one" "$(md5sum <"$cache")" "$sum"
long=$ids,30,31,32,33
ask "$long"
longer=$out
ask "$long" --prompt-cache "$cache" --prompt-cache-ro
is "a longer one" "$(line)" "100 of 104 ids of the prompt were not run again"
is "its answer" "$out" "$longer"
is "read only" "$(md5sum <"$cache")" "$sum"
ask "$long" --prompt-cache "$cache"
is "is saved" "$(saved)" "104 ids in $cache"
is "its answer" "$out" "$longer"
ask "5,6,9,10"
branch=$out
ask "5,6,9,10" --prompt-cache "$cache"
is "a branch" "$(line)" "2 of 4 ids of the prompt were not run again"
is "its answer" "$out" "$branch"
is "replaces it" "$(saved)" "4 ids in $cache"

# with the answer: what goes on after it runs nothing again
rm -f "$cache"
ask "$ids" --prompt-cache "$cache" --prompt-cache-all
is "all" "$(saved)" "109 ids in $cache" # the last id was not run
ask "$ids,$plain,40"
after=$out
ask "$ids,$plain,40" --prompt-cache "$cache"
is "after all" "$(line)" "109 of 111 ids of the prompt were not run again"
is "its answer" "$out" "$after"
# no answer: the prompt alone
rm -f "$cache"
# shellcheck disable=SC2086
run 0 run "$model" --tokens "$ids" --temp 0 -n 0 $how --prompt-cache "$cache"
is "no answer" "$(wc -c <"$dir/out")" 0
is "its cache" "$(saved)" "100 ids in $cache"
ask "$ids" --prompt-cache "$cache"
is "the answer" "$out" "$plain"
is "from it" "$(line)" "99 of 100 ids of the prompt were not run again"
# a file that is compiled at load, each cache type with its own file
ready=$model
ask "$ids" --prompt-cache "$cache"
is "compiled at load" "$(line)" "99 of 100 ids of the prompt were not run again"
for kv in f32 i8; do
    rm -f "$dir/$kv"
    ask "$ids" --kv $kv
    want=$out
    ask "$ids" --kv $kv --prompt-cache "$dir/$kv"
    ask "$ids" --kv $kv --prompt-cache "$dir/$kv"
    is "$kv" "$out" "$want"
    is "of $kv" "$(line)" "99 of 100 ids of the prompt were not run again"
done

# what is refused stays as it is
keeps() { # WHAT TEXT flags..
    sum=$(md5sum <"$cache")
    refused "$1" 1 "tern: error: $cache: $2" --prompt-cache "$cache" "${@:3}"
    is "$1: the file" "$(md5sum <"$cache")" "$sum"
}
keeps "another cache type" "its cache is f16, expected i8" --kv i8
# shellcheck disable=SC2086
keeps "another model" "it was made with another model, or by another build of Tern, expected those in use" $other
byte() { python3 -c "
import sys
f = open(sys.argv[1], 'r+b'); f.seek(int(sys.argv[2])); b = f.read(1)
f.seek(int(sys.argv[2])); f.write(bytes([b[0] ^ 1]))" "$cache" "$1"; }
byte 30
keeps "a damaged head" "damaged: the head has another hash than it says"
byte 30
byte 200
keeps "damaged ids" "damaged: the ids have another hash than the head says"
byte 200
byte 100000
keeps "a damaged page" "damaged: page 0 of 2 has another hash than it should"
byte 100000
cp "$cache" "$dir/whole"
truncate -s 100 "$cache"
keeps "cut" "not a prompt cache: it has 100 bytes, expected at least 128"
truncate -s 200000 "$cache"
byte 150000
cp "$dir/whole" "$cache"
truncate -s 200000 "$cache"
keeps "shorter" "has 200000 bytes, expected $(stat -c %s "$dir/whole")"
echo "my notes" >"$cache"
sum=$(md5sum <"$cache")
# shellcheck disable=SC2086
run 1 run "$model" --tokens 5,6 --temp 0 -n 1 $how --prompt-cache "$cache"
is "a text: lines" "$(wc -l <"$dir/err")" 1
is "a text" "$(md5sum <"$cache")" "$sum"

# a full disk: the answer is there, one line, exit 1, and the old file
cp "$dir/whole" "$cache"
sum=$(md5sum <"$cache")
# shellcheck disable=SC2086
(ulimit -f 100 && exec "$tern" run "$model" --tokens "$long" --print-tokens --ignore-eos --temp 0 -n 10 $how --prompt-cache "$cache" >"$dir/out" 2>"$dir/err" </dev/null)
is "a full disk" $? 1
is "its line" "$(grep -c "^tern: error: $cache: cannot write: File too large" "$dir/err")" 1
is "its answer" "$(cat "$dir/out")" "$longer"
is "its file" "$(md5sum <"$cache")" "$sum"
is "no other file" "$(ls -A "$dir" | grep -c tmp-)" 0

# a signal ends the answer; the prompt is saved all the same. The answer is longer than a pipe, so that it waits for its reader.
rm -f "$cache"
deep="--override-kv bitnet-b1.58.context_length=int:1000000"
# shellcheck disable=SC2086
how_it_ended=$(python3 "$root/tests/support/signalled.py" --until output --signal INT --out "$dir/out" --err "$dir/err" \
    "$tern" run "$model" $deep -c 4000 -n -1 --tokens "$ids" --print-tokens --ignore-eos --temp 0 $how --prompt-cache "$cache")
is "a signal" "$how_it_ended" 130
is "is saved" "$(sed -n 's/^tern: prompt cache: //p' "$dir/err")" "100 ids in $cache"
# shellcheck disable=SC2086
ask "$ids" --prompt-cache "$cache" $deep
is "the answer" "$out" "$plain"
is "from it" "$(line)" "99 of 100 ids of the prompt were not run again"

# pages of a GPU go through the host: over the tests' own device, the same ids, and again from the file
if [ $native = yes ] && [ -e "$build/tests/fake_cuda/libcuda.so.1" ]; then
    rm -f "$cache"
    for run in 0 3; do
        LD_LIBRARY_PATH=$build/tests/fake_cuda ask 5,6,7,8 --device cuda --prompt-cache "$cache"
        is "on a GPU" "$out" "$short"
        is "its cache" "$(line)" "$run of 4 ids of the prompt were not run again"
    done
fi
finish prompt_cache
