#!/usr/bin/env bash
# tern convert, and folders of Hugging Face as models: a folder, the GGUF it was made of and the GGUF it becomes give the same
# logits, for each architecture; and what is refused.
set -u
. "$(dirname "$0")/program.sh"
target="--target ref"
[ $native = no ] || target=""
# shellcheck disable=SC2086
logits() { "$tern" logits "$1" --tokens 1,5,9,70,33,12 $target --kv f32 -o "$2" "${@:3}" 2>"$dir/err" || no "logits of $1: $(cat "$dir/err")"; }
same() {
    checks=$((checks + 1))
    cmp -s "$2" "$3" || no "$1: $2 and $3 differ"
}
refuses() { # STATUS TEXT args...
    local status=$1 want=$2
    shift 2
    "$tern" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    is "exit of tern $*" $? "$status"
    is "tern $*" "$(cat "$dir/err")" "$want"
}
files=1
for arch in bitnet-b1.58 bitnet llama qwen3 qwen2 minicpm; do
    "$build/make_gguf" --arch $arch --shape tiny --weights f32 --ternary --embd f32 -o "$dir/a.gguf" >/dev/null || exit 1
    rm -rf "$dir/folder"
    python3 "$root/tests/support/gguf_folder.py" "$dir/a.gguf" "$dir/folder" $files || exit 1
    files=$((files % 3 + 1))
    run 0 convert "$dir/folder" -o "$dir/b.gguf"
    logits "$dir/a.gguf" "$dir/a.bin" --ternary-dense
    logits "$dir/b.gguf" "$dir/b.bin"
    logits "$dir/folder" "$dir/c.bin"
    same "$arch, converted" "$dir/a.bin" "$dir/b.bin"
    same "$arch, as a folder" "$dir/a.bin" "$dir/c.bin"
done
is "the tokenizer" "$("$tern" tokenize "$dir/folder" -p "hello 12")" "$("$tern" tokenize "$dir/a.gguf" -p "hello 12" --override-kv tokenizer.ggml.pre=str:gpt-2 --override-kv tokenizer.ggml.add_bos_token=bool:false)"
# from type to type: exact, there and back
"$build/make_gguf" --shape tiny --weights tq2_0 --embd f16 -o "$dir/a.gguf" >/dev/null || exit 1
run 0 convert "$dir/a.gguf" -o "$dir/b.gguf" --type i2_s
run 0 convert "$dir/b.gguf" -o "$dir/c.gguf" --type tq2_0
run 0 convert "$dir/c.gguf" -o "$dir/d.gguf" --type i2_s
same "there and back" "$dir/b.gguf" "$dir/d.gguf"
logits "$dir/a.gguf" "$dir/a.bin"
logits "$dir/b.gguf" "$dir/b.bin"
same "i2_s of tq2_0" "$dir/a.bin" "$dir/b.bin"
# as numbers, and back to ternary when the model is read
run 0 convert "$dir/a.gguf" -o "$dir/b.gguf" --type f16
logits "$dir/b.gguf" "$dir/b.bin" --ternary-dense
same "f16 of tq2_0, run as ternary" "$dir/a.bin" "$dir/b.bin"
run 0 convert "$model" -o "$dir/copy.gguf"
same "a copy" "$model" "$dir/copy.gguf"
run 0 convert "$model" -o -
same "a copy to standard output" "$model" "$dir/out"
# who made it, as the report says
for made in "$dir/folder" "$dir/d.gguf"; do
    run 0 inspect "$made" --report
    is "packer of $made" "$(sed -n 's/^  packed by *//p' <<<"$out")" "tern convert"
done
run 0 inspect "$dir/folder" --report
is "converter" "$(sed -n 's/^  converted by *//p' <<<"$out")" "tern convert"
run 0 inspect "$dir/a.gguf" --report
is "packer of another" "$(sed -n 's/^  packed by *//p' <<<"$out")" "llama.cpp"
# refusals
refuses 1 "tern: error: $model: tensor blk.0.attn_q.weight has the scale 0.048342701, which is no f16, as tq2_0 needs" \
    convert "$model" -o "$dir/x.gguf" --type tq2_0
refuses 1 "tern: error: --type: 'q3_0', expected i2_s, tq1_0, tq2_0, q2_0, pq2_0, ptq1_0, f16 or f32" convert "$model" -o "$dir/x.gguf" --type q3_0
refuses 1 "tern: error: --embd: 'q3_0', expected f32, f16, bf16 or q8_0" convert "$dir/folder" -o "$dir/x.gguf" --embd q3_0
refuses 1 "tern: error: --absmean is for a folder of Hugging Face, $model is a file" convert "$model" -o "$dir/x.gguf" --absmean
refuses 1 "tern: error: -o $model is the same file as the model $model, which is read and would be lost: give another" \
    convert "$model" -o "$model"
refuses 1 "tern: error: the output $dir/folder/model-1-of-3.safetensors is the same file as the model $dir/folder/model-1-of-3.safetensors, \
which is read and would be lost: give another" convert "$dir/folder" -o "$dir/folder/model-1-of-3.safetensors"
for file in config.json tokenizer.json model-2-of-3.safetensors; do
    cp "$dir/folder/$file" "$dir/kept"
    ln -sf "folder/$file" "$dir/link"
    for output in "$dir/folder/$file" "$dir/link"; do
        run 1 compile "$dir/folder" -o "$output"
        is "compile -o $output" "$err" "tern: error: the output $output is the same file as the model $dir/folder/$file, \
which is read and would be lost: give another"
        run 1 convert "$dir/folder" -o "$output"
    done
    same "$file, which was an output" "$dir/kept" "$dir/folder/$file"
done
refuses 1 "tern: error: $dir/none: cannot open: No such file or directory" convert "$dir/none" -o "$dir/x.gguf"
refuses 2 "tern convert: missing -o FILE (see tern convert --help)" convert "$model"
refuses 2 "tern convert: expected a folder or a .gguf (see tern convert --help)" convert -o "$dir/x.gguf"
mkdir "$dir/empty"
for verb in convert compile; do
    refuses 1 "tern: error: $dir/empty: the folder has no weights, expected model.safetensors or model.safetensors.index.json" \
        $verb "$dir/empty" -o "$dir/x.gguf"
done
# a folder becomes a GGUF in a file without a name
mkdir "$dir/spare"
TMPDIR=$dir/spare logits "$dir/folder" "$dir/d.bin"
same "in TMPDIR" "$dir/c.bin" "$dir/d.bin"
is "TMPDIR" "$(ls "$dir/spare")" ""
TMPDIR=$dir/none refuses 1 "tern: error: $dir/none: cannot make a temporary file there: No such file or directory (TMPDIR names another place)" \
    run "$dir/folder" -p a -n 1
is "nothing is left" "$(ls "$dir"/x.gguf* 2>/dev/null)" ""
finish convert
