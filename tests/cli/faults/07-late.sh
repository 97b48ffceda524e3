# shellcheck shell=bash disable=SC2154,SC2086,SC2034
# Whatever can be known before work is refused before it. Two models show the order: one that cannot be opened at all,
# whose fault must not come first, and one whose angles would be infinite, which is seen when weights are written, the
# last thing that a compilation does.

here=$PWD program=$tern
tern=$(cd "$(dirname "$tern")" && pwd)/tern
head -c 30000 "$model" >"$dir/cut.gguf"
"$tern" compile "$model" --cpu ref -o "$dir/m.tern" 2>/dev/null
"$tern" opt "$model" --passes= -o "$dir/a.tir"
sed 's/rope_freq {base=[^,}]*/rope_freq {base=0x1p-100/' "$dir/a.tir" >"$dir/late.tir"
try "$tern" run "$dir/late.tir" $how -p a -n 1
has "the second model fails at its weights" "$err" 'frequency [0-9]+ is .*expected a finite one'
printf 'And God said' >"$dir/text"
long=$(printf 'n%.0s' $(seq 300))
deep=$(printf 'dir/%.0s' $(seq 1100))
cd "$dir" || exit 1

# every output of every verb: its value goes at the end of the words
outputs=(
    "compile|compile cut.gguf --cpu ref -o|"
    "compile --emit tir|compile cut.gguf --emit tir -o|"
    "compile --emit json|compile cut.gguf --emit json -o|"
    "compile --emit dot|compile cut.gguf --emit dot -o|"
    "compile --tune-cache|compile cut.gguf -o x.tern --tune=0.1 --tune-cache|"
    "run --tune-cache|run cut.gguf $how -p a -n 1 --tune=0.1 --tune-cache|"
    "run --profile|run cut.gguf $how -p a -n 1 --profile=|.json"
    "run --profile .tir|run cut.gguf $how -p a -n 1 --profile=|.tir"
    "bench --profile|bench cut.gguf $how -p 0 -n 1 -r 1 --profile=|.trace"
    "bench --tune-cache|bench cut.gguf $how -p 0 -n 1 -r 1 --tune=0.1 --tune-cache|"
    "logits|logits cut.gguf $how --tokens 1 -o|"
    "opt|opt cut.gguf -o|"
    "inspect --json|inspect cut.gguf --json=|"
    "inspect --dot|inspect cut.gguf --dot=|"
    "inspect --svg|inspect cut.gguf --svg=|"
    "inspect --report --json|inspect cut.gguf --report --json=|"
    "verify --reduce|verify cut.gguf $how --tokens 1 --reduce|"
)
[ $native = no ] || outputs+=(
    "compile --emit llvm|compile cut.gguf --emit llvm -o|"
    "compile --emit obj|compile cut.gguf --emit obj -o|"
)
# late WHAT STATUS REGEX WORDS VALUE
late() {
    local words=$4
    case $words in
    *=) refused "$1" "$2" "$3" "$tern" ${words% *} "${words##* }$5" ;;
    *) refused "$1" "$2" "$3" "$tern" $words "$5" ;;
    esac
}
mkdir folder folder.json folder.tir folder.trace
ln -s loop loop && for e in .json .tir .trace; do ln -s loop$e loop$e; done
mounted=no # a file that is a mount of its own, as containers are given them
if [ "$(id -u)" = 0 ] && command -v unshare >/dev/null && unshare -m true 2>/dev/null; then mounted=yes; fi
mkdir locked && chmod 555 locked
for line in "${outputs[@]}"; do
    IFS='|' read -r what words ending <<<"$line"
    no=1
    [ "${words%% *}" = verify ] && no=2
    late "$what: a name too long" $no 'too long|name has' "$words" "$long$ending"
    late "$what: a path too long" $no 'too long|name has' "$words" "${deep}x$ending"
    late "$what: a folder that is not there" $no 'nosuch' "$words" "nosuch/sub/x$ending"
    late "$what: a file for a folder" $no 'text.*(not a folder|not a directory|Not a directory)' "$words" "text/x$ending"
    late "$what: a folder for a file" $no 'folder.*is a (folder|directory)' "$words" "folder$ending"
    late "$what: a link that ends nowhere" $no 'loop.*Too many levels' "$words" "loop$ending"
    [ -n "$ending" ] || late "$what: an empty name" 2 "got '', expected (FILE|OUT)" "$words" ""
    if [ -d /proc/self ] && [ ! -w /proc/self/fdinfo/x ]; then
        late "$what: a folder that takes no files" $no '/proc/x' "$words" "/proc/x$ending"
    fi
    if [ "$(id -u)" != 0 ]; then late "$what: a folder one may not write to" $no 'locked' "$words" "locked/x$ending"; fi
done
[ "$(id -u)" = 0 ] && echo "skipped: root may write to any folder"
chmod 755 locked
late "run --profile: an empty name" 2 "got '', expected FILE" "run cut.gguf -p a --profile=" ""
same "nothing is left behind" "$(ls -A | grep -E 'tmp-|^x|^n' )" ""

if [ $mounted = yes ]; then
    printf 'tune 1\n' >mine && printf 'tune 1\n' >other
    refused "-o is a mount" 1 'mine: cannot replace: Device or resource busy' \
        unshare -m bash -c 'mount --bind other mine && "$@" -o mine' bash "$tern" compile cut.gguf --cpu ref
    refused "--tune-cache is a mount" 1 'mine: cannot replace: Device or resource busy' \
        unshare -m bash -c 'mount --bind other mine && "$@" --tune-cache mine' bash "$tern" compile cut.gguf --cpu ref -o x --tune=0.1
else
    echo "skipped: no mount can be made here"
fi

# a name of 255 bytes is a name
name=$(printf 'n%.0s' $(seq 251)).tir
works "the longest name there is" "" "$tern" opt a.tir --passes= -o "$name"
works "again, over itself" "" "$tern" opt "$name" --passes= -o "$name"
same "under that name" "$(wc -l <"$name")" "$(wc -l <a.tir)"
same "and no other" "$(ls -A | grep tmp-)" ""

# `-` is standard output, here as everywhere; ./- is a file
"$tern" compile "$model" --cpu ref -o - >out.tern 2>err
same "compile -o -: exit status" $? 0
same "compile -o -: no file is called so" "$(ls -A | grep -c '^-$')" 0
same "compile -o -: the same blob" "$(cksum <out.tern)" "$(cksum <m.tern)"
"$tern" compile "$model" --cpu ref -o - 2>err | cat >pipe.tern
same "compile -o - into a pipe" "$(cksum <pipe.tern)" "$(cksum <m.tern)"
"$tern" compile "$model" --cpu ref -o /dev/stdout 2>err | cat >pipe.tern
same "compile -o /dev/stdout into a pipe" "$(cksum <pipe.tern)" "$(cksum <m.tern)"
mkfifo fifo && { timeout 600 cat fifo >fifo.tern & }
"$tern" compile "$model" --cpu ref -o fifo 2>err
same "compile -o FIFO: exit status" $? 0
[ -p fifo ] && good "it is a FIFO still" || bad "it is a FIFO still"
: <>fifo; wait # where nothing was written, ends the reader
same "compile -o FIFO" "$(cksum <fifo.tern)" "$(cksum <m.tern)"
printf 'before' >more.tern && "$tern" compile "$model" --cpu ref -o /dev/stdout >>more.tern 2>err
same "compile -o /dev/stdout >> FILE goes on behind what is there" "$(tail -c +7 more.tern | cksum)" "$(cksum <m.tern)"
printf 'before\n' >more.tir && "$tern" opt a.tir --passes= -o /dev/stdout >>more.tir
same "opt -o /dev/stdout >> FILE" "$(head -1 more.tir)" before
"$tern" compile "$model" --cpu ref -o /dev/fd/7 7>seven.tern 2>err
same "compile -o /dev/fd/7" "$(cksum <seven.tern)" "$(cksum <m.tern)"
works "compile -o /dev/null" '/dev/null: ' "$tern" compile "$model" --cpu ref -o /dev/null
works "compile -o ./-" "" "$tern" compile "$model" --cpu ref -o ./-
same "makes the file" "$(cksum <./-)" "$(cksum <m.tern)"
rm -f ./-
if [ -c /dev/full ]; then
    try "$tern" compile "$model" --cpu ref -o /dev/full
    same "compile -o /dev/full: exit status" "$got" 1
    has "compile -o /dev/full" "$err" 'No space left'
fi
refused "verify --reduce -" 2 "--reduce.*'?-'?.*\./-" "$tern" verify cut.gguf $how --tokens 1 --reduce -
refused "--tune-cache -" 1 "--tune-cache.*'?-'?.*\./-" "$tern" compile cut.gguf --tune=0.1 --tune-cache - -o x.tern
same "no file is called -" "$(ls -A | grep -c '^-$')" 0
python3 - "$tern" "$model" >pty 2>&1 <<'END'
import os, pty, subprocess, sys
for words in (["compile", sys.argv[2], "--cpu", "ref", "-o", "-"], ["logits", sys.argv[2], "--target", "ref", "--tokens", "1", "-o", "-"],
              ["compile", "cut.gguf", "--emit", "obj"]):
    a, b = pty.openpty()
    p = subprocess.run([sys.argv[1]] + words, stdout=b, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=600)
    print(words[0], p.returncode, p.stderr.decode(errors="replace").strip())
END
has "compile to a terminal" "$(cat pty)" '^compile 1 .*terminal'
[ $native = no ] || has "an object to a terminal" "$(tail -1 pty)" '^compile 1 .*terminal'
has "logits to a terminal" "$(cat pty)" '^logits 1 .*terminal'
"$tern" compile cut.gguf --cpu ref -o - >&- 2>err
has "standard output closed" "$(cat err)" 'standard output'
"$tern" compile cut.gguf --cpu ref -o - 1<text 2>err
has "standard output for reading alone" "$(cat err)" 'standard output'
"$tern" run cut.gguf -p a >&- 2>err
has "run, standard output closed" "$(cat err)" 'standard output'

# every input of every verb is looked for before the model is opened
inputs=(
    "run -f|run cut.gguf $how -n 1 -f"
    "run --token-file|run cut.gguf $how -n 1 --token-file"
    "run --weights|run a.tir $how -p a -n 1 --weights"
    "logits --token-file|logits cut.gguf $how -o x --token-file"
    "perplexity -f|perplexity cut.gguf $how -f"
    "perplexity --token-file|perplexity cut.gguf $how --token-file"
    "tokenize -f|tokenize cut.gguf -f"
    "detokenize --token-file|detokenize cut.gguf --token-file"
    "verify -f|verify cut.gguf $how -f"
    "verify --token-file|verify cut.gguf $how --token-file"
    "verify --against|verify cut.gguf $how --tokens 1 --against"
    "diff B|diff cut.gguf"
    "inspect --profile|inspect cut.gguf --dot --profile"
    "eval --weights|eval a.tir --weights"
)
for line in "${inputs[@]}"; do
    IFS='|' read -r what words <<<"$line"
    no=1
    case $what in verify* | diff*) no=2 ;; esac
    late "$what: a file that is not there" $no 'nosuch\.txt: cannot open: No such file' "$words" nosuch.txt
    [ "$what" = "diff B" ] || # there it may be a model
        late "$what: a folder" $no 'folder: is a (directory|folder)' "$words" folder
done

refused "inspect --svg without dot" 1 "'dot' is not on PATH" env PATH="$PWD/nowhere" "$tern" inspect cut.gguf --svg=x.svg

for words in "run cut.gguf $how -n 1 -f -" "tokenize cut.gguf -f -" "run cut.gguf $how --token-file -" "opt -" "eval -"; do
    "$tern" $words <&- >out 2>err
    same "$words, standard input closed: exit status" $? 1
    has "$words, standard input closed" "$(cat err)" '^tern: error: standard input: cannot read'
    "$tern" $words <. >out 2>err
    has "$words, standard input is a folder" "$(cat err)" '^tern: error: standard input: is a directory'
done

# what the model's header settles is refused before there is code
refused "run: a token out of range" 1 'token 1792, expected 0 to 1791' "$tern" run late.tir $how --tokens 1,1792 -n 1
refused "run: words for ids" 1 "expected token ids" "$tern" run late.tir $how --tokens 1,x -n 1
printf '1 2 1792' >ids
refused "run: a token out of range in a file" 1 'token 1792, expected 0 to 1791' "$tern" run late.tir $how --token-file ids -n 1
refused "run -c above the model's" 1 '-c: 1025 positions, but the model has 1024' "$tern" run late.tir $how -p a -c 1025 -n 1
refused "run: a prompt above -c" 1 'the prompt has [0-9]+ tokens, but the context has 2' "$tern" run late.tir $how -f text -c 2 -n 1
refused "logits: a token out of range" 1 'token 1792, expected 0 to 1791' "$tern" logits late.tir $how --tokens 1792 -o x
seq -s, 0 1100 | tr -d '\n' >many
refused "logits: more tokens than positions" 1 '1101 tokens, but the model has 1024' "$tern" logits late.tir $how --token-file many -o x
refused "perplexity: one token" 1 'tokens, expected at least 2' "$tern" perplexity late.tir $how --tokens 5
refused "perplexity -c 1" 2 '-c: 1, expected at least 2' "$tern" perplexity late.tir $how --tokens 5,6 -c 1
refused "perplexity -c above the model's" 1 '-c: 1025 positions, but the model has 1024' "$tern" perplexity late.tir $how --tokens 5,6 -c 1025
refused "perplexity: a token out of range" 1 'token 1792, expected 0 to 1791' "$tern" perplexity late.tir $how --tokens 5,1792
refused "verify: a token out of range" 2 'is 1792, expected 0 to 1791' "$tern" verify late.tir $how --tokens 5,1792
refused "verify: more tokens than positions" 2 '1101 tokens, but the model has 1024' "$tern" verify late.tir $how --token-file many
refused "bench: more positions than the model" 1 'needs 1025 positions, but the model has 1024' "$tern" bench late.tir $how -p 1025 -n 0 -r 1 --read-mib 0
refused "bench: a second test that does not fit" 1 'needs 1030 positions, but the model has 1024' "$tern" bench late.tir $how -p 8,1030 -n 0 -r 1 --read-mib 0
refused "bench: more sequences than rows" 1 'sequences together' "$tern" bench late.tir $how -p 0 -n 1 -b 513 -r 1 --read-mib 0
if [ $native = yes ]; then # before anything is tuned
    refused "compile: a target that can do nothing" 1 'has no target|cannot make any kernel|has no level' \
        "$tern" compile late.tir --target xsmm --cpu neon-dotprod --tune=60 --tune-cache cache -o x
fi
$edit "$model" novocab.gguf -tokenizer.ggml.model -tokenizer.ggml.tokens -tokenizer.ggml.merges -tokenizer.ggml.token_type 2>/dev/null
if [ -s novocab.gguf ] && "$tern" inspect novocab.gguf >/dev/null 2>&1 && "$tern" opt novocab.gguf --passes= -o /dev/null 2>/dev/null; then
    refused "run -p: no tokenizer" 1 'no tokenizer' "$tern" run late.tir --weights novocab.gguf $how -p a -n 1
    refused "perplexity -f: no tokenizer" 1 'no tokenizer' "$tern" perplexity late.tir --weights novocab.gguf $how -f text
fi
refused "compile --emit dot: a variant that is not there" 1 'there is no variant 99' "$tern" compile "$model" --emit dot --variant 99 --levels ref
cd "$here" && tern=$program
