#!/usr/bin/env bash
# The program's interface: what goes to standard output and to standard error, and the exit status (0 good, 1 bad input or
# environment, 2 usage), with the exact lines.
set -u
. "$(dirname "$0")/program.sh"
run 0 --version
how="" # what runs a model where nothing can be compiled
[ $native = no ] && how="--target ref"

# usage
run 0 --help
run 2
run 2 frobnicate
is "unknown verb" "$err" "tern: no verb is called 'frobnicate' (see tern --help)"
for verb in compile run logits perplexity tokenize detokenize opt inspect bench; do
    run 0 $verb --help
    case $out in "usage: tern $verb "*) ;; *) no "help of $verb: $out" ;; esac
done
run 2 run --frobnicate
is "unknown flag" "$err" "tern run: unknown flag '--frobnicate' (see tern run --help)"
run 2 run -n many
is "bad number" "$err" "tern run: -n: 'many', expected a whole number from -1 to 1073741824 (see tern run --help)"
run 2 run -n
is "missing value" "$err" "tern run: -n: missing N (see tern run --help)"
run 2 compile "$model"
is "no output" "$err" "tern compile: missing -o FILE (see tern compile --help)"
run 2 run -p a --tokens 1
run 2 run --kv f8
is "bad kv" "$err" "tern run: --kv: 'f8', expected one of f16, f32, i8 (see tern run --help)"
# refuse VERB ARGS... LINE: a usage error of the cache's type
refuse() {
    local verb=$1
    run 2 "${@:1:$#-1}"
    is "${*:1:$#-1}" "$err" "tern $verb: ${*: -1} (see tern $verb --help)"
}
q8="-ctk: q8_0 is not a type of this cache; its 8-bit type is i8"
refuse run -ctk q8_0 -ctv q8_0 "$q8"
refuse bench --cache-type-k q8_0 "$q8"
refuse perplexity -f "$0" --cache-type-k=q8_0 "$q8"
refuse logits --tokens 1 -o "$dir/x" -ctk q8_0 "$q8"
refuse run -ctv q8_0 "-ctv${q8#-ctk}"
refuse run --kv q8_0 "--kv${q8#-ctk}"
refuse run -ctk bf16 -ctv bf16 "-ctk: 'bf16', expected one of f16, f32, i8"
refuse run -ctk f16 -ctv f32 "-ctk f16, -ctv f32: keys and values have one type, give both"
refuse run -ctk f32 "-ctk f32, -ctv f16: keys and values have one type, give both"
refuse run --cache-type-v i8 "-ctk f16, -ctv i8: keys and values have one type, give both"
refuse run --kv f32 -ctk f16 -ctv f16 "--kv f32, but -ctk f16"
refuse run --kv f32 -ctk f32 -ctv f16 "--kv f32, but -ctv f16"
run 2 logits "$model" --tokens 1
run 2 perplexity "$model"

# bad input
run 1 run "$dir/none.gguf" -p a
is "no file" "$err" "tern: error: $dir/none.gguf: cannot open: No such file or directory"
echo "hello, this is not a model, only a text that is long enough to have a head" >"$dir/text"
run 1 run "$dir/text" -p a
run 1 inspect "$dir/text"
is "not a model" "$err" "tern: error: $dir/text: the file is a text; expected a GGUF model"
# shellcheck disable=SC2086
run 1 run "$model" --tokens 1,2,99999 $how
is "token out of range" "$err" "tern: error: --tokens: token 99999, expected 0 to 1791"
run 1 run "$model" --tokens 1,x $how
is "not a token" "$err" "tern: error: --tokens: 'x', expected token ids"
run 1 run "$model" --tokens 1,2,3,4 -c 3 $how
is "prompt too long" "$err" "tern: error: the prompt has 4 tokens, but the context has 3 positions"
run 1 run "$model" -p a -c 2000 $how
is "context too large" "$err" "tern: error: -c: 2000 positions, but the model has 1024"
run 1 run "$model" -p a --override-kv general.architecture=str:gpt2
archs=$("$build/make_gguf" --archs | paste -sd, | sed 's/,/, /g; s/\(.*\), /\1 or /')
is "unknown architecture" "$err" "tern: error: $model: general.architecture is 'gpt2', expected $archs"
run 1 run "$model" -p a --override-kv nonsense
is "bad override" "$err" "tern: error: --override-kv: 'nonsense', expected KEY=TYPE:VALUE"

# tokens
text='And the LORD said unto Moses, 1234 "é" <|begin_of_text|>'
run 0 tokenize "$model" --no-bos -p "$text"
ids=$out
run 0 detokenize "$model" --tokens "$ids"
is "round trip" "$out" "$text"
is "no newline" "$(wc -c <"$dir/out")" "$(printf %s "$text" | wc -c)"
run 0 tokenize "$model" -p "KING RICHARD:
"
is "bos" "$out" "1789,978,1530,317"
printf 'KING RICHARD:\n' >"$dir/prompt"
run 0 tokenize "$model" -f "$dir/prompt"
is "from a file" "$out" "1789,978,1530,317"

# opt prints what it parses, and stage=model comes from an empty list
run 0 opt "$model" --passes=
case $out in "tir 1
graph @step stage=model"*) ;; *) no "opt --passes=: $(head -c 200 "$dir/out")" ;; esac
cp "$dir/out" "$dir/model.tir"
run 0 opt "$dir/model.tir" --passes= -o "$dir/again.tir"
cmp -s "$dir/model.tir" "$dir/again.tir" || no "opt of a .tir changed it"
run 0 opt "$dir/model.tir" --passes=fold,cse,dce,merge,fuse --cpu avx2 --rows 1 --dump-after=merge
case $out in "; after merge"*stage=fused*) ;; *) no "dump-after: $(head -c 100 "$dir/out")" ;; esac
run 1 opt "$dir/model.tir" --passes=nonsense
run 1 opt "$model" --dump-after=nonsense
is "unknown pass" "$err" "tern: error: --dump-after: no pass is called 'nonsense'"
printf 'tir 1\ngraph @g stage=model\n  %%a: f32[T,4] = add %%b, %%b\nend\n' >"$dir/bad.tir"
run 1 opt "$dir/bad.tir" --passes=
want="$dir/bad.tir:3:22: '%b' is not defined above
      %a: f32[T,4] = add %b, %b
                         ^
tern: error: $dir/bad.tir: 1 fault"
is "a fault shows its line" "$err" "$want"
run 1 compile "$dir/bad.tir" -o "$dir/none.tern"
case $err in "tern: error: $dir/bad.tir:3:"*"add %b, %b
"*^) ;; *) no "the compiler's error shows no line: $err" ;; esac
run 0 inspect "$model"
case $out in *token_embd.weight*) ;; *) no "inspect of a .gguf" ;; esac

# compile, run, and the same text every way
levels=""
[ $native = no ] && levels="--cpu ref"
# shellcheck disable=SC2086
run 0 compile "$model" -o "$dir/m.tern" $levels
is "compile prints to standard error alone" "$out" ""
run 0 inspect "$dir/m.tern"
case $out in *sections*variants*) ;; *) no "inspect of a .tern" ;; esac
want=87,522,44,299,388,340,297,461
ref="--target ref"
run 0 run "$model" -p "KING RICHARD:
" --temp 0 -n 8 --print-tokens $ref
is "evaluated ids" "$out" "$want"
run 0 run "$dir/m.tern" --tokens 1789,978,1530,317 --temp 0 -n 8 --print-tokens $ref
is "evaluated from the blob" "$out" "$want"
ways="$model $dir/m.tern"
[ $native = no ] && ways=""
for m in $ways; do
    for t in 1 2 3; do
        run 0 run "$m" -f "$dir/prompt" --temp 0 -n 8 --print-tokens -t $t
        is "ids of $m, $t threads" "$out" "$want"
    done
done
[ $native = no ] || ref=""
run 0 run "$dir/m.tern" -f "$dir/prompt" --temp 0 -n 8 $ref
is "text" "$out" "Well, I will not be so"
case $err in *"load time"*"prompt eval time"*"eval time"*) ;; *) no "timing lines: $err" ;; esac
run 0 run "$dir/m.tern" -f "$dir/prompt" --temp 0 -n 0 $ref
is "nothing generated" "$out" ""
run 0 run "$dir/m.tern" --tokens 1789,978 --temp 0 -c 6 --print-tokens --ignore-eos $ref
is "ids until the context is full" "$(echo "$out" | tr ',' '\n' | wc -l)" 5
case $err in *"the context of 6 positions is full"*) ;; *) no "no line at the limit: $err" ;; esac
run 0 run "$dir/m.tern" -p "In the" -n 20 --seed 5 $ref
first=$out
run 0 run "$dir/m.tern" -p "In the" -n 20 --seed 5 --top-k 0 --repeat-penalty 1.0 $ref
run 0 run "$dir/m.tern" -p "In the" -n 20 --seed 5 $ref
is "the seed decides" "$out" "$first"
run 0 run "$dir/m.tern" -p "In the" -n 4 $ref
case $err in *"tern: seed "[0-9]*) ;; *) no "a drawn seed is printed: $err" ;; esac
run 0 run "$dir/m.tern" -p "In the" -n 4 --repeat-penalty 1.3 --top-p 1 --min-p 0 --top-k 300 --seed 1 $ref
run 2 run "$dir/m.tern" -p a --override-kv general.name=str:x
is "override of a blob" "$err" "tern run: --override-kv works on a .gguf, $dir/m.tern is compiled (see tern run --help)"
run 2 run "$dir/m.tern" -p a --target cuda

# cache types: code for the chosen ones, an error for the others
# shellcheck disable=SC2086
run 0 compile "$model" -o "$dir/kv.tern" --kv f16 $levels
run 0 inspect "$dir/kv.tern"
case $out in *" f32  1 "*) no "a blob for f16 alone has variants for f32" ;; esac
run 1 run "$dir/kv.tern" --tokens 1,2 -n 1 --kv f32 $ref
is "a cache type it was not compiled for" "$err" "tern: error: $dir/kv.tern: was not compiled for kv f32; its cache types are: f16"
run 0 run "$dir/kv.tern" --tokens 1789,978,1530,317 --temp 0 -n 8 --print-tokens $ref
is "ids of the smaller blob" "$out" "$want"
run 2 compile "$model" -o "$dir/kv.tern" --kv f16,f8
is "bad kv list" "$err" "tern compile: --kv: 'f8', expected one of f16, f32, i8 (see tern compile --help)"

# logits and perplexity, bit for bit
ids=$(seq -s, 5 44)
run 0 logits "$model" --tokens "$ids" --kv f32 -o "$dir/want" --target ref
is "size of the logits" "$(wc -c <"$dir/want")" $((40 * 1792 * 4))
echo "$ids" | tr ',' '\n' >"$dir/ids"
for m in $ways; do
    for cpu in $("$tern" --version | sed -n 's/cpu levels: //p' | tr ',' ' '); do
        run 0 logits "$m" --token-file "$dir/ids" --kv f32 --cpu "$cpu" -o "$dir/got"
        cmp -s "$dir/want" "$dir/got" || no "logits of $m at $cpu differ from the evaluator's"
    done
done
# a level of another architecture is refused by verbs that run code, and only by them
here=$("$tern" --version | sed -n 's/^cpu levels: //p')
there=neon-dotprod
[ "$here" = neon-dotprod ] && there=avx2
if [ $native = yes ]; then
    foreign="'$there' is of another architecture, expected a level of this machine's, which runs $here"
    for verb in "run -n 1" "logits -o $dir/x" "perplexity" "bench -p 1 -n 1"; do
        case $verb in bench*) words="" ;; *) words="--tokens 1,2" ;; esac
        # shellcheck disable=SC2086
        run 1 $verb -m "$model" $words --cpu $there
        is "tern $verb --cpu $there" "$err" "tern: error: --cpu: $foreign"
    done
    run 2 verify "$model" --tokens 1,2 --cpu $there
    is "verify --cpu $there" "$err" "tern: error: --cpu: $foreign"
    run 1 run "$dir/m.tern" --tokens 1,2 -n 1 --cpu $there
    case $err in
    "tern: error: $dir/m.tern: cpu level '$there' is of another architecture: the file has code for "*", this machine runs $here") ;;
    *) no "a blob, --cpu $there: $err" ;;
    esac
fi
run 0 run "$model" --tokens 1,2 -n 1 --cpu $there --target ref
run 1 run "$model" --tokens 1,2 -n 1 --cpu vax --target ref
is "an unknown level" "$err" "tern: error: --cpu: 'vax', expected one of avx2, avx-vnni, avx512-vnni, amx, neon, neon-dotprod, neon-i8mm, sm_80, sm_90a"
run 1 run "$dir/m.tern" --tokens 1,2 -n 1 --cpu vax --target ref
is "an unknown level of a blob" "${err##*: }" "cpu level 'vax' is unknown, expected one of avx2, avx-vnni, avx512-vnni, amx, neon, neon-dotprod, neon-i8mm, sm_80, sm_90a"
# the cache's type in llama.cpp's spelling
run 0 logits "$dir/m.tern" --tokens "$ids" --kv i8 -o "$dir/want" $ref
run 0 logits "$dir/m.tern" --tokens "$ids" -ctk i8 --cache-type-v=i8 -o "$dir/got" $ref
cmp -s "$dir/want" "$dir/got" || no "logits with -ctk i8 -ctv i8 are not those of --kv i8"
run 0 perplexity "$dir/m.tern" --token-file "$dir/ids" -c 16 --kv f32 $ref
want=$out
run 0 perplexity "$dir/m.tern" --token-file "$dir/ids" -c 16 --cache-type-k f32 -ctv f32 --kv f32 $ref
is "perplexity with -ctk f32 -ctv f32" "$out" "$want"
run 0 run "$dir/m.tern" --tokens 1789,978 --temp 0 -n 2 --print-tokens --kv i8 -ctk i8 $ref
if [ $native = yes ]; then
    run 0 bench "$dir/m.tern" -p 4 -n 0 -r 1 -t 1 --read-mib 0 -ctk i8 -ctv i8 -o csv
    case $out in *,i8,pp4,*) ;; *) no "bench with -ctk i8 -ctv i8: $out" ;; esac
fi
run 0 perplexity "$model" --token-file "$dir/ids" -c 16 --target ref
want=$out
case $want in "tokens 37  nll "*"  perplexity "*) ;; *) no "perplexity: $want" ;; esac
for m in $ways; do
    run 0 perplexity "$m" --token-file "$dir/ids" -c 16 -t 2
    is "perplexity of $m" "$out" "$want"
done
if [ $native = yes ]; then
    run 0 bench "$dir/m.tern" -p 16 -n 4 -r 2 -t 1,2 --read-mib 4
    is "rows of the table" "$(grep -c 'pp16\|tg4' "$dir/out")" 4
    run 0 bench "$dir/m.tern" -p 16 -n 4 -r 2 -t 1 -o json --read-mib 0
    for key in '"test": "pp16"' '"test": "tg4"' '"avg_ts"' '"stddev_ts"' '"samples_ts"' '"n_threads"' '"backend"' '"model"'; do
        case $out in *"$key"*) ;; *) no "bench json has no $key" ;; esac
    done
    run 0 bench "$dir/m.tern" -p 0 -n 4 -r 1 -t 1 -o csv --read-mib 0
fi
finish cli
