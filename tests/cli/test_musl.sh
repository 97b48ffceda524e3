#!/usr/bin/env bash
# The runtime needs libc and threads alone, and no particular libc: with musl it becomes one static program, which gives the
# evaluator's logits for a blob that is made here. With the text libraries it becomes a program from prompt to text. Those need
# pcre2 and jansson, which Debian has for glibc only. Here its archives serve, with the four functions of glibc that they call and
# musl lacks; a system of musl has archives of its own.
# Argument 1: the build folder. Exit 77: skipped, with the reason.
set -u
. "$(dirname "$0")/program.sh"
[ $native = yes ] || { echo "skipped: this build and this machine run no compiled code"; exit 77; }
command -v musl-gcc >/dev/null || { echo "skipped: no musl-gcc (apt install musl-tools)"; exit 77; }
if grep -q '^TERN_SANITIZE:[A-Z]*=.' "$build/CMakeCache.txt"; then echo "skipped: the program would not be sanitized"; exit 77; fi
mkdir "$dir/include" "$dir/empty"
# header NAME: the system's, without the others beside it
header() { cp "$(echo "#include <$1>" | cc -DPCRE2_CODE_UNIT_WIDTH=8 -E -x c - | sed -n "s/^# 1 \"\(.*\/$1\)\".*/\1/p" | head -1)" "$dir/include/"; }
header xxhash.h # a header without a library here (XXH_INLINE_ALL)
# alone WORDS..: a program of the folder empty, which is its root, read-only, as nobody, without /proc. Its files are there.
alone() {
    # shellcheck disable=SC2016
    unshare -m bash -c 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && cd "$1" && ! touch new 2>/dev/null &&
        shift && exec chroot --userspec=65534:65534 . "$@"' - "$dir/empty" "$@"
}
can_alone=yes
[ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null || can_alone=no
[ $can_alone = yes ] || echo "no root or no mount namespaces: not tried in an empty folder"
chmod 755 "$dir" "$dir/empty"
# model_steps.c has its own features.c
# shellcheck disable=SC2046,SC2010
musl-gcc -std=c11 -O1 -Wall -Wextra -Werror -ffp-contract=off -D_GNU_SOURCE -DTERN_VERSION='"0"' -I"$root" -I"$root/runtime" \
    -I"$root/tests" -isystem "$dir/include" -static "$root/tests/cli/model_steps.c" "$root/tests/support/amx_emulator.c" \
    $(ls "$root"/runtime/*.c | grep -v /features.c) "$root"/runtime/cuda/*.c "$root"/runtime/base/*.c -lpthread -lm -o "$dir/model_steps" 2>"$dir/err" ||
    { no "build with musl: $(head -3 "$dir/err")"; finish musl; exit 1; }
echo "built with musl: $(stat -c %s "$dir/model_steps") bytes"
case $(file -b "$dir/model_steps" 2>/dev/null) in *dynamically*) no "the program is not static" ;; esac
ids="1789 978 1530 317 87 522 44"
level=$("$tern" --version | sed -n 's/^cpu levels: \([^,]*\).*/\1/p')
"$tern" compile "$model" -o "$dir/m.tern" --cpu "$level" --kv f16 2>"$dir/err" || no "compile: $(tail -1 "$dir/err")"
"$tern" logits "$model" --tokens "${ids// /,}" --kv f16 --target ref -o "$dir/want" 2>"$dir/err" || no "logits: $(tail -1 "$dir/err")"
# shellcheck disable=SC2086
if "$dir/model_steps" "$dir/m.tern" "$level" f16 "$dir/want" 1,2 1,7 $ids 2>"$dir/err"; then echo "$level with musl: the same bits"
else no "$level with musl: $(head -3 "$dir/err")"; fi
checks=$((checks + 2))
if [ $can_alone = yes ]; then
    cp "$dir"/{model_steps,m.tern,want} "$dir/empty"
    chmod 644 "$dir"/empty/{m.tern,want}
    # shellcheck disable=SC2086
    alone /model_steps /m.tern "$level" f16 /want 1,2 1,7 $ids 2>"$dir/err" || no "in an empty root: $(head -3 "$dir/err")"
    checks=$((checks + 1))
fi

# ---- from prompt to text
archives=()
for a in libpcre2-8.a libjansson.a; do
    f=$(cc -print-file-name=$a)
    [ -f "$f" ] || { echo "no $a: no program with text"; finish musl; exit; }
    archives+=("$f")
done
for h in pcre2.h jansson.h jansson_config.h; do header $h; done
cat >"$dir/glibc.c" <<'C'
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
void *__memcpy_chk(void *to, const void *from, size_t n, size_t room) { return n > room ? NULL : memcpy(to, from, n); }
char *__strncpy_chk(char *to, const char *from, size_t n, size_t room) { return n > room ? NULL : strncpy(to, from, n); }
int __vsnprintf_chk(char *to, size_t n, int flag, size_t room, const char *format, va_list v) {
    (void)flag;
    return n > room ? -1 : vsnprintf(to, n, format, v);
}
int __snprintf_chk(char *to, size_t n, int flag, size_t room, const char *format, ...) {
    va_list v;
    va_start(v, format);
    int written = __vsnprintf_chk(to, n, flag, room, format, v);
    va_end(v);
    return written;
}
C
cat >"$dir/main.c" <<'C'
#include <generate/generate.h>
#include <stdio.h>
#include <string.h>
static int print(void *user, const TernPiece *p) { return fwrite(p->text, 1, p->size, user) != p->size; }
int main(int argc, char **argv) {
    TernError err;
    TernPool *pool;
    TernModel *model;
    TernGenerator *g;
    TernRequest request = TERN_REQUEST;
    TernSamplerOptions greedy = {.size = sizeof greedy, .top_p = 1, .repeat_penalty = 1};
    if (argc != 3) return fprintf(stderr, "usage: program MODEL PROMPT\n"), 2;
    request.text.data = argv[2], request.text.size = strlen(argv[2]), request.max_tokens = 24, request.sampler = &greedy;
    if (tern_pool_create(NULL, &pool, &err) || tern_model_open(argv[1], NULL, &model, &err) ||
        tern_generator_create(model, pool, NULL, &g, &err) || tern_generate(g, &request, print, stdout, NULL, &err))
        return fprintf(stderr, "%s\n", err.text), 1;
    tern_generator_destroy(g);
    tern_model_close(model);
    tern_pool_destroy(pool);
    return 0;
}
C
# shellcheck disable=SC2086
musl-gcc -std=c11 -O1 -Wall -Wextra -Werror -ffp-contract=off -D_GNU_SOURCE -DTERN_VERSION='"0"' -I"$root" -I"$root/runtime" \
    -isystem "$dir/include" -static "$dir"/{glibc,main}.c "$root"/runtime/{,base/,cuda/,json/,text/,text/grammar/,text/chat/,generate/}*.c \
    "${archives[@]}" -lpthread -lm -o "$dir/empty/text" 2>"$dir/err" || no "build with musl and text: $(head -3 "$dir/err")"
echo "built with musl and text: $(stat -c %s "$dir/empty/text") bytes"
run 0 run "$dir/m.tern" -p "KING RICHARD:" -n 24 --temp 0
"$dir/empty/text" "$dir/m.tern" "KING RICHARD:" >"$dir/got" 2>"$dir/err" || no "text with musl: $(cat "$dir/err")"
[ -n "$out" ] || no "no text here"
is "text with musl" "$(cat "$dir/got")" "$out"
[ $can_alone = no ] || is "text with musl, in an empty root" "$(alone /text /m.tern "KING RICHARD:" 2>&1)" "$out"
finish musl
