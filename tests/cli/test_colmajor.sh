#!/usr/bin/env bash
# Pass colmajor on whole models that are large enough for it. In the batch class of one row, down's weights also have a
# column-major copy; both ways in which a blob reads them are run; and steps give the results of the model's own graph, on
# every level of this machine and with 1 to 4 threads.
set -u
. "$(dirname "$0")/program.sh"
levels=$("$tern" --version | sed -n 's/^cpu levels: //p' | tr ',' ' ')
[ $native = yes ] || levels=
size="--shape tiny --hidden 2176 --heads 4 --kv-heads 1 --head-dim 64 --ffn 640 --layers 2"

# shellcheck disable=SC2086
"$build/make_gguf" $size -o "$dir/m.gguf" >/dev/null || no "make_gguf"
for level in $levels; do
    run 0 opt "$dir/m.gguf" --cpu "$level" --rows 1 --kv f16 -o "$dir/m.tir"
    is "$level: copies" "$(grep -c ' = colmajor ' "$dir/m.tir")" 2
    is "$level: readers" "$(grep -c ' = tmatmul %[^,]*, [^,]*, ' "$dir/m.tir")" 2
    run 0 opt "$dir/m.gguf" --cpu "$level" --rows 2..8 --kv f16 -o "$dir/m.tir"
    is "$level: copies for more rows" "$(grep -c ' = colmajor ' "$dir/m.tir")" 0
    for t in 1 2 3 4; do
        ids=3,1,4,1,5
        [ $t -le 2 ] && ids=$t
        run 0 verify "$dir/m.gguf" --tokens $ids --cpu "$level" -t $t
        case $out in *" equal, level $level, "*"results as the model's graph gives them"*) ;; *) no "$level, $t threads, $ids: $out" ;; esac
    done
done
run 0 opt "$dir/m.gguf" --cpu ref --rows 1 --kv f16 -o "$dir/m.tir"
is "ref: copies, which nobody would read" "$(grep -c ' = colmajor ' "$dir/m.tir")" 0

# silu makes no zeros
# shellcheck disable=SC2086
"$build/make_gguf" $size --arch llama -o "$dir/s.gguf" >/dev/null || no "make_gguf"
for level in $levels; do
    run 0 opt "$dir/s.gguf" --cpu "$level" --rows 1 --kv f16 -o "$dir/s.tir"
    is "$level: silu" "$(grep -c ' = colmajor ' "$dir/s.tir")" 0
done

finish colmajor
