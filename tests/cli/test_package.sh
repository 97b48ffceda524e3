#!/usr/bin/env bash
# Debian packages: built twice with the same bytes, every file of the installation in one of them, and what they need named.
# Then a bare chroot, which has what Debian's packages of that list have and nothing else: they are installed there, run, and
# removed without a trace. As root; the chroot's files are copied from the packages of this machine.
set -u
. "$(dirname "$0")/program.sh"
skip() { echo "skipped: $*" && exit 77; }
for tool in dpkg-deb dpkg-query readelf cmake; do command -v $tool >/dev/null || skip "no $tool"; done
[ -d "$build/pages" ] || skip "a build for another machine, or for a sanitizer, makes no pages"
grep -q '^CMAKE_INSTALL_PREFIX:PATH=/usr/local$' "$build/CMakeCache.txt" || skip "this build has another prefix"
export SOURCE_DATE_EPOCH=1700000000 DPKG_DEB_COMPRESSOR_LEVEL=1 # the level changes no file that is packed
pack() { bash "$root/docs/deploy/package.sh" "$build" "$1" >"$dir/log" 2>&1; }
pack "$dir/a" || { cat "$dir/log" && no "package.sh failed" && finish package; }
pack "$dir/b"
is "five packages" "$(cd "$dir/a" && for f in *.deb; do echo "${f%%_*}"; done | LC_ALL=C sort | paste -sd' ')" \
    "libtern-dev libtern0 libterntext0 tern ternc"
for f in "$dir"/a/*.deb; do
    cmp -s "$f" "$dir/b/${f##*/}" || no "${f##*/}: other bytes the second time"
    checks=$((checks + 1))
done
field() { dpkg-deb -f "$dir"/a/"$1"_*.deb "$2"; }
# libtern needs libc alone
is "libtern0's needs" "$(field libtern0 Depends | sed 's/ ([^)]*)//g')" "libc6"
is "files that two packages have" "$(for f in "$dir"/a/*.deb; do dpkg-deb -c "$f"; done | awk '!/^d/ {print $6}' | sort | uniq -d)" ""
dpkg-deb -c "$dir"/a/tern_*.deb >"$dir/list"
for f in bin/tern share/man/man1/tern-run.1.gz share/bash-completion/completions/tern share/doc/tern/examples/tern.service; do
    grep -q " ./usr/$f\$" "$dir/list" || no "tern lacks /usr/$f"
done

if [ $native = yes ] && [ -x "$build/tern-static.$(uname -m | tr _ -)" ]; then # the table of docs/deploy.md
    bash "$root/docs/deploy/sizes.sh" "$build" "$dir/a" >"$dir/sizes" || no "sizes.sh failed"
    is "the table of sizes: rows" "$(grep -c '^| .* | [0-9.]*[0-9]\(, [0-9.]*[0-9]\)\? |$' "$dir/sizes")" 13
    size=$(stat -c %s "$build/tern-static.$(uname -m | tr _ -)")
    is "the table of sizes: the static program" "$(sed -n 's/^| static program .* | \(.*\) |$/\1/p' "$dir/sizes")" "$(awk -v b="$size" 'BEGIN {printf "%.2f", b / 1e6}')"
fi

[ "$(id -u)" = 0 ] || { echo "skipped: the chroot, which needs root" && finish package; }
here=$(dpkg --print-architecture)
[ "$(field tern Architecture)" = "$here" ] || { echo "skipped: the chroot: the packages are for another machine" && finish package; }
bare=$dir/bare
mkdir -p "$bare"/usr/{bin,lib,lib64,sbin} "$bare"/var/lib/dpkg/{info,updates,triggers} "$bare"/{etc,tmp}
for d in bin lib lib64 sbin; do ln -s usr/$d "$bare/$d"; done
wanted=$(for p in libtern0 libterntext0 tern; do field $p Depends; done | tr ',' '\n' | sed 's/^ *//; s/[ :|].*//' | grep -v '^libtern' | sort -u)
done_with=" "
: >"$bare/var/lib/dpkg/status"
while [ -n "$wanted" ]; do # what is needed, and what that needs
    more=""
    for p in $wanted; do
        case $done_with in *" $p "*) continue ;; esac
        done_with+="$p "
        dpkg-query -s "$p:$here" >"$dir/stanza" 2>/dev/null || dpkg-query -s "$p" >"$dir/stanza" 2>/dev/null || { no "$p is not installed here" && continue; }
        (cat "$dir/stanza" && echo) >>"$bare/var/lib/dpkg/status"
        cp "/var/lib/dpkg/info/$p:$here.list" "$bare/var/lib/dpkg/info/" 2>/dev/null || cp "/var/lib/dpkg/info/$p.list" "$bare/var/lib/dpkg/info/"
        dpkg-query -L "$p:$here" 2>/dev/null | grep -E '/lib(64)?/.*\.so' | while read -r f; do
            [ -f "$f" ] && mkdir -p "$bare/$(dirname "$f")" && cp -a "$f" "$bare$f"
        done
        more+=" $(sed -n 's/^\(Pre-\)\?Depends: //p' "$dir/stanza" | tr ',' '\n' | sed 's/^ *//; s/[ :|].*//' | paste -sd' ')"
    done
    wanted=$more
done
find "$bare" | sort >"$dir/before"
into=(dpkg --root="$bare" --force-not-root --log=/dev/null)
if ! "${into[@]}" -i "$dir"/a/{libtern0,libterntext0,tern}_*.deb >"$dir/log" 2>&1; then no "installing: $(tail -3 "$dir/log")"; fi
cp "$model" "$bare/tmp/verse.gguf"
in_root() { chroot --userspec=65534:65534 "$bare" /usr/bin/tern "$@" 2>"$dir/err" </dev/null; }
is "in the chroot: the version" "$(in_root --version | head -1 | cut -d' ' -f1-2)" "$("$tern" --version | head -1 | cut -d' ' -f1-2)"
if [ $native = yes ]; then
    "$tern" compile -o "$bare/tmp/verse.tern" --kv f16 2>/dev/null
    chmod 644 "$bare/tmp/verse.tern"
    is "in the chroot, as nobody, without /proc: the text" "$(in_root run /tmp/verse.tern -p "KING RICHARD:" -n 12 --temp 0 -q)" \
        "$("$tern" run "$bare/tmp/verse.tern" -p "KING RICHARD:" -n 12 --temp 0 -q)"
    is "in the chroot: messages" "$(cat "$dir/err")" ""
    in_root check /tmp/verse.tern | grep -q ': sound' || no "check in the chroot: $(cat "$dir/err")"
fi
in_root run /tmp/verse.gguf -p a -n 1 --no-keep >/dev/null
is "without ternc: exit status" $? 1
grep -q '^tern: error: the compiler library could not be opened: ' "$dir/err" || no "without ternc: $(cat "$dir/err")"
# ternc needs LLVM's package, which the chroot lacks if it was built with it
rm -f "$bare"/tmp/verse.*
"${into[@]}" -P tern libterntext0 libtern0 >"$dir/log" 2>&1 || no "removing: $(tail -3 "$dir/log")"
find "$bare" | grep -vE '/var/lib/dpkg/(status-old|lock.*|triggers/.*|diversions.*|statoverride.*|available.*|info/format.*)$' | sort >"$dir/after"
is "left after removing" "$(diff "$dir/before" "$dir/after" | grep '^>')" ""
finish package
