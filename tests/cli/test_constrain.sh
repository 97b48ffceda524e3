#!/usr/bin/env bash
# tern run with --stop, --special, --logit-bias and --grammar: exact texts of a model that says what a script says
# (tests/support/scripted.h).
set -u
. "$(dirname "$0")/program.sh"
how="" && [ $native = no ] && how="--target ref"
cat >"$dir/a.script" <<'S'
control <tool>
end <|im_end|>
say: Hello|! How can| I help|?
say json: {"a"|: 1|}
say tool: <tool>|x =| 1
S
"$build/make_scripted" "$dir/a.script" -o "$dir/a.gguf" || exit 1
m=$dir/a.gguf
# said EXPECTED ARGUMENT...: the answer, to the byte; $dir/err has the messages
said() {
    local expected=$1
    shift
    checks=$((checks + 1))
    # shellcheck disable=SC2086
    "$tern" run "$m" --temp 0 $how "$@" >"$dir/out" 2>"$dir/err" || no "$*: $(tail -1 "$dir/err")"
    [ "$(cat "$dir/out")" = "$expected" ] || no "$*: '$(cat "$dir/out")', expected '$expected'"
}
# fails STATUS LINES ARGUMENT...
fails() {
    local status=$1 lines=$2 got
    shift 2
    checks=$((checks + 1))
    # shellcheck disable=SC2086
    "$tern" run "$m" --temp 0 $how "$@" >"$dir/out" 2>"$dir/err"
    got=$?
    [ $got = "$status" ] || no "$*: exit $got, expected $status"
    [ -s "$dir/out" ] && no "$*: wrote '$(cat "$dir/out")'"
    [ "$(cat "$dir/err")" = "$lines" ] || no "$*: '$(cat "$dir/err")', expected '$lines'"
}

said 'Hello! How can I help?' -p x
said 'x = 1' -p tool
said '<tool>x = 1<|im_end|>' -p tool --special
said 'Hello' -p json --grammar <(printf 'root ::= "Hello" | "Bye"')
# the rest without compiling it each time
[ $native = no ] || { "$tern" compile "$m" -o "$dir/a.tern" 2>"$dir/err" && m=$dir/a.tern; } || no "compile: $(cat "$dir/err")"
said '<tool>x = 1<|im_end|>' -p tool -sp
said 'Hello! How ' -p x --stop can
said 'Hello' -p x -r zz --stop '!' -r can
said 'Hello! How can I help?' -p x --stop 'helpless'
said '<tool>x' -p tool --special --stop ' ='
fails 1 "tern: error: --stop: stops[0] has the byte 0xff at 0, expected UTF-8" -p x --stop $'\xff'
fails 2 "tern run: -sp and --print-tokens exclude each other (see tern run --help)" -p x -sp --print-tokens

# ids: <tool> is 0, <|im_end|> 1, then pieces and triggers in order: Hello 2, json 6, {"a" 7
said '2,3,4,5,1' -p x --print-tokens
said '0,11,12,1' -p x --print-tokens -l 2-inf
said '4,5,1' -p x --print-tokens -l 4+90.5
said '2,3,4,5,1' -p x --print-tokens --logit-bias 7+4.5
said '7,8,9,1' -p x --print-tokens --logit-bias 7+5.5
said '2,3,4,5,1' -p x --print-tokens -l 2-3 -l 2+3
for wrong in 5 +5 5+ 5- x-1 5+inf 5*2 5+0x10 5--1 '5 + 1' 99999999999+1; do
    fails 2 "tern run: -l: '$wrong', expected ID+X, ID-X or ID-inf (see tern run --help)" -p x -l "$wrong"
done
fails 1 "tern: error: --logit-bias[0].id is 5000, expected 0 to 268" -p x --logit-bias 5000+1

# penalties by what the answer has: two answers that are as likely, 7 and 9, again and again
printf '%s\n' 'control <tool>' 'end <|im_end|>' 'say: Hello|! How can| I help|?' 'say pick: left|.' 'say pick: right|.' >"$dir/pick.script"
"$build/make_scripted" "$dir/pick.script" -o "$dir/pick.gguf" || exit 1
m=$dir/pick.gguf
again="-p pick --print-tokens --ignore-eos -n 9"
[ $native = no ] || { "$tern" compile "$m" -o "$dir/pick.tern" 2>"$dir/err" && m=$dir/pick.tern; } || no "compile: $(cat "$dir/err")"
# shellcheck disable=SC2086
{
    said '7,8,1,7,8,1,7,8,1' $again
    said '7,8,1,9,10,1,7,8,1' $again --presence-penalty 1
    said '7,8,1,7,8,1,7,8,1' $again --presence-penalty 1 -l 7+1.5
    said '7,8,1,7,8,1,9,10,1' $again --frequency-penalty 1 -l 7+1.5
    said '7,8,1,7,8,1,9,10,1' $again --frequency-penalty 1 -l 7+1.5 --draft-max 3
    said '9,10,1,9,10,1,9,10,1' $again --presence-penalty -2 -l 9+1
}
m=$dir/a.gguf && [ $native = no ] || m=$dir/a.tern

cd "$dir" || exit 1
printf 'root ::= "{" [^}]* "}"\n' >braces.gbnf
said '{"a": 1}' -p json --grammar braces.gbnf
grep -q 'picks      = 4 of 4 ids from the best 256 logits; 0 rows run again$' err || no "no line on the picks: $(cat err)"
said '{"a": 1}' -p x --grammar-file braces.gbnf # not what it would say, but what it may
said '{"a": 1}' -p x --grammar braces.gbnf --draft-max 3
said 'Hello' -p json --grammar <(printf 'root ::= "Hello" | "Bye"')
said 'Bye' -p json --grammar <(printf 'root ::= "Hello" | "Bye"') -l 2-inf
said '{"a"' -p json --grammar braces.gbnf --stop ':'
said '{"a": 1}<|im_end|>' -p json --grammar braces.gbnf --special
printf 'root ::= "{" [^}]* "}"\nrest ::= "' >open.gbnf
fails 1 "tern: error: open.gbnf:2:11: got the end of the grammar, expected the end of the literal or class
    rest ::= \"
              ^" -p x --grammar open.gbnf
fails 1 "tern: error: none.gbnf: cannot open: No such file or directory" -p x --grammar none.gbnf
fails 2 "tern run: --grammar and --ignore-eos exclude each other (see tern run --help)" -p x --grammar braces.gbnf --ignore-eos

cat >schema.json <<'S'
{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false}
S
said '{"a": 1}' -p x --json-schema schema.json
said '{"a": 1}' -p json -jf schema.json --draft-max 3
said '{"a": 1}<|im_end|>' -p json --json-schema-file schema.json -sp
printf '{"properties": {"a": {"not": {}}}}' >not.json
fails 1 "tern: error: not.json: #/properties/a/not: is not supported" -p x --json-schema not.json
printf '{"type":' >half.json
fails 1 "tern: error: half.json: line 1, column 8: unexpected token near end of file" -p x --json-schema half.json
fails 2 "tern run: --grammar and --json-schema exclude each other (see tern run --help)" -p x --json-schema schema.json --grammar braces.gbnf
fails 2 "tern run: --json-schema and --ignore-eos exclude each other (see tern run --help)" -p x --json-schema schema.json --ignore-eos
fails 2 "tern run: '-j': here it is --json-schema (see tern run --help)" -p x -j '{}'
"$build/make_gguf" --shape tiny --no-vocab -o bare.gguf || exit 1
for flag in "--grammar braces.gbnf" "--json-schema schema.json" "-r x" --special; do
    checks=$((checks + 1))
    # shellcheck disable=SC2086
    "$tern" run bare.gguf --tokens 5 $how $flag >out 2>err && no "$flag without a tokenizer"
    [ "$(cat err)" = "tern: error: the model has no tokenizer, which ${flag%% *} needs" ] || no "$flag: $(cat err)"
done

# A model that never saw JSON, with any sampler: whole answers parse. Those that are cut by -n do not count.
if [ $native = yes ] && command -v python3 >/dev/null; then
    cat >shape.json <<'S'
{"type": "object", "required": ["verse", "words"], "additionalProperties": false, "properties": {
 "verse": {"type": "integer", "minimum": 1, "maximum": 99}, "words": {"type": "array", "maxItems": 4, "items": {"enum": ["lord", "sea", "king"]}}}}
S
    "$tern" compile "$model" --head q6 -o verse.tern 2>err || no "compile: $(cat err)"
    whole=0
    for sampler in "--temp 0" "-s 1" "-s 2 --temp 2" "-s 3 --top-k 0" "-s 4 --top-k 0 --top-p 1 --min-p 0" "-s 5 --repeat-penalty 1.3"; do
        checks=$((checks + 1))
        # shellcheck disable=SC2086
        "$tern" run verse.tern -p 'The answer: ' --json-schema shape.json -n 250 $sampler >out 2>err || no "$sampler: $(cat err)"
        python3 -c 'import json, sys
try: x = json.load(open(sys.argv[1]))
except ValueError: sys.exit(3)
assert 1 <= x["verse"] <= 99 and len(x["words"]) <= 4 and set(x["words"]) <= {"lord", "sea", "king"} and len(x) == 2' out
        case $? in 0) whole=$((whole + 1)) ;; 3) ;; *) no "$sampler: $(cat out)" ;; esac
    done
    [ $whole -gt 3 ] || no "only $whole answers are whole"
fi
finish constrain
