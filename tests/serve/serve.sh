# Runs a Python program of this folder against a build: serve.sh NAME BUILD. Skips, saying so, if the build cannot serve.
# shellcheck shell=bash
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$2
. "$here/../support/python.sh"
find_python json python3
case $("$build/tern" serve --help 2>&1) in
*--port*) ;;
*)
    echo "skipped: this build has no libmicrohttpd (apt install libmicrohttpd-dev)"
    exit 77
    ;;
esac
export TERN_KEEP=0 PYTHONDONTWRITEBYTECODE=1
exec "$python" "$here/$1.py" "$build"
