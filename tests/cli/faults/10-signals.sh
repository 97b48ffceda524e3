# Ctrl-C and its kin, and files cut short while they are mapped. Everything waits for what it needs to see, nothing for
# a time: tests/support/signalled.py.
# shellcheck shell=bash disable=SC2154,SC2086,SC2034
signalled=(python3 "$root/tests/support/signalled.py" --out "$dir/out" --err "$dir/err")
endless="--override-kv bitnet-b1.58.context_length=int:1000000 -c 60000 -n -1 --ignore-eos --temp 0 -t 1 $how"
[ $native = no ] && endless="${endless/-c 60000/-c 2000}" # slow enough as it is
# to FLAGS.. COMMAND..: how it ended in $got, its output in $out and $dir/out, its messages in $err
to() {
    got=$("${signalled[@]}" "$@" </dev/null)
    out=$(tr -d '\0' <"$dir/out")
    err=$(tr -d '\0' <"$dir/err")
}
# ended WHAT STATUS REGEX: that status, and one line on standard error that matches
ended() {
    same "$1: the exit status" "$got" "$2"
    has "$1: the line" "$err" "$3"
    same "$1: lines" "$(grep -c . <<<"$err")" 1
}
# nothing_left WHAT FOLDER: no file but those that end as the test's own
nothing_left() { same "$1: files left behind" "$(find "$2" -type f | sort | tr '\n' ' ')" ""; }
mkdir "$dir/o"
"$tern" compile "$model" ${how:+--cpu ref} --override-kv bitnet-b1.58.context_length=int:1000000 --kv f16 -o "$dir/m.tern" 2>/dev/null

# run: the answer so far, the times, 130
try timeout 600 "$tern" run "$model" -p "And the LORD said" -n 40 --temp 0 --ignore-eos -t 1 $how
whole=${out%$'\n'}
for case in INT:130 TERM:143 HUP:129; do
    to --until output --signal ${case%:*} "$tern" run "$model" -p "And the LORD said" $endless
    same "run, SIG${case%:*}: the exit status" "$got" ${case#*:}
    has "run, SIG${case%:*}: the times" "$err" "eval time = .* tokens per second"
    has "run, SIG${case%:*}: a line that says why" "$err" "^tern: ended by SIG${case%:*}$"
    n=$((${#out} < 8 ? ${#out} : 8)) # it may have ended after one piece
    same "run, SIG${case%:*}: the answer so far" "${out:0:n}" "${whole:0:n}"
    same "run, SIG${case%:*}: it ends with a newline" "$(tail -c 1 "$dir/out" | od -An -tx1 | tr -d ' ')" "0a"
done
# notes wait for the answer, and a signal ends no less well
$edit "$model" "$dir/big.gguf" "tensor:blk.0.attn_v.weight*1e8"
to --until output --signal INT "$tern" run "$dir/big.gguf" -p "And the LORD said" $endless
same "run of values that saturate: the exit status" "$got" 130
has "run of values that saturate: it is said" "$err" "values saturated at 65504"
# ids too, and drafts, and with a profile: all of it ends as without a signal
to --until output --signal INT "$tern" run "$model" -p "And the LORD said" $endless --print-tokens
same "run --print-tokens: the exit status" "$got" 130
has "run --print-tokens: whole ids" "$(tail -1 <<<"$out")" '^[0-9]+(,[0-9]+)*$'
if [ $native = yes ]; then
    to --until output --signal INT "$tern" run "$model" -p "And the LORD said" $endless --draft-max 4
    same "run --draft-max: the exit status" "$got" 130
    has "run --draft-max: how many were right" "$err" "guessed ids were right"
    to --until output --signal INT "$tern" run "$model" -p "And the LORD said" $endless --profile="$dir/o/p.json"
    same "run --profile: the exit status" "$got" 130
    [ -s "$dir/o/p.json" ] && good "run --profile: the file is written" || bad "run --profile: no file"
    rm -f "$dir/o/p.json"
fi
# the second one ends it, even where nobody reads what it says
to --until full --signal INT --signal INT "$tern" run "$model" -p "And the LORD said" $endless
same "run, a second SIGINT: the exit status" "$got" 130
hasnt "run, a second SIGINT: at once" "$err" "eval time"
# a long prompt is not sat through: no id has come, the times say how far it was
if [ $native = yes ]; then
    python3 -c "print(','.join(str(5 + i % 1000) for i in range(200000)))" >"$dir/long"
    to --until code --signal INT "$tern" run "$dir/m.tern" --token-file "$dir/long" -c 300000 -n 4 --temp 0 -t 1
    same "run, in the prompt: the exit status" "$got" 130
    has "run, in the prompt: the times" "$err" "prompt eval time = .*/ +[0-9]{1,5} tokens"
fi
# one that was ignored stays ignored (nohup, a script's background)
to --ignore INT --until output --signal INT "$tern" run "$model" -p "And the LORD said" -n 30 --temp 0 --ignore-eos $how
same "run, SIGINT ignored: the exit status" "$got" 0

# every other verb: one line, nothing left behind
to --until handlers --signal INT "$tern" perplexity "$model" -f - $how
ended "perplexity -f -" 130 "^tern: ended by SIGINT$"
to --until handlers --signal TERM "$tern" tokenize "$model" -f -
ended "tokenize -f -, SIGTERM" 143 "^tern: ended by SIGTERM$"
to --until handlers --signal INT "$tern" opt -
ended "opt -" 130 "^tern: ended by SIGINT$"
to --until handlers --signal INT "$tern" verify - --weights "$model" --tokens 1,2
ended "verify -" 130 "^tern: ended by SIGINT$"
# large, so that it is written for a while, and that can be seen on a busy machine
"$build/make_gguf" --shape tiny --vocab 200000 --no-vocab -o "$dir/large.gguf" >/dev/null
# again FILE FLAGS...: some moments are short; what was over before it could be caught is done again. FILE ("": none) is
# a fresh copy each time.
again() {
    local file=$1 from=$dir/large.gguf n
    shift
    case $file in *.tern) from=$dir/m.tern ;; esac
    for n in {1..60}; do
        [ -z "$file" ] || cp "$from" "$file"
        rm -f "$dir"/o/*
        to "$@"
        [ "$got" = early ] || [ "$got" = 0 ] || break
    done
}
again '' --until writer --stop --signal INT "$tern" compile "$dir/large.gguf" --cpu ref -o "$dir/o/a.tern"
ended "compile" 130 "^tern: ended by SIGINT$"
nothing_left compile "$dir/o"
again '' --until writer --stop --signal TERM "$tern" logits "$model" --tokens "$(seq -s, 1 400)" -o "$dir/o/l" $how
ended "logits, SIGTERM" 143 "^tern: ended by SIGTERM$"
nothing_left logits "$dir/o"
if [ $native = yes ]; then
    to --until handlers --signal INT "$tern" bench "$model" -p 0 -n 900 -r 100 --read-mib 0
    ended "bench" 130 "^tern: ended by SIGINT$"
    to --until output --stop --signal INT "$tern" logits "$model" --tokens "$(seq -s, 1 400)" -o -
    ended "logits -o -" 130 "^tern: ended by SIGINT$"
fi
# a terminal: the bar is wiped before the line
if [ $native = yes ]; then
    again '' --terminal --until writer --stop --signal INT "$tern" compile "$dir/large.gguf" --cpu ref -o "$dir/o/a.tern"
    same "compile at a terminal: the exit status" "$got" 130
    has "compile at a terminal: the bar is wiped" "$(tail -1 "$dir/err" | cat -v)" '^(.*\^M\^\[\[K)?tern: ended by SIGINT\^M$'
    hasnt "compile at a terminal: no bar at the end" "$(tail -1 "$dir/err" | cat -v)" '#\] *[0-9]+%tern'
fi
# with children: one line, and none of them is left
mkdir "$dir/bin"
printf '#!/bin/sh\nexec sleep 1000\n' >"$dir/bin/dot"
chmod +x "$dir/bin/dot"
PATH="$dir/bin:$PATH" to --group --until child --signal INT "$tern" inspect "$model" --svg="$dir/o/x.svg"
ended "inspect --svg" 130 "^tern: ended by SIGINT$"
nothing_left "inspect --svg" "$dir/o"

# files cut short while they are mapped
cut_line() { echo "^tern: error: $1: was cut short while it was in use: it has $2 bytes now, byte [0-9]+ was read\$"; }
forever="-n -1 --ignore-eos --temp 0 -c 60000 $how"
[ $native = no ] && forever="${forever/-c 60000/-c 2000}"
for threads in 1 2 4; do
    cp "$dir/m.tern" "$dir/cut.tern"
    to --until output --truncate "$dir/cut.tern=4096" "$tern" run "$dir/cut.tern" -p "And the LORD said" $forever -t $threads
    ended "a .tern cut in a run by $threads" 1 "$(cut_line "$dir/cut.tern" 4096)"
    same "a .tern cut in a run by $threads: the answer so far" "${out:0:4}" "${whole:0:4}"
done
again "$dir/cut.gguf" --until writer --stop --truncate "$dir/cut.gguf=65536" "$tern" compile "$dir/cut.gguf" --cpu ref -o "$dir/o/a.tern"
ended "a .gguf cut in a compile" 1 "$(cut_line "$dir/cut.gguf" 65536)"
nothing_left "a .gguf cut in a compile" "$dir/o"
# verbs in which 1 means "different" say 2; one that had read all finds no difference, and is done again
again "$dir/cut.tern" --until "maps=$dir/cut.tern" --stop --truncate "$dir/cut.tern=0" "$tern" diff "$dir/cut.tern" "$dir/m.tern"
ended "a .tern cut in a diff" 2 "^tern: error: $dir/cut.tern: (was cut short while it was in use|(head: )?(the file )?(has 0 bytes|is empty|has 0))"
again "$dir/cut.tern" --until "maps=$dir/cut.tern" --stop --truncate "$dir/cut.tern=0" "$tern" verify "$dir/cut.tern" --tokens 1,2,3 $how
ended "a .tern cut in a verify" 2 "^tern: error: $dir/cut.tern: (was cut short while it was in use|(head: )?(the file )?(has 0 bytes|is empty|has 0))"
# a name with a newline and an escape is printed as one harmless line
odd=$dir/$'odd\e]0;x\a\nname.tern'
cp "$dir/m.tern" "$odd"
to --until output --truncate "$odd=4096" "$tern" run "$odd" -p "And the LORD said" $forever -t 1
ended "a .tern with an odd name" 1 "odd.*name.tern: was cut short"
hasnt "a .tern with an odd name: nothing raw" "$err" $'\e'
# what is no file keeps its action
to --until output --signal BUS "$tern" run "$model" -p "And the LORD said" $endless
has "a SIGBUS that was sent: by its signal" "$got" "^(-7|1)$"
hasnt "a SIGBUS that was sent: no file is named" "$err" "cut short"
