#!/usr/bin/env bash
# Kept blobs: a second start compiles nothing and gives the same answer, whatever else differs is compiled anew, and nothing
# that can go wrong with the folder ends a run. That nothing is compiled is shown by the loader: it opens no compiler library.
set -u
. "$(dirname "$0")/program.sh"
export XDG_CACHE_HOME=$dir/cache
unset TERN_KEEP
kept=$dir/cache/tern/kept
blobs() { find "$kept/" -name '*.tern' 2>/dev/null | wc -l; }
empty() { rm -rf "${kept:?}"; }
line() { sed -n '/^tern: \(kept for\|not kept\|compiled \(by\|anew\)\)/p' <<<"$err"; }
has() { # WHAT TEXT PATTERN
    checks=$((checks + 1))
    # shellcheck disable=SC2254
    case $2 in $3) ;; *) no "$1: got '$2', expected '$3'" ;; esac
}
made="tern: kept for the next start: $kept/*.tern"
used="tern: compiled by an earlier start: $kept/*.tern"

# mistakes need no code generator
run 2 run "$model" --keep 1 --no-keep
is "two wishes" "$err" "tern run: --no-keep goes without --keep (see tern run --help)"
run 2 run "$model" --keep -1
has "less than nothing" "$err" "tern run: --keep: '-1', expected a number from 0 to 1e+06 *"
TERN_KEEP=much run 1 run "$model"
is "no number" "$err" "tern: error: TERN_KEEP: got 'much', expected GiB from 0 to 1000000"
run 2 run "$model" --keep 1 --keep 2
is "two sizes" "$err" "tern run: --keep: got '1' and then '2', expected one value (see tern run --help)"
is "folders of mistakes" "$(ls "$dir/cache" 2>/dev/null)" ""

# what is evaluated is not kept
run 0 run "$model" -p KING --temp 0 -n 2 --target ref
is "evaluated" "$(line)" ""
is "its folder" "$(ls "$dir/cache" 2>/dev/null)" ""
[ $native = yes ] || finish keep

cp "$model" "$dir/m.gguf"
m=$dir/m.gguf
ask() { run 0 run "$m" -p "KING RICHARD:" --temp 0 -n 12 "$@"; }
ask --no-keep
answer=$out
is "no line" "$(line)" ""
TERN_KEEP=0 ask
is "nor by the environment" "$(line)" ""
is "nor a folder" "$(blobs)" 0

# once, and then never again: the second start opens no compiler library
ask
has "the first start" "$(line)" "$made"
is "the answer" "$out" "$answer"
opened() { LD_DEBUG=files "$tern" run "$m" -p KING --temp 0 -n 2 "$@" 2>&1 </dev/null | grep -c 'calling init: .*libternc'; }
is "the compiler library" "$(opened)" 0
is "the compiler library, if it is needed" "$(opened --no-keep)" 1
ask
has "the second start" "$(line)" "$used"
is "the answer" "$out" "$answer"
has "not compiled at load" "$err" "*tern: verse, *, * threads?tern: *"
is "blobs" "$(blobs)" 1
is "the folder's mode" "$(stat -c %a "$kept")" 700
for verb in "logits $m --tokens 1,2 -o $dir/l" "bench $m -p 4 -n 2 -r 1 --read-mib 0 -o json"; do
    # shellcheck disable=SC2086
    run 0 $verb
    has "$verb" "$(line)" "tern: *$kept/*.tern"
done

# each option that changes what is compiled has a blob of its own, and finds it again
empty
ask
n=1
for flags in "--kv i8" "--head q8" "--head f16" "-c 100" "--override-kv general.name=str:other" "--i2s-layout 128x32" \
    "--target llvm --kv f32"; do
    # shellcheck disable=SC2086
    ask $flags
    has "$flags" "$(line)" "$made"
    n=$((n + 1))
    is "blobs after $flags" "$(blobs)" $n
    # shellcheck disable=SC2086
    ask $flags
    has "$flags again" "$(line)" "$used"
done
# a tuned blob belongs to its measurements
ask --tune=0.1
has "tuned" "$(line)" "$made"
ask --tune=0.1
has "tuned again" "$(line)" "$used"
ask
has "and not tuned" "$(line)" "$used"

# the same size and the same times, another byte in the middle: that is another model
touch -d '2020-01-01 00:00:00' "$m"
empty
ask
has "old" "$(line)" "$made"
byte() { python3 -c "
import sys
f = open(sys.argv[1], 'r+b'); f.seek(int(sys.argv[2])); b = f.read(1)
f.seek(int(sys.argv[2])); f.write(bytes([b[0] ^ 1]))" "$1" "$2"; }
touch -r "$m" "$dir/times"
middle=657706 # low bits of a float of the embedding
byte "$m" $middle
touch -r "$dir/times" "$m"
ask
has "edited in place" "$(line)" "$made"
byte "$m" $middle
touch -r "$dir/times" "$m"
ask
has "and back" "$(line)" "$used"
is "the answer" "$out" "$answer"
mv "$m" "$dir/moved.gguf"
m=$dir/moved.gguf
ask
has "moved" "$(line)" "$used"
ln -sf "$m" "$dir/m.gguf"
m=$dir/m.gguf
ask
has "through a link" "$(line)" "$used"

# damage is found before the verb begins, wherever it is
blob=$(ls "$kept"/*.tern | head -1)
[ "$(blobs)" = 2 ] && rm -f "$kept"/*.tern && ask && blob=$(echo "$kept"/*.tern)
size=$(stat -c %s "$blob")
for at in 3 200 $((size / 10)) $((size / 2)) $((size - 200)); do
    byte "$blob" "$at"
    ask
    has "byte $at" "$(line)" "tern: compiled anew: $blob: *?$made"
    is "the answer" "$out" "$answer"
    ask
    has "after byte $at" "$(line)" "$used"
done
truncate -s 1000 "$blob"
ask
has "cut" "$(line)" "tern: compiled anew: $blob: *?$made"
: >"$blob"
ask
has "empty" "$(line)" "tern: compiled anew: $blob: *?$made"

# one writer; the others compile and leave no trace
empty
mkdir -p -m 700 "$kept"
exec 7<"$kept"
if command -v flock >/dev/null && flock -n 7; then
    ask
    is "busy" "$(line)" "tern: not kept: $kept: another process is keeping a model there"
    is "the answer" "$out" "$answer"
    is "blobs while busy" "$(blobs)" 0
fi
exec 7<&-
for i in 1 2 3; do "$tern" run "$m" -p "KING RICHARD:" --temp 0 -n 12 >"$dir/out$i" 2>"$dir/err$i" </dev/null & done
wait
for i in 1 2 3; do
    is "concurrent start $i" "$(cat "$dir/out$i")" "$answer"
    has "its line" "$(grep 'kept' "$dir/err$i")" "tern: *kept*"
done
is "blobs of concurrent starts" "$(ls "$kept" | wc -l)" 1

# what a killed writer left is removed by the next; other files are not
empty
mkdir -p -m 700 "$kept"
left=$kept/0123456789abcdef0123456789abcdef.tern.tmp-0123456789abcdef
touch "$left" "$kept/mine"
ask
[ -e "$left" ] && no "a temporary file is still there"
[ -e "$kept/mine" ] || no "a file of somebody else is gone"

# the bound: what was used longest ago goes first
empty
one=$((3 * 1000 * 1000)) # bytes; a blob has 2.4 MB
bound=$(python3 -c "print(2.2 * $one / 2**30)")
ask --keep "$bound" --kv f16
ask --keep "$bound" --kv i8
is "two fit" "$(blobs)" 2
sleep 0.02
ask --keep "$bound" --kv f16
has "used" "$(line)" "$used"
ask --keep "$bound" --kv f32
has "a third" "$(line)" "$made"
is "two again" "$(blobs)" 2
ask --keep "$bound" --kv f16
has "the one that was used stays" "$(line)" "$used"
ask --keep "$bound" --kv i8
has "the oldest is gone" "$(line)" "$made"
empty
ask --keep 0.0001
has "too large" "$(line)" "tern: not kept: the model has * MB, expected at most the 0.1 MB that may be kept"
TERN_KEEP=0.0001 ask
has "by the environment" "$(line)" "tern: not kept: the model has * MB, expected at most the 0.1 MB that may be kept"
is "blobs" "$(blobs)" 0

# a disk that is full in the middle: compiled to memory, with a line and no file
empty
run_small() { (ulimit -f 1000 && exec "$tern" run "$m" -p "KING RICHARD:" --temp 0 -n 12 >"$dir/out" 2>"$dir/err" </dev/null); }
run_small || no "a limit on files: exit $?: $(cat "$dir/err")"
err=$(cat "$dir/err")
has "a full disk" "$(line)" "tern: not kept: $kept/*.tern: cannot write: File too large"
is "the answer" "$(cat "$dir/out")" "$answer"
is "files" "$(ls "$kept" | wc -l)" 0

# folders that will not do
empty
mkdir -p "$kept"
chmod 777 "$kept"
ask
is "open to others" "$(line)" "tern: not kept: $kept: is open to others, expected a folder of yours that nobody else may write to"
empty
touch "$kept"
ask
is "no folder" "$(line)" "tern: not kept: $kept: is no folder, expected a folder of yours that nobody else may write to"
rm -f "$kept"
mkdir -m 700 "$dir/elsewhere"
ln -s "$dir/elsewhere" "$kept"
ask
has "a link to a folder of ours" "$(line)" "$made"
rm -f "$kept"
XDG_CACHE_HOME=/proc/none ask
has "cannot be made" "$(line)" "tern: not kept: /proc/none/tern/kept/*"
XDG_CACHE_HOME="" HOME="" ask
is "nowhere" "$(line)" "tern: not kept: neither XDG_CACHE_HOME nor HOME names a folder"
if [ "$(id -u)" != 0 ]; then
    mkdir -p -m 500 "$kept"
    ask
    has "read-only" "$(line)" "tern: not kept: $kept/*: cannot create: *"
    chmod 700 "$kept"
    ask
    chmod 500 "$kept"
    ask
    has "read-only, but there" "$(line)" "$used"
    chmod 700 "$kept"
fi

# all parts of a model count, and all files of a folder
empty
cp "$model" "$dir/v-00001-of-00002.gguf"
cp "$model" "$dir/v-00002-of-00002.gguf"
m=$dir/v-00001-of-00002.gguf
ask
has "parts" "$(line)" "$made"
byte "$dir/v-00002-of-00002.gguf" $middle
ask
has "another second part" "$(line)" "$made"
"$build/make_gguf" --arch bitnet --shape tiny --weights f32 --ternary --embd f32 -o "$dir/a.gguf" >/dev/null || exit 1
python3 "$root/tests/support/gguf_folder.py" "$dir/a.gguf" "$dir/folder" 2 || exit 1
folder() { run 0 logits "$dir/folder" --tokens 1,5,9 -o "$dir/l"; }
folder
has "a folder" "$(line)" "$made"
folder
has "a folder again" "$(line)" "$used"
echo >>"$dir/folder/config.json"
folder
has "another config.json" "$(line)" "$made"
echo >>"$dir/folder/README.md"
folder
has "another README" "$(line)" "$used"
# also the settings of a module in a folder of its own
mkdir "$dir/folder/1_Pooling"
vector() { run 0 embed "$dir/folder" --tokens 1,5,9 "$@"; }
for mode in mean cls; do
    echo "{\"pooling_mode\": \"$mode\"}" >"$dir/folder/1_Pooling/config.json"
    vector --no-keep
    expected=$out
    vector
    has "pooling by $mode" "$(line)" "$made"
    is "its vector" "$out" "$expected"
done
vector
has "pooling again" "$(line)" "$used"

# code that lacks a part, because memory was short, is used once
m=$model
for kib in 240000 250000 260000; do
    empty
    (ulimit -v $kib && exec "$tern" run "$m" -t 1 -p KING --temp 0 -n 2 >"$dir/out" 2>"$dir/err" </dev/null)
    err=$(cat "$dir/err")
    case $err in
    *"is not used: out of memory"*)
        is "short of memory" "$(line)" "tern: not kept: there was no memory for some of its code"
        is "blobs" "$(blobs)" 0
        break # a start with so little memory takes seconds
        ;;
    esac
done
finish keep
