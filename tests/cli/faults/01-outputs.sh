# shellcheck shell=bash disable=SC2154,SC2086,SC2034
# A file that a command reads is never written over by it: under its own name, another one, or a link. Both are named
# in one line, nothing is written, and no work is done first.

cp "$model" "$dir/m.gguf" && ln "$dir/m.gguf" "$dir/hard.gguf" && ln -s m.gguf "$dir/soft.gguf"
mkdir "$dir/sub"
"$tern" opt "$model" --passes= -o "$dir/a.tir"
"$tern" compile "$model" --cpu ref -o "$dir/m.tern" 2>/dev/null
printf 'And God said' >"$dir/text" && printf '1 2 3' >"$dir/ids"
printf '{"kernels": []}' >"$dir/p.json" && cp "$dir/m.tern" "$dir/p.tir" && cp "$dir/m.gguf" "$dir/g.json"
sums=$(cd "$dir" && cksum m.gguf hard.gguf soft.gguf a.tir m.tern text ids p.json p.tir g.json)
kept() { # kept WHAT: nothing lost, nothing left behind
    same "$1: every input is as it was" "$(cd "$dir" && cksum m.gguf hard.gguf soft.gguf a.tir m.tern text ids p.json p.tir g.json)" "$sums"
    same "$1: nothing is left behind" "$(ls "$dir" | grep tmp-)" ""
    same "$1: the link is still a link" "$(readlink "$dir/soft.gguf")" m.gguf
    [ "$(cd "$dir" && cksum m.gguf hard.gguf soft.gguf a.tir m.tern text ids p.json p.tir g.json)" = "$sums" ] && return
    cp "$model" "$dir/m.gguf" && ln -f "$dir/m.gguf" "$dir/hard.gguf" && ln -sf m.gguf "$dir/soft.gguf" && cp "$model" "$dir/g.json"
    "$tern" opt "$model" --passes= -o "$dir/a.tir"
    "$tern" compile "$model" --cpu ref -o "$dir/m.tern" 2>/dev/null
    cp "$dir/m.tern" "$dir/p.tir"
    printf 'And God said' >"$dir/text" && printf '1 2 3' >"$dir/ids" && printf '{"kernels": []}' >"$dir/p.json"
    sums=$(cd "$dir" && cksum m.gguf hard.gguf soft.gguf a.tir m.tern text ids p.json p.tir g.json)
}
# clash WHAT REGEX STATUS COMMAND..
clash() {
    local what=$1 regex=$2 status=$3
    shift 3
    refused "$what" "$status" "$regex" "$@"
    kept "$what"
}

# the case, and its other names
clash "compile over its model" 'm\.gguf .*the same file .*m\.gguf' 1 "$tern" compile "$dir/m.gguf" --cpu ref -o "$dir/m.gguf"
clash "compile over a hard link" 'hard\.gguf .*m\.gguf' 1 "$tern" compile "$dir/m.gguf" --cpu ref -o "$dir/hard.gguf"
clash "compile over a link" 'soft\.gguf .*m\.gguf' 1 "$tern" compile "$dir/m.gguf" --cpu ref -o "$dir/soft.gguf"
clash "compile of a link over the model" 'm\.gguf .*soft\.gguf' 1 "$tern" compile "$dir/soft.gguf" --cpu ref -o "$dir/m.gguf"
clash "compile over another spelling" 'sub/\.\./m\.gguf .*m\.gguf' 1 "$tern" compile "$dir/m.gguf" --cpu ref -o "$dir/sub/../m.gguf"
clash "compile -m over it" 'm\.gguf' 1 "$tern" compile -m "$dir/m.gguf" --cpu ref -o "$dir/m.gguf"
clash "compile over its --weights" '-o .*m\.gguf.*--weights' 1 "$tern" compile "$dir/a.tir" --weights "$dir/m.gguf" --cpu ref -o "$dir/m.gguf"
clash "compile over its text" 'a\.tir' 1 "$tern" compile "$dir/a.tir" --cpu ref -o "$dir/a.tir"
kinds="tir json dot llvm asm obj"
[ $native = yes ] || kinds="tir json dot"
for kind in $kinds; do
    clash "compile --emit $kind over the model" 'm\.gguf .*m\.gguf' 1 "$tern" compile "$dir/m.gguf" --emit $kind -o "$dir/m.gguf"
done
clash "compile --tune-cache that is the model" '--tune-cache .*m\.gguf' 1 "$tern" compile "$dir/m.gguf" --tune=0.1 --tune-cache "$dir/m.gguf" -o "$dir/o.tern"
clash "compile -o that is --tune-cache" '-o .*--tune-cache|--tune-cache .*-o ' 1 "$tern" compile "$dir/m.gguf" --tune=0.1 --tune-cache "$dir/new" -o "$dir/./new"
same "neither is made" "$(ls "$dir" | grep -E '^new|^o\.tern')" ""

mkdir -p "$dir/xdg/tern" && ln "$dir/m.gguf" "$dir/xdg/tern/tune"
XDG_CACHE_HOME=$dir/xdg clash "the default cache is the model" 'tuning cache .*tern/tune .*m\.gguf' 1 "$tern" compile "$dir/m.gguf" --cpu ref --tune=0.1 -o "$dir/o.tern"

# run
clash "run --profile over the model" '--profile .*g\.json' 1 "$tern" run "$dir/g.json" $how -p a -n 1 --temp 0 --profile="$dir/g.json"
clash "run --profile over -f" '--profile .*-f ' 1 "$tern" run "$dir/m.gguf" $how -f "$dir/p.json" -n 1 --temp 0 --profile="$dir/p.json"
clash "run --profile over --token-file" '--profile .*--token-file' 1 "$tern" run "$dir/m.gguf" $how --token-file "$dir/p.json" -n 1 --profile="$dir/p.json"
clash "run --profile over a blob" '--profile .*p\.tir' 1 "$tern" run --weights "$dir/p.tir" -m "$dir/a.tir" $how -p a -n 1 --profile="$dir/p.tir"
clash "run --tune-cache over -f" '--tune-cache .*-f ' 1 "$tern" run "$dir/m.gguf" $how -f "$dir/text" -n 1 --tune=0.1 --tune-cache "$dir/text"
clash "bench --profile over the model" '--profile .*g\.json' 1 "$tern" bench "$dir/g.json" $how -p 0 -n 1 -r 1 --read-mib 0 --profile="$dir/g.json"
clash "bench --tune-cache over the model" '--tune-cache .*m\.gguf' 1 "$tern" bench "$dir/m.gguf" $how -p 0 -n 1 -r 1 --read-mib 0 --tune=0.1 --tune-cache "$dir/hard.gguf"

# logits, inspect, opt, verify
clash "logits over the model" '-o .*m\.gguf' 1 "$tern" logits "$dir/m.gguf" $how --tokens 1,2 -o "$dir/m.gguf"
clash "logits over the token file" '-o .*--token-file' 1 "$tern" logits "$dir/m.gguf" $how --token-file "$dir/ids" -o "$dir/ids"
clash "logits over a blob" '-o .*m\.tern' 1 "$tern" logits "$dir/m.tern" --target ref --tokens 1,2 -o "$dir/m.tern"
clash "logits over --weights" '-o .*--weights' 1 "$tern" logits "$dir/a.tir" --weights "$dir/m.gguf" $how --tokens 1,2 -o "$dir/soft.gguf"
for flag in --json --dot; do
    clash "inspect $flag over a model" "$flag .*m\.gguf" 1 "$tern" inspect "$dir/m.gguf" $flag="$dir/m.gguf"
    clash "inspect $flag over a blob" "$flag .*m\.tern" 1 "$tern" inspect "$dir/m.tern" $flag="$dir/m.tern"
    clash "inspect $flag over a text" "$flag .*a\.tir" 1 "$tern" inspect "$dir/a.tir" $flag="$dir/a.tir"
done
clash "inspect --svg over a model" "--svg .*m\.gguf" 1 "$tern" inspect "$dir/m.gguf" --svg="$dir/m.gguf"
clash "inspect --dot over its profile" "--dot .*--profile" 1 "$tern" inspect "$dir/m.gguf" --profile "$dir/p.json" --dot="$dir/p.json"
clash "inspect --report over the model" "--json .*m\.gguf" 1 "$tern" inspect "$dir/m.gguf" --report --json="$dir/hard.gguf"
clash "opt over a model" '-o .*m\.gguf' 1 "$tern" opt "$dir/m.gguf" -o "$dir/m.gguf"
clash "opt over a blob" '-o .*m\.tern' 1 "$tern" opt "$dir/m.tern" -o "$dir/m.tern"
clash "verify --reduce over the model" '--reduce .*m\.gguf' 2 "$tern" verify "$dir/m.gguf" $how --tokens 1,2 --reduce "$dir/m.gguf"
clash "verify --reduce over the token file" '--reduce .*--token-file' 2 "$tern" verify "$dir/m.gguf" $how --token-file "$dir/ids" --reduce "$dir/ids"
clash "verify --reduce over -f" '--reduce .*-f ' 2 "$tern" verify "$dir/m.gguf" $how -f "$dir/text" --reduce "$dir/text"
clash "verify --reduce over its graph" '--reduce .*a\.tir' 2 "$tern" verify "$dir/a.tir" $how --reduce "$dir/a.tir"
clash "verify --reduce over --weights" '--reduce .*--weights' 2 "$tern" verify "$dir/a.tir" $how --weights "$dir/m.gguf" --tokens 1 --reduce "$dir/hard.gguf"
clash "verify --reduce over --against" '--reduce .*--against' 2 "$tern" verify "$dir/m.gguf" $how --tokens 1 --against "$dir/a.tir" --reduce "$dir/a.tir"

# what the shell makes of standard output is an output too
onto() { # onto WHAT REGEX STATUS FILE COMMAND..: standard output is appended to FILE
    local what=$1 regex=$2 status=$3 file=$4
    shift 4
    timeout 600 "$@" >>"$file" 2>"$dir/err" </dev/null
    got=$?
    same "$what: the exit status" $got $status
    has "$what" "$(cat "$dir/err")" "$regex"
    kept "$what"
}
onto "tokenize -f x >> x" 'standard output .*-f .*text' 1 "$dir/text" "$tern" tokenize "$dir/m.gguf" -f "$dir/text"
onto "detokenize >> its token file" 'standard output .*--token-file .*ids' 1 "$dir/ids" "$tern" detokenize "$dir/m.gguf" --token-file "$dir/ids"
onto "run >> its model" 'standard output .*m\.gguf' 1 "$dir/hard.gguf" "$tern" run "$dir/m.gguf" $how -p a -n 1 --temp 0
onto "inspect >> its model" 'standard output .*m\.gguf' 1 "$dir/m.gguf" "$tern" inspect "$dir/m.gguf"
onto "opt >> its text" 'standard output .*a\.tir' 1 "$dir/a.tir" "$tern" opt "$dir/a.tir" -o -
onto "eval >> its graph" 'standard output .*a\.tir' 1 "$dir/a.tir" "$tern" eval "$dir/a.tir"
onto "diff >> B" 'standard output .*m\.gguf' 2 "$dir/m.gguf" "$tern" diff "$dir/a.tir" "$dir/m.gguf"
onto "verify >> its token file" 'standard output .*ids' 2 "$dir/ids" "$tern" verify "$dir/m.gguf" $how --token-file "$dir/ids"
onto "perplexity >> its text" 'standard output .*text' 1 "$dir/text" "$tern" perplexity "$dir/m.gguf" $how -f "$dir/text"
onto "logits -o - >> its model" 'standard output .*m\.gguf' 1 "$dir/m.gguf" "$tern" logits "$dir/m.gguf" $how --tokens 1 -o -
onto "logits -o /dev/stdout >> its model" '/dev/stdout .*m\.gguf' 1 "$dir/m.gguf" "$tern" logits "$dir/m.gguf" $how --tokens 1 -o /dev/stdout
onto "bench >> its model" 'standard output .*m\.gguf' 1 "$dir/m.gguf" "$tern" bench "$dir/m.gguf" $how -p 0 -n 1 -r 1 --read-mib 0
onto "compile -o - >> its model" 'standard output .*m\.gguf' 1 "$dir/m.gguf" "$tern" compile "$dir/m.gguf" --cpu ref -o -
onto "opt -o x --dump-after >> x" 'standard output .*x\.tir' 1 "$dir/x.tir" "$tern" opt "$dir/a.tir" --dump-after all -o "$dir/x.tir"
same "and x is still empty" "$(cat "$dir/x.tir")" ""
timeout 600 "$tern" tokenize "$dir/m.gguf" -f - <"$dir/text" >>"$dir/text" 2>"$dir/err"
has "tokenize -f - <x >>x" "$(cat "$dir/err")" 'standard output .*standard input'
kept "tokenize -f - <x >>x"

# nor are messages: the line goes to standard output, and where that is an input too, there is the status alone
spoils() { # spoils WHAT REGEX STATUS FILE COMMAND..: standard error is appended to FILE
    local what=$1 regex=$2 status=$3 file=$4
    shift 4
    timeout 600 "$@" 2>>"$file" >"$dir/out" </dev/null
    got=$?
    same "$what: the exit status" $got $status
    same "$what: lines" "$(grep -c "" "$dir/out")" 1
    has "$what" "$(cat "$dir/out")" "$regex"
    kept "$what"
}
spoils "run 2>> its model" '^tern: error: standard error .*m\.gguf' 1 "$dir/hard.gguf" "$tern" run "$dir/m.gguf" $how -p a -n 1 --temp 0
spoils "run 2>> its blob" 'standard error .*m\.tern' 1 "$dir/m.tern" "$tern" run "$dir/m.tern" $how -p a -n 1 --temp 0
spoils "run -f x 2>> x" 'standard error .*-f .*text' 1 "$dir/text" "$tern" run "$dir/m.gguf" $how -f "$dir/text" -n 1
spoils "run --token-file=x 2>> x" 'standard error .*--token-file' 1 "$dir/ids" "$tern" run "$dir/m.gguf" $how "--token-file=$dir/ids" -n 1
spoils "compile 2>> its model" 'standard error .*m\.gguf' 1 "$dir/m.gguf" "$tern" compile "$dir/m.gguf" --cpu ref -o "$dir/o.tern"
spoils "compile 2>> --weights" 'standard error .*--weights' 1 "$dir/m.gguf" "$tern" compile "$dir/a.tir" --weights "$dir/soft.gguf" --cpu ref -o "$dir/o.tern"
spoils "logits 2>> its model" 'standard error .*m\.gguf' 1 "$dir/m.gguf" "$tern" logits "$dir/m.gguf" $how --tokens 1 -o "$dir/l"
spoils "perplexity 2>> its text" 'standard error .*text' 1 "$dir/text" "$tern" perplexity "$dir/m.gguf" $how -f "$dir/text"
spoils "tokenize 2>> its model" 'standard error .*m\.gguf' 1 "$dir/m.gguf" "$tern" tokenize "$dir/m.gguf" -p a
spoils "detokenize 2>> its ids" 'standard error .*ids' 1 "$dir/ids" "$tern" detokenize "$dir/m.gguf" --token-file "$dir/ids"
spoils "opt 2>> its text" 'standard error .*a\.tir' 1 "$dir/a.tir" "$tern" opt "$dir/a.tir" -o "$dir/o.tir"
spoils "eval 2>> its graph" 'standard error .*a\.tir' 1 "$dir/a.tir" "$tern" eval "$dir/a.tir"
spoils "inspect 2>> its profile" 'standard error .*p\.json' 1 "$dir/p.json" "$tern" inspect "$dir/m.gguf" --profile "$dir/p.json" --dot="$dir/o.dot"
spoils "diff 2>> B" 'standard error .*B .*m\.gguf' 2 "$dir/m.gguf" "$tern" diff "$dir/a.tir" "$dir/m.gguf"
spoils "verify 2>> --against" 'standard error .*--against' 2 "$dir/a.tir" "$tern" verify "$dir/m.gguf" $how --tokens 1 --against "$dir/a.tir"
spoils "bench 2>> its model" 'standard error .*m\.gguf' 1 "$dir/m.gguf" "$tern" bench "$dir/m.gguf" $how -p 0 -n 1 -r 1 --read-mib 0
spoils "a misspelt flag, 2>> the model" "unknown flag" 2 "$dir/m.gguf" "$tern" run "$dir/m.gguf" --nosuch
timeout 600 "$tern" tokenize "$dir/m.gguf" -f - <"$dir/text" 2>>"$dir/text" >"$dir/out"
has "tokenize -f - <x 2>>x" "$(cat "$dir/out")" 'standard error .*standard input'
kept "tokenize -f - <x 2>>x"
for order in 'exec "$@" >>"$F" 2>&1' 'exec "$@" 2>>"$F" >>"$F"'; do
    try env F="$dir/m.gguf" setsid -w sh -c "$order" sh "$tern" run "$dir/m.gguf" $how -p a -n 1
    same "both appended to the model: the exit status" "$got" 1
    kept "both appended to the model"
done
try env F="$dir/m.tern" sh -c 'exec "$@" 2>>"$F"' sh "$tern" compile "$model" --cpu ref --tune=0.1 --tune-cache "$dir/m.tern" -o "$dir/o.tern"
has "messages into the tuning cache" "$out" 'standard error .*--tune-cache'
kept "messages into the tuning cache"
# a log that a word happens to name, and one that holds both
printf 'x\n' >"$dir/log"
timeout 600 "$tern" tokenize "$model" -p "$dir/log" --override-kv bitnet-b1.58.foo=int:1 2>>"$dir/log" >"$dir/out"
has "a log that -p names is a log" "$(cat "$dir/log")" '^tern: error: .*bitnet-b1.58.foo'
same "and nothing goes to standard output" "$(cat "$dir/out")" ""
"$tern" opt "$dir/a.tir" --passes= -o - >"$dir/log" 2>&1
has "output and messages in one log" "$(head -1 "$dir/log")" '^tir 1'

# the library refuses on its own, and says what it was given
refused "standard input read twice" 2 'standard input' "$tern" diff - -
refused "standard input as model and as text" 1 'standard input' "$tern" run - -f - -n 1

# the program and its libraries are files that it reads
cp "$(readlink -f "$tern")" "$dir/exe" && libs=$(dirname "$(readlink -f "$tern")")
cp -P "$libs"/libtern.so* "$libs"/libternc.so* "$dir/" 2>/dev/null
if "$dir/exe" --version >/dev/null 2>&1; then
    refused "compile over the program" 1 'exe' "$dir/exe" compile "$dir/m.gguf" --cpu ref -o "$dir/exe"
    works "it still runs" "" "$dir/exe" --version
fi

# a cache that is none would be written anew: another file is not lost for it
for file in text ids a.tir m.tern p.json m.gguf; do
    clash "--tune-cache that is another file, $file" "$file: not a tuning cache" 1 "$tern" compile "$model" --cpu ref --tune=0.1 --tune-cache "$dir/$file" -o "$dir/o.tern"
done
: >"$dir/empty" && works "--tune-cache that is empty" "" "$tern" compile "$model" --cpu ref --tune=0.1 --tune-cache "$dir/empty" -o "$dir/o.tern"

# what may be: an edited text replaces itself, whole; equal inputs; outputs beside inputs
works "opt a.tir -o a.tir" "" "$tern" opt "$dir/a.tir" --passes=dce -o "$dir/a.tir"
works "and the result is read again" "" "$tern" opt "$dir/a.tir" --passes= -o "$dir/b.tir"
ln -s a.tir "$dir/link.tir"
works "opt link -o its text" "" "$tern" opt "$dir/link.tir" --passes= -o "$dir/a.tir"
works "opt a.tir -o link" "" "$tern" opt "$dir/a.tir" --passes= -o "$dir/link.tir"
same "which stays a link" "$(readlink "$dir/link.tir")" a.tir
in=$dir/a.tir works "opt - -o what standard input is" "" "$tern" opt - --passes= -o "$dir/a.tir"
has "the text is whole" "$(tail -1 "$dir/a.tir")" '^end'
works "diff of a file with itself" "" "$tern" diff "$dir/m.gguf" "$dir/hard.gguf"
sums=$(cksum <"$dir/a.tir")
printf 'tir 1\ngraph @g stage=model\n  %%x: f32[T,4] = nosuch\nend\n' >"$dir/bad.tir"
bad=$(cat "$dir/bad.tir")
try "$tern" opt "$dir/bad.tir" -o "$dir/bad.tir"
same "a text at fault is refused" "$got" 1
same "and is as it was" "$(cat "$dir/bad.tir")" "$bad"
works "/dev/null may be read and written" "" "$tern" logits "$dir/m.gguf" $how --tokens 1 -o /dev/null
ln -s "new.tir" "$dir/dangling.tir"
works "a link to nothing is followed" "" "$tern" opt "$dir/a.tir" --passes= -o "$dir/dangling.tir"
same "and stays" "$(readlink "$dir/dangling.tir")" new.tir
has "the file it names is made" "$(head -1 "$dir/new.tir" 2>/dev/null)" 'tir 1'

# a write that fails loses nothing
if (ulimit -f 8 && exec "$tern" opt "$model" --passes= -o "$dir/a.tir") >"$dir/out" 2>"$dir/err"; then
    bad "a limit on file sizes: expected a failure"
else good "a limit on file sizes"; fi
same "the old file is whole" "$(cksum <"$dir/a.tir")" "$sums"
# with standard output closed, no other file takes its place
"$tern" opt "$dir/a.tir" --dump-after all -o "$dir/c.tir" >&- 2>"$dir/err"
same "standard output closed" "$?" 1
same "nothing went into another file" "$(ls "$dir" | grep -c '^c\.tir')" 0
