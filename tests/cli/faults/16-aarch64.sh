# Every source of the program compiles for aarch64 as it is, and no function but the one that measures the dot product has
# the instruction: the others must run where there is none. `./dev test --all` builds and runs the whole program.
arm_flags="-std=c11 -O2 -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla -ffp-contract=off -D_GNU_SOURCE -I$root -I$root/runtime"
objdump=$(command -v aarch64-linux-gnu-objdump || true)
for arm_cc in aarch64-linux-gnu-gcc clang; do
    if ! command -v $arm_cc >/dev/null || [ -z "$objdump" ] || [ ! -e /usr/aarch64-linux-gnu/include/stdio.h ]; then
        echo "skipped: $arm_cc for aarch64 (apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross clang)"
        continue
    fi
    [ $arm_cc = clang ] && arm_flags="--target=aarch64-linux-gnu $arm_flags"
    # shellcheck disable=SC2086
    works "machine.c by $arm_cc" "" $arm_cc $arm_flags -c "$root/frontends/cli/machine.c" -o "$dir/machine.o"
    [ "$got" = 0 ] || continue
    "$objdump" -d "$dir/machine.o" | awk '/^[0-9a-f]+ <.*>:$/ { name = $2 } /\tsdot\t/ { print name }' | sort -u >"$dir/names"
    same "functions with sdot by $arm_cc" "$(cat "$dir/names")" "<dot_sdot>:"
    # shellcheck disable=SC2086
    works "pool.c by $arm_cc" "" $arm_cc $arm_flags -c "$root/runtime/pool.c" -o "$dir/pool.o"
done
