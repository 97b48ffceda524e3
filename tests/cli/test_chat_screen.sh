#!/usr/bin/env bash
# tern chat on a terminal, driven by tmux: line editing, history, pasted blocks, colours, Ctrl-C, commands. Waits for what it
# expects on the screen, for as long as it takes.
set -u
. "$(dirname "$0")/program.sh"
command -v tmux >/dev/null || {
    echo "skipped: no tmux"
    exit 77
}
export XDG_CACHE_HOME=$dir/cache
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 # libedit keeps the names of functions that were added
cat >"$dir/script" <<'S'
end <|im_end|>
control <|im_start|>
say: Hello|, hello|!
say sun: It| shines|.
say ponder: <think>|hm|, hm|</think>|Yes
S
cd "$dir" || exit 1
"$build/make_scripted" script -o m.gguf || exit 1
# Its answers have no end that a test could come to: tens of thousands of tokens, each of some milliseconds.
"$build/make_gguf" --hidden 768 --ffn 2048 --layers 6 --heads 12 --kv-heads 4 --head-dim 64 --ctx 65536 -o slow.gguf >/dev/null || exit 1
target=()
[ $native = yes ] || target=(--target ref)
edits=no
grep -q '^TERN_LIBEDIT:BOOL=\(ON\|1\)' "$build/CMakeCache.txt" && edits=yes

# Each screen has a server of its own: a server that was killed may still hold its socket for a moment, and take the next screen.
server=0
mux() { tmux -L "tern-$$-$server" -f /dev/null "$@"; }
trap 'mux kill-server 2>/dev/null; rm -rf "$dir"' EXIT
# open FLAGS..: a new screen with a chat, and after it its exit status
open() {
    mux kill-server 2>/dev/null
    server=$((server + 1))
    rm -f status
    printf '%q ' env LC_ALL=C.UTF-8 TERM=screen "$tern" chat "$@" >command
    echo '; echo "left with $?" | tee status; sleep 1000' >>command
    mux new-session -d -x 100 -y 50 bash ./command
}
keys() { mux send-keys "$@"; }
screen() { mux capture-pane -p | sed -e 's/ *$//' | awk '{ text = text $0 "\n" } NF { shown = text } END { printf "%s", shown }'; }
# missed WHAT: the screen did not become what it should in ten minutes, and what follows would not either
missed() {
    no "$1, the screen is:"
    screen
    finish chat_screen
}
# shows WHAT REGEX: waits until the screen has a line that matches
shows() {
    local end=$((SECONDS + 600))
    checks=$((checks + 1))
    while [ $SECONDS -lt $end ]; do
        screen | grep -qE -- "$2" && return
        sleep 0.1
    done
    missed "$1: expected a line '$2'"
}
# ends WHAT TEXT: waits until the last lines of the screen are these
ends() {
    local want end=$((SECONDS + 600))
    checks=$((checks + 1))
    want=$(printf '%b' "$2")
    while [ $SECONDS -lt $end ]; do
        [ "$(screen | tail -n "$(wc -l <<<"$want")")" = "$want" ] && return
        sleep 0.1
    done
    missed "$1: expected at the end '$want'"
}

# --- a conversation
open m.gguf --chat-template chatml --temp 0 "${target[@]}"
shows "the beginning" '^tern: scripted, .* 2048 positions; /help lists the commands$'
ends "a prompt" '>'
keys "hi" Enter
ends "an answer" '> hi\nHello, hello!\n>'
keys 'no \' Enter
ends "a line that goes on" '> no \\\n.'
keys 'sun' Enter
ends "an answer to two lines" '. sun\nIt shines.\n>'
keys "/undo" Enter
ends "/undo" '> /undo\ntern: undone; there are 2 messages\n>'
keys "/foo" Enter
ends "an unknown command" "tern: no command is called '/foo' (see /help)\n>"
keys "/system Be kind." Enter
ends "/system" 'tern: the system message is set\n>'
keys "sun" Enter
ends "after /system" 'It shines.\n>'
keys "/regen" Enter
ends "/regen" '> /regen\nIt shines.\n>'
keys "/save a.json" Enter
ends "/save" 'tern: saved 5 messages\n>'
keys "/clear" Enter
ends "/clear" 'tern: cleared\n>'
keys "/load a.json" Enter
ends "/load" 'tern: loaded 5 messages\n>'
keys "/save b.json" Enter
ends "/save again" '> /save b.json\ntern: saved 5 messages\n>'
is "saved and loaded" "$(cat a.json)" "$(cat b.json)"
is "the messages" "$(cat a.json)" '[
  {"role": "system", "content": "Be kind."},
  {"role": "user", "content": "hi"},
  {"role": "assistant", "content": "Hello, hello!"},
  {"role": "user", "content": "sun"},
  {"role": "assistant", "content": "It shines."}
]'
keys "ponder" Enter
ends "a thought" '> ponder\n<think>hm, hm</think>Yes\n>'
checks=$((checks + 1))
mux capture-pane -e -p | grep -q $'\033\\[2m<think>hm, hm</think>.*\033\\[0m.*Yes' || no "the thought is not dim"

# --- the editor
if [ $edits = yes ]; then
    printf 'first\tline\n\x27second\x27 \xc3\xa9\xe2\x82\xac\nsun' | mux load-buffer -
    mux paste-buffer -p
    shows "a pasted block" '^.second. é€$'
    ends "a pasted block waits" 'sun'
    keys Enter
    ends "the answer to it" 'sun\nIt shines.\n>'
    keys "/save p.json" Enter
    shows "/save of it" '/save p.json$'
    ends "/save of it" 'tern: saved 9 messages\n>'
    checks=$((checks + 1))
    grep -qF '"first\tline\n'\''second'\'' é€\nsun"' p.json || no "the pasted block: $(tail -3 p.json)"
    keys "sux" BSpace "n" C-a "the " Enter
    ends "editing" '> the sun\nIt shines.\n>'
    keys Up Up Up Enter # the block again
    ends "history" 'sun\nIt shines.\n>'
    keys "half" C-d
    ends "Ctrl-D in a line" '> half'
    keys C-u
    ends "Ctrl-U" '>'
else
    echo "note: no libedit: the editor is not tested"
fi
keys C-d
shows "Ctrl-D" '^left with 0$'

# --- Ctrl-C
open slow.gguf --chat-template chatml --temp 0 --ignore-eos -c 65536 --target ref
ends "a slow model" '>'
keys "hi" Enter
for ((end = SECONDS + 600; SECONDS < end; )); do
    [ "$(screen | wc -l)" -gt 3 ] && break # the answer has begun; what was asked may have left the screen by now
    sleep 0.1
done
keys C-c
shows "Ctrl-C in an answer" '^tern: stopped$'
ends "and then a prompt" '>'
keys "/stats" Enter
shows "/stats" '^tern: 2 messages$'
ends "all of it" '>' # before the prompt there is nothing that Ctrl-C ends
keys C-c
shows "Ctrl-C at the prompt" '^tern: Ctrl-C again leaves, and so does /exit$'
keys "/foo" Enter
ends "it does not leave" "tern: no command is called '/foo' (see /help)\n>"
keys C-c
ends "Ctrl-C once more" 'tern: Ctrl-C again leaves, and so does /exit\n>'
keys C-c
shows "Ctrl-C twice" '^left with 130$'

# --- the history of the last time, no colours, a full context
if [ $edits = yes ]; then
    is "who may read the history" "$(stat -c %a cache/tern/chat-history)" 600
    export NO_COLOR=1
    open m.gguf --chat-template chatml --temp 0 -c 48 "${target[@]}"
    ends "without colours" '>'
    keys Up
    ends "the history" '> /foo'
    checks=$((checks + 1))
    mux capture-pane -e -p | grep -q $'\033' && no "NO_COLOR: there are colours"
    keys C-u "hi" Enter
    ends "hi" 'Hello, hello!\n>'
    keys "sun" Enter
    ends "a full context" 'tern: the context of 48 positions is full: the oldest 1 turn was dropped\nIt shines.\n>'
    keys "this message is much longer than what the context can hold" Enter
    shows "a message that is too long" '^tern: error: the last turn is too long: 77 tokens '
    keys "/exit" Enter
    shows "/exit" '^left with 0$'
fi
finish chat_screen
