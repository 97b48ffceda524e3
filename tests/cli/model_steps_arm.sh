#!/usr/bin/env bash
# model_steps_arm.sh OUT: builds model_steps.c and the runtime for aarch64, as one static program. Exit 77: there is no compiler
# or no qemu, which a line says.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
cc=${TERN_AARCH64_CC:-aarch64-linux-gnu-gcc}
command -v "$cc" >/dev/null || { echo "skipped: no $cc (apt install gcc-aarch64-linux-gnu)"; exit 77; }
command -v qemu-aarch64-static >/dev/null || command -v qemu-aarch64 >/dev/null ||
    { echo "skipped: no qemu-aarch64 (apt install qemu-user-static)"; exit 77; }

# xxhash.h is a header without a library here (XXH_INLINE_ALL), the host's copy serves.
include=$(mktemp -d)
trap 'rm -rf "$include"' EXIT
cp "$(echo '#include <xxhash.h>' | cc -E -x c - | sed -n 's/^# 1 "\(.*xxhash.h\)".*/\1/p' | head -1)" "$include/"
"$cc" -std=c11 -O2 -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -ffp-contract=off -D_GNU_SOURCE \
    -DTERN_VERSION='"0"' -I"$root" -I"$root/runtime" -isystem "$include" -static "$root/tests/cli/model_steps.c" \
    "$root"/runtime/*.c "$root"/runtime/cuda/*.c "$root"/runtime/base/*.c -lpthread -lm -o "$1"
