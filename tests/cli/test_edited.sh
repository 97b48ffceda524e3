#!/usr/bin/env bash
# A graph is printed, edited and run: the unchanged text gives the model's own bits, an edited one gives others, and an
# unsound one is refused with a line that names the fault.
set -u
. "$(dirname "$0")/program.sh"
targets="ref"
[ $native = yes ] && targets="ref llvm"

run 0 opt "$model" --passes= -o "$dir/a.tir"
# one layer's relu squared becomes silu
line=$(grep -n '= relu2 ' "$dir/a.tir" | head -1 | cut -d: -f1)
sed "${line}s/relu2/silu/" "$dir/a.tir" >"$dir/b.tir"
is "one line is edited" "$(diff "$dir/a.tir" "$dir/b.tir" | grep -c '^[<>]')" 2

ids=1789,978,1530,317,44,9,100
for target in $targets; do
    run 0 logits "$model" --tokens $ids -o "$dir/own" --target "$target"
    run 0 logits "$dir/a.tir" --weights "$model" --tokens $ids -o "$dir/a.$target" --target "$target"
    cmp -s "$dir/own" "$dir/a.$target" || no "$target: the text as printed gives other logits than the model"
    run 0 logits "$dir/b.tir" --tokens $ids -o "$dir/b.$target" --target "$target"
    cmp -s "$dir/own" "$dir/b.$target" && no "$target: the edit changes nothing"
    cmp -s "$dir/b.ref" "$dir/b.$target" || no "$target: the edited graph's logits are not the evaluator's"
    run 0 run "$dir/a.tir" --weights "$model" -p "KING RICHARD:
" --temp 0 -n 8 --print-tokens --target "$target"
    is "$target: ids of the text as printed" "$out" 87,522,44,299,388,340,297,461
    run 0 run "$dir/b.tir" -p "KING RICHARD:
" --temp 0 -n 8 --print-tokens --target "$target"
    [ "$out" = 87,522,44,299,388,340,297,461 ] && no "$target: the edited graph says the same"
    run 0 perplexity "$dir/a.tir" --tokens $ids --target "$target"
    want=$out
    run 0 perplexity "$model" --tokens $ids --target "$target"
    is "$target: perplexity" "$out" "$want"
done
target="--target ref"
[ $native = yes ] && target=""
out=$("$tern" opt --passes= | "$tern" run - --tokens 1789,978,1530,317 --temp 0 -n 8 --print-tokens $target 2>/dev/null)
is "from standard input" "$out" 87,522,44,299,388,340,297,461
if [ $native = yes ]; then
    run 0 bench "$dir/b.tir" -p 8 -n 4 -r 1 -t 1 --read-mib 0
    run 0 compile "$dir/b.tir" --weights "$model" -o "$dir/b.tern"
    run 0 logits "$dir/b.tern" --tokens $ids -o "$dir/b.blob"
    cmp -s "$dir/b.ref" "$dir/b.blob" || no "the edited graph as a blob gives other logits"
fi

# A cut model: the last layer goes, and its caches with it.
awk '/\$l5\.attn_norm:/ { skip = 1 } /= gather / { skip = 0 } !skip' "$dir/a.tir" |
    sed 's/gather %204/gather %170/' >"$dir/cut.tir"
run 0 run "$dir/cut.tir" --tokens 1789,978,1530,317 --temp 0 -n 4 --print-tokens $target

# what is refused
refuse() { # WHAT SED-SCRIPT LINE: the edit, and the message after "tern: error: bad.tir"
    sed "$2" "$dir/a.tir" >"$dir/bad.tir"
    cmp -s "$dir/a.tir" "$dir/bad.tir" && no "$1: the edit does nothing"
    run 1 run "$dir/bad.tir" --tokens 1 -n 1 --target ref
    is "$1" "${err%%$'\n'*}" "tern: error: $dir/bad.tir$3" # a line and a caret may follow
}
refuse "unknown tensor" 's/"blk.0.attn_q.weight"/"blk.9.attn_q.weight"/' \
    ":15:3: tensor blk.9.attn_q.weight is not in the embedded model: --weights names the model file it is in"
refuse "hash" 's/hash=0x50baf00b42ce6e98/hash=0x7/' \
    ":9:3: tensor token_embd.weight: hash is 0x7, expected 0x50baf00b42ce6e98 as in the embedded model, or 0 for any"
refuse "scale" '/l0.attn_q:/s/scale=0x1.8c05fep-5/scale=0x1p-5/' \
    ":15:3: tensor blk.0.attn_q.weight: type is i2s[256,256] scale=0x1p-5, expected i2s[256,256] scale=0x1.8c05fep-5 as in the embedded model"
refuse "another tensor's shape" 's/name="blk.0.attn_k.weight"/name="blk.0.attn_q.weight"/' \
    ":19:3: tensor blk.0.attn_q.weight: type is i2s[128,256] scale=0x1.976b52p-5, expected i2s[256,256] scale=0x1.8c05fep-5 as in the embedded model"
refuse "an input that the runtime does not have" 's/{name="hrows"}/{name="rows2"}/' \
    ":7:3: input \"rows2\", expected one of ids pos slot rows hrows lrows table k<i> v<i>"
refuse "positions as ids" 's/embed %ids/embed %pos/' \
    ":12:3: %0: operand 1 of embed is %pos, expected the input \"ids\""
refuse "logits of another width" 's/output %logits {name="logits"}/output %207 {name="logits"}/; s/%out.logits: f32\[R,1792\]/%out.logits: f32[R,256]/' \
    ":$(grep -n 'name="logits"' "$dir/a.tir" | cut -d: -f1):3: output \"logits\": type is f32[R,256], expected f32[R,1792]"
refuse "type of an op" 's/%1: f32\[T,256\] = rmsnorm %0/%1: f32[T,128] = rmsnorm %0/' \
    ":14:20: rmsnorm gives f32[T,256], but the type says f32[T,128]"
sed 's/, hash=0x[0-9a-f]*//' "$dir/a.tir" >"$dir/nohash.tir"
sed 's/hash=0x[0-9a-f]*/hash=0x0/' "$dir/a.tir" >"$dir/zero.tir"
run 0 logits "$dir/zero.tir" --tokens $ids -o "$dir/zero" --target ref
cmp -s "$dir/own" "$dir/zero" || no "hash=0 gives other logits"
run 0 opt "$model" --passes=fold,cse,dce,merge,fuse --cpu $([ $native = yes ] && echo avx2 || echo ref) -o "$dir/fused.tir"
# a text of a later stage runs as well: its kernels, level and offsets are made again
run 0 logits "$dir/fused.tir" --tokens $ids -o "$dir/fused" --target ref
cmp -s "$dir/own" "$dir/fused" || no "the fused text gives other logits"
run 1 opt "$dir/fused.tir" --kv f32 --rows 2..8
is "a text that has a cache type keeps it" "$err" "tern: error: kv: got f32, but the graph is for f16"
run 0 opt "$dir/fused.tir" --kv f16 --rows 1 -o "$dir/planned.tir" $([ $native = yes ] || echo "--cpu ref")
run 0 logits "$dir/planned.tir" --tokens $ids -o "$dir/planned" $target
cmp -s "$dir/own" "$dir/planned" || no "the planned text gives other logits"
run 2 run "$model" --weights "$model" --tokens 1
is "weights of a model" "$err" "tern run: --weights goes with a .tir, the model is $model (see tern run --help)"

finish edited
