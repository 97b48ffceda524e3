#!/bin/bash
# runpaths.sh FOLDER..: the ELF files below that search for libraries where they should not, one line each: an empty or a
# relative element of a run path is the current folder, and whatever library lies there is loaded. Prints how many
# files it looked at; exit 1 if there is a bad one.
# build folders within (build/all-asan, ..) are looked at by their own tests
find "$@" -mindepth 1 -type d -exec test -e '{}/CMakeCache.txt' \; -prune -o -type f \( -perm -u+x -o -name '*.so*' \) -print0 | sort -z | {
    files=0 bad=0
    while IFS= read -r -d '' f; do
        [ "$(head -c 4 "$f" 2>/dev/null | tr -d '\0')" = $'\177ELF' ] || continue
        files=$((files + 1))
        path=$(readelf -d "$f" 2>/dev/null | sed -n 's/.*(R\(UN\)\?PATH).*\[\(.*\)\]$/\2/p')
        [ -n "$path" ] || continue
        IFS=: read -r -d '' -a parts < <(printf '%s:\0' "$path")
        for part in "${parts[@]}"; do
            case $part in
            /* | "\$ORIGIN" | "\$ORIGIN/"*) ;;
            *)
                echo "$f: its run path is [$path], with the element '$part'"
                bad=1
                break
                ;;
            esac
        done
    done
    echo "$files files"
    exit $bad
}
