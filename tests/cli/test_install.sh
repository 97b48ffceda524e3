#!/bin/bash
# `cmake --install` into an empty prefix: every file where Debian would put it, a program built against it through
# pkg-config, the installed program finds its libraries, and the libraries show nothing but the public names.
set -eu
build=$1
case ${TMPDIR-} in *[!A-Za-z0-9/._+-]*) export TMPDIR=/tmp ;; esac # the words of pkg-config are cut at blanks
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cmake --install "$build" --prefix "$dir/usr" >"$dir/log" || { cat "$dir/log"; exit 1; }
lib=$(dirname "$(cd "$dir/usr" && find lib* -name libtern.so | head -1)")
[ "$lib" != . ] || { echo "libtern.so was not installed"; cat "$dir/log"; exit 1; }
for f in bin/tern "$lib"/lib{tern,terntext,terngenerate,ternc}.so{,.0} "$lib"/pkgconfig/{tern,terntext,terngenerate,ternc}.pc \
    include/tern/{tern.h,ternc.h,ternc_tools.h,base/error.h,text/text.h,text/grammar.h,text/chat.h,generate/generate.h,generate/conversation.h}; do
    [ -e "$dir/usr/$f" ] || { echo "$f was not installed"; exit 1; }
done
headers=$(find "$dir/usr/include" -type f | wc -l)
[ "$headers" = 9 ] || { echo "$headers headers were installed, expected the 9 public ones"; exit 1; }

mv "$dir/usr" "$dir/moved" # nothing may remember the prefix
export PKG_CONFIG_PATH=$dir/moved/$lib/pkgconfig
cache() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
sanitize=$(cache TERN_SANITIZE)
cat >"$dir/main.c" <<'C'
#include <stdio.h>
#include <tern.h>
#include <ternc.h>
#include <ternc_tools.h>
#include <text/text.h>
#include <text/grammar.h>
#include <generate/generate.h>
#include <generate/conversation.h>
int main(void) {
    TernError err = {0};
    TernPool *pool = 0;
    TernPoolOptions options = {.size = sizeof options, .threads = 2};
    if (tern_pool_create(&options, &pool, &err)) return fprintf(stderr, "%s\n", err.text), 1;
    printf("tern %s, %u threads\n", tern_version(), tern_pool_threads(pool));
    tern_pool_destroy(pool);
    return 0;
}
C
for pc in tern "tern terntext" terngenerate "tern terntext ternc"; do
    # shellcheck disable=SC2046,SC2086
    "$(cache CMAKE_C_COMPILER)" -std=c11 -Wall -Wextra -Werror ${sanitize:+-fsanitize=$sanitize} \
        $(pkg-config --cflags tern) "$dir/main.c" -o "$dir/main" $(pkg-config --libs $pc) -Wl,-rpath,"$dir/moved/$lib"
    got=$("$dir/main")
    want="tern $(pkg-config --modversion tern), 2 threads"
    [ "$got" = "$want" ] || { echo "with $pc: printed '$got', expected '$want'"; exit 1; }
done
# with TERN_STATIC: no shared library is needed
if [ -e "$dir/moved/$lib/libtern.a" ]; then
    for pc in tern "tern terntext" terngenerate; do
        # shellcheck disable=SC2046,SC2086
        "$(cache CMAKE_C_COMPILER)" -std=c11 -static $(pkg-config --cflags tern) "$dir/main.c" -o "$dir/main" \
            $(pkg-config --static --libs $pc) 2>"$dir/log" || { cat "$dir/log"; exit 1; }
        got=$(LD_LIBRARY_PATH=/nowhere "$dir/main")
        [ "$got" = "$want" ] || { echo "static, with $pc: printed '$got', expected '$want'"; exit 1; }
    done
fi
# the program of the README, on a blob that the installed program makes where it can
root=$(cd "$(dirname "$0")/../.." && pwd)
sed -n '/^```c$/,/^```$/p' "$root/README.md" | grep -v '^```' >"$dir/readme.c"
# shellcheck disable=SC2046
"$(cache CMAKE_C_COMPILER)" -std=c11 -Wall -Wextra -Werror ${sanitize:+-fsanitize=$sanitize} "$dir/readme.c" \
    $(pkg-config --cflags --libs terngenerate) -o "$dir/readme" -Wl,-rpath,"$dir/moved/$lib"
"$dir/moved/bin/tern" --version >"$dir/version"
if ! grep -q 'cpu levels: none\|no LLVM' "$dir/version"; then
    (cd "$dir" && moved/bin/tern compile -o verse.tern 2>log && ./readme >text) || { cat "$dir/log"; exit 1; }
    [ -s "$dir/text" ] || { echo "the program of the README printed nothing"; exit 1; }
fi
grep -q 'not found' "$dir/version" && { echo "the installed program lacks its compiler:"; cat "$dir/version"; exit 1; }

for name in tern terntext terngenerate ternc; do
    so=$dir/moved/$lib/lib$name.so
    alien=$(nm -D --defined-only "$so" | awk '{print $3}' | grep -vE '^ternc?_' || true)
    [ -z "$alien" ] || { echo "lib$name.so exports more than its interface:" $alien; exit 1; }
done
if command -v readelf >/dev/null && [ -z "$sanitize" ]; then
    needed=$(readelf -d "$dir/moved/$lib/libtern.so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -vE '^(libc|libm|ld-linux.*)\.so' || true)
    [ -z "$needed" ] || { echo "libtern needs more than libc:" $needed; exit 1; }
    needed=$(readelf -d "$dir/moved/bin/tern" | grep -E 'NEEDED.*(LLVM|ternc)' || true)
    [ -z "$needed" ] || { echo "the program must open the compiler by dlopen, not link it: $needed"; exit 1; }
fi
if command -v readelf >/dev/null; then
    bash "$(dirname "$0")/../support/runpaths.sh" "$dir/moved" >"$dir/paths" || { cat "$dir/paths"; exit 1; }
fi
echo "installed, used and moved: ok"
