# Keys that change what a model computes are heeded or refused, and those that nothing here knows are named in a line.
# shellcheck shell=bash disable=SC2154
a=bitnet-b1.58
m=$dir/m.gguf
# edited EDIT...: the embedded model with other keys, in $m
edited() { $edit "$model" "$m" "$@"; }
ops() { grep -oE '\b(relu2|silu) ' "$dir/out" | sort | uniq -c | tr -d '\n '; }

# The activation, in the file's own namespace.
edited $a.hidden_activation=str:silu
works "silu in the file" "^$" $tern opt "$m" --passes=
same "silu in the file gives silu" "$(ops)" "6silu"
edited $a.hidden_activation=str:relu2
try $tern opt "$m" --passes=
same "relu2 in the file gives relu squared" "$(ops)" "6relu2"
for value in quick_gelu xielu RELU2 "" relu2x; do
    edited "$a.hidden_activation=str:$value"
    refused "activation '$value'" 1 "$a.hidden_activation is '$value', expected relu2, silu, relu, gelu or gelu_tanh" $tern opt "$m" --passes=
done
edited $a.hidden_activation=u32:1
refused "an activation that is a number" 1 "hidden_activation is of type u32" $tern opt "$m" --passes=
try $tern opt "$model" --passes= --override-kv $a.hidden_activation=str:silu
same "an override gives silu" "$got $(ops)" "0 6silu"
edited $a.hidden_activation=str:mish
refused "run" 1 "hidden_activation is 'mish'" $tern run "$m" -p a -n 1 $how
refused "compile" 1 "hidden_activation is 'mish'" $tern compile "$m" --cpu ref -o "$dir/m.tern"

# The same model under the name that says nothing of the activation.
keys="general.architecture=str:bitnet bitnet.context_length=u32:1024 bitnet.embedding_length=u32:256 bitnet.block_count=u32:6
 bitnet.feed_forward_length=u32:768 bitnet.attention.head_count=u32:4 bitnet.attention.head_count_kv=u32:2
 bitnet.attention.layer_norm_rms_epsilon=f32:9.999999747378752e-06 -$a.vocab_size -$a.context_length -$a.embedding_length
 -$a.block_count -$a.feed_forward_length -$a.rope.dimension_count -$a.rope.freq_base -$a.attention.head_count
 -$a.attention.head_count_kv -$a.attention.layer_norm_rms_epsilon"
# shellcheck disable=SC2086
$edit "$model" "$dir/bitnet.gguf" $keys
works "bitnet of few tokens" "^$" $tern opt "$dir/bitnet.gguf" --passes=
same "bitnet of few tokens is silu" "$(ops)" "6silu"
$tern opt "$dir/bitnet.gguf" --passes= --override-kv bitnet.hidden_activation=str:relu2 >"$dir/b.tir" 2>"$dir/err"
$tern opt "$model" --passes= >"$dir/a.tir" 2>>"$dir/err"
same "bitnet with relu2 is the graph of bitnet-b1.58" "$(sed 's/^graph.*//' "$dir/b.tir" | cksum)" "$(sed 's/^graph.*//' "$dir/a.tir" | cksum)"
works "its code gives the evaluator's bits" "" $tern verify "$dir/bitnet.gguf" $how --tokens 5,6,7 --override-kv bitnet.hidden_activation=str:relu2

# Keys that change weights, activations or positions: the neutral value is fine, another refused by name.
while read -r key neutral other; do
    edited "$a.$key=$neutral"
    works "$key=$neutral" "^$" $tern opt "$m" --passes= -o "$dir/o.tir"
    edited "$a.$key=$other"
    refused "$key=$other" 1 "$key .*expected" $tern opt "$m" --passes= -o "$dir/o.tir"
done <<'E2'
logit_scale f32:1 f32:0.5
embedding_scale f32:1 f32:12
residual_scale f32:1 f32:0.22
attn_logit_softcapping f32:0 f32:50
final_logit_softcapping f32:0 f32:30
router_logit_softcapping f32:0 f32:30
attention.clamp_kqv f32:0 f32:8
attention.max_alibi_bias f32:0 f32:8
attention.causal bool:true bool:false
attention.value_length u32:64 u32:32
attention.key_length_swa u32:64 u32:32
attention.q_lora_rank u32:0 u32:1536
attention.temperature_length u32:0 u32:8192
attention.shared_kv_layers u32:0 u32:2
use_parallel_residual bool:false bool:true
swin_norm bool:false bool:true
rope.scaling.type str:none str:dynamic
rope.scaling.yarn_ext_factor f32:1 f32:0
rope.scaling.yarn_log_multiplier f32:0 f32:0.1
rope.dimension_sections i32[]:0,0,0,0 i32[]:11,11,10,0
rope.freq_base_swa f32:10000 f32:1000000
expert_count u32:0 u32:8
expert_used_count u32:0 u32:2
expert_shared_count u32:0 u32:1
leading_dense_block_count u32:0 u32:1
nextn_predict_layers u32:0 u32:1
rescale_every_n_layers u32:0 u32:6
ssm.conv_kernel u32:0 u32:4
tensor_data_layout str:reference str:permuted
E2
edited $a.attention.scale=f32:0.125
works "attention.scale of 1/sqrt(64)" "^$" $tern opt "$m" --passes=
has "and is as ever" "$(grep -m1 ' attend ' "$dir/out")" "scale=0x1p-3"
edited $a.attention.scale=f32:0.25
works "attention.scale is heeded" "^$" $tern opt "$m" --passes=
has "attention.scale in the graph" "$(grep -m1 ' attend ' "$dir/out")" "scale=0x1p-2"
works "and in code" "" $tern verify "$m" $how --tokens 5,6,7
edited $a.attention.sliding_window=u32:512
works "a window is heeded" "^$" $tern opt "$m" --passes=
has "and is in the graph" "$(grep -m1 ' attend ' "$dir/out")" "window=512"
edited $a.attention.sliding_window=u32:512 $a.attention.sliding_window_pattern=u32:6
refused "one of some layers" 1 "$a.attention.sliding_window_pattern says that some layers have no window, expected" $tern opt "$m" --passes=
edited $a.rope.scaling.type=str:yarn $a.rope.scaling.factor=f32:4 $a.rope.scaling.original_context_length=u32:256
works "yarn is heeded" "^$" $tern opt "$m" --passes=
has "its factors are in the graph" "$(grep -m1 'rope_freq ' "$dir/out")" 'rope_freq .rope.factors'
has "and in the scores, by (1 + ln(4)/10)^2" "$(grep -m1 ' attend ' "$dir/out")" "scale=0x1.4"
works "and in code" "" $tern verify "$m" $how --tokens 5,6,7
edited $a.attention.scale=f32:nan
refused "attention.scale nan" 1 "attention.scale is -?nan" $tern opt "$m" --passes=
for key in prism.hadamard.version=u32:1 prism.hadamard.block_size=u32:1024 adapter.type=str:lora adapter.lora.alpha=f32:16 \
    general.type=str:adapter general.type=str:mmproj $a.swiglu_clamp_exp=f32[]:7,7 $a.activation_sparsity_scale=f32[]:1,2; do
    edited "$key"
    refused "$key" 1 "${key%%=*} .*expected" $tern opt "$m" --passes=
    refused "$key in run" 1 "${key%%=*} .*expected" $tern run "$m" -p a -n 1 $how
done

# What nothing here knows is named, all in one line, by every verb that loads the file.
edited $a.vision.block_count=u32:3 zebra.colour=str:white qwen3.rope.freq_base=f32:1e6
line='m.gguf: 3 keys .*ignored.*: bitnet-b1.58.vision.block_count, zebra.colour, qwen3.rope.freq_base$'
for verb in "opt --passes=" "run -p a -n 1 $how" "compile --cpu ref -o $dir/m.tern" "logits --tokens 5 -o $dir/l $how" "verify --tokens 5 $how" \
    "inspect --dot" "compile --emit tir --cpu $level" "bench -p 1 -n 0 -r 1 --read-mib 0 $how"; do
    # shellcheck disable=SC2086
    works "named by $verb" "$line" $tern ${verb%% *} "$m" ${verb#* }
    same "in one line by $verb" "$(grep -c zebra "$dir/err")" 1
done
try $tern diff "$m" "$model"
same "named by diff" "$(grep -cE "$line" "$dir/err")" 1
many=""
for i in $(seq 100); do many="$many zebra.number_$i=u32:1"; done
# shellcheck disable=SC2086
edited $many
works "a hundred are counted" "100 keys .*zebra.number_1,.* and [0-9]+ more$" $tern opt "$m" --passes=
same "and the line is cut" "$([ "$(wc -c <"$dir/err")" -lt 500 ] && echo short)" short
edited general.license=str:mit general.tags=str[]:a,b general.quantization_version=u32:2 quantize.imatrix.file=str:x \
    tokenizer.ggml.scores=f32[]:0 tokenizer.ggml.add_space_prefix=bool:false tokenizer.chat_template=str:x
works "what is known to be harmless is not" "^$" $tern opt "$m" --passes= -o "$dir/o.tir"
works "the embedded model has none" "^$" $tern opt --passes= -o "$dir/o.tir"
