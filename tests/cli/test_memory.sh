#!/usr/bin/env bash
# What a model takes in memory: the table of tern inspect --memory for blobs of any machine and for a model file, the same
# without the compiler library; --memory-limit; the line about a control group that is too small. And tern inspect of a blob
# where there is no compiler library.
set -u
. "$(dirname "$0")/program.sh"
need_native
level=$("$tern" --version | sed -n 's/^cpu levels: \([^,]*\).*/\1/p')
other=neon,neon-dotprod best=neon-dotprod
[ "$(uname -m)" = aarch64 ] && other=avx2 best=avx2
m=$dir/m.tern
"$tern" compile -o "$m" --head q6 --levels "$level" 2>"$dir/err" || no "compile: $(cat "$dir/err")"
"$tern" compile -o "$dir/other.tern" --levels $other 2>"$dir/err" || no "compile: $(cat "$dir/err")"
mkdir "$dir/alone" # the program without the compiler library
find "$build" -maxdepth 1 -name 'libtern*.so*' ! -name 'libternc*' -exec cp -P {} "$dir/alone" \;
cp "$tern" "$dir/alone/tern"
alone() {
    local want=$1
    shift
    LD_LIBRARY_PATH=$dir/alone "$dir/alone/tern" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    is "alone: tern $*: status" $? "$want"
    out=$(cat "$dir/out") err=$(cat "$dir/err")
}

# ---- the table
# cell ROW COLUMN: the number in column 1 to 3 of the row that begins so
cell() { grep "^  $1" <<<"$out" | cut -c 50- | awk -v n="$2" '{ print $n }'; }
rows=("weights that a token" "tables of which" "weights that only" "weights of other" code cache arena scratch "tables of the" "the rest")
adds_up() { # WHAT
    local i row sum
    for i in 1 2 3; do
        sum=$(for row in "${rows[@]}"; do cell "$row" $i; done | awk '{ n++; s += $1 * 1000 } END { printf "%d rows, %.0f", n, s }')
        awk -v a="${sum#* rows, }" -v b="$(cell all $i)" -v n="${sum%% *}" 'BEGIN { d = a - b * 1000; exit !(n == 10 && d < 9 && d > -9) }' ||
            no "$1: column $i: $sum, but all is $(cell all $i)"
        checks=$((checks + 1))
    done
}
run 0 inspect --memory "$m" -c 512 -t 3 --slots 2 --kv i8
adds_up "a blob"
is "a blob: the first line" "$(head -1 <<<"$out")" "memory of verse, level $level, in MB (10^6 bytes), with the cache full"
grep -q '^  cache of 2 slots of 512 positions, kv i8 ' <<<"$out" || no "a blob: no cache: $out"
grep -q '^  scratch of 3 threads ' <<<"$out" || no "a blob: no scratch: $out"
awk -v row="$(cell "tables of which" 1)" -v all="$(cell "tables of which" 3)" 'BEGIN { exit !(row * 100 < all) }' ||
    no "with a shortlist the table is read by rows: $out"
awk -v a="$(cell all 3)" -v b="$(stat -c %s "$m")" 'BEGIN { exit !(a * 1e6 > b) }' || no "less is reserved than the file has: $out"
first=$out
cp "$m" "$dir/t.tern"
alone 0 inspect --memory "$m" -c 512 -t 3 --slots 2 --kv i8
is "without the compiler library" "$out" "$first"
# the program's own session takes what the table says
run 0 inspect --memory "$m" -c 512 -t 2
table=$(for row in "weights that a token" code cache arena scratch "tables of the"; do cell "$row" 1; done | awk '{ s += $1 } END { printf "%.1f", s }')
run 1 run "$m" --lines -c 512 -t 2 --memory-limit 1
needs=$(sed -n 's/.*needs \([0-9.]*\) MB of memory (.*/\1/p' <<<"$err")
awk -v a="$table" -v b="$needs" 'BEGIN { d = a - b; exit !(b > 0 && d < 0.11 && d > -0.11) }' || no "the table says $table MB, the run needs '$needs': $err"
# a blob of another machine, where a level may be chosen; a model file, compiled with the same code
run 0 inspect --memory "$dir/other.tern"
adds_up "another machine's"
is "another machine's level" "$(sed -n '1s/.*level \([^,]*\),.*/\1/p' <<<"$out")" $best
run 0 inspect --memory "$dir/other.tern" --cpu "${other%%,*}"
is "a chosen level" "$(sed -n '1s/.*level \([^,]*\),.*/\1/p' <<<"$out")" "${other%%,*}"
run 1 inspect --memory "$dir/other.tern" --cpu "$level"
is "no such level" "$err" "tern: error: $dir/other.tern: has no level under $level, expected one for a processor"
run 0 inspect --memory "$m" -c 512 -t 2
blob=$(for row in "weights that a token" cache arena scratch "tables of the"; do cell "$row" 2; done)
run 0 inspect --memory "$model" --head q6 -c 512 -t 2
adds_up "a model file"
is "a model file" "$(for row in "weights that a token" cache arena scratch "tables of the"; do cell "$row" 2; done)" "$blob"
is "in memory all weights are resident" "$(cell "tables of which" 1)" "$(cell "tables of which" 3)"
# weights that decoding may read by columns: prompts alone need the rows, of 2048 * 256 codes and a scale
"$build/make_gguf" --hidden 2048 --ffn 256 --layers 1 --heads 16 --kv-heads 2 --head-dim 128 --vocab 300 --ctx 64 -o "$dir/down.gguf" >/dev/null 2>"$dir/err" || no "make_gguf: $(cat "$dir/err")"
"$tern" compile "$dir/down.gguf" -o "$dir/down.tern" --kv f16 --levels "$level" 2>"$dir/err" || no "compile: $(cat "$dir/err")"
run 0 inspect --memory "$dir/down.tern"
adds_up "with a copy by columns"
is "rows that decoding does not need" "$(cell "weights that only" 1) $(cell "weights that only" 3)" "0.000 0.131"
run 1 inspect --memory "$m" -c 5000
is "too many positions" "$err" "tern: error: context is 5000, expected 1 to 1024"
for words in "-c 5" "--slots 2" "-t 2" "--kv f16" "--cpu $level" "--head q6" --no-keep; do
    # shellcheck disable=SC2086
    run 2 inspect "$m" $words
    is "inspect $words" "$err" "tern inspect: ${words%% *} goes with --memory (see tern inspect --help)"
done
for words in --report --dot --json "--variant 1" --ternary-dense; do
    # shellcheck disable=SC2086
    run 2 inspect --memory "$m" $words
    is "--memory $words" "$err" "tern inspect: --memory goes with -c, --kv, --slots, -t, --cpu, --head and --no-keep alone (see tern inspect --help)"
done
run 2 inspect --memory "$m" --head q6
run 2 inspect --memory "$m" --no-keep
run 2 inspect --memory "$m" --cpu best

# ---- the limit
text=(-p "KING RICHARD:" -n 8 --temp 0)
run 0 run "$m" "${text[@]}"
free=$out
run 0 run "$m" "${text[@]}" --memory-limit 1G
is "within the limit: the text" "$out" "$free"
over() { # VERB ARGS..
    run 1 "$@" --memory-limit 2M
    is "$1: nothing is written" "$out" ""
    grep -qE '^tern: error: [^ ]*: needs [0-9.]+ MB of memory \(1\.7 MB for weights, [0-9.]+ MB for code, [0-9.]+ MB for the cache of [0-9]+ slots? of [0-9]+ positions, [0-9.]+ MB for steps\), expected at most the limit, 2\.0 MB$' <<<"$err" ||
        no "$1: $err"
}
over run "$m" "${text[@]}"
over chat "$m" --chat-template chatml -p hello -st
over logits "$m" --tokens 1,2,3 -o "$dir/logits"
over perplexity "$m" --tokens 1,2,3
over embed "$m" -p hello --pooling mean
over bench "$m" -p 8 -n 0 --read-mib 0
run 1 run "$model" "${text[@]}" --head q6 --memory-limit 2000000 # compiled, and then refused
grep -q ' needs .* expected at most the limit, 2.0 MB$' <<<"$err" || no "a model file: $err"
for size in "" 0 -1 1.5G G 9x 99999999999999999999 20000000T; do
    run 2 run "$m" "${text[@]}" --memory-limit="$size"
    [ -z "$size" ] || is "a size of $size" "$err" "tern run: --memory-limit: got '$size', expected a size, such as 900M, 2G or 1Gi (see tern run --help)"
done
for size in 1Gi 1024Mi 4Ti 99999999K; do run 0 run "$m" "${text[@]}" --memory-limit "$size"; done

# ---- a control group: a file system of the test's own stands where the group's files are
point=$(awk '$0 ~ / - cgroup2? / && ($0 ~ / - cgroup2 / || $NF ~ /(^|,)memory(,|$)/) {print $5; exit}' /proc/self/mountinfo)
limited() { # BYTES COMMAND..: as v1 and v2 write it
    # shellcheck disable=SC2016
    unshare -m sh -c 'mount -t tmpfs none "$1" && echo "$2" >"$1/memory.max" && echo "$2" >"$1/memory.limit_in_bytes" || exit 99
        shift 2 && exec "$@"' - "$point" "$@"
}
if [ -z "$point" ] || ! limited 1000000 true 2>/dev/null; then
    echo "no control groups here, or no mounts of our own: no line about them"
else
    is "a small group: the text" "$(limited 3000000 "$tern" run "$m" "${text[@]}" 2>"$dir/err")" "$free"
    is "a small group: lines" "$(grep -cE '^tern: warning: the model needs [0-9.]+ MB, and the control group of this process may use 3\.0 MB: weights will be read from the disk again and again$' "$dir/err")" 1
    limited 3000000000 "$tern" run "$m" "${text[@]}" >"$dir/out" 2>"$dir/err"
    grep -q warning "$dir/err" && no "a large group: $(cat "$dir/err")"
fi

# ---- inspect without the compiler library: all but the plan of memory
run 0 inspect "$m"
sed '/^plan of level/,$d' "$dir/out" >"$dir/with"
grep -q "^  $level  *[A-Z]" "$dir/with" || no "inspect does not say which machines run $level"
alone 0 inspect "$m"
(cat "$dir/out" && echo) | cmp - "$dir/with" || no "the listing differs"
is "what is left out" "$err" "tern: the plan of memory is not shown: it needs the compiler library"
alone 0 inspect "$dir/other.tern"
for what in --dot --svg --json; do
    alone 1 inspect "$m" $what
    case $err in "tern: error: $what: the compiler library could not be opened: "*) ;; *) no "$what: $err" ;; esac
done
alone 1 inspect "$model"
case $err in "tern: error: $model: the compiler library could not be opened: "*) ;; *) no "a model file: $err" ;; esac
alone 1 inspect "$model" --report
case $err in "tern: error: --report: the compiler library could not be opened: "*) ;; *) no "a report: $err" ;; esac
alone 1 inspect "$model" --memory
is "--memory of a model file: lines" "$(wc -l <"$dir/err")" 1
finish memory
