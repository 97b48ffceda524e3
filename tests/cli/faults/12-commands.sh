# ./dev and what a build leaves: asked of a copy of the script in a folder of its own, with a cmake, ninja, ctest and
# apt-get that only write down that they were called.
# shellcheck shell=bash disable=SC2154,SC2086,SC2034
source_dir=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$build/CMakeCache.txt")
tree=$dir/tree
mkdir -p "$tree/tests/cli" "$tree/tests/base" "$dir/bin"
cp "$source_dir/dev" "$tree/dev"
: >"$tree/tests/cli/test_tune.sh"
: >"$tree/tests/cli/test_profile_files.c"
: >"$tree/tests/base/test_os.c"
cat >"$dir/bin/cmake" <<'SH'
#!/bin/sh
echo "cmake $*" >>"$CALLS"
while [ $# -gt 0 ]; do
    [ "$1" != -B ] || { mkdir -p "$2" && : >"$2/CMakeCache.txt" && : >"$2/build.ninja"; }
    shift
done
exit ${CMAKE_FAILS-0}
SH
cat >"$dir/bin/dpkg-query" <<'SH'
#!/bin/sh
# every package that is asked for is there, but for $MISSING
echo "dpkg-query" >>"$CALLS"
format=$2
for p; do
    case $p in -* | *'{'*) continue ;; esac
    [ "$p" != "${MISSING-}" ] || continue
    case $format in *Abbrev*) echo "ii  $p" ;; *) echo "install ok installed" ;; esac
done
SH
cat >"$dir/bin/apt-get" <<'SH'
#!/bin/sh
echo "apt-get $*" >>"$CALLS"
case " $* " in *" --print-uris "*) printf '1 upgraded, 2 newly installed, 0 to remove and 3 not upgraded.\nNeed to get 35.1 MB of archives.\nAfter this operation, 157 MB of additional disk space will be used.\n' ;; esac
SH
for p in ninja ctest sudo; do printf '#!/bin/sh\necho "%s $*" >>"$CALLS"\n' $p >"$dir/bin/$p"; done
chmod +x "$dir"/bin/*
# dev ARGS..: in $got, $out, $err; the calls in $calls
dev() {
    : >"$dir/calls"
    PATH="$dir/bin:$PATH" CALLS=$dir/calls timeout 600 bash "$tree/dev" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    err=$(cat "$dir/err")
    calls=$(cat "$dir/calls")
}

# a build with nothing to do: ninja alone is asked, and dpkg twice
dev build
same "the first build: configured" "$(grep -c ^cmake "$dir/calls")" 1
dev build
same "a build with nothing to do: the exit status" "$got" 0
same "a build with nothing to do: configured" "$(grep -c ^cmake "$dir/calls")" 0
same "a build with nothing to do: ninja" "$(grep -c ^ninja "$dir/calls")" 1
[ "$(grep -c ^dpkg "$dir/calls")" -le 2 ] && good "questions to dpkg" || bad "questions to dpkg: $(grep -c ^dpkg "$dir/calls")"
rm "$tree/build/build.ninja"
dev build
same "without a build.ninja: configured" "$(grep -c ^cmake "$dir/calls")" 1
CMAKE_FAILS=1 dev build
sed -i 's/-DTERN_WERROR=ON/-DTERN_WERROR=ON -DTERN_NEW=1/' "$tree/dev"
CMAKE_FAILS=1 dev build
same "other flags, and that fails: the exit status" "$got" 1
dev build
same "after a failure: configured again" "$(grep -c ^cmake "$dir/calls")" 1

# a test that does not exist: said before anything is built
for name in NOSUCH tests.tune 'cli\.tume$'; do
    dev test "$name"
    same "test $name: the exit status" "$got" 2
    same "test $name: calls" "$calls" ""
    has "test $name: the line" "$err" "^dev: no test's name matches "
done
has "the nearest name" "$err" "cli\.tune"
dev test --foo
same "test --foo: calls" "$calls" ""
same "test --foo: the exit status" "$got" 1
dev test '('
same "no regular expression: calls" "$calls" ""
dev test tune
has "one that exists is run" "$calls" "^ctest .*tune"

# what is installed is shown with its size
MISSING=ninja-build dev build
has "installing: what" "$err" "installing ninja-build"
has "installing: how much to fetch" "$err" "35\.1 MB"
has "installing: how much on the disk" "$err" "157 MB"
has "and then the build is configured anew" "$calls" "^cmake"

# configuring again writes nothing that is as it was
if command -v cmake >/dev/null && [ -d "$source_dir/models" ]; then
    compiler=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
    again() { cmake -S "$source_dir" -B "$dir/b" -G Ninja -DCMAKE_C_COMPILER="$compiler" -DTERN_LLVM=OFF -DTERN_TESTS=OFF >"$dir/log" 2>&1; }
    times() { (cd "$dir/b" && stat -c '%n %y' stub.c exports.map tern.pc ternc.pc terntext.pc terngenerate.pc); }
    if again; then
        before=$(times)
        again
        same "configured again: the files it makes" "$(times)" "$before"
    else bad "a configuration without LLVM: $(tail -1 "$dir/log")"; fi
fi

# where programs and libraries look for libraries
if command -v readelf >/dev/null; then
    found=$(bash "$root/tests/support/runpaths.sh" "$build")
    same "run paths with an empty or relative element" "$(grep -v ' files$' <<<"$found")" ""
    [ "$(tail -1 <<<"$found" | cut -d' ' -f1)" -ge 4 ] && good "ELF files" || bad "ELF files: $found"
fi
# and one that lies in the current folder is not taken
mkdir "$dir/here"
for lib in libjansson.so.4 libtern.so.0 libternc.so.0 libc.so.6; do echo "not a library" >"$dir/here/$lib"; done
(cd "$dir/here" && "$tern" --version >"$dir/out" 2>"$dir/err")
same "in a folder with such libraries: the exit status" "$?" 0
hasnt "in a folder with such libraries: the compiler" "$(cat "$dir/out" "$dir/err")" "not found|file too short|invalid ELF"
