#!/usr/bin/env bash
# tern embed: its formats, what is added to a text, the same bits from a file, a blob and the evaluator, and what is refused.
set -u
build=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0
tern() { "$build/tern" "$@"; }
fail() { echo "FAILED: $*"; bad=1; }
same() { [ "$2" = "$3" ] || fail "$1: got '${2:0:300}', expected '${3:0:300}'"; }
# refuses STATUS LINE ARGS..
refuses() {
    local status=$1 line=$2 got
    shift 2
    got=$(tern embed "$@" 2>&1 >"$dir/out")
    same "status of embed $*" $? "$status"
    same "embed $*" "$got" "$line"
    [ -s "$dir/out" ] && fail "embed $*: printed something"
}
"$build/make_gguf" --arch gemma3 --shape tiny --weights i2_s --seed 2 -o "$dir/m.gguf" >/dev/null || exit 1
m=$dir/m.gguf
key=gemma3.pooling_type
e() { tern embed "$m" --override-kv $key=int:3 --target ref "$@"; }

printf 'first\r\n\nthird' >"$dir/lines"
e -f "$dir/lines" >"$dir/raw" || fail "raw"
same "lines" "$(wc -l <"$dir/raw")" 3
same "numbers a line" "$(head -1 "$dir/raw" | wc -w)" 256
same "a line is its text" "$(head -1 "$dir/raw")" "$(e -p first)"
same "the default is last, of length 1" "$(e -p first --pooling last --normalize)" "$(e -p first)"
same "one token" "$(e --tokens 5 --pooling mean)" "$(e --tokens 5 --pooling cls)"
same "the model's BOS" "$(e -p a)" "$(e --tokens "$(tern tokenize "$m" -p a)")"
same "standard input" "$(e -f - <"$dir/lines")" "$(cat "$dir/raw")"
e -f "$dir/lines" -o "$dir/file" && same "-o" "$(cat "$dir/file")" "$(cat "$dir/raw")"
same "a row a token" "$(e --tokens 5,6,7 --pooling none | wc -l)" 3
same "no length without a flag" "$(e --tokens 5,6 --pooling none | tail -1)" "$(e --tokens 5,6 --no-normalize)"
python3 - "$dir" <<'PY' 2>/dev/null >"$dir/expected" || echo "json is not compared: no python3"
import json, struct, sys
rows = [[float(x) for x in line.split()] for line in open(sys.argv[1] + "/raw")]
print(json.dumps([[struct.unpack("<f", struct.pack("<f", x))[0] for x in r] for r in rows]))
PY
if [ -s "$dir/expected" ]; then
    e -f "$dir/lines" --embd-output-format array >"$dir/array"
    e -f "$dir/lines" --embd-output-format json >"$dir/json"
    e -f "$dir/lines" --embd-output-format json --pooling none >"$dir/none"
    e -f "$dir/lines" --embd-output-format f32 >"$dir/f32"
    python3 - "$dir" <<'PY' || fail "the formats differ"
import json, struct, sys
load = lambda name: json.load(open(sys.argv[1] + "/" + name))
f = lambda x: struct.unpack("<f", struct.pack("<f", x))[0]
want, answer, none = load("expected"), load("json"), load("none")
raw = open(sys.argv[1] + "/f32", "rb").read()
assert [[f(x) for x in r] for r in load("array")] == want
assert [[f(x) for x in d["embedding"]] for d in answer["data"]] == want
assert [d["index"] for d in answer["data"]] == [0, 1, 2] and answer["model"] == "random" and answer["object"] == "list"
assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] == sum(len(d["embedding"]) for d in none["data"])
assert all(len(row) == 256 for d in none["data"] for row in d["embedding"])
assert list(struct.unpack("<%df" % (len(raw) // 4), raw)) == [x for r in want for x in r]
PY
fi

# a blob knows the pooling; code and evaluator give the same bits
tern compile "$m" --override-kv $key=int:1 --target ref -o "$dir/m.tern" >/dev/null 2>&1 || fail "compile"
same "a blob" "$(tern embed "$dir/m.tern" --target ref -f "$dir/lines")" "$(e --pooling mean -f "$dir/lines")"
case $(tern --version) in
*"cpu levels: none"* | *"no LLVM"*) ;;
*) for t in 1 2; do
    same "code, $t threads" "$(tern embed "$m" --pooling last -f "$dir/lines" -t $t)" "$(cat "$dir/raw")"
done ;;
esac

refuses 1 "tern: error: random: nothing says how the rows of a text become one vector (key $key): give --pooling none, mean, cls or last" "$m" -p a
refuses 1 "tern: error: $m: $key is 4 (rank), expected 0 to 3 (none, mean, cls or last)" "$m" -p a --override-kv $key=int:4
refuses 1 "tern: error: $m: $key is 5, expected 0 to 4" "$m" -p a --override-kv $key=int:5
refuses 1 "tern: error: --tokens: token 384, expected 0 to 383" "$m" --tokens 384 --pooling mean
refuses 1 "tern: error: /dev/null: is empty, expected a text a line" "$m" -f /dev/null --pooling mean
refuses 1 "tern: error: the text has 602 tokens, but the model has 512 positions" "$m" -p "$(printf '%0601d' 0)" --pooling mean
printf 'a\n%0601d\n' 0 >"$dir/long"
refuses 1 "tern: error: $dir/long: line 2 has 602 tokens, but the model has 512 positions" "$m" -f "$dir/long" --pooling mean
bos=tokenizer.ggml.add_bos_token=bool:false
refuses 1 "tern: error: $dir/lines: line 2 has no tokens, and the model adds none" "$m" -f "$dir/lines" --pooling mean --override-kv $bos
refuses 1 "tern: error: the text has no tokens, and the model adds none" "$m" -p "" --pooling mean --override-kv $bos
see="(see tern embed --help)"
refuses 2 "tern embed: --pooling: got 'rank', expected none, mean, cls or last $see" "$m" -p a --pooling rank
refuses 2 "tern embed: --embd-output-format: got 'json+', expected raw, array, json or f32 $see" "$m" -p a --embd-output-format json+
refuses 2 "tern embed: expected exactly one of -p, -f and --tokens $see" "$m"
refuses 2 "tern embed: expected exactly one of -p, -f and --tokens $see" "$m" -p a --tokens 1
refuses 2 "tern embed: --normalize and --no-normalize exclude each other $see" "$m" -p a --normalize --no-normalize
refuses 2 "tern embed: --special goes with -p or -f $see" "$m" --tokens 1 --special
refuses 2 "tern embed: '--embd-normalize': here it is --normalize $see" "$m" -p a --embd-normalize 2
exit $bad
