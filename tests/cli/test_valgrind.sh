#!/usr/bin/env bash
# A blob of the tiny shape under valgrind: no read of what was never written, none out of bounds, nothing leaked, while
# it is opened, prompted, run for 8 tokens and asked for logits; a damaged one while it is refused; and kernels for a GPU.
# Argument 1: the build folder. Exit 77: skipped, with the reason.
set -u
. "$(dirname "$0")/program.sh"
command -v valgrind >/dev/null || { echo "skipped: no valgrind (apt install valgrind)"; exit 77; }
case $("$tern" --version) in *"no LLVM"*) echo "skipped: this build has no LLVM"; exit 77 ;; esac
case $("$tern" --version) in *avx2*) ;; *) echo "skipped: this machine has no AVX2"; exit 77 ;; esac
if ldd "$tern" | grep -q 'lib[at]san'; then
    echo "skipped: a build with sanitizers does not run under valgrind"
    exit 77
fi
# The loader of shared libraries reads run paths eight bytes at a time, and where an allocation lies decides whether valgrind sees it.
printf '{\n loader\n Memcheck:Addr8\n fun:strncmp\n fun:is_dst\n}\n' >"$dir/loader.supp"
# under STATUS args...: standard output in $dir/out
under() {
    local want=$1 got
    shift
    timeout 900 valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,possible \
        --errors-for-leak-kinds=definite,possible --suppressions="$dir/loader.supp" --log-file="$dir/log" "$tern" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    if [ $got != "$want" ]; then
        echo "FAILED: tern $*: exit $got, expected $want"
        head -c 2000 "$dir/log"
        tail -3 "$dir/err"
        failures=$((failures + 1))
    fi
}
same() {
    if ! cmp -s "$2" "$3"; then
        echo "FAILED: $1: other output than without valgrind"
        failures=$((failures + 1))
    fi
}
"$build/make_gguf" --shape tiny --seed 7 -o "$dir/m.gguf" || exit 1
"$tern" compile "$dir/m.gguf" -o "$dir/m.tern" --cpu avx2 2>"$dir/err" || { tail -1 "$dir/err"; exit 1; }
flags="--tokens 1,2,3 -n 8 --temp 0 --ignore-eos --print-tokens --cpu avx2"
# shellcheck disable=SC2086
"$tern" run "$dir/m.tern" $flags >"$dir/ids" 2>"$dir/err" || { tail -1 "$dir/err"; exit 1; }
# a prompt of several batch classes: 40 rows
ids=$(seq -s, 1 40)
"$tern" logits "$dir/m.tern" --tokens "$ids" --kv f32 -o "$dir/logits" 2>"$dir/err" || { tail -1 "$dir/err"; exit 1; }

# shellcheck disable=SC2086
under 0 run "$dir/m.tern" $flags -t 2
same "run" "$dir/ids" "$dir/out"
under 0 run "$dir/m.tern" -p "abc" -n 8 --seed 3 --top-k 20 --repeat-penalty 1.1 --ignore-eos --cpu avx2 -t 1
under 0 logits "$dir/m.tern" --tokens "$ids" --kv f32 --cpu avx2 -t 2 -o "$dir/got"
same "logits" "$dir/logits" "$dir/got"
under 0 verify "$dir/m.tern" --tokens 1,2,3,4,5,6,7,8,9,10 --cpu avx2 -t 2
under 0 verify "$dir/m.gguf" --tokens 1,2,3 --target ref --bisect
"$tern" opt "$dir/m.gguf" --passes= -o "$dir/a.tir" || exit 1
sed '0,/ relu2 /s// silu /' "$dir/a.tir" >"$dir/b.tir"
under 1 verify "$dir/a.tir" --weights "$dir/m.gguf" --against "$dir/b.tir" --tokens 1,2,3
under 1 run "$dir/m.gguf.none" --tokens 1
size=$(stat -c %s "$dir/m.tern")
head -c $((size - 1)) "$dir/m.tern" >"$dir/cut.tern"
under 1 run "$dir/cut.tern" --tokens 1
cp "$dir/m.tern" "$dir/flipped.tern" # a byte in the middle: of WGHT
printf '\377\376\375' | dd of="$dir/flipped.tern" bs=1 seek=$((size / 2)) conv=notrunc 2>"$dir/err"
under 1 run "$dir/flipped.tern" --tokens 1 --cpu avx2
# kernels for a GPU, over the tests' own driver
export LD_LIBRARY_PATH=$build/tests/fake_cuda
under 0 run "$dir/m.gguf" --tokens 1,2,3 -n 2 --temp 0 --device cuda
unset LD_LIBRARY_PATH
echo "valgrind: $failures failures"
[ $failures = 0 ]
