/* Flags of other programs, llama.cpp's above all, that people type here out of habit. For each, its name
 * here, or why there is none. It is used only for flags that a verb does not have. */
#include <string.h>
#include "frontends/cli/cli.h"

typedef struct Foreign {
    const char *names; /* separated by blanks */
    const char *use;   /* our flag for it; NULL: there is none */
    const char *why;   /* shown if `use` is NULL or the verb does not have it */
} Foreign;

#define NO_GPU                                                                                               \
    "a whole model runs on one device: tern run --device cuda, or leave it out; tern devices lists them"
#define NO_CHAT  "tern chat MODEL holds a conversation; this verb does not"
#define NO_FETCH "nothing is downloaded here: name a file on the disk"
#define GRAMMAR  "grammars and schemas are files here: tern run --grammar FILE, --json-schema FILE"
#define NO_LORA  "there are no LoRA adapters here: merge them into the model before it is converted"
#define NO_SAMPLER                                                                                           \
    "there is no such sampler here, only --temp, --top-k, --top-p, --min-p and --repeat-penalty"
#define NO_SERVER "tern serve MODEL answers over HTTP; this verb does not"
#define NO_BATCH  "nothing to set here: a step takes as many rows of the prompt as it can, up to 512"
#define NO_MMAP   "a .tern is always mapped and its pages are shared; --huge moves its weights to huge pages"
#define NO_ROPE   "rope scaling is not supported here; --override-kv replaces a key of the file"
#define NO_LOG    "messages go to standard error here and only text to standard output: use 2>/dev/null"
#define NO_SPEC   "there are no draft models here: tern run --draft-max N guesses from the text itself"
#define NO_IMAGES "models here take only text"
#define NO_PIN    "threads are not pinned here: use taskset or numactl"
#define NO_CACHE  "no cache is kept between runs here"
#define NO_MOE    "models with experts are not supported here"
#define NO_QUANT                                                                                             \
    "weights are never quantized here: tern compile packs ternary ones without loss; --head is for the "     \
    "head table"

static const Foreign table[] = {
    {"--temperature --temperatur", "--temp", "it samples nothing"},
    {"--max-tokens --max-new-tokens --max_new_tokens --num-predict", "--predict", "it generates nothing"},
    {"--n-ctx --ctx --context --ctx-len --context-length --max-seq-len -ctx", "--ctx-size",
     "the context is as long as it needs"},
    {"--repetition-penalty --repetition_penalty", "--repeat-penalty", "it samples nothing"},
    {"--prompt-file -pf", "--file", "it reads no text"},
    {"--model-path --model_path --input-model", "--model", "the model is a word: tern VERB MODEL"},
    {"--num-threads --num_threads --nthreads --n-threads", "--threads", "it has no threads to set"},
    {"-tb --threads-batch -td --threads-draft -tbd", "--threads",
     "prompts and single tokens use the same threads, -t"},
    {"--outfile --output-file --out", "--output", "it writes to standard output"},
    {"--level --levels", "--cpu", "it compiles and runs nothing"},
    {"-march --march -mcpu --mcpu --isa --target-cpu", "--levels",
     "--cpu LEVEL, where a verb has it, is the highest level used"},
    {"--quiet", NULL, NO_LOG},
    {"-dev --device", "--device", "it runs no model; tern devices lists the devices"},
    {"--list-devices", NULL, "tern devices lists the devices"},
    {"-ngl --gpu-layers --n-gpu-layers --gpu -sm --split-mode -ts "
     "--tensor-split -mg --main-gpu -nkvo --no-kv-offload --kv-offload --no-op-offload -nopo -ngld "
     "--gpu-layers-draft --n-gpu-layers-draft -devd --device-draft --rpc -rpc -cuda --cuda --metal --vulkan",
     NULL, NO_GPU},
    {"-cnv --conversation -no-cnv --no-conversation -st --single-turn -sys --system-prompt -sysf "
     "--system-prompt-file --chat-template --chat-template-file --chat-template-kwargs --jinja --no-jinja "
     "--reasoning-format --reasoning-budget --in-prefix --in-suffix --in-prefix-bos --chat -ins --instruct",
     NULL, NO_CHAT},
    {"--reverse-prompt", "--stop", "tern run has --stop TEXT"},
    {"-i --interactive -if --interactive-first -mli --multiline-input", NULL,
     "tern run completes one prompt and ends; tern chat MODEL is interactive"},
    {"-hf -hfr --hf-repo -hff --hf-file -hft --hf-token -hfd -hfrd --hf-repo-draft -hfv --hf-repo-v -hffv "
     "--hf-file-v -mu --model-url -dr --docker-repo --offline",
     NULL, NO_FETCH},
    {"-j", "--json-schema", GRAMMAR},
    {"--grammar --grammar-file -jf --json-schema --json-schema-file", NULL, GRAMMAR},
    {"--lora --lora-scaled --lora-base --lora-init-without-apply --control-vector --control-vector-scaled "
     "--control-vector-layer-range",
     NULL, NO_LORA},
    {"--mirostat --mirostat-lr --mirostat-ent --typical --typical-p --tfs --top-nsigma --top-n-sigma "
     "--xtc-probability --xtc-threshold --dry-multiplier --dry-base --dry-allowed-length "
     "--dry-penalty-last-n --dry-sequence-breaker --dynatemp-range --dynatemp-exp --samplers --sampling-seq "
     "--sampler-seq --top-a --adaptive-target",
     NULL, NO_SAMPLER},
    {"--repeat-last-n", NULL, "--repeat-penalty always looks at the last 64 ids here"},
    {"--host --port --path --api-key --api-key-file --api-prefix --ssl-key-file --ssl-cert-file --timeout "
     "-to "
     "--threads-http --metrics --slots --no-slots --props --slot-save-path -a --alias --no-webui --webui "
     "-sps "
     "--slot-prompt-similarity",
     NULL, NO_SERVER},
    {"-np --parallel -ns --sequences -cb --cont-batching -nocb --no-cont-batching", NULL,
     "one sequence at a time here: tern serve --slots N answers several, tern bench -b measures them"},
    {"--embedding --embeddings -embd --pooling --embd-output-format", NULL,
     "tern embed MODEL -p TEXT makes the vector of a text"},
    {"--embd-normalize", "--normalize", "tern embed MODEL -p TEXT makes the vector of a text"},
    {"--embd-separator", "--file", "tern embed MODEL -f FILE makes a vector of each line"},
    {"--attention", NULL, "the model's file says whether attention is causal"},
    {"--rerank --reranking", NULL, "there is no ranking here; tern embed makes vectors of texts"},
    {"-b --batch-size -ub --ubatch-size", NULL, NO_BATCH},
    {"-fa --flash-attn", NULL, "nothing to turn on here: attention is always done in blocks"},
    {"--mlock --no-mlock", NULL, "pages are not locked here: they are the file's own and shared"},
    {"--mmap --no-mmap -mmp --direct-io -dio", NULL, NO_MMAP},
    {"-nr --no-repack --repack -rtr --run-time-repack", NULL,
     "nothing to turn on here: tern compile repacks the weights once"},
    {"--rope-scaling --rope-scale --rope-freq-base --rope-freq-scale --yarn-orig-ctx --yarn-ext-factor "
     "--yarn-attn-factor --yarn-beta-slow --yarn-beta-fast -gan --grp-attn-n -gaw --grp-attn-w",
     NULL, NO_ROPE},
    {"-v --verbose --log-verbose -lv --verbosity --log-verbosity --log-disable --log-enable --log-file "
     "--log-colors --log-prefix --log-timestamps --progress -oe --output-err --no-perf --perf --show-timings "
     "--simple-io --color -co",
     NULL, NO_LOG},
    {"-md --model-draft --draft-min --draft-n --draft-p-min --draft-p-split -cd --ctx-size-draft "
     "--spec-type",
     NULL, NO_SPEC},
    {"--mmproj -mm --mmproj-url -mmu --no-mmproj --image --audio", NULL, NO_IMAGES},
    {"--numa -C --cpu-mask -Cr --cpu-range --cpu-strict --prio --poll -Cb --cpu-mask-batch -Crb "
     "--cpu-range-batch --cpu-strict-batch --prio-batch --poll-batch",
     NULL, NO_PIN},
    {"--prompt-cache --prompt-cache-all --prompt-cache-ro -lcs -lcd --lookup-cache-static "
     "--lookup-cache-dynamic --cache-reuse --swa-full -kvu --kv-unified -dt --defrag-thold --keep "
     "--context-shift --no-context-shift -ctkd -ctvd --cache-ram",
     NULL, NO_CACHE},
    {"-ot --override-tensor -cmoe --cpu-moe -ncmoe --n-cpu-moe -fmoe --fused-moe", NULL, NO_MOE},
    {"--outtype --pure --imatrix --allow-requantize --leave-output-tensor --output-tensor-type "
     "--token-embedding-type --keep-split --quant-type -q --quantize",
     NULL, NO_QUANT},
    {"-sp", "--special", "tern run --special prints control tokens"},
    {"-l --logit-bias", NULL, "tern run --logit-bias changes logits"},
    {"-ptc --print-token-count --verbose-prompt", NULL, "tern tokenize shows a prompt's ids"},
    {"--no-display-prompt --display-prompt --echo", NULL, "the prompt is never printed: there is no echo"},
    {"-e --escape --no-escape", NULL,
     "a prompt is taken as it is: use the shell's $'one\\ntwo', or a file, -f"},
    {"--warmup --no-warmup", "--warm-ups", "nothing to leave out here: there is no warm-up"},
    {"--no-penalize-nl --penalize-nl", NULL, NO_SAMPLER},
    {"--check-tensors", NULL, "the weights of a .tern are always verified, except with --no-check"},
    {"-ppl --perplexity --ppl-stride --ppl-output-type --all-logits --hellaswag --winogrande "
     "--multiple-choice --kl-divergence --kl-divergence-base --chunks --hellaswag-tasks",
     NULL, "tern perplexity MODEL -f TEXT scores a text; tern logits writes all logits"},
    {"-ofreq --output-frequency --save-frequency --in-file -bf --binary-file", NULL,
     "there is nothing like it here; -f FILE is the text"},
    {"--delay --no-host", NULL, "there is nothing like it here; tern bench -r sets the repetitions"},
    {"--add-bos", NULL, "BOS is added if the model asks for it"},
    {"--no-add-bos", "--no-bos", "BOS is added if the model asks for it; --tokens takes ids as they are"},
    {"--version", NULL, "use tern --version, without a verb"},
    {"--usage", NULL, "use --help"},
    {"--license --cache-list -cl --completion-bash", NULL, "there is nothing like it here"},
};

bool foreign_flag(const Flag *flags, const char *word, size_t len, TnBuf *out) {
    for (size_t i = 0; i < TN_COUNT(table); i++) {
        const Foreign *t = &table[i];
        if (!flag_named(t->names, word, len)) continue;
        for (const Flag *f = flags; t->use && f->names; f++)
            if (flag_named(f->names, t->use, strlen(t->use))) {
                tn_buf_printf(out, "here it is %s", t->use);
                return true;
            }
        tn_buf_puts(out, t->why);
        return true;
    }
    return false;
}
