#!/usr/bin/env bash
# The other architecture: blobs compiled here for NEON, with dot products and with products of matrices too, run under qemu by an aarch64 build of
# the runtime, and every bit of their logits is the evaluator's, for 1 and 2 threads, prompts and single tokens. The code
# without them runs on a Cortex-A72, which faults on a dot product, that without smmla on a Neoverse N1, which faults on smmla.
# Argument 1: the build folder. Exit 77: skipped, with the reason.
set -u
. "$(dirname "$0")/program.sh"
case $("$tern" --version) in *"no LLVM"*) echo "skipped: this build has no LLVM"; exit 77 ;; esac
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || true)
bash "$root/tests/cli/model_steps_arm.sh" "$dir/model_steps" || exit

# try NAME KV MODEL IDS [,LEVEL]: a model's blob against its evaluation here; the blob has code for that level too
try() {
    local name=$1 kv=$2 model=$3 ids=$4
    "$tern" compile "$model" -o "$dir/m.tern" --cpu "neon,neon-dotprod,neon-i8mm${5-}" --kv "$kv" 2>"$dir/err" ||
        { no "$name: compile: $(tail -1 "$dir/err")"; return; }
    "$tern" logits "$model" --tokens "${ids// /,}" --kv "$kv" --target ref -o "$dir/want" 2>"$dir/err" ||
        { no "$name: logits: $(tail -1 "$dir/err")"; return; }
    local level cpu threads
    for level in neon-i8mm neon-dotprod neon; do
        case $level in
        neon) cpu=cortex-a72 threads=2 ;;
        neon-dotprod) cpu=neoverse-n1 threads=2 ;;
        *) cpu=max threads=1,2 ;;
        esac
        # shellcheck disable=SC2086
        if timeout 900 "$qemu" -cpu $cpu "$dir/model_steps" "$dir/m.tern" $level "$kv" "$dir/want" $threads 1,9,9+ $ids 2>"$dir/err"; then
            echo "$name, $level, --kv $kv, $threads threads, steps of 1 and 9: $(stat -c %s "$dir/want") bytes are the same"
        else
            no "$name, $level: $(cat "$dir/err")"
        fi
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
try "the grouped model" f16 "$root/models/psalm-pq2_0.gguf" "1789 303 769 602 442 268 258 726 44 267 288 258 422 413"
try "blocks with scales" f16 "$dir/blocks.gguf" "262 1 2 3 0 5 6 7 8 9 10 11 12 13" ,avx2
# the same file has code for this machine
case $("$tern" --version) in
*avx2*)
    "$tern" logits "$dir/m.tern" --tokens 262,1,2,3,0,5,6,7,8,9,10,11,12,13 --cpu avx2 -o "$dir/got" 2>"$dir/err" || no "avx2: $(tail -1 "$dir/err")"
    cmp -s "$dir/want" "$dir/got" || no "avx2 from the same blob differs"
    ;;
esac
[ $failures = 0 ]
