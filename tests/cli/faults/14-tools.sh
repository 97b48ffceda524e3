# Our tools against our own passes: what they made is not called different, and nothing is left out of a listing.
# shellcheck shell=bash disable=SC2154
d14=$dir/d14
mkdir -p "$d14"
"$tern" opt "$model" --cpu $level -o "$d14/o3.tir"
"$tern" opt "$model" --cpu $level -O0 -o "$d14/o0.tir"
"$tern" opt "$model" --cpu $level --rows 2..8 -o "$d14/r8.tir"
"$tern" opt "$model" --passes= -o "$d14/m.tir"

# a zero's sign alone, where the outputs agree
works "a plan against its model" "" "$tern" verify "$d14/o3.tir" --against "$model" --tokens 5,6,7
works "-O3 against -O0" "" "$tern" verify "$d14/o3.tir" --against "$d14/o0.tir" --tokens 5,6,7
works "-O0 against -O3" "" "$tern" verify "$d14/o0.tir" --against "$d14/o3.tir" --tokens 5,6,7
works "a plan for one row against one for 2 to 8" "" "$tern" verify "$d14/o3.tir" --against "$d14/r8.tir" --tokens 5,6,7
has "zeros of another sign are counted" "$out" '0 / -0|sign of (a )?zero'
sed '0,/ relu2 /s// silu /' "$d14/m.tir" >"$d14/silu.tir"
try "$tern" verify "$d14/silu.tir" --against "$d14/o3.tir" --tokens 5,6,7
same "what does differ is still different" "$got" 1
hasnt "and the value named is not a zero's sign" "$out" ', 0 ulp apart'

# diff pairs graphs by name, then by position
g() { printf 'graph @%s stage=model\n  %%x: f32[T,2] = input {name="x"}\n  %%y: f32[T,2] = %s %%x\n  %%o: f32[T,2] = output %%y {name="y"}\nend\n' "$1" "$2"; }
file() { echo "tir 1"; cat; }
g a silu | file >"$d14/a.tir"
{ g a silu; g b relu2; } | file >"$d14/two.tir"
{ g b relu2; g a silu; } | file >"$d14/swapped.tir"
{ g a silu; g c relu2; } | file >"$d14/renamed.tir"
{ g a silu; g b silu; } | file >"$d14/other.tir"
works "a file of two graphs against itself" "" "$tern" diff "$d14/two.tir" "$d14/two.tir"
works "the same two graphs in another order" "" "$tern" diff "$d14/two.tir" "$d14/swapped.tir"
works "a graph of another name at the same place" "" "$tern" diff "$d14/two.tir" "$d14/renamed.tir"
try "$tern" diff "$d14/a.tir" "$d14/two.tir"
same "a graph in one file alone" "$got" 1
has "is an addition" "$out" '^\+ graph @b'
try "$tern" diff "$d14/two.tir" "$d14/a.tir"
same "and the other way round" "$got" 1
has "a removal" "$out" '^- graph @b'
try "$tern" diff "$d14/two.tir" "$d14/other.tir"
same "one of two graphs changed" "$got" 1
has "it is named" "$out" '@b'

# an emitted object is whole
if [ $native = yes ] && command -v nm >/dev/null; then
    for how14 in "--cpu avx2" "--cpu avx512-vnni" "--cpu amx" "--cpu neon-dotprod" "--cpu avx2 --target xsmm" \
        "--cpu avx2 --target llvm" "--cpu avx2 --head q8"; do
        # shellcheck disable=SC2086
        try "$tern" compile "$model" --emit=obj $how14 -o "$d14/code.o"
        if [ "$got" != 0 ]; then
            case $err in *"not in this build"* | *"no code generator"* | *"not lowered"*) continue ;; esac
            bad "--emit=obj $how14: exit $got: $err"
        else
            same "--emit=obj $how14: undefined symbols" "$(nm -u "$d14/code.o" 2>&1)" ""
        fi
        rm -f "$d14/code.o"
    done
fi

# what eval shows
printf 'tir 1\ngraph @g stage=model\n  %%x: f32[T,2] = input {name="x"}\n  %%o: f32[T,2] = output %%x {name="x"}\nend\n' >"$d14/in.tir"
works "eval of an output that is an input" "" "$tern" eval "$d14/in.tir"
same "prints it" "$out" "%x[0] = -1.5 0.25
%x[1] = -1.25 0.5"
printf 'tir 1\ngraph @g stage=model\n  %%t: i32[S,P] = input {name="table"}\n  %%o: i32[S,P] = output %%t {name="t"}\nend\n' >"$d14/table.tir"
works "eval of an output that is the table" "" "$tern" eval "$d14/table.tir"
same "prints it, too" "$out" "%t[0] = 0"

# without greedy ids nothing can run: said before the work
grep -v 'name="best"' "$d14/m.tir" >"$d14/nobest.tir"
refused "compile of a graph without best" 1 'nobest\.tir.*no output "best"' "$tern" compile "$d14/nobest.tir" -o "$d14/nb.tern" --cpu ref
same "and no blob is left" "$(ls "$d14/nb.tern" 2>/dev/null)" ""
refused "run of a graph without best" 1 'nobest\.tir.*no output "best"' "$tern" run "$d14/nobest.tir" -p a -n 1 --target ref
refused "verify of tokens without best" 2 'nobest\.tir.*no output "best"' "$tern" verify "$d14/nobest.tir" --tokens 5,6 --target ref
sed 's/output %best {/output %rows {/' "$d14/m.tir" >"$d14/inbest.tir"
told "compile of a graph whose best is an input" 1 'inbest\.tir:[0-9]+.*"best".*%rows' "$tern" compile "$d14/inbest.tir" -o "$d14/nb.tern" --cpu ref
