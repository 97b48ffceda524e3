# shellcheck shell=bash disable=SC2034,SC2154,SC2086
# An infinity, a NaN or an overflow inside a model must not end as finite numbers: what has a finite result gives that, what
# has none is refused with the row's name. 19 known tokens are scored; scales of ternary tensors and weights of norms are
# multiplied.
ids=1789,303,258,363,409,333,769,44,1672,692,333,258,532,268,470,44,267,452,333,354
score() { # EDIT... [-- flags]: perplexity, or what is said instead, in $text
    local edits=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do edits+=("$1") && shift; done
    [ $# -gt 0 ] && shift
    $edit "$model" "$dir/edited.gguf" "${edits[@]}"
    try "$tern" perplexity "$dir/edited.gguf" --tokens $ids -t 1 $how "$@"
    text=$(sed -n 's/.*perplexity //p' <<<"$out")
    [ "$got" = 0 ] || text=$err
}
near() { # WHAT GOT LEAST MOST
    if awk -v x="$2" -v lo="$3" -v hi="$4" 'BEGIN { exit !(x + 0 == x && x >= lo && x <= hi) }'; then
        good "$1"
    else
        bad "$1: got '${2:0:200}', expected $3 to $4"
    fi
}
nan="row [0-9]+ \(slot 0, position [0-9]+\): its logits hold NaN or infinity"

# ---- what a sub-norm takes out again: the same text at any scale that f32 can hold
score general.name=str:same
near "the small model" "$text" 2.60 2.63
plain=$text
for by in 1e6 1e9 1e10 1e12 1e15; do
    score "tensor:blk.0.ffn_gate.weight*$by"
    near "ffn_gate times $by" "$text" 2.58 2.65
done
for by in 1e9 1e18 1e25 1e30; do
    score "tensor:blk.2.ffn_up.weight*$by"
    near "ffn_up times $by" "$text" 2.58 2.65
done
for by in 1e12 1e19 1e25 1e30; do
    score "tensor:blk.0.attn_v.weight*$by" -- --kv f32
    near "attn_v times $by, cache f32" "$text" 2.58 2.65
done
score "tensor:blk.0.attn_v.weight*1e30" -- --kv i8
near "attn_v times 1e30, cache i8" "$text" 2.50 2.75
# a residual this large leaves nothing of the others, but has a norm; 1792 is what zeros give
score "tensor:blk.5.ffn_down.weight*1e25"
hasnt "ffn_down times 1e25" "$text" "^1792\.0"
score "tensor:blk.0.ffn_down.weight*1e25"
hasnt "ffn_down times 1e25, first layer" "$text" "^1792\.0"
if [ $native = yes ]; then
    for level in avx2 avx512-vnni amx; do
        "$tern" --version | grep -qw "$level" || continue
        score "tensor:blk.0.ffn_gate.weight*1e12" -- --cpu $level
        near "ffn_gate times 1e12 on $level" "$text" 2.58 2.65
    done
    # other kernels: one row at a time, a few rows, many, on two threads
    for c in 2 7; do
        score "tensor:blk.0.ffn_gate.weight*1e12" -- -c $c
        big=$text
        score general.name=str:same -- -c $c
        near "ffn_gate times 1e12, windows of $c" "$big" "$(awk -v x="$text" 'BEGIN { print x * 0.98 }')" \
            "$(awk -v x="$text" 'BEGIN { print x * 1.02 }')"
    done
    $edit "$model" "$dir/edited.gguf" "tensor:blk.0.ffn_gate.weight*1e12"
    try "$tern" run "$dir/edited.gguf" -p "And the LORD said unto Moses," --temp 0 -n 12 -t 2
    one=$out
    try "$tern" run "$model" -p "And the LORD said unto Moses," --temp 0 -n 12 -t 2
    same "a text by ffn_gate times 1e12" "$one" "$out"
fi

# ---- no finite result: refused
refuse_scaled() { # WHAT EDIT... [-- flags]
    local what=$1
    shift
    score "$@"
    if [ "$got" != 1 ]; then bad "$what: exit $got, expected 1: '${text:0:100}'"
    else has "$what" "$err" "$nan"; fi
}
refuse_scaled "ffn_gate times 1e25" "tensor:blk.0.ffn_gate.weight*1e25"
refuse_scaled "ffn_up times 1e38" "tensor:blk.0.ffn_up.weight*1e38"
refuse_scaled "attn_k times 1e38" "tensor:blk.0.attn_k.weight*1e38" -- --kv f32
refuse_scaled "attn_q times 1e38" "tensor:blk.0.attn_q.weight*1e38" -- --kv f32
# an infinite value on its way into the cache: f16 has infinities of its own
for kv in f16 f32 i8; do
    refuse_scaled "attn_v infinite, cache $kv" "tensor:blk.0.attn_v.weight*1e38" -- --kv $kv
    refuse_scaled "attn_k infinite, cache $kv" "tensor:blk.0.attn_k.weight*1e38" -- --kv $kv
    refuse_scaled "attn_norm infinite, cache $kv" "tensor:blk.0.attn_norm.weight@3=inf" -- --kv $kv
done
for at in 0 255; do
    for value in inf -inf nan; do
        refuse_scaled "output_norm.weight[$at] = $value" "tensor:output_norm.weight@$at=$value"
        refuse_scaled "ffn_sub_norm.weight[$at] = $value" "tensor:blk.3.ffn_sub_norm.weight@$at=$value"
    done
done
refuse_scaled "output_norm times 1e38" "tensor:output_norm.weight*1e38"
if [ $native = yes ]; then
    for head in q6 q8; do
        refuse_scaled "output_norm times 1e38, head $head" "tensor:output_norm.weight*1e38" -- --head $head
        refuse_scaled "output_norm.weight[7] = inf, head $head" "tensor:output_norm.weight@7=inf" -- --head $head
    done
fi

# ---- ops by themselves: the evaluator's word
cat >"$dir/ops.tir" <<'E'
tir 1
graph @ops stage=model
  $x: f32[6,4] = const {values=[0x1p66,-0x1p66,0x1p65,0x1p66,0x1p127,-0x1p127,0x1p126,0x0p+0,inf,1,2,3,1,-inf,2,3,1,2,3,nan,0x1p63,0x1p63,-0x1p63,0x1p63]}
  $w: f32[4] = const {values=[1,1,1,1]}
  $s: f32[2,4] = const {values=[-87,-88,-89,-100,-0x1p66,-0x1p127,-inf,nan]}
  %norm: f32[6,4] = rmsnorm $x, $w {eps=0x1p-17}
  %quant: q8[6,4] = quant $x
  %silu: f32[2,4] = silu $s
  %relu2: f32[2,4] = relu2 $s
  %o: f32[6,4] = output %norm {name="hidden"}
end
E
try "$tern" eval "$dir/ops.tir"
line() { # the numbers of a line of `tern eval`; a NaN has no sign
    grep -F "%$1 = " <<<"$out" | sed 's/.* = //; s/-nan/nan/g'
}
same "rmsnorm of 2^66" "$(line 'norm[0]')" "1.10940039 -1.10940039 0.554700196 1.10940039"
same "rmsnorm of 2^127" "$(line 'norm[1]')" "1.33333337 -1.33333337 0.666666687 0"
for i in 2 3 4; do same "rmsnorm of no number, row $i" "$(line "norm[$i]")" "nan nan nan nan"; done
same "rmsnorm of 2^63" "$(line 'norm[5]')" "1 1 -1 1"
has "quant of infinity" "$(line 'quant[2]')" "^d inf "
has "quant of -infinity" "$(line 'quant[3]')" "^d inf "
has "quant of NaN" "$(line 'quant[4]')" "^d nan "
same "silu where exp overflows" "$(sed 's/.* \([^ ]*\) \([^ ]*\)$/\1 \2/' <<<"$(line 'silu[0]')")" "-0 -0"
same "silu of what is far below" "$(line 'silu[1]')" "-0 -0 -0 nan"
same "relu2 keeps NaN" "$(line 'relu2[1]')" "0 0 0 nan"

# ---- a value that saturates in an f16 cache is said once, by every verb that fills one
saturated="^tern: warning: [0-9]+ values? .*65,?504.*--kv f32"
$edit "$model" "$dir/big.gguf" "tensor:blk.0.attn_v.weight*1e8"
for verb in "perplexity --tokens $ids" "logits --tokens $ids -o $dir/logits" "run -p And -n 3 --temp 0" "bench -p 4 -n 2 -r 1 --read-mib 0"; do
    # shellcheck disable=SC2086
    set -- $verb
    try "$tern" $1 "$dir/big.gguf" "${@:2}" -t 1 $how
    same "$1 of values that saturate ends well" "$got" 0
    same "$1 says it once" "$(grep -cE -- "$saturated" <<<"$err")" 1
    try "$tern" $1 "$dir/big.gguf" "${@:2}" -t 1 --kv f32 $how
    hasnt "$1 with a cache of f32 says nothing" "$err" "65,?504"
    try "$tern" $1 "$model" "${@:2}" -t 1 $how
    hasnt "$1 of the model as it is says nothing" "$err" "65,?504"
done
# verify too, whatever the result is, and as often as the steps of the model's own run have it
for verb in "" "--target ref" "-t 3"; do
    # shellcheck disable=SC2086
    try "$tern" verify "$dir/big.gguf" --tokens $ids $how $([ "$verb" = "$how" ] || echo "$verb")
    same "verify $verb of values that saturate: equal" "$got" 0
    same "verify $verb says it once" "$(grep -cE -- "$saturated" <<<"$err")" 1
    number=$(sed -n 's/^tern: warning: \([0-9]*\) value.*/\1/p' <<<"$err")
    try "$tern" perplexity "$dir/big.gguf" --tokens $ids $how
    same "verify $verb has run's number" "$number" "$(sed -n 's/^tern: warning: \([0-9]*\) value.*/\1/p' <<<"$err")"
done
"$tern" compile "$dir/big.gguf" --cpu ref --kv f16 -o "$dir/big.tern" 2>/dev/null
try "$tern" verify "$dir/big.tern" --against "$model" --tokens $ids --target ref
same "verify of values that saturate against another model: different" "$got" 1
same "and says it once" "$(grep -cE -- "$saturated" <<<"$err")" 1
try "$tern" verify "$dir/big.gguf" --tokens $ids --kv f32 $how
hasnt "verify with a cache of f32 says nothing" "$err" "65,?504"
# the number does not depend on threads, or on how the rows are cut into steps
if [ $native = yes ]; then
    numbers=""
    for cut in "-t 1" "-t 2" "-t 2 --cpu avx2" "-t 1 --target ref"; do
        try "$tern" perplexity "$dir/big.gguf" --tokens $ids $cut
        numbers="$numbers $(sed -n 's/^tern: warning: \([0-9]*\) value.*65,*504.*/\1/p' <<<"$err")"
    done
    has "the number is the same" "$numbers" '^ ([0-9]+)( \1){3}$'
fi
