# An option without effect was accepted. Every flag of every verb has effect, or is refused with its range or the reason.
# shellcheck shell=bash disable=SC2154,SC2086
# no REGEX VERB WORDS...: a usage error. none REGEX VERB WORDS...: bad input.
no_use() {
    local regex=$1
    shift
    refused "tern $*" 2 "$regex" "$tern" "$@"
}
no_input() {
    local regex=$1
    shift
    refused "tern $*" 1 "$regex" "$tern" "$@"
}
export XDG_CACHE_HOME=$dir/cache
"$tern" opt "$model" --passes= -o "$dir/m.tir" 2>/dev/null
level=avx2 other=ref
[ $native = yes ] || level=ref other=avx2
"$tern" opt "$model" -o "$dir/planned.tir" --cpu $level 2>/dev/null
blob=$dir/m.tern
if [ $native = yes ]; then "$tern" compile "$model" -o "$blob" --cpu avx2 --kv f16 2>/dev/null || "$tern" compile "$model" -o "$blob" --kv f16 2>/dev/null
else "$tern" compile "$model" -o "$blob" --cpu ref --kv f16 2>/dev/null; fi
[ -s "$blob" ] || bad "no blob to try"
printf 'tir 1\ngraph @g stage=model\n  %%a: f32[T,4] = input {name="a"}\n  %%b: f32[T,4] = relu2 %%a\n  %%o: f32[T,4] = output %%b {name="b"}\nend\n' >"$dir/add.tir"

# ---- --override-kv: a key that somebody reads
opt="opt $model --passes= -o $dir/o.tir"
no_input "freq_bse.*did you mean bitnet-b1.58.rope.freq_base" $opt --override-kv bitnet-b1.58.rope.freq_bse=float:1e6
no_input "general.alignment.*laid out" $opt --override-kv general.alignment=int:64
no_input "general.alignment.*laid out" $opt --override-kv general.alignment=int:32
no_input "bitnet-b1.58.atention.head_count.*did you mean" $opt --override-kv bitnet-b1.58.atention.head_count=int:4
no_input "llama.rope.freq_base" $opt --override-kv llama.rope.freq_base=float:1e6
no_input "general.file_type" $opt --override-kv general.file_type=int:40
no_input "tokenizer.ggml.add_bos.*did you mean tokenizer.ggml.add_bos_token" $opt --override-kv tokenizer.ggml.add_bos=bool:false
no_input "general.name" $opt --override-kv general.name=int:5
no_input "rope.freq_base.*float" $opt --override-kv bitnet-b1.58.rope.freq_base=int:10000
no_input "twice" $opt --override-kv bitnet-b1.58.rope.freq_base=float:1e6 --override-kv bitnet-b1.58.rope.freq_base=float:1e5
no_input "' 5'" $opt "--override-kv=bitnet-b1.58.block_count=int: 5"
no_input "'\+6'" $opt "--override-kv=bitnet-b1.58.block_count=int:+6"
no_input "' 1e6'" $opt "--override-kv=bitnet-b1.58.rope.freq_base=float: 1e6"
asm="compile $model --emit tir"
[ $native = yes ] && asm="compile $model --emit asm"
for verb in "run -m $model -p a -n 1 $how" "logits $model --tokens 1 -o $dir/l $how" "perplexity $model --tokens 1,2 $how" "bench -m $model -p 1 -n 0 $how" \
    "compile $model -o $dir/x.tern --cpu ref" "compile $model --emit tir --cpu ref" "$asm" "inspect $model --report" "tokenize $model -p a" "detokenize $model --tokens 5"; do
    no_input "freq_bse" $verb --override-kv bitnet-b1.58.rope.freq_bse=float:1e6
done
refused "verify --override-kv" 2 freq_bse "$tern" verify "$model" --tokens 1,2 $how --override-kv bitnet-b1.58.rope.freq_bse=float:1e6
no_input "rope.freq_base" tokenize "$model" -p a --override-kv bitnet-b1.58.rope.freq_base=float:1e6
works "an override that is read" "" "$tern" $opt --override-kv bitnet-b1.58.rope.freq_base=float:1e6
works "an override of a key that is absent and read" "" "$tern" $opt --override-kv bitnet-b1.58.rope.scale_linear=float:1
works "an override of a name" "" "$tern" $opt --override-kv general.name=str:x
works "an override of the tokenizer" "" "$tern" tokenize "$model" -p a --override-kv tokenizer.ggml.add_bos_token=bool:false
same "without BOS" "$out" "$("$tern" tokenize "$model" -p a --no-bos)"
for file in "$dir/m.tir" "$blob"; do
    no_use "override-kv" opt "$file" --override-kv general.name=str:x
    no_use "ternary-dense" opt "$file" --ternary-dense
    no_use "i2s-layout" opt "$file" --i2s-layout 1x4
done
no_use "override-kv" compile "$dir/m.tir" --emit tir --override-kv general.name=str:x
no_use "ternary-dense" compile "$dir/m.tir" --emit dot --ternary-dense
no_input "ternary-dense" opt "$model" --passes= --ternary-dense
no_input "i2s-layout: got .4x1., expected" opt "$model" --passes= --i2s-layout 4x1

# ---- one model, each flag once
no_use "got .*m.tir" run -m "$model" "$dir/m.tir" -p a
for verb in run logits perplexity tokenize detokenize opt inspect bench verify; do no_use "'b.gguf'" $verb -m a.gguf b.gguf; no_use "'b.gguf'" $verb b.gguf -m a.gguf; done
no_use "'b.gguf'" compile -m a.gguf b.gguf -o "$dir/x"
no_use "got '1' and then '2'" run -n 1 -n 2
no_use "got '1' and then '2'" run -n 1 --predict=2
no_use "got 'f16' and then 'i8'" bench --kv f16 --kv i8
no_use "got 'a' and then 'b'" tokenize -p a -p b
no_use "got .*a.tir.* and then .*b.tir" opt -o a.tir -o b.tir
no_use "got '-' and then 'b.dot'" inspect --dot --dot=b.dot
works "the same twice" "" "$tern" tokenize "$model" -m "$model" -p a -p a
works "--no-bos twice" "" "$tern" tokenize "$model" --no-bos --no-bos -p a

# ---- no value is empty, but a text and a list of passes
for words in "run --kv" "run --cpu" "run --head" "run --target" "run -m" "run -f" "run --tokens" "run --token-file" "run --weights" "run -ctk" "run --profile" \
    "run --override-kv" "run --tune" "compile -o" "compile --emit" "compile --cpu" "compile --kv" "compile --head" "compile --target" "compile --tune-cache" "opt --rows" \
    "opt --cpu" "opt --kv" "opt --head" "opt --dump-after" "opt -o" "inspect --dot" "inspect --svg" "inspect --json" "inspect --profile" "inspect -m" "eval --weights" "bench -o" "bench -p" \
    "bench -t" "bench -pg" "verify --against" "verify --reduce" "verify --rows" "logits -o" "logits --tokens" "perplexity -f" "tokenize -f" "detokenize --tokens"; do
    case $words in
    *" --"*) no_use "got '', expected" ${words% *} "${words#* }=" ;;
    *) no_use "got '', expected" ${words% *} ${words#* } "" ;;
    esac
done
no_use "got '', expected" run "" -p a
no_use "got '', expected" diff "" "$model"
works "an empty text" "" "$tern" tokenize "$model" -p ""
works "no passes" "" "$tern" opt "$model" --passes ""

# ---- numbers
for n in ' 1' '+1' '1e3' '0x10' '1.0' '1 ' '' '--1' '99999999999999999999'; do
    regex="'${n/+/\\+}'|got ''"
    no_use "$regex" run -n "$n"
    no_use "$regex" run --seed "$n"
    no_use "$regex" bench -p "$n"
done
no_use "1, 2" bench -p "1, 2"
no_use "'1,'" bench -t "1,"
no_use "'1.. 2'" verify --rows "1.. 2" --seed 1
no_use "' 1'" opt --rows " 1"
no_input "'\+1'" run "$model" --tokens +1 -n 1 --target ref
for x in ' 1' '+1' nan inf 1e40 '' 1,0 0x1p-1; do
    for flag in --temp --top-p --min-p --repeat-penalty; do no_use "$flag: .*('${x/+/\\+}'|''), expected" run $flag "$x"; done
done
no_use "' 5'" compile "$model" -o "$dir/x" "--tune= 5"
no_use "0x5" compile "$model" -o "$dir/x" "--tune=0x5"
no_use "0 to 1" run --top-p 7
no_use "0 to 1" run --top-p -0.5
no_use "0 to 1" run --min-p 1.5
no_use "0 to 1" run --min-p -1
no_use "0 to" run --temp -1
no_use "repeat-penalty" run --repeat-penalty 0
no_use "repeat-penalty" run --repeat-penalty -1
no_use "-2 to 2" run --presence-penalty 2.5
no_use "-2 to 2" chat --frequency-penalty -3
no_use "from -1 to" run --top-k -2
no_use "from -1 to" run -n -2
no_use "from 1 to" compile "$model" -o "$dir/x" -c 0

# ---- seeds
gen="run $model --tokens 1789,978 -n 3 --print-tokens --target ref"
no_use "0 to 18446744073709551614, or -1" $gen --seed 18446744073709551615
no_use "0 to 18446744073709551614, or -1" $gen --seed -2
works "--seed -1 is random" "tern: seed [0-9]+" "$tern" $gen --seed -1
works "the largest seed" "" "$tern" $gen --seed 18446744073709551614
first=$out
works "again" "" "$tern" $gen -s 18446744073709551614
same "the largest seed is a seed" "$out" "$first"
works "llama.cpp's number for a random one is a seed like any" "" "$tern" $gen -s 4294967295
hasnt "no seed is drawn" "$err" "tern: seed"

# ---- sampling that takes the best id: a line, since scripts give both
works "sampling beside --temp 0" "^tern: --top-k, --seed: no effect with --temp 0" "$tern" $gen --temp 0 --top-k 20 --seed 1
same "one line says so" "$(grep -c 'no effect' <<<"$err")" 1
works "top-p, min-p beside --temp 0" "^tern: --top-p, --min-p: no effect with --temp 0" "$tern" $gen --temp 0 --top-p 0.5 --min-p 0.1
works "--temp beside --top-k 1" "^tern: --temp, --seed: no effect with --top-k 1" "$tern" $gen --top-k 1 --temp 0.5 --seed 3
works "--temp 0 alone" "" "$tern" $gen --temp 0
hasnt "nothing to say" "$err" "no effect"
works "penalties beside --temp 0" "" "$tern" $gen --temp 0 --repeat-penalty 1.5 --presence-penalty 0.5 --frequency-penalty -0.5
hasnt "a penalty has effect" "$err" "no effect"
works "--draft-max where one id is made" "--draft-max: no effect" "$tern" run "$model" --tokens 1789,978 -n 1 --temp 0 --draft-max 4 --target ref
no_use "profile.*-n 0" run "$model" -p a -n 0 --profile

# ---- -c 0 is the model's own context, as in llama.cpp; windows too
works "perplexity -c 0" "" "$tern" perplexity "$model" --tokens 1,2,3 -c 0 --target ref
same "all of it" "$out" "$("$tern" perplexity "$model" --tokens 1,2,3 --target ref)"
no_use "-c" perplexity "$model" --tokens 1,2,3 -c 1

# ---- threads
cpus=$(nproc)
if [ "$cpus" -le 256 ] && [ "$cpus" = "$(nproc --all)" ]; then
    how_t="run $model --tokens 1789,978 -n 1 --temp 0 --print-tokens $how"
    works "as many threads as processors" "" "$tern" $how_t -t "$cpus"
    hasnt "nothing to say" "$err" "processors?:|more threads"
    works "four times as many threads" "-t: $((4 * cpus)) threads.* $cpus processor" "$tern" $how_t -t $((4 * cpus))
    same "one line of it" "$(grep -c "more threads" <<<"$err")" 1
    too=$((4 * cpus + 1))
    for verb in "run $model -p a" "logits $model --tokens 1 -o $dir/l" "perplexity $model --tokens 1,2" "bench $model"; do no_use "$too|1024" $verb -t $too; done
    no_use "$too|1024" bench "$model" -t 1,$too
    no_use "$too|1024" compile "$model" -o "$dir/x" --tune=1 --tune-cache "$dir/cache" -t $too
else
    echo "skipped: counts of threads: more processors than the test knows, or not all of them ours"
fi
works "the evaluator has one thread" "-t: no effect with --target ref" "$tern" $gen --temp 0 -t 1

# ---- what a kind of file makes nothing of
for file in "$model" "$dir/m.tir"; do
    for verb in "run -p a" "logits --tokens 1 -o $dir/l" "perplexity --tokens 1,2" "bench"; do no_use "no-check" $verb -m "$file" --no-check; done
    works "a level beside --target ref" "^tern: --cpu: no effect with --target ref" "$tern" run "$file" --tokens 5 -n 1 --target ref --cpu avx2
done
no_use "unknown flag '--no-check'" verify "$blob" --tokens 1 --no-check
for flag in "--weights $model" "--head q8" "--override-kv general.name=str:x" --ternary-dense "--i2s-layout 1x4" --tune "--target llvm" "--target xsmm"; do
    no_use "${flag%% *}" run "$blob" -p a $flag
done
no_use "target" verify "$blob" --tokens 1,2 --target xsmm
no_use "weights" run "$model" -p a --weights "$model"
no_use "weights" compile "$model" -o "$dir/x" --weights "$model"
no_use "tune-cache" run "$model" -p a --tune-cache "$dir/x"
no_use "tune-cache" compile "$model" -o "$dir/x" --tune-cache "$dir/x"
# the evaluator has nothing to tune, which is a line of its own
works "--tune beside --target ref" "tuned for no level" "$tern" run "$model" --tokens 5 -n 1 --target ref --tune=1
works "--tune beside --cpu ref" "tuned for no level" "$tern" compile "$model" -o "$dir/r.tern" --cpu ref --tune=1

# ---- compile
no_use "cpu" compile "$model" -o "$dir/x" --target ref --cpu avx2
no_use "levels" compile "$model" -o "$dir/x" --target ref --levels avx2
works "--target ref --cpu ref" "" "$tern" compile "$model" -o "$dir/r.tern" --target ref --cpu ref
no_use "variant" compile "$model" -o "$dir/x" --variant 1
no_use "fold-layers" compile "$model" -o "$dir/x" --fold-layers
for kind in tir json; do
    no_use "variant" compile "$model" --emit $kind --variant 1
    no_use "fold-layers" compile "$model" --emit $kind --fold-layers
done
for kind in tir json dot; do
    no_use "ctx-size|-c" compile "$model" --emit $kind -c 64
    no_use "kv" compile "$model" --emit $kind --kv f16
    no_use "target" compile "$model" --emit $kind --target ref
    no_use "weights" compile "$dir/m.tir" --emit $kind --weights "$model"
done
for kind in llvm asm obj; do
    [ $native = no ] || works "--emit $kind of two levels" "--cpu: 'avx512-vnni' has no effect" "$tern" compile "$model" --emit $kind --cpu avx2,avx512-vnni
    no_use "variant" compile "$model" --emit $kind --variant 1
done
no_use "twice" compile "$model" -o "$dir/x" --kv f16,f16
works "compile --emit dot --fold-layers" "" "$tern" compile "$model" --emit dot --fold-layers --variant 1 --cpu ref

# ---- opt
no_input "kv" opt "$model" --passes=fold --kv i8
no_input "rows" opt "$model" --passes=fold,merge --rows 2..8
no_input "level" opt "$model" --passes= --cpu ref
no_input "head" opt "$model" --passes=fold,fuse --head f32
no_input "head" opt "$model" --passes=fold,layout --head q8
no_input "level" opt "$dir/planned.tir" --cpu $other
no_input "kv" opt "$dir/planned.tir" --kv i8
no_input "rows" opt "$dir/planned.tir" --rows 9..512
no_input "head" opt "$dir/planned.tir" --head f16
no_input "O0" opt "$dir/planned.tir" -O0
no_input "time|no pass" opt "$model" --passes= --time-passes
no_input "rows" opt "$blob" --variant 0 --rows 9..512
no_input "vax" opt "$model" --cpu vax
no_input "nonsense" opt "$model" --passes=fold --dump-after=nonsense
works "opt with all of them" "" "$tern" opt "$model" --kv i8 --rows 2..8 --cpu ref --head q8 --time-passes -o "$dir/o.tir"
works "what a text says already" "" "$tern" opt "$dir/o.tir" --kv i8 --rows 2..8 --cpu ref

# ---- eval, diff, verify
no_input "weights" eval "$dir/add.tir" --weights "$model"
no_use "no-stats" diff -q --no-stats "$model" "$model"
no_use "no-bos" verify "$model" --tokens 1,2 --no-bos
no_use "no-bos" verify "$model" --seed 1 --no-bos
for flag in "-t 1" "--head q8" "--target llvm"; do no_use "${flag%% *}" verify "$dir/add.tir" --seed 1 $flag; done
for flag in "-t 1" "--head q8" "--target ref" "--cpu avx2"; do no_use "${flag%% *}" verify "$model" --tokens 1 --against "$dir/m.tir" $flag; done
refused "verify --weights that no tensor needs" 2 weights "$tern" verify "$dir/add.tir" --seed 1 --weights "$model" --target ref
works "a level beside verify --target ref" "^tern: --cpu: no effect" "$tern" verify "$model" --tokens 1,2 --target ref --cpu avx2

# ---- inspect
no_input "layer 99.*0 to 5" inspect "$model" --layer 99 --dot
no_input "layer 6.*0 to 5" inspect "$model" --layer 6 --dot
no_input "layer" inspect "$dir/add.tir" --layer 0 --dot
works "the last layer" "" "$tern" inspect "$model" --layer 5 --dot
no_use "layer" inspect "$model" --layer 1
no_use "layer" inspect "$model" --layer 1 --json
no_use "fold-layers" inspect "$model" --layer 1 --fold-layers --dot
no_use "fold-layers" inspect "$model" --fold-layers
no_use "fold-layers" inspect "$model" --fold-layers --json
no_use "variant" inspect "$model" --variant 0
no_use "variant" inspect "$model" --variant 0 --json
no_use "report" inspect "$model" --report --variant 0
no_use "profile" inspect "$model" --profile "$dir/add.tir" --json
no_input "variant 1" inspect "$model" --variant 1 --dot

# ---- bench
no_use "no test" bench "$model" -p 0 -n 0
no_use "no test" bench "$model" -p 0,0 -n 0
no_use "-b" bench "$model" -p 8 -n 0 -b 4
no_use "-o" bench "$model" -o xml

# ---- main
no_use "'x'" --version x
no_use "'x'" --help x
