# The C interface against its callers: the table of tests/cli/interface_table.c, a row a field; the headers in every
# dialect that includes them; and that nothing of the headers is missing from the table.
cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
includes="-I$root/runtime -I$root/frontends/api"
table=$root/tests/cli/interface_table.c
sanitize=$(sed -n 's/^TERN_SANITIZE:STRING=\(..*\)/-fsanitize=\1/p' "$build/CMakeCache.txt")
# shellcheck disable=SC2086
works "the table compiles" "" "$cc" -std=c11 -Wall -Wextra -Werror $sanitize $includes "$table" -o "$dir/table" \
    -L"$build" -lternc -lterngenerate -lterntext -ltern -lm -Wl,-rpath,"$(realpath "$build")" -Wl,-rpath-link,"$build"
if [ "$got" = 0 ]; then
    # a row that crashes is a row that fails: no reports of a sanitizer about what the rows leave behind
    ASAN_OPTIONS=detect_leaks=0 timeout 500 "$dir/table" >"$dir/out" 2>"$dir/err" </dev/null
    while IFS= read -r line; do bad "${line#FAILED: }"; done < <(grep '^FAILED: ' "$dir/out")
    has "the table came to its end" "$(tail -1 "$dir/out")" '^interface: [0-9]+ rows, '
    checks=$((checks + $(sed -n 's/^interface: \([0-9]*\) rows, \([0-9]*\) .*/\1 - \2/p' "$dir/out")))
fi

# every option struct, each of its fields, and every call stands in the table
python3 - "$root" "$table" >"$dir/missing" <<'PY'
import re, sys
root, table = sys.argv[1], open(sys.argv[2]).read()
for name in "runtime/tern.h", "runtime/text/text.h", "runtime/text/chat.h", "runtime/generate/generate.h", "runtime/generate/conversation.h", "frontends/api/ternc.h", "frontends/api/ternc_tools.h":
    text = re.sub(r"/\*.*?\*/", "", open(f"{root}/{name}").read(), flags=re.S)
    for body, struct in re.findall(r"typedef struct \w+ \{\s*size_t size;(.*?)\} (\w+);", text, re.S):
        if re.search(r"SIZES_FILLED\(%s\b" % struct, table):
            continue
        if not re.search(r"sizes\(\"%s\"|SIZES\(%s\b" % (struct, struct), table):
            print(f"{struct}: its sizes")
        for part in re.sub(r"\([^)]*\)\s*(?=;)", "", body).split(";"):
            called = re.search(r"\(\*(\w+)\)", part)
            for word in [called.group(1)] if called else re.findall(r"(\w+)\s*(?:,|$)", part.strip()):
                if not re.search(r"%s\.%s\b|%s[^;]*\b%s\b" % (struct, word, struct + r" is NULL although", word), table):
                    if not re.search(r"%s\.\w+ is NULL although %s" % (struct, word), table) and not re.search(
                            r"%s, [^;]*\.%s = " % (struct, word), table):
                        print(f"{struct}.{word}")
    for call in re.findall(r"TERN_API[^;(]*?\b(ternc?_\w+)\(", text):
        if not re.search(r"\b%s\b" % call, table):
            print(call)
PY
same "what the table leaves out" "$(cat "$dir/missing")" ""

# the headers and their macros as C and as C++, the way strict callers compile them
cat >"$dir/use.c" <<'C'
#include <stdio.h>
#include "tern.h"
#include "ternc_tools.h"
#include "text/chat.h"
#include "text/text.h"
#include "generate/generate.h"
#include "generate/conversation.h"
int main(void) {
    TernSamplerOptions a = TERN_SAMPLER_OPTIONS;
    TernVocabSource b = TERN_VOCAB_SOURCE;
    TernChatInput c = TERN_CHAT_INPUT;
    if (c.size != sizeof c || c.add_generation_prompt != 1) return 1;
    printf("%d %g %d %g %g %g %d %d", a.size == sizeof a, (double)a.temp, (int)a.top_k, (double)a.top_p, (double)a.min_p,
           (double)a.repeat_penalty, (int)a.repeat_last_n, a.seed == TERN_SEED_RANDOM);
    printf(" %d %d %d %d %d %d %d %d %d", b.size == sizeof b, (int)b.bos, (int)b.eos, (int)b.eot, (int)b.eom, (int)b.unk,
           (int)b.pad, (int)b.add_bos, (int)b.add_eos);
    printf(" %d %d %d\n", b.tokens == NULL && b.types == NULL && b.merges == NULL && b.chat_template.data == NULL,
           b.model.data == NULL && b.pre.data == NULL, (int)(b.n_tokens + b.n_types + b.n_merges));
    return 0;
}
C
cp "$dir/use.c" "$dir/use.cpp"
for dialect in c99 c11 c17; do
    for compiler in gcc clang; do
        command -v $compiler >/dev/null || continue
        # shellcheck disable=SC2086
        works "the macros in $dialect by $compiler" "" $compiler -std=$dialect -Wall -Wextra -Werror -pedantic-errors $includes "$dir/use.c" -o "$dir/use"
        same "the defaults in $dialect" "$("$dir/use")" "1 0.8 40 0.95 0.05 1 64 1 1 -1 -1 -1 -1 -1 -1 -1 -1 1 1 0"
    done
done
for compiler in g++ clang++; do
    if ! command -v $compiler >/dev/null; then echo "skipped: the headers in C++: no $compiler"; continue; fi
    for dialect in c++11 c++17 c++20; do
        # shellcheck disable=SC2086
        works "the macros in $dialect by $compiler" "" $compiler -std=$dialect -Wall -Wextra -Werror -pedantic-errors -fsyntax-only $includes "$dir/use.cpp"
    done
done

# the examples at the head of the headers, as they stand there
sed -n '/^ \*   TernError err;/,/^ \*   tern_session_destroy/p' "$root/runtime/tern.h" | sed 's/^ \*//' >"$dir/lines"
{
    printf '#include <stdio.h>\n#include "tern.h"\n'
    printf 'static void sink(void *next, const TernResult *result) { *(int32_t *)next = result->id; }\nint main(void) {\n'
    cat "$dir/lines"
    printf 'return 0; }\n'
} >"$dir/example.c"
{
    printf '#include <stdio.h>\n#include "ternc.h"\nint main(void) {\n'
    sed -n '/^ \*   TernError err;/,/^ \*   \/\/ from here/p; /^ \*   TerncOptions options/,/^ \*   ternc_compile/p' "$root/frontends/api/ternc.h" | sed 's/^ \*//'
    printf 'return 0; }\n'
} >"$dir/example2.c"
{
    printf '#include <stdio.h>\n#include "generate/generate.h"\n'
    sed -n '/^ \*   static int print/p' "$root/runtime/generate/generate.h" | sed 's/^ \*//'
    printf 'int main(void) {\n'
    sed -n '/^ \*   TernError err;/,/^ \*   tern_generator_destroy/p' "$root/runtime/generate/generate.h" | sed 's/^ \*//'
    printf 'return 0; }\n'
} >"$dir/example3.c"
for compiler in gcc clang; do
    command -v $compiler >/dev/null || continue
    for file in example example2 example3; do
        # shellcheck disable=SC2086
        works "$file of the headers by $compiler" "" $compiler -std=c11 -Wall -Wextra -Werror -pedantic $includes -fsyntax-only "$dir/$file.c"
    done
done

# no library names a flag of the program in an error (but for the line that tells of relu2, and another program's flag)
grep -rnE 'tn_fail(_in)?\(' -A4 "$root"/runtime "$root"/codegen "$root"/passes "$root"/ir "$root"/frontends/api "$root"/frontends/tools "$root"/frontends/gguf "$root"/frontends/hf \
    --include='*.c' | grep -E '"[^"]*(^|[^!-])--[a-z]' | grep -vE 'frontends/cli|llama-gguf-split|set it by --override-kv' >"$dir/flags"
same "flags in the libraries' errors" "$(cut -c1-200 "$dir/flags")" ""
# and the program names them
refused "the program says --head for TerncOptions.head" 1 "^tern: error: --head: 'q4'" "$tern" compile "$model" -o "$dir/o.tern" --head q4
refused "and --override-kv" 1 "^tern: error: --override-kv: 'a', " "$tern" logits "$model" --tokens 1 $how --override-kv a -o "$dir/o"
