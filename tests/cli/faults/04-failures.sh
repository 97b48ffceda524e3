# Library calls whose failure is not looked at.
# shellcheck shell=bash disable=SC2154
latin=$(printf 'caf\xe9 au lait' | od -An -v -tx1 | tr -d ' \n')
$edit "$model" "$dir/latin.gguf" general.name=hex:"$latin"
cpu=""
[ $native = no ] && cpu="--cpu ref"
"$tern" compile "$dir/latin.gguf" $cpu --kv f16 -o "$dir/latin.tern" 2>/dev/null
bench=("$tern" bench $how "$dir/latin.tern" -p 1 -n 0 -r 1 -t 1 --read-mib 0)
works "bench -o json of a name in Latin-1" "" "${bench[@]}" -o json
name=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1], encoding="utf-8"))[0]["model"])' "$dir/out" 2>&1)
same "its bytes are replaced as in inspect --report" "$name" "caf? au lait"
works "bench --profile=.json of it" "" "${bench[@]}" --profile="$dir/p.json"
name=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1], encoding="utf-8"))["model"])' "$dir/p.json" 2>&1)
same "so in a profile" "$name" "caf? au lait"
works "and in a trace" "" "${bench[@]}" --profile="$dir/p.trace"
name=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1], encoding="utf-8"))["otherData"]["model"])' "$dir/p.trace" 2>&1)
same "so in a trace" "$name" "caf? au lait"

# a full disk and a closed output, for every verb that prints
"$tern" opt "$model" --passes= -o "$dir/a.tir"
blob=$dir/latin.tern
full() {
    local what=$1
    shift
    # shellcheck disable=SC2016
    try sh -c '"$@" >/dev/full' sh "$@"
    same "$what on a full disk: status (${err:0:120})" "$got" "${status:-1}"
    has "$what on a full disk" "$err" "standard output|No space left"
    # shellcheck disable=SC2016
    try sh -c '"$@" >&-' sh "$@"
    same "$what with standard output closed: status (${err:0:120})" "$got" "${status:-1}"
}
full "--help" "$tern" --help
full "run --help" "$tern" run --help
full "--version" "$tern" --version
full "run" "$tern" run $how "$blob" -p a -n 2 --temp 0
full "tokenize" "$tern" tokenize "$model" -p a
full "detokenize" "$tern" detokenize "$model" --tokens 5,6
full "perplexity" "$tern" perplexity $how "$blob" --tokens 5,6,7
full "opt" "$tern" opt "$dir/a.tir" --passes=
full "inspect" "$tern" inspect "$model"
full "inspect --report" "$tern" inspect --report "$model"
full "inspect --dot" "$tern" inspect --dot --fold-layers "$model"
for format in md csv json; do full "bench -o $format" "${bench[@]}" -o $format; done
sed 's/ relu2 / silu /' "$dir/a.tir" >"$dir/b.tir"
status=2 full "diff" "$tern" diff "$dir/a.tir" "$dir/b.tir"
status=2 full "verify" "$tern" verify "$dir/a.tir" --against "$dir/a.tir" --tokens 5
status=2 full "diff -q" "$tern" diff -q "$dir/a.tir" "$dir/b.tir"
unset status
refused "-o /dev/full of opt" 1 "/dev/full.*No space" "$tern" opt "$dir/a.tir" --passes= -o /dev/full
refused "-o /dev/full of logits" 1 "(/dev/full|full).*(write|No space)" "$tern" logits $how "$blob" --tokens 5 -o /dev/full
for kind in json trace tir; do
    ln -sf /dev/full "$dir/full.$kind"
    try "${bench[@]}" --profile="$dir/full.$kind"
    same "a profile as $kind on a full disk: status" "$got" 1
    has "a profile as $kind on a full disk" "$err" "No space left"
done
# standard error closed: the work goes on
try sh -c '"$@" 2>&-' sh "$tern" tokenize "$model" -p a
same "tokenize with standard error closed" "$got" 0

# names longer than any buffer
deep=$(python3 -c 'print("/".join(["d" * 200] * 25))')
refused "a path of 5,000 bytes" 1 "File name too long|cannot" "$tern" run "$dir/$deep"
refused "an output of 5,000 bytes" 1 "[Nn]ame too long|too long|cannot" "$tern" opt "$dir/a.tir" --passes= -o "$dir/$deep"
refused "a folder as a prompt" 1 "directory|folder" "$tern" run $how "$blob" -f "$dir" -n 1
refused "a folder as a text" 1 "directory|folder" "$tern" perplexity $how "$blob" -f "$dir"

# Little memory: every outcome is success, or one line and status 1. Compiling at load takes LLVM and the pool.
if [ $native = yes ] && ! nm -D "$tern" 2>/dev/null | grep -q __asan_init; then
    # within KB STATUS COMMAND..: well, or that status and one line
    within() {
        local kb=$1 status=$2 what lines
        shift 2
        what="$2 within $kb KB"
        # shellcheck disable=SC2016
        try bash -c 'ulimit -c 0; ulimit -v '$kb'; exec "$@"' sh "$@"
        lines=$(grep -c "" "$dir/err")
        case $got in
        0) good "$what" ;;
        127) good "$what: the loader refuses" ;;
        "$status") if [ "$lines" = 1 ]; then good "$what"; else bad "$what: $lines lines: ${err:0:200}"; fi ;;
        *) bad "$what: exit $got: ${err:0:200}" ;;
        esac
        same "$what: files left" "$(find "$dir" -name '*.tmp-*')" ""
    }
    for kb in 30000 120000 170000 184000 190000 196000 200000 208000 212000 214000 216000 220000 240000; do
        within $kb 1 "$tern" run "$model" -p a -n 1 --temp 0 -t 1
    done
    for kb in 30000 175000 198000 202000 214000 240000; do
        within $kb 1 "$tern" compile "$model" -o "$dir/o.tern"
        within $kb 1 "$tern" bench "$model" -p 1 -n 1 -r 1 -t 1 --read-mib 8
        within $kb 1 "$tern" inspect --report "$model"
        within $kb 1 "$tern" tokenize "$model" -p a
        within $kb 2 "$tern" verify "$model" --tokens 5,6
        within $kb 2 "$tern" diff "$model" "$model"
    done
    for kb in 6000 14000 17000 19000; do within $kb 1 "$tern" run "$blob" -p a -n 1 --temp 0 -t 1; done
    # that memory was short is in the loader's line, and 1 is no difference
    try bash -c 'ulimit -c 0; ulimit -v 150000; exec "$@"' sh "$tern" verify "$model" --tokens 5
    same "verify without room for the compiler" "$got: $err" "2: tern: error: the compiler library could not be opened: out of memory"
    # where libxsmm finds no place for its code; its own file, which is never made (codegen.xsmm), but other programs with a
    # libxsmm may at any time: one run beside none of them is enough
    xsmm="--target xsmm"
    "$tern" compile --help | grep -q xsmm || xsmm=""
    works "TMPDIR that is not there" "" env TMPDIR="$dir/none" "$tern" run "$model" -p a -n 1 $xsmm
    lock=/tmp/.libxsmm.$(id -u)
    if [ ! -e "$lock" ]; then
        for _ in 1 2 3 4 5; do
            "$tern" compile "$model" --cpu avx2 $xsmm -o "$dir/o.tern" >/dev/null 2>&1
            made=$(ls "$lock" 2>/dev/null)
            [ -z "$made" ] && break
        done
        same "a file of libxsmm is in the temporary folder" "$made" ""
    fi
fi

# names longer than the buffers that messages are made in: the fault is still said, and the line shown; nothing is raw
deep=$(python3 -c 'print("/".join(["d" * 200] * 3))')
mkdir -p "$dir/$deep"
for name in short.tir "$deep/long.tir" $'odd\e[1m.tir'; do
    printf 'tir 1\ngraph @g stage=model\n  %%x: f32[T,4] = input {name="x"}\n  %%y: f32[T,5] = relu2 %%x\n  %%o: f32[T,4] = output %%x {name="o"}\nend\n' >"$dir/$name"
    for verb in opt compile eval; do
        more=""
        [ $verb = compile ] && more="--cpu ref -o $dir/o.tern"
        # shellcheck disable=SC2086
        try "$tern" $verb "$dir/$name" $more
        same "$verb of a text at fault, ${name: -12}: the exit status" "$got" 1
        has "$verb of a text at fault, ${name: -12}: the fault" "$err" ':4:18: relu2 gives f32\[T,4\], but the type says f32\[T,5\]'
        has "$verb of a text at fault, ${name: -12}: its line" "$err" '^      %y: f32\[T,5\] = relu2 %x$'
        hasnt "$verb of a text at fault, ${name: -12}: nothing raw" "$err" $'\e'
    done
done
refused "a cache type longer than any" 2 "'f16xxxxxxxxxxxxxxxxxxxxx', expected one of" "$tern" compile "$model" --kv f32,f16xxxxxxxxxxxxxxxxxxxxx -o "$dir/o.tern"
