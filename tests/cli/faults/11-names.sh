# Names that are nearly right, or another program's; standard output that fills up; what a picture needs.
# shellcheck shell=bash disable=SC2154,SC2086
if [ -w /dev/full ]; then
    for words in --help "run --help" --version "help" "help run"; do
        try sh -c '"$@" >/dev/full' sh "$tern" $words
        same "tern $words >/dev/full" "$got" 1
        has "tern $words >/dev/full says why" "$err" "standard output"
    done
    try sh -c '"$@" >/dev/full' sh "$tern" diff "$model" "$root/tests/cli/test_cli.sh"
    same "trouble stays 2" "$got" 2
    "$tern" opt "$model" --passes= -o "$dir/a.tir"
    sed '0,/ relu2 /s// silu /' "$dir/a.tir" >"$dir/b.tir"
    try sh -c '"$@" >/dev/full' sh "$tern" diff "$dir/a.tir" "$dir/b.tir"
    same "diff >/dev/full is trouble" "$got" 2
else
    echo "skipped: no /dev/full"
fi
for verb in compile run logits perplexity tokenize detokenize render opt eval inspect diff verify bench devices; do
    works "tern help $verb" "" "$tern" help $verb
    has "of that verb" "$out" "^usage: tern $verb "
    same "as --help" "$out" "$("$tern" $verb --help)"
done
refused "tern help rum" 2 "did you mean run" "$tern" help rum
refused "tern help run run" 2 "'run'" "$tern" help run run
refused "tern bnech" 2 "no verb is called 'bnech', did you mean bench\?" "$tern" bnech
refused "tern complie" 2 "did you mean compile" "$tern" complie "$model"
refused "tern RUN" 2 "did you mean run" "$tern" RUN
refused "tern model.gguf" 2 "did you mean tern run $model" "$tern" "$model"
refused "tern -m" 2 "verb" "$tern" -m "$model" -p a
try "$tern" frobnicate
same "nothing is near" "$err" "tern: no verb is called 'frobnicate' (see tern --help)"
# near VERB TYPED MEANT
near() { refused "tern $1 $2" 2 "unknown flag '$2', did you mean $3\?" "$tern" $1 "$2" 1; }
near run --promt --prompt
near run --tmep --temp
near run --n-pedict --n-predict
near run --treads --threads
near run --overide-kv --override-kv
near bench --n-promt --n-prompt
near compile --ouput --output
near inspect --fold-layer --fold-layers
near opt --dump-afer --dump-after
near verify --agianst --against
near diff --name --names
near run --Temp --temp
refused "a value stays with the flag" 2 "unknown flag '--promt', did you mean --prompt\?" "$tern" run --promt=x
# other VERB FLAG REGEX: of another program
other() { refused "tern $1 $2" 2 "'$2'.*$3" "$tern" $1 $2; }
other run -ngl "--device"
other run --n-gpu-layers "--device"
other run --gpu-layers "--device"
other bench -ngl "--device"
other run -cnv chat
other run -no-cnv chat
other run -i "one prompt"
other run -hf download
other run --hf-repo download
other logits --grammar grammar
other logits -l logit-bias
other run --reverse-prompt "--stop"
other run --lora LoRA
other run --temperature "--temp"
other run --ctx_size "--ctx-size"
other run --n-ctx "--ctx-size"
other run -tb "-t"
other run --threads-batch "-t"
other run --mlock page
other run --no-mmap map
other run -b "step"
other run -ub "step"
other run -fa attention
other run --flash-attn attention
other run --mirostat sampl
other run --typical sampl
other run --repeat-last-n 64
other logits -sp special
other run --no-display-prompt echo
other run --verbose-prompt tokenize
other run -sys chat
other run --chat-template chat
other run --jinja chat
other run -md draft-max
other run --model-draft draft-max
other run --rope-freq-base override-kv
other run --rope-scaling rope
other run --numa taskset
other run -e shell
other run --port serve
other run --host serve
other run -np slot
other run --parallel slot
other run --embedding embed
other run -dev "--device"
other compile --device "runs no model"
other run --list-devices "tern devices"
other run -ts "--device"
other run --log-disable "standard error"
other run -v "standard error"
other run --version "tern --version"
other run --mmproj text
other run -j "json-schema"
other logits --json-schema grammar
other run --n_predict "--n-predict"
other run --top_k "--top-k"
other run --ignore_eos "--ignore-eos"
other perplexity -ppl perplexity
other bench -ub step
other bench -fa attention
other bench --progress "standard error"
other bench -rtr repack
other compile --outtype weights
# every flag of the table is one that no verb has
while read -r flag; do
    for verb in compile run logits perplexity tokenize detokenize render opt eval inspect diff verify bench devices; do
        "$tern" $verb --help | grep -qE "^  ([^ ]+ )*$flag( |\[|$)" && [ "$verb" = run ] && bad "tern run has $flag of the table"
    done
done < <(printf '%s\n' -ngl -cnv -i -hf -j --lora --temperature)

# two of BOS
doubled=$("$tern" tokenize "$model" -p '<|begin_of_text|>hello' --special 2>/dev/null)
has "the text's own and the one added" "$doubled" "^1789,1789,"
works "tokenize --special says so" "two|twice" "$tern" tokenize "$model" -p '<|begin_of_text|>hello' --special
same "in one line" "$(wc -l <"$dir/err")" 1
works "tokenize --special --no-bos" "" "$tern" tokenize "$model" -p '<|begin_of_text|>hello' --special --no-bos
same "has nothing to say" "$err" ""
works "tokenize without --special" "" "$tern" tokenize "$model" -p '<|begin_of_text|>hello'
same "has nothing to say either" "$err" ""
works "run says so" "BOS.*(two|twice)" "$tern" run "$model" -p '<|begin_of_text|>hello' -n 1 --temp 0 --target ref
works "run without" "" "$tern" run "$model" -p 'hello' -n 1 --temp 0 --target ref
hasnt "has nothing to say" "$err" "BOS"
works "EOS too" "EOS.*(two|twice)" "$tern" tokenize "$model" -p 'hello<|end_of_text|>' --special --override-kv tokenizer.ggml.add_eos_token=bool:true

# graphviz
try env PATH=/nonexistent "$tern" inspect "$model" --svg
same "--svg without dot" "$got" 1
has "says what to install" "$err" "apt install graphviz"

# bench: the head that was used, the size of the file
b="bench -p 1 -n 0 -r 1 -t 1 --read-mib 0 $how"
for head in q6 q8 f32 f16; do
    works "bench --head $head" "" "$tern" $b -m "$model" --head $head
    has "is labelled so" "$out" "i2s, $head head"
done
works "bench of a .gguf" "" "$tern" $b -m "$model"
has "f16 as it is in the file" "$out" "i2s, f16 head"
has "the size is said to be the file's" "$out" "size: .*file"
works "bench json" "" "$tern" $b -m "$model" -o json
has "model_size" "$out" "\"model_size\": $(wc -c <"$model"),"
has "weight_bytes" "$out" "\"weight_bytes\": [0-9]+"
works "bench csv" "" "$tern" $b -m "$model" -o csv
has "csv has the file's size" "$out" ",$(wc -c <"$model"),"
works "compile --head q6" "" "$tern" compile "$model" -o "$dir/q6.tern" --head q6 --kv f16 $([ $native = no ] && echo --cpu ref)
works "bench of the blob" "" "$tern" $b -m "$dir/q6.tern" -o json
has "its label" "$out" '"model_type": "i2s, q6 head"'
has "its size" "$out" "\"model_size\": $(wc -c <"$dir/q6.tern"),"
works "the embedded model" "" "$tern" $b
has "has no file" "$out" "size: of the weights"
