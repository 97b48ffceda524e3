# A check of ours that a text or a flag reaches: an abort, exit 134. What cannot be done is refused with line and numbers.
# shellcheck shell=bash disable=SC2154
c13=$dir/c13
mkdir -p "$c13"
"$tern" opt "$model" --cpu $level -o "$c13/pl.tir"
"$tern" opt "$model" --cpu $level --rows 2..8 -o "$c13/pl8.tir"
"$tern" opt "$model" --cpu $level --passes=split --rows 1 -o "$c13/sp.tir"
"$tern" opt "$model" --passes= -o "$c13/a.tir"
# docs_example OP: the text of ir.md whose graph has the op's name
docs_example() {
    awk -v want="graph @$1 " '/^```tir/ {t = ""; on = 1; next} /^```/ {if (on && index(t, want)) {printf "%s", t; exit}; on = 0}
        on {t = t $0 "\n"}' "$root/docs/ir.md"
}
docs_example attend_blocks >"$c13/blocks.tir"
sed -i 's/^end$/  %o: f32[P,8] = output %b {name="b"}\nend/' "$c13/blocks.tir"
docs_example attend_join >"$c13/join.tir"

# eval takes the graph's own rows, and no others
works "eval of a plan for one row" "" "$tern" eval "$c13/pl.tir" --weights "$model"
same "a plan for one row prints one row" "$(grep -c '^%logits\[' "$dir/out")" 1
refused "eval of a plan for one row, two rows" 1 'pl\.tir.*rows 1\.\.1, got .*2' "$tern" eval "$c13/pl.tir" --weights "$model" --rows 2
works "eval of a plan for 2 to 8 rows" "" "$tern" eval "$c13/pl8.tir" --weights "$model"
refused "eval of a plan for 2 to 8 rows, nine" 1 'rows 2\.\.8, got .*9' "$tern" eval "$c13/pl8.tir" --weights "$model" --rows 9
works "eval of attend_blocks with room for two" "" "$tern" eval "$c13/blocks.tir"
told "eval of attend_blocks, three rows" 1 'blocks\.tir:[0-9]+.*%b.*2 rows, got .*3' "$tern" eval "$c13/blocks.tir" --rows 3
told "eval of attend_join, three rows" 1 'join\.tir:[0-9]+.*2 rows, got .*3' "$tern" eval "$c13/join.tir" --rows 3

# passes and the batch class
refused "another batch class than that of the split" 1 'rows: got 9\.\.512, .*1\.\.1' "$tern" opt "$c13/sp.tir" --rows 9..512
refused "another level than the text's" 1 "level: got .avx512-vnni., .*$level" "$tern" opt "$c13/sp.tir" --cpu avx512-vnni
refused "another kv than the text's" 1 'kv: got i8, .*f16' "$tern" opt "$c13/sp.tir" --kv i8
works "the text's own batch class" "" "$tern" opt "$c13/sp.tir" --rows 1 --cpu $level --kv f16
sed "s/ level=$level kv=f16 rows=1..1//" "$c13/sp.tir" >"$c13/sp0.tir"
told "a batch class that a split has no room for" 1 'sp0\.tir:[0-9]+:.*n is 1.*512 rows' "$tern" opt "$c13/sp0.tir" --rows 9..512
told "the same on blocks of a page of docs" 1 'blocks\.tir:[0-9]+:.*n is 2.*512 rows' "$tern" opt "$c13/blocks.tir" --rows 9..512
told "blocks of two rows on random inputs of up to 8" 2 'blocks\.tir:[0-9]+:.*n is 2.*6 rows' "$tern" verify "$c13/blocks.tir" --rows 2..8 --seed 1

# random inputs
refused "verify, more rows than random steps have" 2 '600.*192' "$tern" verify "$c13/a.tir" --rows 600 --seed 1
refused "verify, 65536 rows" 2 '65536.*192' "$tern" verify "$c13/a.tir" --rows 65536 --seed 1

# indices: inputs whose names say what they hold, and those that a graph computes
graph() { { printf 'tir 1\ngraph @g stage=model\n' && cat && echo end; } >"$c13/g.tir"; }
graph <<'E'
  %pos: i32[T] = input {name="pos"}
  $t: f32[8,4] = random {seed=1}
  %y: f32[T,4] = embed %pos, $t
  %o: f32[T,4] = output %y {name="y"}
E
told "positions as ids of a small table" 2 'g\.tir:5:.*index [0-9]+, expected 0 to 7' "$tern" verify "$c13/g.tir" --target ref
graph <<'E'
  %s: i32[T] = input {name="slot"}
  $t: f32[1,4] = random {seed=1}
  %y: f32[T,4] = embed %s, $t
  %o: f32[T,4] = output %y {name="y"}
E
told "slots as ids of a table of one" 2 'g\.tir:5:.*index [0-9]+, expected 0 to 0' "$tern" verify "$c13/g.tir" --target ref
graph <<'E'
  %pos: i32[T] = input {name="pos"}
  %x: f32[T,4] = input {name="x"}
  %y: f32[T,4] = gather %x, %pos
  %o: f32[T,4] = output %y {name="y"}
E
told "positions as rows of a step" 2 'g\.tir:5:.*index [0-9]+, expected 0 to' "$tern" verify "$c13/g.tir" --target ref
graph <<'E'
  %r: i32[9] = input {name="r"}
  %x: f32[R,4] = input {name="x"}
  %y: f32[9,4] = gather %x, %r
  %o: f32[9,4] = output %y {name="y"}
E
told "rows of a step that may have none" 2 'g\.tir:5:.*index [0-9]+' "$tern" verify "$c13/g.tir" --target ref
graph <<'E'
  %x: f32[T,40] = input {name="x"}
  %b: i32[T] = argmax %x
  $t: f32[4,4] = random {seed=1}
  %y: f32[T,4] = embed %b, $t
  %o: f32[T,4] = output %y {name="y"}
E
told "eval of a computed index beyond its table" 1 'g\.tir:6:.*index [0-9]+, expected 0 to 3' "$tern" eval "$c13/g.tir" --rows 8
told "verify of a computed index" 2 'g\.tir:6:' "$tern" verify "$c13/g.tir" --target ref

# what the verifier knows of caches and page tables, whose memory is the session's
cache() { # CACHE TABLE
    graph <<E
  %x: f32[T,2] = input {name="x"}
  %pos: i32[T] = input {name="pos"}
  %slot: i32[T] = input {name="slot"}
  %table: i32[$2] = input {name="table"}
  %k0: kc[$1,1,2] = input {name="k0"}
  %k: kc[$1,1,2] = kv_put %k0, %x, %pos, %slot, %table
E
}
cache 5 S,P
told "a cache of so many pages" 2 'g\.tir:7:8: type kc: dim 1 is not N' "$tern" verify "$c13/g.tir" --seed 1 --target ref
cache T S,P
told "a cache of rows" 1 'g\.tir:7:8: type kc: dim 1 is not N' "$tern" eval "$c13/g.tir"
cache N T,P
told "a page table of rows" 1 'g\.tir:6:11: .*expected a constant, or \[S,P\]' "$tern" eval "$c13/g.tir"
cache N 2,2
told "a page table of constants" 1 'g\.tir:8:.*expected a page table i32\[S,P\]' "$tern" eval "$c13/g.tir"

# limits that passes come to, though the text does not
many() { # COUNT COLUMNS: silu of one input, COUNT times, all of them outputs
    printf '  %%x: f32[T,%s] = input {name="x"}\n' "$2"
    seq "$1" | sed "s/.*/  %a&: f32[T,$2] = silu %x/"
    seq "$1" | sed "s/.*/  %o&: f32[T,$2] = output %a& {name=\"o&\"}/"
}
many 80 1099511627776 | graph
refused "a plan of more bytes than an offset says" 1 \
    'plan: graph @g needs [0-9]+ bytes a row beside %a[0-9]+, expected at most 281474976710656' "$tern" opt "$c13/g.tir" -O0 --rows 1 --cpu $level
docs_example attend | sed 's/\[N,1,2\]/[N,1,549755813888]/; s/f32\[T,2\]/f32[T,549755813888]/' >"$c13/wide.tir"
works "blocks of more elements than a value may have" "" "$tern" opt "$c13/wide.tir" --passes=split --rows 2..8
has "and attend stays whole" "$out" '= attend %x'
graph <<'E'
  %lr: f32[R,4] = input {name="lrows"}
  %x: f32[T,8] = input {name="x"}
  %rows: i32[R] = input {name="rows"}
  %a: f32[R,8] = gather %x, %rows
  $w: f16[100,8] = random {seed=1}
  %l: f32[R,100] = matmul %a, $w
  %b: i32[R] = argmax %l
  %ob: i32[R] = output %b {name="best"}
  %ol: f32[R,100] = output %l {name="logits"}
E
refused "rows for logits that are another thing" 1 'shortlist: input "lrows" \(%lr\) is not i32\[L\]' \
    "$tern" opt "$c13/g.tir" --passes=shortlist --head q8
{
    printf '  %%x: f32[T,8] = input {name="x"}\n  %%rows: i32[R] = input {name="rows"}\n  %%a0: f32[R,8] = gather %%x, %%rows\n'
    for i in $(seq 50); do echo "  %a$i: f32[R,8] = add %a$((i - 1)), %a$((i - 1))"; done
    printf '  $w: f16[9,8] = random {seed=1}\n  %%l: f32[R,9] = matmul %%a50, $w\n  %%b: i32[R] = argmax %%l\n'
    printf '  %%o: i32[R] = output %%b {name="best"}\n  %%p: f32[R,9] = output %%l {name="logits"}\n'
} | graph
works "sums of sums before a shortlisted head" "" "$tern" opt "$c13/g.tir" --passes=shortlist --head q8
{
    printf '  $p0: f32[8] = random {seed=1}\n'
    for i in $(seq 255); do
        enc=bf16
        [ $((i % 2)) = 1 ] && enc=f16
        echo "  \$p$i: $enc[8] = pack \$p$((i - 1))"
    done
    printf '  %%x: f32[T,8] = input {name="x"}\n  %%y: f32[T,8] = rmsnorm %%x, $p255 {eps=0x1p-17}\n  %%o: f32[T,8] = output %%y {name="o"}\n'
} | graph
works "weights as deep as they go" "" "$tern" eval "$c13/g.tir"
refused "one deeper, by the passes" 2 'more than 256 weight operations nested' "$tern" verify "$c13/g.tir" --seed 1 --rows 1 --target ref
graph <<'E'
  %x: f32[T,8589934592] = input {name="x"}
  %y: f32[T,8589934592] = silu %x
  %o: f32[T,8589934592] = output %y {name="o"}
E
refused "more memory than there is" 1 'evaluating graph @g takes 2097152 MB .*%x, but [0-9]+ MB are free' \
    "$tern" eval "$c13/g.tir" --rows 64
refused "the same on random inputs" 2 'evaluating graph @g takes [0-9]+ MB .*%x, but' "$tern" verify "$c13/g.tir" --seed 1 --target ref

# a weight that is read as rows of numbers too keeps its type there
graph <<'E'
  %ids: i32[T] = input {name="ids"}
  $e: f32[4,8] = random {seed=1}
  $n: f32[8] = random {seed=2}
  %y: f32[T,8] = embed %ids, $e
  %z: f32[4,8] = rmsnorm $e, $n {eps=0x1p-17}
  %oy: f32[T,8] = output %y {name="y"}
  %oz: f32[4,8] = output %z {name="z"}
E
works "a table that is data too, as f16" "" "$tern" opt "$c13/g.tir" --head f16 --cpu $level
has "the table is packed" "$out" 'f16\[4,8\] = pack \$e'
has "the data is not" "$out" '= rmsnorm \$e, '
