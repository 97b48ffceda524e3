#!/usr/bin/env bash
# package.sh BUILD OUT [PAGES]: Debian packages of a finished build, for the machine that it was built for.
#
#   tern           the program, manual pages, completion, systemd units and files for proxies as examples
#   libtern0       libtern: runs compiled models
#   libterntext0   libterntext and libterngenerate: tokenizer, sampler, chat, generation
#   ternc          libternc: the compiler. Without it `tern` runs compiled files alone
#   libtern-dev    headers, pkg-config, links for the linker
#
# It needs cmake, dpkg-deb and readelf. Nothing is downloaded. What a package needs from Debian is found like this: the
# libraries that its files name, in the .shlibs files of the packages installed here. PAGES is another build with manual
# pages, for a build for another machine, which cannot make its own. Same build, same bytes, if SOURCE_DATE_EPOCH is set.
set -eu -o pipefail
build=$1
out=$2
pages=${3-$build}
root=$(cd "$(dirname "$0")/../.." && pwd)
die() { echo "package: $*" >&2 && exit 1; }
for tool in cmake dpkg-deb readelf; do command -v $tool >/dev/null || die "$tool is not installed"; done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/all/usr" --strip >"$work/log" 2>&1 || { cat "$work/log" >&2 && exit 1; }
all=$work/all/usr
machine=$(readelf -h "$all/bin/tern" | sed -n 's/^ *Machine: *//p')
case $machine in
*X86-64*) arch=amd64 ;;
AArch64) arch=arm64 ;;
*) die "$all/bin/tern is for '$machine', expected X86-64 or AArch64" ;;
esac
version=$(sed -n 's/^CMAKE_PROJECT_VERSION:[A-Z]*=//p' "$build/CMakeCache.txt")
lib=$(cd "$all" && dirname "$(find lib* -name 'libtern.so.0')")

# take PACKAGE FILE..: moves files of the installation to a package; a pattern without a file is fine
take() {
    local to=$work/$1 f
    shift
    for f in "$@"; do
        [ -e "$f" ] || [ -L "$f" ] || continue
        mkdir -p "$to/usr/$(dirname "$f")"
        mv "$f" "$to/usr/$f"
    done
}
cd "$all"
take libtern0 "$lib"/libtern.so.*
take libterntext0 "$lib"/libterntext.so.* "$lib"/libterngenerate.so.*
take ternc "$lib"/libternc.so.* "$lib"/tern
take libtern-dev include "$lib"/*.so "$lib"/*.a "$lib"/pkgconfig
take tern bin/tern share/doc/tern/README.md
cd - >/dev/null
mkdir -p "$work/tern/usr/share/doc/tern/examples"
cp "$root"/docs/deploy.md "$root"/docs/serve.md "$work/tern/usr/share/doc/tern/"
cp "$root"/docs/deploy/{tern,tern-serve}.{service,socket} "$root"/docs/deploy/{haproxy.cfg,kubernetes.yaml} "$work/tern/usr/share/doc/tern/examples/"
if [ -d "$pages/pages" ]; then
    cp -r "$pages/pages/." "$work/tern/usr/share/"
    gzip -9n "$work"/tern/usr/share/man/man1/*
else
    echo "package: $pages has no manual pages, so the packages have none" >&2
fi
rm -rf "$all/share"
left=$(find "$work/all" -type f -o -type l)
[ -z "$left" ] || die "installed, but in no package: $left"

# needs PACKAGE: the packages of Debian that its programs and libraries name
needs() {
    local soname name major
    find "$work/$1" -type f \( -name '*.so.*' -o -path '*/bin/*' \) -exec readelf -d {} \; 2>/dev/null |
        sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | LC_ALL=C sort -u | while read -r soname; do
        case $soname in libtern*) continue ;; esac
        name=${soname%%.so*} major=${soname##*.so.}
        awk -v n="$name" -v m="$major" '$1 == n && $2 == m { $1 = $2 = ""; sub(/^ */, ""); sub(/:[a-z0-9]+/, ""); print; exit }' \
            /var/lib/dpkg/info/*.shlibs >"$work/need"
        [ -s "$work/need" ] || die "$soname of $1: no package here has it"
        cat "$work/need"
    done | LC_ALL=C sort -u | paste -sd, | sed 's/,/, /g'
}

# pack PACKAGE SECTION DEPENDS FIELD TEXT: DEPENDS are packages of Tern, FIELD is a further line or empty
pack() {
    local name=$1 section=$2 depends=$3 field=$4 text=$5 dir=$work/$1 from
    from=$(needs "$name")
    depends=$depends${from:+${depends:+, }$from}
    mkdir -p "$dir/DEBIAN" "$dir/usr/share/doc/$name"
    cp "$root/LICENSE" "$dir/usr/share/doc/$name/copyright"
    {
        printf 'Package: %s\nVersion: %s\nArchitecture: %s\nSection: %s\nPriority: optional\n' "$name" "$version" "$arch" "$section"
        printf 'Maintainer: %s\n' "${TERN_MAINTAINER:-whoever built it <root@localhost>}"
        printf 'Installed-Size: %s\n' "$(du -k -s --apparent-size "$dir" | cut -f1)"
        [ -z "$depends" ] || printf 'Depends: %s\n' "$depends"
        [ -z "$field" ] || printf '%s\n' "$field"
        printf 'Description: %s\n' "$text"
    } >"$work/control"
    mv "$work/control" "$dir/DEBIAN/control"
    case $name in lib*[0-9] | ternc) echo "activate-noawait ldconfig" >"$dir/DEBIAN/triggers" ;; esac
    (cd "$dir" && find usr -type f -exec md5sum {} + | LC_ALL=C sort -k2 >DEBIAN/md5sums)
    chmod -R u+rwX,go=rX "$dir"
    dpkg-deb --root-owner-group -b "$dir" "$out/${name}_${version}_$arch.deb" >/dev/null
    echo "$out/${name}_${version}_$arch.deb"
}
mkdir -p "$out"
rm -f "$out"/*_"$arch".deb
same="(= $version)"
pack libtern0 libs "" "" "run compiled ternary language models (library)
 libtern maps a compiled model and runs it. It needs libc alone."
pack libterntext0 libs "libtern0 $same" "" "tokenize, sample and generate with Tern (libraries)
 libterntext has tokenizers, samplers, grammars and chat templates, and
 libterngenerate makes text of a compiled model."
pack ternc libs "libtern0 $same" "" "compile ternary language models (library)
 libternc makes compiled models of GGUF files and of folders of Hugging Face.
 The program tern opens it when it compiles."
pack tern utils "libtern0 $same, libterntext0 $same" "Recommends: ternc $same" "compile and run ternary language models
 Tern runs ternary (1.58-bit) language models on ordinary processors, from one
 file that was compiled ahead of time. To compile, it needs the package ternc."
pack libtern-dev libdevel "libtern0 $same, libterntext0 $same" "Suggests: ternc $same" "headers of Tern
 Headers and pkg-config files of libtern, libterntext, libterngenerate and
 libternc."
