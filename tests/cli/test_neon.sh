#!/usr/bin/env bash
# The other architecture: blobs compiled here for NEON with the dot product run under qemu by an aarch64 build of the
# runtime, and every bit of their logits is the evaluator's, for 1 and 2 threads, prompts and single tokens.
# Argument 1: the build folder. Exit 77: skipped, with the reason.
set -u
. "$(dirname "$0")/program.sh"
cc=${TERN_AARCH64_CC:-aarch64-linux-gnu-gcc}
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || true)
command -v "$cc" >/dev/null || { echo "skipped: no $cc (apt install gcc-aarch64-linux-gnu)"; exit 77; }
[ -n "$qemu" ] || { echo "skipped: no qemu-aarch64 (apt install qemu-user-static)"; exit 77; }
case $("$tern" --version) in *"no LLVM"*) echo "skipped: this build has no LLVM"; exit 77 ;; esac

# xxhash.h is a header without a library here (XXH_INLINE_ALL), the host's copy serves.
mkdir "$dir/include"
cp "$(echo '#include <xxhash.h>' | cc -E -x c - | sed -n 's/^# 1 "\(.*xxhash.h\)".*/\1/p' | head -1)" "$dir/include/"
"$cc" -std=c11 -O2 -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -ffp-contract=off -D_GNU_SOURCE \
    -DTERN_VERSION='"0"' -I"$root" -I"$root/runtime" -isystem "$dir/include" -static "$root/tests/cli/neon_model_run.c" \
    "$root"/runtime/*.c "$root"/runtime/base/*.c -lpthread -lm -o "$dir/neon_run" || exit 1

# try NAME KV MODEL IDS: a model's blob against its evaluation here
try() {
    local name=$1 kv=$2 model=$3 ids=$4 t prefill
    "$tern" compile "$model" -o "$dir/m.tern" --cpu neon-dotprod,avx2 2>"$dir/err" ||
        { no "$name: compile: $(tail -1 "$dir/err")"; return; }
    "$tern" logits "$model" --tokens "${ids// /,}" --kv "$kv" --target ref -o "$dir/want" 2>"$dir/err" ||
        { no "$name: logits: $(tail -1 "$dir/err")"; return; }
    for t in 1 2; do
        for prefill in 1 9; do
            # shellcheck disable=SC2086
            if ! timeout 900 "$qemu" -cpu max "$dir/neon_run" "$dir/m.tern" $t "$kv" $prefill $ids >"$dir/got" 2>"$dir/err"; then
                no "$name, $t threads, prompt of $prefill: $(tail -1 "$dir/err")"
            elif ! cmp -s "$dir/want" "$dir/got"; then
                no "$name, $t threads, prompt of $prefill: $(cmp "$dir/want" "$dir/got" 2>&1)"
            else
                echo "$name, --kv $kv, $t threads, prompt of $prefill: $(stat -c %s "$dir/got") bytes are the same"
            fi
        done
    done
}

make() {
    "$build/make_gguf" "$@" -o "$dir/$name.gguf" || no "make_gguf $*"
}
name=grouped # one kv head for three heads, rows that no vector divides, i2_s, f32 embedding
make --hidden 384 --ffn 640 --layers 2 --heads 6 --kv-heads 2 --vocab 301 --ctx 64 --embd f32 --seed 11
name=pairs # rope by pairs, an untied q6_k head, tq1_0
make --arch llama --hidden 256 --ffn 768 --layers 1 --heads 4 --kv-heads 1 --vocab 263 --ctx 64 --weights tq1_0 \
    --untied --embd q6_k --rope-freqs --seed 12
name=blocks # tq2_0 with a scale for each block
make --arch llama --hidden 256 --ffn 768 --layers 1 --heads 4 --kv-heads 1 --vocab 263 --ctx 64 --weights tq2_0 --grouped --seed 13
try "the embedded model" f16 "$root/models/verse-i2_s.gguf" "1789 978 1530 317 87 522 44 299 388 340 297 461 5 6"
try "grouped heads" f32 "$dir/grouped.gguf" "300 1 2 3 299 5 6 7 8 9 10 11 12 13"
try "rope by pairs" f16 "$dir/pairs.gguf" "262 1 2 3 0 5 6 7 8 9 10 11 12 13"
try "blocks with scales" f16 "$dir/blocks.gguf" "262 1 2 3 0 5 6 7 8 9 10 11 12 13"
# the same file has code for this machine
case $("$tern" --version) in
*avx2*)
    "$tern" logits "$dir/m.tern" --tokens 262,1,2,3,0,5,6,7,8,9,10,11,12,13 --cpu avx2 -o "$dir/got" 2>"$dir/err" || no "avx2: $(tail -1 "$dir/err")"
    cmp -s "$dir/want" "$dir/got" || no "avx2 from the same blob differs"
    ;;
esac
[ $failures = 0 ]
