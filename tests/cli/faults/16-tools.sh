# Flags and numbers that say one thing and do another.
# shellcheck shell=bash disable=SC2154
d16=$dir/d16
mkdir -p "$d16"
printf 'tir 1\ngraph @g stage=model\n  %%x: f32[T,4] = input {name="x"}\n  %%y: f32[T,4] = silu %%x\n  %%o: f32[T,4] = output %%y {name="y"}\nend\n' >"$d16/g.tir"
works "verify --seed 0" "" "$tern" verify "$d16/g.tir" --seed 0 --target ref
has "runs seed 0 and no other" "$out" 'seed 0$'
works "verify without --seed" "" "$tern" verify "$d16/g.tir" --target ref
has "runs seeds 1 and 2" "$out" 'seeds 1 and 2$'
"$tern" opt "$model" --cpu $level -o "$d16/pl.tir"
refused "--dump-after of a pass that does not run" 1 "dump-after.*fuse.*not run|dump-after.*not run.*fuse" "$tern" opt "$d16/pl.tir" --dump-after=fuse
refused "--dump-after of a pass not in the list" 1 "dump-after.*plan" "$tern" opt "$model" --passes=fold,cse --dump-after=plan
refused "--dump-after=all, and no pass" 1 "dump-after" "$tern" opt "$model" --passes= --dump-after=all
works "--dump-after of a pass that runs" "" "$tern" opt "$model" --passes=fold,cse --dump-after=cse
num() {
    printf 'tir 1\ngraph @g stage=model\n  %%x: f32[T,2] = input {name="x"}\n  $c: f32[2] = const {values=[%s,1]}\n  %%y: f32[T,2] = rmsnorm %%x, $c {eps=0x1p-20}\n  %%o: f32[T,2] = output %%y {name="y"}\nend\n' "$1" >"$d16/n.tir"
}
read_as() { # NUMBER TEXT
    num "$1"
    works "$1 is read" "" "$tern" opt "$d16/n.tir" --passes=
    has "$1 is $2" "$out" "values=\[$2,"
}
read_as 1e-46 0x0p\\+0
read_as -1e-46 -0x0p\\+0
read_as 1e-60 0x0p\\+0
read_as 7.1e-46 0x1p-149
read_as 1e-45 0x1p-149
num 1e39
try "$tern" opt "$d16/n.tir" --passes=
same "1e39 is refused" "$got" 1
has "by name and place" "$err" "n\.tir:4:31: '1e39' does not fit in f32"
