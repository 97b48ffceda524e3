#!/usr/bin/env bash
# What is shipped to an ARM machine, tried under qemu. For `./dev test --all`, which cross-compiles it:
#   bash tests/cli/aarch64_shipped.sh BUILD CROSS DEBS
# BUILD: this machine's build; CROSS: the cross build, without LLVM; DEBS: a folder of Debian's packages for arm64, those that the
# program needs and all that they need.
#   1. A bare root of these packages, and nothing else: Tern's are installed there, run a blob that was made here, and are
#      removed without a trace.
#   2. The program with its model inside, alone with qemu in a root that is read-only, as nobody, without /proc.
# Exit 77: skipped, with the reason.
set -u
. "$(dirname "$0")/program.sh"
cross=$2 debs=$3
skip() { echo "skipped: $*" && exit 77; }
qemu=$(command -v qemu-aarch64-static) || skip "no qemu-aarch64-static, which runs in a root without libraries (apt install qemu-user-static)"
for tool in dpkg dpkg-deb readelf cmake; do command -v $tool >/dev/null || skip "no $tool"; done
[ "$(id -u)" = 0 ] || skip "a chroot needs root"
chroot / true 2>/dev/null || skip "no chroot here"
case $("$tern" --version) in *"no LLVM"*) skip "this build has no LLVM, so it makes no blob for ARM" ;; esac
[ -n "$(ls "$debs"/libc6_*_arm64.deb 2>/dev/null)" ] || skip "no packages for arm64 in $debs"

flags=(-p "And the LORD said unto Moses," -n 8 --temp 0 --ignore-eos)
ids=1789,978,1530,317,87,522,44,299,388,340,297,461
run 0 run "$model" --target ref "${flags[@]}" --print-tokens
want_ids=$out
run 0 run "$model" --target ref "${flags[@]}"
want_text=$out
run 0 logits "$model" --tokens $ids --target ref --kv f16 -o "$dir/bits"
run 0 compile "$model" --kv f16 --levels neon,neon-dotprod -o "$dir/m.tern"

# ---- packages in a bare root
SOURCE_DATE_EPOCH=1700000000 DPKG_DEB_COMPRESSOR_LEVEL=1 bash "$root/docs/deploy/package.sh" "$cross" "$dir/deb" "$build" >"$dir/log" 2>&1 ||
    { no "package.sh: $(tail -3 "$dir/log")" && finish "aarch64, shipped"; }
is "five packages for arm64" "$(cd "$dir/deb" && for f in *_arm64.deb; do echo "${f%%_*}"; done | LC_ALL=C sort | paste -sd' ')" \
    "libtern-dev libtern0 libterntext0 tern ternc"
bare=$dir/bare
mkdir -p "$bare"/usr/{bin,lib,sbin} "$bare"/var/lib/dpkg/{info,updates,triggers} "$bare"/{etc,tmp}
for d in bin lib sbin; do ln -s usr/$d "$bare/$d"; done
printf '%s\narm64\n' "$(dpkg --print-architecture)" >"$bare/var/lib/dpkg/arch" # who runs dpkg, and whose the packages are
: >"$bare/var/lib/dpkg/status"
for f in "$debs"/*.deb; do
    dpkg-deb --fsys-tarfile "$f" | tar -x -C "$bare" --keep-directory-symlink -f - || no "unpacking $f"
    (dpkg-deb -f "$f" && printf 'Status: install ok installed\n\n') >>"$bare/var/lib/dpkg/status"
    p=$(dpkg-deb -f "$f" Package)
    [ "$(dpkg-deb -f "$f" Multi-Arch)" = same ] && p+=:arm64
    dpkg-deb -c "$f" | awk '{sub(/^\./, "", $6); sub(/\/$/, "", $6); print $6 == "" ? "/." : $6}' >"$bare/var/lib/dpkg/info/$p.list"
done
chmod 755 "$dir" "$bare" && chmod 1777 "$bare/tmp"
cp "$qemu" "$bare/tmp/qemu"
find "$bare" | sort >"$dir/before"
into=(dpkg --root="$bare" --force-not-root --log=/dev/null)
"${into[@]}" -i "$dir"/deb/{libtern0,libterntext0,tern}_*.deb >"$dir/log" 2>&1 || no "installing: $(tail -3 "$dir/log")"
# in_root CPU WORDS..: tern in that root, as nobody; its output in $out, messages in $dir/err, status in $got
in_root() {
    local cpu=$1
    shift
    timeout 300 chroot --userspec=65534:65534 "$bare" /tmp/qemu -cpu "$cpu" /usr/bin/tern "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    out=$(<"$dir/out")
    unquoted "$dir/err"
}
in_root max --version
is "in the bare root: the version" "$(head -1 <<<"$out" | cut -d' ' -f1-2)" "$("$tern" --version | head -1 | cut -d' ' -f1-2)"
cp "$dir/m.tern" "$model" "$bare/tmp/"
chmod 644 "$bare"/tmp/*.{tern,gguf}
for cpu in max cortex-a72; do
    in_root $cpu run /tmp/m.tern "${flags[@]}" --print-tokens
    is "in the bare root on $cpu: ids ($(head -1 "$dir/err"))" "$out" "$want_ids"
    in_root $cpu run /tmp/m.tern "${flags[@]}" -q
    is "in the bare root on $cpu: text" "$out" "$want_text"
    is "in the bare root on $cpu: messages" "$(cat "$dir/err")" ""
    in_root $cpu logits /tmp/m.tern --tokens $ids -o /tmp/bits
    cmp "$dir/bits" "$bare/tmp/bits" || no "in the bare root on $cpu: other bits: $(cat "$dir/err")"
    rm -f "$bare/tmp/bits"
done
in_root max check /tmp/m.tern
case $out in *": sound"*"this machine runs neon-dotprod"*) ;; *) no "check in the bare root: '$out' $(cat "$dir/err")" ;; esac
in_root max run /tmp/verse-i2_s.gguf -p a -n 1 --no-keep
is "without ternc: status" $got 1
grep -q '^tern: error: the compiler library could not be opened: ' "$dir/err" || no "without ternc: $(cat "$dir/err")"
"${into[@]}" -i "$dir"/deb/ternc_*.deb >"$dir/log" 2>&1 || no "installing ternc: $(tail -3 "$dir/log")"
in_root max run /tmp/verse-i2_s.gguf --target ref "${flags[@]}" --print-tokens --no-keep
is "with ternc, the evaluator: ids" "$out" "$want_ids"
rm -f "$bare"/tmp/*.{tern,gguf}
"${into[@]}" -P tern ternc libterntext0 libtern0 >"$dir/log" 2>&1 || no "removing: $(tail -3 "$dir/log")"
find "$bare" | grep -vE '/var/lib/dpkg/(status-old|lock.*|triggers/.*|diversions.*|statoverride.*|available.*|info/format.*)$' | sort >"$dir/after"
is "left after removing" "$(diff "$dir/before" "$dir/after" | grep '^>')" ""

# ---- one file in an empty root
if ! [ -x "$cross/tern-static.aarch64" ]; then echo "no static program in the cross build (no libpcre2-8.a and libjansson.a for ARM)"
elif ! unshare -m true 2>/dev/null; then echo "no mount namespaces: no empty root"
else
    mkdir "$dir/empty"
    run 0 compile "$model" --emit exe --kv f16 --levels neon,neon-dotprod --runtime "$cross/tern-static.aarch64" -o "$dir/empty/m"
    cp "$qemu" "$dir/empty/qemu"
    chmod 755 "$dir/empty" "$dir/empty/m"
    # alone CPU WORDS..: the file in its read-only root, as nobody
    alone() {
        # shellcheck disable=SC2016
        timeout 300 unshare -m bash -c 'root=$1 cpu=$2
            shift 2
            mount --bind "$root" "$root" && mount -o remount,ro,bind "$root" || exit 99
            ! touch "$root/new" 2>/dev/null || exit 98
            exec chroot --userspec=65534:65534 "$root" /qemu -cpu "$cpu" /m "$@"' - "$dir/empty" "$@" >"$dir/out" 2>"$dir/err" </dev/null
        got=$?
        out=$(<"$dir/out")
        unquoted "$dir/err"
    }
    for cpu in max cortex-a72; do
        alone $cpu "${flags[@]}"
        is "one file on $cpu: status ($(tail -1 "$dir/err"))" $got 0
        is "one file on $cpu: text" "$out" "$want_text"
    done
    alone max check
    case $out in *": sound"*) ;; *) no "one file: check: '$out' $(cat "$dir/err")" ;; esac
    printf x | dd of="$dir/empty/m" bs=1 seek=$(($(stat -c %s "$dir/empty/m") - 100000)) conv=notrunc 2>/dev/null
    alone max "${flags[@]}"
    is "one damaged file: status" $got 1
    is "one damaged file: lines" "$(wc -l <"$dir/err")" 1
fi
finish "aarch64, shipped"
