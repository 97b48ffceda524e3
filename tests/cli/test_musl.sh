#!/usr/bin/env bash
# The runtime needs libc and threads alone, and no particular libc: with musl it becomes one static program, which gives the
# evaluator's logits for a blob that is made here.
# Argument 1: the build folder. Exit 77: skipped, with the reason.
set -u
. "$(dirname "$0")/program.sh"
[ $native = yes ] || { echo "skipped: this build and this machine run no compiled code"; exit 77; }
command -v musl-gcc >/dev/null || { echo "skipped: no musl-gcc (apt install musl-tools)"; exit 77; }
if grep -q '^TERN_SANITIZE:[A-Z]*=.' "$build/CMakeCache.txt"; then echo "skipped: the program would not be sanitized"; exit 77; fi
mkdir "$dir/include" # xxhash.h is a header without a library here (XXH_INLINE_ALL)
cp "$(echo '#include <xxhash.h>' | cc -E -x c - | sed -n 's/^# 1 "\(.*xxhash.h\)".*/\1/p' | head -1)" "$dir/include/"
# model_steps.c has its own features.c
# shellcheck disable=SC2046,SC2010
musl-gcc -std=c11 -O1 -Wall -Wextra -Werror -ffp-contract=off -D_GNU_SOURCE -DTERN_VERSION='"0"' -I"$root" -I"$root/runtime" \
    -I"$root/tests" -isystem "$dir/include" -static "$root/tests/cli/model_steps.c" "$root/tests/support/amx_emulator.c" \
    $(ls "$root"/runtime/*.c | grep -v /features.c) "$root"/runtime/cuda/*.c "$root"/runtime/base/*.c -lpthread -lm -o "$dir/model_steps" 2>"$dir/err" ||
    { no "build with musl: $(head -3 "$dir/err")"; finish musl; exit 1; }
echo "built with musl: $(stat -c %s "$dir/model_steps") bytes"
case $(file -b "$dir/model_steps" 2>/dev/null) in *dynamically*) no "the program is not static" ;; esac
ids="1789 978 1530 317 87 522 44"
level=$("$tern" --version | sed -n 's/^cpu levels: \([^,]*\).*/\1/p')
"$tern" compile "$model" -o "$dir/m.tern" --cpu "$level" 2>"$dir/err" || no "compile: $(tail -1 "$dir/err")"
"$tern" logits "$model" --tokens "${ids// /,}" --kv f16 --target ref -o "$dir/want" 2>"$dir/err" || no "logits: $(tail -1 "$dir/err")"
# shellcheck disable=SC2086
if "$dir/model_steps" "$dir/m.tern" "$level" f16 "$dir/want" 1,2 1,7 $ids 2>"$dir/err"; then echo "$level with musl: the same bits"
else no "$level with musl: $(head -3 "$dir/err")"; fi
checks=$((checks + 2))
finish musl
