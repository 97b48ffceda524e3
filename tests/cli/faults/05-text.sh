# Text of a file reaches the terminal or a format raw: one escape for each destination. Every string of the model here is
# hostile: escape sequences, newlines, quotes, separators, C1 controls, marks that turn the direction of writing.
# shellcheck shell=bash disable=SC2154
cat >"$dir/clean.py" <<'P'
# Exits with 1 and says where, if a file holds what steers a terminal: C0 but newlines, DEL, C1, bidi marks, broken UTF-8.
import sys
for name in sys.argv[1:]:
    data = open(name, "rb").read()
    try:
        text = data.decode()
    except UnicodeDecodeError as e:
        sys.exit(f"{name}: {e}")
    for i, c in enumerate(text):
        n = ord(c)
        if (n < 0x20 and c != "\n") or 0x7f <= n < 0xa0 or n in (0x200e, 0x200f) or 0x2028 <= n <= 0x202e or 0x2066 <= n <= 0x2069:
            sys.exit(f"U+{n:04x} in {text[max(i - 30, 0):i + 30]!r}")
P
# clean WHAT: what the last `try` printed
clean() {
    if why=$(python3 "$dir/clean.py" "$dir/out" "$dir/err" 2>&1); then good "$1"; else bad "$1: $why"; fi
}
# shown WHAT STATUS COMMAND...: that exit status, and nothing that steers a terminal in either output
shown() {
    local what=$1 status=$2
    shift 2
    try "$@"
    if [ "$got" != "$status" ]; then bad "$what: exit $got, expected $status: ${err:0:200}"; else clean "$what"; fi
}
python=python3
hex() { printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n'; }
evil=$'a\x1b]0;x\x07b\nfake: line\r"q",c\x7f\xc2\x9b31m\xe2\x80\xae\xe2\x80\xa8\xe2\x81\xa6 <&> \\ \xc3\xa9'
odd=$'k\xc2\x9b31m\xe2\x80\xae\xe2\x80\xa8,\xc3\xa9<&>|' # names may not hold C0, quotes and backslashes
file=$dir/$'e\x1b]0;x\x07\n"q", \xe2\x80\xae<&>.gguf'
name=$(hex "$evil")
$edit "$model" "$file" general.name=hex:"$name" general.author=hex:"$name" "$odd=hex:$name" \
    tokenizer.chat_template=hex:"$name"
$edit "$file" "$dir/tensor.gguf" +tensor:"$odd"
blob=${file%.gguf}.tern
cpu=""
[ $native = no ] && cpu="--cpu ref"

shown "inspect a model" 0 "$tern" inspect "$file"
hasnt "a newline in a key starts a line" "$(cat "$dir/out")" '^fake: line'
has "printable characters stay" "$(cat "$dir/out")" 'é'
shown "inspect --report" 0 "$tern" inspect --report "$file"
hasnt "a newline in a key starts a line of the report" "$(cat "$dir/out")" '^fake: line'
shown "inspect --report as json" 0 "$tern" inspect --report --json "$file"
if [ "$got" != 0 ] || ! $python - "$dir/out" "$odd" <<'P'
import json, sys
r = json.load(open(sys.argv[1], encoding="utf-8"))
assert sys.argv[2] in r["ignored_keys"], r["ignored_keys"]
P
then bad "the report's json holds the name as it is"; else good "the report's json"; fi
shown "inspect a tensor" 0 "$tern" inspect "$dir/tensor.gguf"
shown "a report of a tensor" 0 "$tern" inspect --report "$dir/tensor.gguf"
shown "a report of a tensor as json" 0 "$tern" inspect --report --json "$dir/tensor.gguf"
shown "a tensor that is refused" 1 "$tern" run $how "$dir/tensor.gguf" -p a -n 1
shown "diff of a tensor" 2 "$tern" diff "$model" "$dir/tensor.gguf"
shown "compile" 0 "$tern" compile "$file" $cpu --kv f16 -o "$blob"
shown "inspect a blob" 0 "$tern" inspect "$blob"
hasnt "a newline in a name starts a line" "$(cat "$dir/out")" '^fake: line'
shown "run a model" 0 "$tern" run $how "$file" -p a -n 1 --temp 0
hasnt "a newline in a name starts a line of run" "$(cat "$dir/err")" '^fake: line'
shown "run a blob" 0 "$tern" run $how "$blob" -p a -n 1 --temp 0
shown "opt" 0 "$tern" opt "$file" --passes= -o -
shown "diff" 1 "$tern" diff "$model" "$file"
shown "diff, briefly" 1 "$tern" diff -q "$model" "$file"
shown "verify" 0 "$tern" verify "$file" --tokens 5,6 $how
shown "tokenize" 0 "$tern" tokenize "$file" -p "abc"
shown "perplexity" 0 "$tern" perplexity $how "$blob" --tokens 5,6,7
shown "logits" 0 "$tern" logits $how "$blob" --tokens 5 -o /dev/null
shown "a file that is not there" 1 "$tern" run "$file.no"
shown "a folder" 1 "$tern" inspect "$dir/."
shown "a picture" 0 "$tern" inspect --dot --fold-layers "$file"
shown "a graph as json" 0 "$tern" compile "$file" --emit json $cpu
bench=("$tern" bench $how "$blob" -p 1 -n 0 -r 1 -t 1 --read-mib 0)
shown "bench" 0 "${bench[@]}"
hasnt "a newline in a name starts a line of bench" "$out" '^fake: line'
shown "bench as csv" 0 "${bench[@]}" -o csv
if ! $python - "$dir/out" <<'P'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1], encoding="utf-8", newline="")))
assert len(rows) == 1 and rows[0]["test"] == "pp1" and None not in rows[0], rows
assert 'fake: line\\x0d"q",c' in rows[0]["model"] and rows[0]["model"].endswith("\xe9"), rows[0]["model"]
P
then bad "csv parses to one row with the name in one field"; else good "csv parses"; fi
shown "bench as json" 0 "${bench[@]}" -o json
if ! $python - "$dir/out" "$evil" <<'P'
import json, sys
rows = json.load(open(sys.argv[1], encoding="utf-8"))
assert len(rows) == 1 and rows[0]["model"] == sys.argv[2], rows
P
then bad "json gives the name back"; else good "json gives the name back"; fi
for kind in json trace; do
    shown "bench --profile=.$kind" 0 "${bench[@]}" --profile="$dir/p.$kind"
    cp "$dir/p.$kind" "$dir/out"
    clean "the profile's .$kind"
    if $python -c 'import json, sys; json.load(open(sys.argv[1], encoding="utf-8"))' "$dir/p.$kind"; then good "parses"; else bad "p.$kind does not parse"; fi
done

# a graph whose strings are hostile
"$tern" opt "$model" --passes= -o "$dir/a.tir"
EVIL=$evil $python - "$dir/a.tir" "$dir/b.tir" <<'P'
import os, re, sys
text = open(sys.argv[1]).read()
spelled = "".join("\\x%02x" % b for b in os.environb[b"EVIL"])
text = text.replace('name="logits"', 'name="%s"' % spelled)
open(sys.argv[2], "w").write(text)
P
shown "opt of a hostile graph" 0 "$tern" opt "$dir/b.tir" --passes= -o -
cp "$dir/out" "$dir/c.tir"
try "$tern" opt "$dir/c.tir" --passes= -o "$dir/d.tir"
same "its text reads back as itself" "$(cmp "$dir/c.tir" "$dir/d.tir" 2>&1)" ""
shown "its picture" 0 "$tern" inspect --dot "$dir/b.tir"
if command -v dot >/dev/null; then
    shown "its svg" 0 "$tern" inspect --svg "$dir/b.tir" --layer 0
    if $python -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$dir/out"; then good "svg parses"; else bad "svg does not parse"; fi
fi
shown "its json" 0 "$tern" opt "$dir/b.tir" --passes= -o -

# messages
long=$($python -c 'print("\u00e9" * 300)')
short=$($python -c 'print("\u00e9" * 40)')
for words in "run --temp" "run --cpu" "run --target" "run --kv" "run --head" "run --override-kv" "bench -o" "bench -pg" "bench -t" "compile -o /dev/null --emit" \
    "opt --dump-after" "run --profile" "opt --rows" "compile -o $dir/x.tern --tune"; do
    # shellcheck disable=SC2086
    case $words in *--tune) flag="$words=$long" ;; *--profile) flag="$words=$long" ;; *) flag="$words $long" ;; esac
    # shellcheck disable=SC2086
    try "$tern" ${flag%% *} ${flag#* }
    has "$words quotes at most 80 bytes" "$err" "'$short\.\.'"
done
try "$tern" "$long"
has "a verb's name is cut" "$err" "'$short\.\.'"
for words in "run --temp" "run --override-kv" "run --cpu" "bench -o" "run --kv" "run" "inspect" "logits --tokens" "run --frob"; do
    # shellcheck disable=SC2086
    try "$tern" $words "$evil"
    clean "words of tern $words"
    hasnt "a newline in a word of tern $words" "$err" '^fake: line'
done
try "$tern" run "--$evil"
clean "a flag"
try "$tern" "$evil"
clean "a verb"
$python - "$dir/arch.gguf" <<'P'
import struct, sys
s = lambda b: struct.pack("<Q", len(b)) + b
open(sys.argv[1], "wb").write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + s(b"general.architecture") + struct.pack("<I", 8) + s(b"\x1b[31m" + b"\xc3\xa9" * (1 << 19)))
P
try "$tern" run "$dir/arch.gguf"
clean "an architecture of 1 MiB"
has "which is cut" "$err" "'[^']{40,100}\.\.'.* bitnet"
for pair in general.architecture tokenizer.ggml.model tokenizer.ggml.pre; do
    $edit "$model" "$dir/x.gguf" $pair=hex:"$name$(hex "$long")"
    try "$tern" run $how "$dir/x.gguf" -p a -n 1
    clean "a hostile $pair"
    has "a hostile $pair is quoted and cut" "$err" "'[^']*\.\.', "
done
