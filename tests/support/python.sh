# shellcheck shell=bash
# find_python MODULE PACKAGE: sets `python` to the first Python that has the module; skips the test, saying so, if none has.
find_python() {
    for python in $(type -ap python3) /usr/bin/python3 ""; do
        [ -n "$python" ] && "$python" -W ignore -c "import $1" 2>/dev/null && return
    done
    echo "skipped: no Python with $1 (apt install $2)"
    exit 77
}
