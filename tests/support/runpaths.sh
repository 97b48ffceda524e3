#!/bin/bash
# runpaths.sh FOLDER..: prints the ELF files below the folders that search for libraries in the wrong place, one line each.
# An empty or relative element of a run path means the current folder, from which any library would be loaded. Prints how
# many files it checked; exit 1 if there is a bad one.
# Nested build folders (build/all-asan, ..) are checked by their own tests.
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
