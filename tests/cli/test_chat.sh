#!/usr/bin/env bash
# tern chat through a pipe: answers on standard output and nothing else there, commands, files, what is refused, and that a
# turn runs only its own ids. The model says what a script says (tests/support/scripted.h).
set -u
. "$(dirname "$0")/program.sh"
export XDG_CACHE_HOME=$dir/cache
cat >"$dir/script" <<'S'
end <|im_end|>
control <|im_start|>
say: Hello|, hello|!
say sun: It| shines|.
say ponder: <think>|hm|, hm|</think>|\n\nYes
say mull: idea|</think>|\n\nSo
say rules: No| <|think| of it
S
"$build/make_scripted" "$dir/script" -o "$dir/m.gguf" || exit 1
cd "$dir" || exit 1
target=()
m=m.gguf
if [ $native = yes ]; then
    "$tern" compile m.gguf -o m.tern 2>err || exit 1
    m=m.tern
else
    target=(--target ref)
fi
template=chatml
# chat INPUT FLAGS..: in $got the status, in out and err what was written
chat() {
    local text=$1
    shift
    case "$* " in *--seed*) ;; *) set -- --temp 0 "$@" ;; esac
    printf '%b' "$text" | "$tern" chat $m --chat-template "$template" "${target[@]}" "$@" >out 2>err
    got=$?
    unquoted err
}
# says WHAT STATUS OUTPUT: of the last chat
says() {
    checks=$((checks + 1))
    [ "$got" = "$2" ] || no "$1: status $got, expected $2: $(tail -1 err)"
    [ "$(cat out)" = "$(printf '%b' "$3")" ] || no "$1: got '$(cat out)', expected '$3'"
}
# line WHAT TEXT: a line of standard error
line() {
    checks=$((checks + 1))
    grep -qxF -- "$2" err || no "$1: got '$(cat err)', expected '$2'"
}

chat 'hi\nsun\n'
says "two messages" 0 'Hello, hello!\nIt shines.\n'
checks=$((checks + 1))
[ ! -s err ] || no "two messages: something was said: $(cat err)"
chat 'hi\nsun'
says "no newline at the end" 0 'Hello, hello!\nIt shines.\n'
chat '\n  \nsun\r\n'
says "empty lines and a carriage return" 0 'It shines.\n'
printf '%s' "{{ messages[-1].content }} {% if strftime_now('%Y-%m-%d') == '2024-02-29' %}sun{% endif %}" >day.jinja
template=day.jinja
chat 'hi\n' --date 2024-02-29
says "a day that the template is shown" 0 'It shines.\n'
chat 'hi\n'
says "today is another" 0 'Hello, hello!\n'
chat 'hi\n' --date 2023-02-29
says "no day" 2 ''
line "no day" "tern chat: --date: '2023-02-29', expected a day since 1970 as YYYY-MM-DD (see tern chat --help)"
template=chatml
chat 'no \\\nsun\\\nhere\n/save m.json\n'
says "lines that go on" 0 'It shines.\n'
checks=$((checks + 1))
grep -qF '{"role": "user", "content": "no \nsun\nhere"}' m.json || no "lines that go on: $(cat m.json)"
chat 'the end\\'
says "a line that would go on" 0 'Hello, hello!\n'
chat '//sun\n/save m.json\n'
says "a message with a slash" 0 'It shines.\n'
checks=$((checks + 1))
grep -qF '"content": "/sun"' m.json || no "a message with a slash: $(cat m.json)"

# thoughts
chat 'ponder\nsun\n'
says "thoughts" 0 '<think>hm, hm</think>\n\nYes\nIt shines.\n'
chat 'ponder\nsun\n/save m.json\n' --hide-thinking
says "hidden thoughts" 0 'Yes\nIt shines.\n'
checks=$((checks + 1))
grep -qF '"<think>hm, hm</think>\n\nYes"' m.json || no "hidden thoughts: they are not in the message: $(cat m.json)"
chat 'rules\n' --hide-thinking
says "half a tag" 0 'No <think of it\n'
printf '%b' "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}<|im_start|>a\n<think>\n" >opens.jinja
template=opens.jinja
chat 'mull\n' --hide-thinking
says "a template that begins a thought" 0 'So\n'
template=chatml

# first messages
echo 'the sun' >first.txt
chat 'hi\n' -f first.txt
says "-f" 0 'It shines.\nIt shines.\n'
chat 'hi\n' -p sun -st
says "-p -st" 0 'It shines.\n'
chat 'hi\nsun\n' -st
says "-st" 0 'Hello, hello!\n'
chat 'a sun\nin two lines\n' -f -
says "-f -" 0 'It shines.\n'

# what can be read only once
printf '<|im_start|>{{ messages[0].content }}<|im_end|>' >said.jinja
mkfifo template.pipe
cat said.jinja >template.pipe &
template=template.pipe
chat 'sun\n'
says "a template from a pipe" 0 'It shines.\n'
wait
template=-
chat "$(cat said.jinja)" -p sun -st
says "a template from standard input" 0 'It shines.\n'
template=chatml

# commands
chat 'hi\n/undo\n/undo\n' -sys kind
says "/undo" 1 'Hello, hello!\n'
line "/undo" "tern: undone; there are 1 message"
line "/undo" "tern: error: there is no turn to undo"
chat '/system kind\nsun\n/save a.json\n/clear\n/load a.json\n/save b.json\n/system\n/save c.json\n/regen\n'
says "/save, /load, /regen" 0 'It shines.\nIt shines.\n'
checks=$((checks + 1))
cmp -s a.json b.json || no "/load and /save: other bytes"
checks=$((checks + 1))
[ "$(grep -c role c.json)" = 2 ] || no "/system: the message is still there"
line "/load" "tern: loaded 3 messages"
chat 'sun\n' --load a.json
says "--load" 0 'It shines.\n'
chat '/foo\n/stat\n/undo it\n/save\n/help\n/exit\nhi\n'
says "unknown commands, /exit" 1 ''
line "/foo" "tern: no command is called '/foo' (see /help)"
line "/stat" "tern: no command is called '/stat', did you mean /stats? (see /help)"
line "/undo it" "tern: /undo: got an argument, expected none (see /help)"
line "/save" "tern: /save: got nothing, expected FILE (see /help)"
line "/help" "  /exit            leave; so do Ctrl-D, and Ctrl-C twice"
chat '/load none.json\nhi\n'
says "/load of no file" 1 'Hello, hello!\n'
chat '/save no/folder.json\n/regen\n\0377\n'
says "failures" 1 ''
line "failures" "tern: error: there is no message to answer again"
line "failures" "tern: error: the message is not UTF-8: got 0xff at byte 0"
chat 'a\0b\nsun\n'
says "a NUL byte" 1 'It shines.\n'
line "a NUL byte" "tern: error: the message has a NUL byte, expected text"
cp $m kept.model
chat "sun\n/save $m\n/save ./a.json\n" --load a.json
says "/save to the model" 1 'It shines.\n'
line "/save to the model" "tern: error: /save $m is the same file as the model, which is read and would be lost: give another"
line "/save to the loaded file" "tern: saved 5 messages"
checks=$((checks + 1))
cmp -s $m kept.model || no "/save to the model: it is another file now"
cat >tool.json <<'J'
[
  {"role": "user", "content": "sun"},
  {"role": "assistant", "content": "call"},
  {"role": "tool", "content": "hot"},
  {"role": "assistant", "content": "It is hot."}
]
J
cat >once.jinja <<'J'
{% if messages | length == 1 %}{{ raise_exception('not again') }}{% endif %}
J
template=once.jinja
chat '/regen\n/save again.json\n' --load tool.json
says "/regen that fails" 1 ''
checks=$((checks + 1))
cmp -s tool.json again.json || no "/regen that fails: what was answered is gone: $(cat again.json)"
template=chatml

# only new ids are run: <|im_end|>\n<|im_start|>user\n, the message, <|im_end|>\n<|im_start|>assistant\n
chat 'one\ntwo\nsix\nten\n/stats\n/undo\n/regen\n/stats\n'
says "four turns" 0 'Hello, hello!\nHello, hello!\nHello, hello!\nHello, hello!\nHello, hello!\n'
checks=$((checks + 1))
grep -q '^tern: last answer: 24 tokens read in .* ms, 79 were kept; 4 written' err || no "the fourth turn: $(grep last err)"
checks=$((checks + 1))
grep -q '^tern: last answer: 1 tokens read in .* ms, 75 were kept; 4 written' err || no "the third again: $(grep last err)"

# a full context
for n in 1 2 3 4 5; do echo 'a message'; done >five.txt
chat "$(cat five.txt)\n" -c 128 -n 8
says "oldest turns dropped" 0 'Hello, hello!\nHello, hello!\nHello, hello!\nHello, hello!\nHello, hello!\n'
line "oldest turns dropped" "tern: the context of 128 positions is full: the oldest 1 turn was dropped"
chat "$(cat five.txt)\n" -c 128 -n 8 --context-full stop
says "stop" 1 'Hello, hello!\nHello, hello!\nHello, hello!\n'
line "stop" "tern: error: the context is full: 127 tokens and 8 for an answer, but the context has 128 positions"
chat 'hi\n' -c 22 -n 8
says "a message that is too long" 1 ''
line "a message that is too long" "tern: error: the last turn is too long: 21 tokens and 2 for an answer, but the context has 22 positions"
chat 'hi\n' -c 32 --ignore-eos
checks=$((checks + 1))
grep -qxF "tern: the context of 32 positions is full: the answer ends here" err || no "an answer that fills the context: $(cat err)"
chat 'hi\n/regen\n' --seed 5
says "a seed" 0 'Hello, hello!\nHello, hello!\n'

# what an answer may be, as in tern run
chat 'hi\nsun\n' --stop ', '
says "--stop" 0 'Hello\nIt shines.\n'
chat 'hi\n/save m.json\n' --special
says "--special" 0 'Hello, hello!<|im_end|>\n'
checks=$((checks + 1))
grep -qF '"content": "Hello, hello!"}' m.json || no "--special: the end is in the message: $(cat m.json)"
echo 'root ::= "yes" | "no"' >yes.gbnf
chat 'hi\nsun\n' --grammar yes.gbnf
checks=$((checks + 1))
grep -vqxE 'yes|no' out && no "--grammar: $(cat out)"
says "--grammar" 0 "$(cat out)"
echo '[{"type": "function"}]' >tools.json
printf '%s' "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}{% if tools and mood == 'bright' %}sun{% endif %}" >tools.jinja
template=tools.jinja
chat 'hi\n' --tools tools.json --chat-template-kwargs '{"mood": "bright"}'
says "--tools" 0 'It shines.\n'
chat 'hi\n' --tools tools.json
says "--tools without the variable" 0 'Hello, hello!\n'
template=chatml

# a signal ends it in order, here while it waits for a line, so once the whole answer has come
mkfifo pipe
rm -f out err
"$tern" chat $m --chat-template chatml "${target[@]}" --temp 0 <pipe >out 2>err &
pid=$!
exec 9>pipe
echo hi >&9
until printf 'Hello, hello!\n' | cmp -s - out; do
  kill -0 $pid 2>/dev/null || break
  sleep 0.02
done
kill -TERM $pid
wait $pid
got=$?
exec 9>&-
says "SIGTERM" 143 'Hello, hello!\n'
line "SIGTERM" "tern: ended by SIGTERM"

# Ctrl-C before the first word of an answer for which a turn would be dropped. Standard error is a full pipe, so that the line
# about the turn waits in it; there the signal comes, and the answer has not begun.
cat >interrupt.py <<'P'
import array, fcntl, os, signal, subprocess, sys, termios, time
err, err_in = os.pipe()
fcntl.fcntl(err_in, 1031, 4096)  # F_SETPIPE_SZ
# Where the tests themselves run in the background Ctrl-C is ignored, and that is inherited.
p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err_in,
                     preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
for _ in range(3):
    p.stdin.write(b"a message\n")
    p.stdin.flush()
    if not p.stdout.readline():
        break
os.set_blocking(err_in, False)
try:
    while True:
        os.write(err_in, b"\n")
except BlockingIOError:
    pass
os.set_blocking(err_in, True)  # it is the program's too
os.close(err_in)
p.stdin.write(b"a message\n")
p.stdin.flush()


def waits():  # it has taken the line, and sleeps: in the pipe, since nothing else makes it sleep here
    n = array.array("i", [0])
    fcntl.ioctl(p.stdin.fileno(), termios.FIONREAD, n)
    with open("/proc/%d/stat" % p.pid) as f:
        return n[0] == 0 and f.read().rpartition(")")[2].split()[0] == "S"


end = time.monotonic() + 300
while p.poll() is None and not waits() and time.monotonic() < end:
    time.sleep(0.005)
p.send_signal(signal.SIGINT)
with os.fdopen(err, "rb") as f:
    sys.stderr.buffer.write(f.read().lstrip(b"\n"))
sys.stdout.buffer.write(p.stdout.read())
sys.exit(p.wait())
P
if command -v python3 >/dev/null; then
    python3 interrupt.py "$tern" chat $m --chat-template chatml "${target[@]}" --temp 0 -c 128 -n 8 >out 2>err
    got=$?
    says "Ctrl-C before the first word" 130 ''
    line "Ctrl-C before the first word" "tern: stopped before the first word: nothing has changed, no turn is dropped"
else
    echo "note: no python3: Ctrl-C before the first word is not tested"
fi

# refused before there is code
refused() {
    local want=$1 status=$2
    shift 2
    checks=$((checks + 1))
    "$tern" chat "$@" "${target[@]}" </dev/null >out 2>err
    got=$?
    unquoted err
    [ $got = "$status" ] || no "$*: status $got, expected $status"
    grep -qF -- "$want" err || no "$*: got '$(cat err)', expected '$want'"
    [ "$(wc -l <err)" = 1 ] || no "$*: more than one line: $(cat err)"
}
refused "the model has no chat template, expected --chat-template with a file or one of" 1 $m
refused "--chat-template: got 'nope', expected a file or one of" 1 $m --chat-template nope
refused "-p and -f exclude each other" 2 $m -p a -f b
refused "--context-full: 'no', expected drop or stop" 2 $m --context-full no
refused "-n 0: an answer has at least one token" 2 $m -n 0
refused "--stop: got '', expected TEXT" 2 $m --chat-template chatml --stop ""
refused "-l: '5', expected ID+X, ID-X or ID-inf" 2 $m --chat-template chatml -l 5
refused "standard input is given twice, as --chat-template and as the messages" 1 $m --chat-template -
refused "standard input is given twice, as --load and as the messages" 1 $m --chat-template chatml --load -
refused "none.json" 1 $m --chat-template chatml --load none.json
# Here the model is compiled at load, and would be kept with a line more.
printf '[{"type": "function"' >wrong.json
echo '[{"role": "user"}]' >half.json
export TERN_KEEP=1
refused "tern: error: wrong.json: the tools: line 1, column 20: " 1 m.gguf --chat-template chatml --tools wrong.json
echo '{}' >object.json
refused "tern: error: object.json: the tools: got an object, expected a list" 1 m.gguf --chat-template chatml --tools object.json
refused "tern: error: half.json: messages[0]: got an object, expected a member content" 1 m.gguf --chat-template chatml --load half.json
refused "tern: error: --chat-template-kwargs: the extra variables: got a list, expected an object" 1 m.gguf --chat-template chatml --chat-template-kwargs '[]'
export TERN_KEEP=0
chat 'sun\n' --load <(echo '[{"role": "user", "content": "hi"}]') --tools <(echo '[]')
says "--load and --tools from pipes" 0 'It shines.\n'
checks=$((checks + 1))
"$tern" chat $m --chat-template chatml "${target[@]}" <"$dir" 2>err && no "a folder as standard input: status 0"
line "a folder as standard input" "tern: error: standard input: is a directory, expected text"
finish chat
