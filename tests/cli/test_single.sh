#!/usr/bin/env bash
# tern compile --emit exe and blob-obj: a program with its model inside, and an object for linkers. The program says what
# tern says of the blob, in an empty folder as its root too, read-only, as nobody and without /proc. A file that is cut or
# changed anywhere, and a program that cannot take a model, are refused in one line.
set -u
. "$(dirname "$0")/program.sh"
need_native
level=$("$tern" --version | sed -n 's/^cpu levels: \([^,]*\).*/\1/p')
text() { "$@" -p $'KING RICHARD:\n' --temp 0 -n 20 2>"$dir/err"; }
run 0 compile -o "$dir/v.tern" --kv f16 --levels "$level"
text "$tern" run "$dir/v.tern" >"$dir/expected"

# ---- an object: the lines that docs/blob.md shows
run 0 compile --emit blob-obj -o "$dir/model.o" --kv f16 --levels "$level"
cat >"$dir/main.c" <<'C'
#include <stdio.h>
#include "tern.h"
extern const unsigned char tern_blob[], tern_blob_end[];
int main(void) {
    TernModel *model;
    TernModelInfo info;
    TernError err;
    if (tern_model_open_memory(tern_blob, (size_t)(tern_blob_end - tern_blob), NULL, &model, &err))
        return fprintf(stderr, "%s\n", err.text), 1;
    tern_model_info(model, &info);
    printf("%s, %s, %u layers, %llu bytes\n", info.name, info.level, info.n_layers, (unsigned long long)info.file_bytes);
    tern_model_close(model);
    return 0;
}
C
sanitize=$(sed -n 's/^TERN_SANITIZE:[A-Z]*=//p' "$build/CMakeCache.txt")
cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
"$cc" ${sanitize:+-fsanitize=$sanitize} -I "$root/runtime" "$dir/main.c" "$dir/model.o" -o "$dir/embedded" -L "$build" -ltern \
    -Wl,-rpath,"$build" || no "the object does not link"
is "the blob in an object" "$("$dir/embedded")" "verse, $level, 6 layers, $(stat -c %s "$dir/v.tern") bytes"
run 1 compile --emit blob-obj -o "$dir/x.o" --levels "$level,$([ "$(uname -m)" = aarch64 ] && echo avx2 || echo neon-dotprod)"
case $err in *"expected levels of one machine"*) ;; *) no "levels of two machines: $err" ;; esac

# ---- programs that cannot take a model
run 2 compile -o "$dir/x" --runtime "$tern"
is "a program for a blob" "$err" "tern compile: --runtime goes with --emit exe (see tern compile --help)"
run 1 compile --emit exe -o "$dir/x" --levels "$level" --runtime "$tern"
is "dynamic" "$err" "tern: error: $tern: is linked dynamically, expected the static program tern for x86-64 or aarch64"
run 1 compile --emit exe -o "$dir/x" --levels "$level" --runtime "$model"
is "no program" "$err" "tern: error: $model: is no 64-bit ELF program, expected the static program tern for x86-64 or aarch64"
[ -e "$dir/x" ] && no "a refused compile left a file"
static=$build/tern-static.$(uname -m | tr _ -)
[ -x "$static" ] || { echo "no static program in this build (sanitizers, or no libpcre2-8.a and libjansson.a)"; finish single; }
cp "$static" "$dir/newer"
at=$(LC_ALL=C grep -abo 'TERN slot' "$static" | cut -d: -f1) # after the first byte of 16; then comes the version
printf 9.9.9 | dd of="$dir/newer" bs=1 seek=$((at + 15)) conv=notrunc 2>/dev/null
run 1 compile --emit exe -o "$dir/x" --levels "$level" --runtime "$dir/newer"
case $err in *"is version 9.9.9, abi "*", expected version 0.1.0, abi "*) ;; *) no "another version: $err" ;; esac
other=neon-dotprod && [ "$(uname -m)" = aarch64 ] && other=avx2
run 1 compile --emit exe -o "$dir/x" --levels $other --runtime "$static"
case $err in *"$static: is for "*", as level $other is") ;; *) no "another machine: $err" ;; esac

# ---- the program
run 0 compile --emit exe -o "$dir/model" --kv f16 --levels "$level"
text "$dir/model" >"$dir/got"
cmp "$dir/expected" "$dir/got" || no "the text differs"
text "$dir/model" run >"$dir/got" && cmp "$dir/expected" "$dir/got" || no "with the verb the text differs"
is "tokenize" "$("$dir/model" tokenize -p 'to you')" "$("$tern" tokenize "$dir/v.tern" -p 'to you')"
text "$tern" run "$dir/model" >"$dir/got" && cmp "$dir/expected" "$dir/got" || no "tern run of the program differs"
run 1 compile --emit exe -o "$dir/x" --levels "$level" --runtime "$dir/model"
case $err in *"already has a model in it, expected "*) ;; *) no "a second model: $err" ;; esac
(umask 027 && "$tern" compile --emit exe -o "$dir/mode" --kv f16 --levels "$level" 2>/dev/null)
is "who may run it" "$(stat -c %a "$dir/mode")" 750

is "check" "$("$dir/model" check | tail -n +2)" "$("$tern" check "$dir/v.tern" | tail -n +2)"
is "check of the file" "$("$tern" check "$dir/model" | sed 's/.*: //')" "$("$tern" check "$dir/v.tern" | sed 's/.*: //')"
is "inspect" "$("$dir/model" inspect 2>/dev/null | tail -n +2)" "$("$tern" inspect "$dir/v.tern" | sed '/^plan of level/,$d' | tail -n +2)"
is "inspect --memory" "$("$dir/model" inspect --memory)" "$("$tern" inspect --memory "$dir/v.tern")"
printf 'Who comes there?\nAnd then?\n' >"$dir/lines" # messages, through a pipe
chat=(--chat-template chatml --temp 0 -n 24)
cat "$dir/lines" | "$tern" chat "$dir/v.tern" "${chat[@]}" >"$dir/talk" 2>"$dir/err" || no "chat: $(cat "$dir/err")"
cat "$dir/lines" | "$dir/model" chat "${chat[@]}" 2>"$dir/err" | cat >"$dir/got"
[ -s "$dir/talk" ] && cmp "$dir/talk" "$dir/got" || no "chat of the program differs: $(cat "$dir/err")"

# ---- a GPU: a static program cannot open the driver, even where one is
static_has_none() { # STATUS WORDS..
    local status=$1
    shift
    LD_LIBRARY_PATH=$build/tests/fake_cuda "$dir/model" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    is "$*: status" $? "$status"
    grep -q 'no driver of CUDA: this program is linked statically and cannot open libcuda.so.1$' "$dir/err" "$dir/out" ||
        no "$*: $(cat "$dir/err")"
}
static_has_none 1 -p x -n 2 --device cuda
is "--device cuda: lines" "$(wc -l <"$dir/err")" 1
static_has_none 0 -p x -n 2 --temp 0 --device auto
static_has_none 0 devices

# ---- damage
refused() { # WHAT FILE
    "$2" -p x --temp 0 -n 2 >"$dir/out" 2>"$dir/err"
    is "$1: status" "$?" 1
    is "$1: lines" "$(wc -l <"$dir/err")" 1
}
bytes=$(stat -c %s "$dir/model")
for n in 1 64 70000 $((bytes - $(stat -c %s "$static"))); do
    head -c $((bytes - n)) "$dir/model" >"$dir/cut" && chmod +x "$dir/cut"
    refused "cut by $n" "$dir/cut"
    case $(cat "$dir/err") in *"the model after the program is missing or cut"*) ;; *) no "cut by $n: $(cat "$dir/err")" ;; esac
done
# Not in the program's own code, which would have to run: its last byte before the blob, the blob's, the trailer's.
start=$((bytes - 64 - $(stat -c %s "$dir/v.tern")))
for at in $((start - 1)) $((start + 100)) $((bytes - 100000)) $((bytes - 40)) $((bytes - 1)); do
    cp "$dir/model" "$dir/bad"
    printf '\x5a' | dd of="$dir/bad" bs=1 seek=$at conv=notrunc 2>/dev/null
    refused "byte $at" "$dir/bad"
    run 1 check "$dir/bad"
    is "check, byte $at: lines" "$(wc -l <"$dir/err")" 1
done

# ---- alone in the world
if [ "$(id -u)" != 0 ]; then
    echo "not root: no empty folder as root"
elif ! unshare -m true 2>/dev/null; then
    echo "no mount namespaces: no empty folder as root"
else
    mkdir "$dir/empty" && cp "$dir/model" "$dir/empty/m" && chmod 755 "$dir" "$dir/empty" "$dir/empty/m"
    # shellcheck disable=SC2016
    unshare -m bash -c 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" &&
        chroot --userspec=65534:65534 "$1" /m -p "KING RICHARD:
" --temp 0 -n 20' - "$dir/empty" >"$dir/got" 2>"$dir/err"
    cmp "$dir/expected" "$dir/got" || no "in an empty root: $(cat "$dir/err")"
fi
finish single
