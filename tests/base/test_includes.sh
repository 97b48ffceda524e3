#!/bin/bash
# Who may include whom. Each folder may include itself and what its row names. A line that breaks a rule is printed with
# its file. If there is an argument 2, a folder, that is checked instead of this project; so the test tests itself.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${2:-$(cd "$here/../.." && pwd)}
bad=0

# rule FOLDER DEPTH ALLOWED...: every #include "path" in FOLDER resolves into one of the allowed prefixes
rule() {
    local folder=$1 depth=$2 file line path ok allowed
    shift 2
    [ -d "$root/$folder" ] || return 0
    while IFS=: read -r file line path; do
        path=${path#*\"} path=${path%%\"*}
        if [ ! -e "$root/$path" ]; then # relative to the file, or to runtime/ (how installed headers are found)
            local dir=${file%/*}
            for try in "$dir/$path" "$root/runtime/$path"; do
                [ -e "$try" ] && path=$(realpath --relative-to="$root" "$try") && break
            done
        fi
        ok=0
        for allowed in "$@"; do
            case $path in $allowed) [ "${path%/*}/" != "${allowed%/*}/" ] && [ "${allowed: -2}" != "**" ] || ok=1 ;; esac
        done
        if [ $ok = 0 ]; then
            echo "${file#"$root"/}:$line: includes \"$path\"; $folder may include: $*"
            bad=1
        fi
    done < <(find "$root/$folder" -maxdepth "$depth" -name '*.[ch]' -exec grep -nH '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' {} +)
}

# "a/*" is the folder itself, "a/**" everything below it too
rule runtime/base 9 'runtime/base/*'
rule runtime/json 9 'runtime/json/*' 'runtime/base/*'
rule runtime/abi 9 'runtime/abi/*' 'runtime/base/*'
rule runtime/text 1 'runtime/text/*' 'runtime/base/*'
rule runtime/text/grammar 9 'runtime/text/grammar/*' 'runtime/text/*' 'runtime/json/*' 'runtime/base/*'
rule runtime/text/chat 9 'runtime/text/chat/*' 'runtime/text/*' 'runtime/json/*' 'runtime/base/*'
rule runtime/generate 9 'runtime/generate/*' 'runtime/tern.h' 'runtime/text/text.h' 'runtime/text/grammar.h' 'runtime/text/chat.h' 'runtime/json/*' 'runtime/abi/kvs.h' 'runtime/base/*'
rule runtime 1 'runtime/*' 'runtime/abi/*' 'runtime/base/*'
rule runtime/cuda 9 'runtime/cuda/*' 'runtime/*' 'runtime/abi/*' 'runtime/base/*'
rule ir 9 'ir/**' 'runtime/abi/kvs.h' 'runtime/abi/counts.h' 'runtime/base/*'
rule passes 9 'passes/**' 'ir/**' 'runtime/base/*'
rule codegen 9 'codegen/**' 'passes/**' 'ir/**' 'runtime/abi/*' 'runtime/base/*'
# the rooms of the llvm target: the builder knows no skeleton, a skeleton knows no op
rule codegen/llvm/builder 9 'codegen/llvm/builder/*' codegen/codegen.h 'ir/*' 'runtime/base/*'
rule codegen/llvm/skeletons 9 'codegen/llvm/skeletons/*' codegen/llvm/builder/builder.h 'ir/*' 'runtime/base/*'
rule codegen/llvm/ops 9 'codegen/llvm/ops/*' 'codegen/llvm/skeletons/*' codegen/llvm/builder/builder.h 'ir/*' 'runtime/base/*'
# the same in the ptx target
rule codegen/ptx/skeletons 9 'codegen/ptx/skeletons/*' 'codegen/ptx/*' passes/passes.h 'ir/*' 'runtime/base/*'
rule codegen/ptx/ops 9 'codegen/ptx/ops/*' 'codegen/ptx/skeletons/*' 'codegen/ptx/*' runtime/abi/kernel.h 'ir/*' 'runtime/base/*'
# the blob carries the vocabulary as runtime/text lays it out, so the GGUF reader builds it with runtime/text
rule frontends/gguf 1 'frontends/gguf/*' 'frontends/gguf/arch/archs.def' 'ir/**' 'runtime/text/*' 'runtime/base/*'
rule frontends/gguf/arch 9 'frontends/gguf/arch.h' # an architecture sees only the toolbox
rule frontends 1 'frontends/*' 'runtime/tern.h' 'runtime/abi/*' 'runtime/base/*' # what both rooms below and the program use
rule frontends/hf 9 'frontends/hf/*' frontends/json.h 'frontends/gguf/*' 'ir/**' 'runtime/text/*' 'runtime/base/*'
rule frontends/api 9 'frontends/api/*' 'frontends/hf/*' 'frontends/gguf/*' 'codegen/**' 'passes/**' 'ir/**' 'runtime/tern.h' \
    'runtime/text/*' 'runtime/abi/*' 'runtime/base/*'
rule frontends/tools 9 'frontends/tools/*' 'frontends/json.h' 'frontends/blob_list.h' 'frontends/api/*' 'frontends/hf/*' 'frontends/gguf/*' 'codegen/**' 'passes/**' \
    'ir/**' 'runtime/tern.h' 'runtime/text/*' 'runtime/abi/*' 'runtime/base/*'
rule frontends/serve 9 'frontends/serve/*' 'runtime/tern.h' 'runtime/text/text.h' 'runtime/text/grammar.h' 'runtime/text/chat.h' 'runtime/generate/generate.h' \
    'runtime/json/*' 'runtime/base/*'
rule frontends/cli 9 frontends/json.h frontends/blob_list.h frontends/serve/serving.h codegen/targets.h 'frontends/cli/*' 'frontends/api/ternc.h' 'frontends/api/ternc_tools.h' 'runtime/tern.h' 'runtime/text/text.h' 'runtime/text/grammar.h' 'runtime/text/chat.h' 'runtime/generate/generate.h' 'runtime/generate/conversation.h' \
    'runtime/abi/levels.h' 'runtime/abi/kvs.h' 'runtime/abi/version.h' 'runtime/base/*'

# internal.h is what the files of a folder share: no other folder may include it, but the tests of that room may
while IFS=: read -r file line path; do
    path=${path#*\"} path=${path%%\"*}
    [ "$path" = internal.h ] || [ "${path%/*}" = "$(dirname "$file")" ] || {
        echo "$file:$line: includes \"$path\", which only ${path%/*}/ may include"
        bad=1
    }
done < <(cd "$root" && grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"]*/)?internal\.h"' --include='*.[ch]' \
    runtime ir passes codegen frontends 2>/dev/null)

# headers of other libraries, and where they may be included
only() {
    local pattern=$1 found
    shift
    found=$(cd "$root" && grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]$pattern" --include='*.[ch]' \
        runtime ir passes codegen frontends 2>/dev/null | grep -vE "^($*)")
    if [ -n "$found" ]; then
        echo "$found"
        echo "  <$pattern...> may be included only under: $*"
        bad=1
    fi
}
only 'llvm' 'codegen/(llvm|ptx)/'
only 'libxsmm' 'codegen/xsmm/'
only 'pcre2' 'runtime/text/'
only 'xxhash' 'runtime/base/hash\.c'
only 'jansson' 'frontends/|runtime/json/'
only 'microhttpd' 'frontends/serve/http\.c'
only 'histedit' 'frontends/cli/chat_edit\.c'
only 'runtime/host\.h' 'runtime/(host|engine_)' # memory that kernels see, and code, belong to engines
only '(sys/mman|fcntl|sys/stat)\.h' 'runtime/base/|frontends/cli/|codegen/xsmm/open\.c|frontends/serve/(batch_file|listen)\.c'

# only the builder builds instructions; it has a function for each
raw=$(cd "$root" && grep -rnE 'LLVMBuild[A-Z][A-Za-z0-9]*\(' codegen/llvm/skeletons codegen/llvm/ops 2>/dev/null)
if [ -n "$raw" ]; then
    echo "$raw"
    echo "  use or add a function of codegen/llvm/builder/ (instructions.def)"
    bad=1
fi

if [ -z "$2" ]; then
    # The test must be able to fail: a small tree with one fault of each kind.
    tree=$(mktemp -d)
    mkdir -p "$tree"/{runtime/base,ir,frontends/cli,frontends/api,frontends/tools,passes,codegen/llvm/skeletons,codegen/llvm/ops}
    touch "$tree/frontends/tools/graphs.h" "$tree/codegen/llvm/ops/ops.h" "$tree/ir/internal.h" "$tree/ir/graph.h" "$tree/runtime/base/os.h" "$tree/runtime/tern.h" "$tree/runtime/host.h"
    echo '#include "ir/graph.h"' >"$tree/runtime/session.c"
    echo '#include "runtime/tern.h"' >"$tree/runtime/base/up.c"
    echo '#include "ir/graph.h"' >"$tree/frontends/cli/main.c"
    echo '#include <llvm-c/Core.h>' >"$tree/passes/fuse.c"
    echo '#include "runtime/host.h"' >"$tree/runtime/step.c"
    echo '#include "codegen/llvm/ops/ops.h"' >"$tree/codegen/llvm/skeletons/rows.c"
    echo '#include "frontends/tools/graphs.h"' >"$tree/frontends/api/api.c"
    echo '#include "ir/internal.h"' >"$tree/passes/merge.c"
    echo 'x = LLVMBuildAdd(b->b, x, y, "");' >"$tree/codegen/llvm/ops/elem.c"
    { echo '#include "runtime/base/os.h"' && echo '#include "ir/internal.h"'; } >"$tree/ir/fine.c"
    out=$(bash "${BASH_SOURCE[0]}" x "$tree") && { echo "a tree with nine faults was accepted"; bad=1; }
    for want in runtime/session.c:1 runtime/base/up.c:1 frontends/cli/main.c:1 passes/fuse.c:1 runtime/step.c:1 \
        codegen/llvm/skeletons/rows.c:1 passes/merge.c:1 codegen/llvm/ops/elem.c:1 frontends/api/api.c:1; do
        grep -q "^$want" <<<"$out" || { echo "the fault in $want was not seen"; bad=1; }
    done
    grep -q ir/fine.c <<<"$out" && { echo "ir/fine.c was refused"; bad=1; }
    rm -rf "$tree"
    [ $bad = 0 ] && echo "include directions hold"
fi
exit $bad
