#!/usr/bin/env bash
# Pass prune on whole models with dead neurons: it removes them, pass gate still applies after it, and steps give the
# results of the model's own graph, in all batch classes, on the levels of this machine in turn and with 1 to 4 threads.
set -u
. "$(dirname "$0")/program.sh"
IFS=, read -r -a levels < <("$tern" --version | sed -n 's/^cpu levels: //p')
[ $native = yes ] || levels=()
turn=0

# try COLUMNS flags-of-make_gguf...: how many columns keep_cols leaves, of sub-norm and down of each layer
try() {
    local columns=$1 flags=
    shift
    case " $* " in *" --ternary "*) flags=--ternary-dense ;; esac
    "$build/make_gguf" "$@" -o "$dir/m.gguf" >/dev/null || no "make_gguf $*"
    # shellcheck disable=SC2086
    run 0 opt "$dir/m.gguf" $flags --cpu ref --rows 1 --kv f16 -o "$dir/m.tir"
    is "$* : columns" "$(sed -n 's/.* = keep_cols .*{n=\([0-9]*\)}$/\1/p' "$dir/m.tir" | tr '\n' ' ')" "$columns"
    gates=$(grep -c ' = mulz ' "$dir/m.tir")
    # the evaluator alone, then code: every batch class, against the graph as the frontend made it
    for ids in 7 1,2 3,1,4,1,5,9,2 "$(seq -s, 1 33)"; do
        # shellcheck disable=SC2086
        run 0 verify "$dir/m.gguf" $flags --tokens "$ids" --target ref
        case $out in *"results as the model's graph gives them"*) ;; *) no "$* : ref, $ids: $out" ;; esac
        [ ${#levels[@]} -gt 0 ] || continue
        level=${levels[turn % ${#levels[@]}]}
        turn=$((turn + 1))
        # shellcheck disable=SC2086
        run 0 verify "$dir/m.gguf" $flags --tokens "$ids" --cpu "$level" -t $((turn % 4 + 1))
        case $out in *" equal, level $level, "*"results as the model's graph gives them"*) ;; *) no "$* : $level, $ids: $out" ;; esac
    done
    [ $native = yes ] || return
    # shellcheck disable=SC2086
    run 0 verify "$dir/m.gguf" $flags --tokens 3,1,4,1,5,9,2,6,5,3 --bisect
    case $out in *"no pass: "*) ;; *) no "$* : $out" ;; esac
}

try "640 640 640 640 " --shape tiny --dead 0.1
is "gates" "$gates" 2
try "368 368 368 368 " --shape odd --dead 0.1 --seed 2
try "512 512 480 480 " --shape tiny --weights tq1_0 --dead 0.2
try "512 512 480 480 " --shape tiny --weights tq2_0 --dead 0.2
try "640 640 640 640 " --shape tiny --weights bf16 --ternary --dead 0.1
try "640 640 640 640 " --shape tiny --arch bitnet --dead 0.1
try "640 640 " --shape tiny --arch llama --dead 0.1 # silu, no sub-norm
try "" --shape tiny

# threads: the same model, 1 to 4 of them
"$build/make_gguf" --shape small --dead 0.05 -o "$dir/m.gguf" >/dev/null || no "make_gguf"
for t in 1 2 3 4; do
    [ ${#levels[@]} -gt 0 ] || break
    run 0 verify "$dir/m.gguf" --tokens "$(seq -s, 1 40)" -t $t
    case $out in *" equal, level "*"results as the model's graph gives them"*) ;; *) no "$t threads: $out" ;; esac
done
finish prune
