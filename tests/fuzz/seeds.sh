#!/bin/bash
# Inputs to begin with: seeds.sh NAME FOLDER, after a build in build/ (./dev fuzz calls it).
set -eu
name=$1 out=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
tern=$root/build/tern make=$root/build/make_gguf
case $name in
tir)
    find "$root/tests" -name '*.tir' -exec cp {} "$out/" \;
    ;;
gguf)
    for arch in $("$make" --archs); do
        "$make" --arch "$arch" --hidden 128 --ffn 128 --layers 1 --heads 2 --kv-heads 1 --vocab 64 --ctx 64 -o "$out/$arch" >/dev/null
    done
    ;;
blob)
    "$make" --hidden 128 --ffn 128 --layers 1 --heads 2 --kv-heads 1 --vocab 64 --ctx 64 -o "$out/small.gguf" >/dev/null
    "$tern" compile "$out/small.gguf" -o "$out/small.tern" 2>/dev/null
    rm -f "$out/small.gguf"
    ;;
prompt_cache)
    "$make" --hidden 128 --ffn 128 --layers 1 --heads 2 --kv-heads 1 --vocab 64 --ctx 64 -o "$out/small.gguf" >/dev/null
    "$tern" run "$out/small.gguf" --target ref --tokens 1,2,3 -n 0 --kv i8 --prompt-cache "$out/three" 2>/dev/null
    rm -f "$out/small.gguf"
    printf '%0256d' 0 >"$out/zeros"
    ;;
safetensors)
    {
        printf 'n\0\0\0\0\0\0\0'
        printf '{"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]},"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}'
        printf 'abcdefghijklmnopqrst'
    } >"$out/two"
    ;;
grammar)
    printf '0root ::= "a" [^b-d]* (<[5]> | x{2,3})+ # note\nx ::= . "\\u00e9" | !<[7]>\n' >"$out/gbnf"
    printf '1{"type":"object","properties":{"a":{"type":"integer","minimum":-3},"b":{"$ref":"#"},"c":{"pattern":"^(a|\\\\d{2})$"}},"required":["a"],"allOf":[{"properties":{"d":{"enum":[1,"x"]}}}],"additionalProperties":{"type":["string","null"],"maxLength":4}}' >"$out/schema"
    ;;
chat)
    cp "$root"/tests/data/chat/*.jinja "$out/"
    printf '{%% for x in m|sort(reverse=true) if x is string %%}{{ loop.index ~ x[1:] }}{%% else %%}{{ "%%5.2f" %% 1.5 }}{%% endfor %%}\0[]' >"$out/small"
    ;;
text)
    printf '0the lion and the 12 lambs\n\n  don'\''t' >"$out/words"
    ;;
esac
