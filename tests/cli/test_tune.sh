#!/usr/bin/env bash
# --tune: its choices stand in the blob's text, a second run takes them from the cache, a file that is
# none of ours is left out and written anew; and whatever was chosen, the same bits come out. How much is measured in so
# many seconds is the machine's business: that the bound holds is tests/codegen/test_tune.c's, by a clock of its own.
set -u
. "$(dirname "$0")/program.sh"
export XDG_CACHE_HOME=$dir/cache

# mistakes; they need no code generator
run 2 compile -o "$dir/x.tern" --tune=soon
is "not a number" "$err" "tern compile: --tune: 'soon', expected seconds from 0.1 to 3600 (see tern compile --help)"
run 2 compile -o "$dir/x.tern" --tune=0
is "no time" "$err" "tern compile: --tune: '0', expected seconds from 0.1 to 3600 (see tern compile --help)"
run 2 compile -o "$dir/x.tern" --tune-cache "$dir/c"
is "a cache alone" "$err" "tern compile: --tune-cache goes with --tune (see tern compile --help)"
run 2 compile -o "$dir/x.tern" -t 2
is "threads alone" "$err" "tern compile: -t goes with --tune: a blob runs with any number (see tern compile --help)"
run 2 compile --emit tir --tune
is "of a text" "$err" "tern compile: --tune goes with --emit blob (see tern compile --help)"
run 2 logits --tune "$model" --tokens 1 -o "$dir/l"
is "another verb" "$err" "tern logits: unknown flag '--tune' (see tern logits --help)"
[ -e "$dir/x.tern" ] && no "a blob after a mistake"

# level ref has nothing to tune
run 0 compile "$model" --cpu ref -o "$dir/ref.tern" --tune=1
case $err in *"tuned for no level, "*": 0 kernels, 0 measured in "*) ;; *) no "ref: $err" ;; esac
[ -e "$XDG_CACHE_HOME/tern/tune" ] && no "a cache of nothing"

if [ $native = no ]; then
    echo "the rest needs compiled code"
    finish tune
fi
all=3600 # seconds in which every machine has measured all there is, and then it ends
bound=2  # seconds in which something may have been measured, or nothing
measured() { sed -n 's/.* kernels, \([0-9]*\) measured in .*/\1/p' <<<"$err"; }
level=$("$tern" --version | sed -n 's/^cpu levels: \([a-z0-9-]*\).*/\1/p')

# All kernels are measured; the blob's text has grains and distances.
common=("$model" --cpu "$level" --kv f16)
run 0 compile "${common[@]}" -o "$dir/plain.tern"
run 0 compile "${common[@]}" -o "$dir/plain2.tern"
cmp -s "$dir/plain.tern" "$dir/plain2.tern" || no "not tuned, two blobs differ"
run 0 compile "${common[@]}" -o "$dir/a.tern" --tune=$all -t 1
table=$err
case $err in *"tuned for $level, 1 thread, "*": 15 kernels, 15 measured in "*" 0 from the cache, "*) ;; *) no "the table: $err" ;; esac
cache=$XDG_CACHE_HOME/tern/tune
is "the cache begins" "$(head -1 "$cache" 2>/dev/null)" "tune 1"
is "kernels in the cache" "$(grep -c '^kernel ' "$cache")" 15
run 0 opt "$dir/a.tern" --passes=
case $out in *"axis=cols, grain="*", prefetch_l1="*", prefetch_l2="*) ;; *) no "no distances in the blob's text" ;; esac

# From the cache: nothing is measured, the same bytes. (The seconds are a clock's: on a busy machine there may be some.) A hand may
# edit it: here it has settings for all 15, made from the lines above.
edited=$dir/edited
machine=$(sed -n '/^kernel/{s/^kernel "[^"]*" \(.*\) grain=.*/\1/p;q}' "$cache")
echo "tune 1" >"$edited"
sed -n "s/^  [0-9].* \($level .*\)/\1/p" <<<"$table" | while read -r shape; do
    case $shape in *rows=1..1*) grain=32 ;; *rows=2..8*) grain=128 ;; *) grain=192 ;; esac
    echo "kernel \"$shape\" $machine grain=$grain, prefetch_l1=512, prefetch_l2=65536}" >>"$edited"
done
is "kernels" "$(grep -c '^kernel ' "$edited")" 15
cp "$edited" "$dir/kept"
run 0 compile "${common[@]}" -o "$dir/b.tern" --tune=30 -t 1 --tune-cache "$edited"
case $err in *" 15 kernels, 0 measured in "*" s, 15 from the cache, "*) ;; *) no "from the cache: $err" ;; esac
cmp -s "$edited" "$dir/kept" || no "a cache that has everything was written"
run 0 compile "${common[@]}" -o "$dir/c.tern" --tune=30 -t 1 --tune-cache "$edited"
cmp -s "$dir/b.tern" "$dir/c.tern" || no "from one cache, two blobs differ"
if [ "$level" = avx512-vnni ]; then # where products of many rows have code for both
    sed '/ tmatmul .* rows=9\.\./s/}$/, panels=1}/' "$edited" >"$dir/with"
    run 0 compile "${common[@]}" -o "$dir/c.tern" --tune=30 -t 1 --tune-cache "$dir/with"
    run 0 opt "$dir/c.tern" --passes= --rows 9..512
    case $out in *"root=tmatmul, "*" panels=1, "*) ;; *) no "panels=1 is not in the blob's text" ;; esac
fi
for setting in "1 grain=32" "2..8 grain=128" "9..512 grain=192" "1 prefetch_l1=512" "1 prefetch_l2=65536"; do
    run 0 opt "$dir/b.tern" --passes= --rows "${setting% *}"
    case $out in *" ${setting#* },"*) ;; *) no "${setting#* } is not in the blob's text" ;; esac
done
cmp -s "$dir/b.tern" "$dir/plain.tern" && no "other settings, the same blob"

# The same bits: all logits of a text that goes through all batch classes, and decoding.
tokens=$("$tern" tokenize "$model" -p "In the beginning God created the heaven and the earth. And the earth was without form" |
    tr -s '\n ' ',,' | sed 's/^,//; s/,$//')
for blob in plain a b; do
    for rows in 1 5 64; do
        run 0 logits "$dir/$blob.tern" --tokens "$(cut -d, -f1-$rows <<<"$tokens")" -o "$dir/$blob.$rows"
    done
    "$tern" run "$dir/$blob.tern" -p "And the LORD said" -n 24 -t 2 --temp 0 >"$dir/$blob.text" 2>/dev/null
done
[ "$(tr -cd , <<<"$tokens" | wc -c)" -gt 12 ] || no "a text of few tokens: $tokens"
for blob in a b; do
    for rows in 1 5 64; do
        checks=$((checks + 1))
        cmp -s "$dir/plain.$rows" "$dir/$blob.$rows" || no "logits of $blob, $rows rows at a time, differ"
    done
    is "text of $blob" "$(cat "$dir/$blob.text")" "$(cat "$dir/plain.text")"
done

# A faulty cache: one line with its place, and it is written anew; another model's choices are not lost.
sed -i '4s/prefetch_l1=512/prefetch_l1=500/' "$edited"
run 0 compile "${common[@]}" -o "$dir/d.tern" --tune=$bound -t 1 --tune-cache "$edited"
written=$(measured)
case $err in
"$edited:4:"*": prefetch_l1=500, expected a multiple of 64 from 0 to 1048576; this tuning cache is ignored and will be replaced"*) ;;
*) no "a faulty cache: $err" ;;
esac
run 0 compile "${common[@]}" -o "$dir/d.tern" --tune=$bound -t 1 --tune-cache "$edited"
case $written:$err in 0:*) ;; *"is ignored"*) no "it was not written anew: $err" ;; esac

# A cache that cannot be written: the user's own is an error before work, the default is a line.
run 1 compile "${common[@]}" -o "$dir/e.tern" --tune=$bound -t 1 --tune-cache /proc/none/tune
case $err in *"tern: error: /proc/none/tune: cannot write: the folder /proc/none is not there"*) ;; *) no "unwritable cache: $err" ;; esac
[ -e "$dir/e.tern" ] && no "a blob although the cache failed"
XDG_CACHE_HOME=/proc/none run 0 compile "${common[@]}" -o "$dir/e.tern" --tune=$bound -t 1
case $(measured):$err in 0:*) ;; *"; the measurements are not saved"*) ;; *) no "unwritable default cache: $err" ;; esac

# A planned text, edited by hand: its settings go to the kernels that are made anew, of its rows alone.
run 0 opt "$dir/plain.tern" --passes= --rows 1 -o "$dir/planned.tir"
sed 's/prefetch_l1=1024, prefetch_l2=12288/prefetch_l1=640/' "$dir/planned.tir" >"$dir/edited.tir"
run 0 compile "$dir/edited.tir" --weights "$model" --cpu "$level" --kv f16 -o "$dir/f.tern"
run 0 opt "$dir/f.tern" --passes= --rows 1
is "near, edited" "$(grep -c 'prefetch_l1=640' "$dir/out")" "$(grep -c 'prefetch_l1=1024' "$dir/planned.tir")"
run 0 opt "$dir/f.tern" --passes= --rows 2
is "near of other rows" "$(grep -c 'prefetch_l1=640' "$dir/out")" 0
run 0 logits "$dir/f.tern" --tokens "$(cut -d, -f1 <<<"$tokens")" -o "$dir/f.1"
cmp -s "$dir/plain.1" "$dir/f.1" || no "logits of an edited text differ"
sed 's/prefetch_l1=1024, prefetch_l2=12288/prefetch_l1=650/' "$dir/planned.tir" >"$dir/wrong.tir"
run 1 compile "$dir/wrong.tir" --weights "$model" -o "$dir/g.tern"
case $err in *"wrong.tir:"*": prefetch_l1=650, expected a multiple of 64 from 0 to 1048576"*"^"*) ;; *) no "a wrong text: $err" ;; esac

# A family of processors has distances of its own; the bits are the same. Where levels are named it is asked for.
run 0 opt "$dir/plain.tern" --passes= --rows 1
case $out in *", listed_l1=4, "*) ;; *) no "the distances of any family: $out" ;; esac
run 0 compile "${common[@]}" --family zen4 -o "$dir/z.tern"
run 0 opt "$dir/z.tern" --passes= --rows 1
case $out in *", listed_l2=12, "*) ;; *) no "the distances of a family: $out" ;; esac
run 0 logits "$dir/z.tern" --tokens "$(cut -d, -f1 <<<"$tokens")" -o "$dir/z.1"
cmp -s "$dir/plain.1" "$dir/z.1" || no "logits of a family differ"
run 1 compile "${common[@]}" --family zen0 -o "$dir/z0.tern"
case $err in *"tern: error: --family: got 'zen0', expected one of here, any, zen4, "*) ;; *) no "an unknown family: $err" ;; esac

# A shortlisted head has values for rows that want all logits, which an ordinary step does not have.
"$build/make_gguf" --shape tiny --vocab 8192 -o "$dir/large.gguf" >/dev/null || no "make_gguf"
run 0 compile "$dir/large.gguf" --kv f16 --head q6 -o "$dir/large.tern" --tune=$bound -t 2 --tune-cache "$dir/head"

# Base 3 is chosen for each shape before all else. The blob has what the table says, or the cache; the bits are the same.
case $level in
avx-vnni | avx512-vnni)
    "$build/make_gguf" --shape tiny --hidden 320 --heads 5 --kv-heads 5 --layers 1 --seed 1 -o "$dir/wide.gguf" >/dev/null || no "make_gguf"
    wide=("$dir/wide.gguf" --cpu "$level" --kv f16)
    tuned=(-t 1 --tune-cache "$dir/packed")
    packed() { "$tern" opt "$1" --passes= --rows "$2" | sed -n "s/.*: \(b[0-9]*\)\[$3,320\].*/\1/p"; }
    run 0 compile "${wide[@]}" "${tuned[@]}" --tune=$bound -o "$dir/w.tern"
    case $err in *"packed for $level, 1 thread, "*": 2 shapes, "*) ;; *) no "the table of packings: $err" ;; esac
    for rows in 960 320; do
        line=$(grep -m 1 -F "$level tmatmul b64[$rows,320] rows=1..1" <<<"$err")
        case $(cut -c24-30 <<<"$line") in b80*) want=b80 ;; *) want=b64 ;; esac
        is "packing of $rows rows" "$(packed "$dir/w.tern" 1 $rows)" $want
    done
    for choice in "yes no" "no yes" "yes yes"; do
        read -r many few <<<"$choice"
        {
            echo "tune 1"
            echo "packing \"$level tmatmul b64[960,320] rows=1..1 parts=320,320,320 heads=64\" ${machine%,}, base3=$many}"
            echo "packing \"$level tmatmul b64[320,320] rows=1..1\" ${machine%,}, base3=$few}"
        } >"$dir/packed"
        run 0 compile "${wide[@]}" "${tuned[@]}" --tune=0.1 -o "$dir/w.tern"
        case $err in *"packed for "*": 2 shapes, 0 measured in "*" s, 2 from the cache, 0 better"*) ;; *) no "packings from the cache: $err" ;; esac
        for rows in 1 5 64; do
            is "packing by the cache" "$(packed "$dir/w.tern" $rows 960) $(packed "$dir/w.tern" $rows 320)" \
                "$(sed 's/yes/b80/g; s/no/b64/g' <<<"$choice")"
        done
        "$tern" diff "$dir/wide.gguf" "$dir/w.tern" >"$dir/diff" # settings may differ
        grep -q 'b64\|b80' "$dir/diff" && no "tern diff finds other packings: $(cat "$dir/diff")"
    done
    run 0 compile "${wide[@]}" -o "$dir/w0.tern"
    for rows in 1 5 33; do
        ids=$(seq -s, 3 $((rows + 2)))
        run 0 logits "$dir/w.tern" --tokens "$ids" -o "$dir/w.$rows"
        run 0 logits "$dir/w0.tern" --tokens "$ids" -o "$dir/w0.$rows"
        cmp -s "$dir/w.$rows" "$dir/w0.$rows" || no "logits of weights in base 3 differ, $rows rows"
    done
    run 0 compile "${wide[@]:0:1}" --levels "avx2,$level" --kv f16 "${tuned[@]}" --tune=0.1 -o "$dir/w.tern"
    case $err in *"packed for "*) no "packings are measured although a level has no code for base 3: $err" ;; esac
    ;;
*) echo "packings: $level has no code for base 3" ;;
esac

# At load, and not of what is compiled.
run 0 run "$model" -p "And the LORD said" -n 24 -t 2 --temp 0 --tune=$bound --tune-cache "$dir/jit"
is "text of a model tuned at load" "$out" "$(cat "$dir/plain.text")"
[ "$(measured)" = 0 ] || grep -q 'pages=huge' "$dir/jit" || no "the cache of a model tuned at load: $(head -3 "$dir/jit")"
run 2 run "$dir/plain.tern" -n 1 --tune
is "of a blob" "$err" "tern run: --tune works on a .gguf, $dir/plain.tern is compiled (see tern run --help)"

finish tune
