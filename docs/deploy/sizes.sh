#!/usr/bin/env bash
# sizes.sh BUILD PACKAGES..: the table of sizes in docs/deploy.md, of folders of packages, each for another machine. `./dev sizes`
# makes them and calls this. BUILD/tern compiles the small model for the single files. Programs and libraries are without debug
# information, as they are shipped. MB are 10^6 bytes.
set -eu -o pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
tern=$1/tern
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
die() { echo "sizes: $*" >&2 && exit 1; }
export TERN_KEEP=0

declare -A size=()
archs=()
for folder in "$@"; do
    deb=$(ls "$folder"/tern_*.deb 2>/dev/null) || die "got '$folder', expected a folder of packages, which ./dev package makes"
    arch=$(dpkg-deb -f "$deb" Architecture)
    archs+=("$arch")
    for deb in "$folder"/*_"$arch".deb; do
        name=$(basename "$deb" | cut -d_ -f1)
        size[$arch,deb $name]=$(stat -c %s "$deb")
        size[$arch,installed $name]=$(($(dpkg-deb -f "$deb" Installed-Size) * 1024))
        dpkg-deb -x "$deb" "$work/$arch"
    done
    while read -r f; do size[$arch,$(basename "$f" | sed 's/\.so\..*//; s/-static\..*/-static/')]=$(stat -c %s "$f"); done < <(
        find "$work/$arch" -type f \( -path '*/bin/tern' -o -name '*.so.*' -o -name 'tern-static.*' \))
    case $arch in amd64) levels=avx2,avx512-vnni ;; *) levels=neon,neon-dotprod ;; esac
    "$tern" compile "$root/models/verse-i2_s.gguf" --levels $levels -o "$work/m.tern" 2>"$work/log" || die "$(tail -1 "$work/log")"
    size[$arch,blob]=$(stat -c %s "$work/m.tern")
    static=$(find "$work/$arch" -name 'tern-static.*')
    [ -n "$static" ] || continue
    "$tern" compile "$root/models/verse-i2_s.gguf" --levels $levels --emit exe --runtime "$static" -o "$work/m" 2>"$work/log" ||
        die "$(tail -1 "$work/log")"
    size[$arch,exe]=$(stat -c %s "$work/m")
done

row() { # NAME KEY..: a row, each cell with the sizes of the keys
    local arch key cell
    printf '| %s |' "$1"
    shift
    for arch in "${archs[@]}"; do
        cell=
        for key in "$@"; do cell+=${cell:+, }$(awk -v b="${size[$arch,$key]-}" 'BEGIN {if (b == "") printf "-"; else printf "%.2f", b / 1e6}'); done
        printf ' %s |' "$cell"
    done
    echo
}
printf '| MB |' && printf ' %s |' "${archs[@]}" && printf '\n|---|' && printf '%s' "${archs[@]/*/---:|}" && echo
row 'program `tern`' tern
for lib in libtern libterntext libterngenerate libternc; do row "\`$lib.so\`" $lib; done
row 'static program `tern-static`' tern-static
row 'small model, compiled for two levels' blob
row 'the same as a single file' exe
for name in tern libtern0 libterntext0 ternc libtern-dev; do row "package \`$name\`: to bring, installed" "deb $name" "installed $name"; done
