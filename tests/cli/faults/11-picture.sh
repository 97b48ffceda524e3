# Pictures that cannot be read: letters too small, grey on red, a box that nothing leads to.
# shellcheck shell=bash disable=SC2154
d11=$dir/d11
mkdir -p "$d11"
# The least size of letters, and the least contrast (WCAG's ratio) of an arrow's label with what it may stand on.
cat >"$d11/look.py" <<'PY'
import re, sys
text = open(sys.argv[1]).read()
def luminance(c):
    v = [int(c[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    v = [x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in v]
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]
def ratio(a, b):
    a, b = sorted((luminance(a), luminance(b)))
    return (b + 0.05) / (a + 0.05)
sizes = [int(s) for s in re.findall(r'(?:point-size="|fontsize=)(\d+)', text)]
label = re.search(r'^edge \[.*?fontcolor="(#\w{6})"', text, re.M).group(1)
head = [m for m in re.findall(r'^subgraph cluster_k.*?fontcolor="(#\w{6})"', text, re.M)]
fills = set(re.findall(r'^subgraph cluster.*?fillcolor="(#\w{6})"', text, re.M)) | {"#ffffff"}
print(min(sizes), min(ratio(c, f) for c in head + [label] for f in fills) >= 4.5)
PY
"$tern" inspect "$model" --dot="$d11/model.dot" --fold-layers
same "letters of the model's picture, and their contrast" "$(python3 "$d11/look.py" "$d11/model.dot")" "11 True"
angle=$(grep -oE '^n[0-9]+ .*<b>rope_angle<' "$d11/model.dot" | grep -oE '^n[0-9]+')
has "rope_angle leads to the ropes" "$(grep -c "^$angle -> n" "$d11/model.dot")" '^[1-9]'
has "the picture of the README is drawn so, too" "$(grep -c 'font-size="\([1-9]\|10\).00"' "$root/docs/model.svg")" '^0$'
# one kernel takes all the time, the others less and less: all fills of a profile
"$tern" opt "$model" --cpu $level -o "$d11/pl.tir"
grep -oE '^ +kernel @[A-Za-z0-9_.]+' "$d11/pl.tir" | sed 's/.*@//' |
    awk 'BEGIN {printf "{\"kernels\": ["} {printf "%s{\"name\": \"%s\", \"ms\": %d}", (NR > 1 ? ", " : ""), $0, NR} END {print "]}"}' >"$d11/prof.json"
"$tern" inspect "$d11/pl.tir" --dot="$d11/prof.dot" --profile "$d11/prof.json"
same "letters of a profile's picture, and their contrast" "$(python3 "$d11/look.py" "$d11/prof.dot")" "11 True"
same "it has six fills" "$(grep -oE '^subgraph cluster_k.*fillcolor="#[0-9a-f]+' "$d11/prof.dot" | grep -oE '#[0-9a-f]+$' | sort -u | wc -l)" 6
