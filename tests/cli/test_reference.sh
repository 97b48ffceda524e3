#!/usr/bin/env bash
# Architectures against an implementation that shares nothing with this one: a writer of random models and a model in double,
# both in Python with numpy, beside the source tree or where TERN_REFERENCE says. Where they are not there, the model in
# double of tests/support alone holds the graphs (gguf.numbers).
set -u
build=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
tools=${TERN_REFERENCE:-$source/../shared/tools}
python=""
for p in python3 /usr/bin/python3; do
    "$p" -c 'import numpy' 2>/dev/null && python=$p && break
done
[ -f "$tools/reference.py" ] || { echo "skipped: no reference.py in $tools"; exit 77; }
[ -n "$python" ] || { echo "skipped: no Python with numpy"; exit 77; }
target=""
case $("$build/tern" --version) in *"cpu levels: none"* | *"no LLVM"*) target="--target ref" ;; esac
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
rc=0

ids=$(for i in $(seq 0 39); do echo $(((i * 37 + 11) % 257)); done | paste -sd,)

# The name of a case, the flags of `reference.py` (or -), then those of the writer.
check() {
    local name=$1 reference=$2
    shift 2
    [ "$reference" = - ] && reference=""
    "$python" "$tools/make_model.py" "$@" -o "$dir/m.gguf" >/dev/null || { echo "$name: not written"; rc=1; return; }
    "$python" "$tools/reference.py" "$dir/m.gguf" --tokens "$ids" --ties --npy "$dir/want.npy" $reference >"$dir/ties" ||
        { echo "$name: no reference"; rc=1; return; }
    "$build/tern" logits "$dir/m.gguf" --tokens "$ids" --kv f32 $target -o "$dir/got" 2>"$dir/err" ||
        { echo "$name: $(cat "$dir/err")"; rc=1; return; }
    printf '%-24s ' "$name"
    "$python" "$source/tests/support/row_errors.py" "$dir/want.npy" "$dir/got" "$dir/ties" || { echo "$name: failed"; rc=1; }
}

check qwen3 - --shape tiny-bonsai --weights tq2_0 --embd f16 --seed 1
check qwen3-all-ternary - --shape tiny-bonsai --weights tq2_0 --seed 3
check qwen3-untied - --shape tiny-bonsai-8b --weights i2_s --embd f16 --yarn none --seed 1
check qwen3-yarn - --shape tiny-bonsai-8b --weights tq2_0 --embd f16 --seed 4
check qwen3-groups - --shape tiny-bonsai-8b --weights tq1_0 --scales group:256 --embd q6_k --seed 1
check qwen3-q2_0 - --shape tiny-bonsai --weights q2_0 --seed 2
check qwen3-pq2_0-yarn - --shape tiny-bonsai-8b --weights pq2_0 --seed 2
check qwen3-ptq1_0-yarn - --shape tiny-bonsai-8b --weights ptq1_0 --seed 3
check qwen3-window - --shape tiny-bonsai --weights i2_s --embd f16 --window 7 --seed 1
check qwen2 - --shape tiny-qwen2 --weights i2_s --seed 1
check minicpm - --shape tiny-bitcpm4 --weights tq2_0 --scales group:256 --seed 1
check minicpm-longrope - --shape tiny-bitcpm4-long --weights tq2_0 --scales group:256 --seed 2
check llama-falcon-e - --shape tiny-falcon-e --weights i2_s --seed 1
check llama-falcon3 - --shape tiny-falcon3 --weights i2_s --seed 1
check llama-deepgrove - --shape tiny-deepgrove --weights i2_s --seed 1
check llama-trilm - --shape tiny-trilm --weights tq1_0 --scales rows:4 --seed 4
check llama-rope-freqs - --shape tiny --arch llama --weights i2_s --rope-freqs --seed 1
check llama-gelu - --shape tiny --arch llama --weights i2_s --act-key gelu --seed 1
check llama-gelu-tanh - --shape tiny --arch llama --weights i2_s --act-key gelu_pytorch_tanh --seed 1
check bitnet - --shape tiny-1bitllm --weights i2_s --seed 3
check bitnet-scales - --shape tiny-1bitllm --weights tq2_0 --vocab 384 --scale-tensors --seed 1
check bitnet-b1.58 - --shape tiny --weights i2_s --seed 1
exit $rc
