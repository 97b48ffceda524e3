#!/usr/bin/env bash
# tern render: the model's template, one by name, a file; what goes into it; ids; and what is refused.
set -u
build=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0
tern() { "$build/tern" "$@"; }
fail() { echo "FAILED: $*"; bad=1; }
same() { [ "$2" = "$3" ] || fail "$1: got '${2:0:300}', expected '${3:0:300}'"; }
# refuses STATUS LINE ARGS..
refuses() {
    local status=$1 line=$2 got
    shift 2
    got=$(tern render "$@" 2>&1 >"$dir/out")
    same "status of render $*" $? "$status"
    same "render $*" "$got" "$line"
    [ -s "$dir/out" ] && fail "render $*: printed something"
}
cd "$dir" || exit 1
echo '[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]' >m.json
echo '[{"role": "user", "content": "<y>"}]' >odd.json
echo '[{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": "é"}}}]' >tools.json
cat >t.jinja <<'J'
{{ bos_token }}{% for m in messages %}
[{{ m.role }}] {{ m.content }}
{% endfor %}
{% if tools %}
{{ tools | tojson }}
{% endif %}
{{ strftime_now('%Y/%m/%d') }} {{ mood or '-' }} {{ add_generation_prompt }}{{ eos_token }}
J
same "a name" "$(tern render --chat-template chatml --messages m.json)" '<|im_start|>system
Be kind.<|im_end|>
<|im_start|>user
Hi<|im_end|>
<|im_start|>assistant'
same "no prompt" "$(tern render --chat-template chatml --messages m.json --no-generation-prompt | tail -1)" 'Hi<|im_end|>'
same "a file" "$(tern render --chat-template t.jinja --messages m.json --tools tools.json --bos '<s>' --eos '</s>' --date 2024-02-29 \
    --chat-template-kwargs '{"mood": "glad"}')" '<s>[system] Be kind.
[user] Hi
[{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": "é"}}}]
2024/02/29 glad True</s>'
same "standard input" "$(tern render --chat-template bitnet --messages - <m.json)" 'System: Be kind.<|eot_id|>User: Hi<|eot_id|>Assistant: '
before=$(date +%Y/%m/%d)
today=$(tern render --chat-template t.jinja --messages m.json | tail -1)
[ "$today" = "$before - True" ] || same "today" "$today" "$(date +%Y/%m/%d) - True" # it may have become midnight

printf 'control <y>\nend <y>\nsay: Hello\n' >script
"$build/make_scripted" script -o s.gguf --template t.jinja >/dev/null || fail "make_scripted"
same "the model's" "$(tern render s.gguf --messages m.json --date 2001-01-01 --bos '' --eos '' | head -1)" '[system] Be kind.'
printf '{%% for m in messages %%}<y>{{ m.content }}<y>{%% endfor %%}' >y.jinja
ids=$(tern render s.gguf --chat-template y.jinja --messages odd.json --ids)
y=$(tern tokenize s.gguf --special --no-bos -p '<y>')
same "a control token that is typed stays text" "$ids" "$y,$(tern tokenize s.gguf --no-bos -p '<y>'),$y"

names=$(tern render --help | sed -n 's/.*or one of //p')
refuses 1 "tern: error: --chat-template: got 'none', expected a file or one of $names" --chat-template none --messages m.json
"$build/make_scripted" script -o bare.gguf >/dev/null
refuses 1 "tern: error: the model has no chat template, expected --chat-template with a file or one of $names" bare.gguf --messages m.json
refuses 2 "tern render: missing --messages FILE (see tern render --help)" --chat-template chatml
refuses 2 "tern render: expected a MODEL or --chat-template (see tern render --help)" --messages m.json
refuses 2 "tern render: --ids goes with a MODEL (see tern render --help)" --messages m.json --chat-template chatml --ids
refuses 2 "tern render: --date: '2023-02-29', expected a day since 1970 as YYYY-MM-DD (see tern render --help)" \
    --messages m.json --chat-template chatml --date 2023-02-29
printf 'a\n{%% if %%}' >broken.jinja
refuses 1 "tern: error: broken.jinja: line 2: got the end of the block, expected an expression" --messages m.json --chat-template broken.jinja
printf '{{ raise_exception("no turns") }}' >raises.jinja
refuses 1 "tern: error: line 1: the template refuses: no turns" --messages m.json --chat-template raises.jinja
echo '{' >bad.json
refuses 1 "tern: error: the messages: line 2, column 0: string or '}' expected near end of file" --messages bad.json --chat-template chatml
exit $bad
