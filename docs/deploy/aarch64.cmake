# Builds Tern for 64-bit ARM on another machine:
#
#   cmake -S . -B build/aarch64 -G Ninja -DCMAKE_TOOLCHAIN_FILE=docs/deploy/aarch64.cmake [-DCMAKE_C_COMPILER=clang]
#   ninja -C build/aarch64
#
# On Debian it needs gcc-aarch64-linux-gnu and libc6-dev-arm64-cross (with clang too), and after
# `dpkg --add-architecture arm64 && apt-get update` libpcre2-dev:arm64 libjansson-dev:arm64 libxxhash-dev:arm64; for chat's line
# editing libedit-dev:arm64, for `tern serve` libmicrohttpd-dev:arm64. Where these must not be installed, unpack them and the
# libraries that they need into a folder with `dpkg-deb -x`, and name it with -DTERN_SYSROOT=FOLDER;
# `./dev build --target aarch64` does so by itself.
#
# The program runs models, and compiles none: blobs are made on the machine that has LLVM, for the level neon or neon-dotprod.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
if(NOT CMAKE_C_COMPILER)
    set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
elseif(CMAKE_C_COMPILER MATCHES "clang[^/]*$")
    set(CMAKE_C_COMPILER_TARGET aarch64-linux-gnu)
endif()

set(TERN_SYSROOT "" CACHE PATH "folder into which the arm64 packages were unpacked; empty: they are installed")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TERN_SYSROOT)
# pkg-config must not find this machine's own libraries
set(ENV{PKG_CONFIG_LIBDIR} "${TERN_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${TERN_SYSROOT}/usr/share/pkgconfig")
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${TERN_SYSROOT}")
set(ENV{PKG_CONFIG_PATH} "")
if(TERN_SYSROOT)
    set(CMAKE_FIND_ROOT_PATH "${TERN_SYSROOT}")
    set(CMAKE_C_FLAGS_INIT "-isystem ${TERN_SYSROOT}/usr/include -isystem ${TERN_SYSROOT}/usr/include/aarch64-linux-gnu")
    set(CMAKE_EXE_LINKER_FLAGS_INIT
        "-Wl,-rpath-link,${TERN_SYSROOT}/usr/lib/aarch64-linux-gnu:${TERN_SYSROOT}/lib/aarch64-linux-gnu")
    set(CMAKE_SHARED_LINKER_FLAGS_INIT "${CMAKE_EXE_LINKER_FLAGS_INIT}")
endif()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)

set(TERN_LLVM OFF CACHE BOOL "compile CPU code with LLVM 16 to 19")
set(TERN_TESTS OFF CACHE BOOL "build the tests (needs cmocka)")
