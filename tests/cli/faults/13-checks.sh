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

# passes and the row class
refused "another row class than that of the split" 1 'rows: got 9\.\.512, .*1\.\.1' "$tern" opt "$c13/sp.tir" --rows 9..512
refused "another level than the text's" 1 "level: got .avx512-vnni., .*$level" "$tern" opt "$c13/sp.tir" --cpu avx512-vnni
refused "another kv than the text's" 1 'kv: got i8, .*f16' "$tern" opt "$c13/sp.tir" --kv i8
works "the text's own row class" "" "$tern" opt "$c13/sp.tir" --rows 1 --cpu $level --kv f16
sed "s/ level=$level kv=f16 rows=1..1//" "$c13/sp.tir" >"$c13/sp0.tir"
told "a row class that a split has no room for" 1 'sp0\.tir:[0-9]+:.*n is 1.*512 rows' "$tern" opt "$c13/sp0.tir" --rows 9..512
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
