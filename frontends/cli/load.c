/* Loads models for the verbs: opens a blob, or compiles a model file. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "frontends/cli/compile_apart.h"
#include "frontends/cli/keep.h"
#include "runtime/base/cgroup.h"
#include "runtime/base/escape.h"
#include "runtime/base/filekind.h"

bool is_gguf(const char *path) {
    char head[4] = {0};
    struct stat st; /* opening a pipe that nobody writes to would block */
    if (tn_os_is_folder(path)) return true;
    FILE *f = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
    if (!f) return false;
    size_t n = fread(head, 1, 4, f);
    fclose(f);
    return n == 4 && memcmp(head, "GGUF", 4) == 0;
}

static TernKv named_kv(const Verb *verb, const char *flag, const char *kv) {
    const TnKvType *type;
    for (size_t i = 0; (type = tn_kv_row(i)); i++)
        if (strcmp(kv, type->name) == 0) return (TernKv)type->number;
    if (strcmp(kv, "q8_0") == 0) /* llama.cpp's blocks of 32 */
        usage_error(verb, "%s: q8_0 is not a type of this cache; its 8-bit type is i8", flag);
    usage_error(verb, "%s: '%s', expected one of %s", flag, kv, TN_KVTYPE_NAMES);
}

TernKv parse_kv(const Verb *verb, const char *kv) {
    return kv ? named_kv(verb, "--kv", kv) : TERN_KV_F16;
}

TernKv kv_of_flags(const Verb *verb, const ModelFlags *flags) {
    TernKv kv = parse_kv(verb, flags->kv);
    const char *words[] = {flags->type_k, flags->type_v}, *const names[] = {"-ctk", "-ctv"};
    TernKv kvs[2] = {kv, kv};
    for (int i = 0; i < 2; i++) {
        if (!words[i]) continue;
        kvs[i] = named_kv(verb, names[i], words[i]);
        if (flags->kv && kvs[i] != kv) usage_error(verb, "--kv %s, but %s %s", flags->kv, names[i], words[i]);
    }
    if (kvs[0] != kvs[1])
        usage_error(verb, "-ctk %s, -ctv %s: keys and values have one type, give both",
                    words[0] ? words[0] : "f16", words[1] ? words[1] : "f16");
    return kvs[0];
}

uint32_t parse_kvs(const Verb *verb, const char *list) {
    uint32_t mask = 0;
    for (const char *p = list;;) {
        size_t n = strcspn(p, ",");
        char *word = tn_xcalloc(n + 1, 1);
        memcpy(word, p, n);
        uint32_t bit = 1u << parse_kv(verb, word);
        if (mask & bit) usage_error(verb, "--kv: '%s' is given twice", word);
        free(word);
        mask |= bit;
        if (!p[n]) return mask;
        p += n + 1;
    }
}

static bool wants_ref(const Verb *verb, const ModelFlags *flags) {
    if (flags->target && !tn_target_named(flags->target))
        usage_error(verb, "--target: this build has no target '%s', it has %s", flags->target,
                    tn_target_names());
    return tn_target_evaluates(flags->target);
}

const char *target_help(void) {
    static char text[400];
    snprintf(text, sizeof text, "code generator (default: the one that makes all kernels of the level): %s",
             tn_target_docs());
    return text;
}

bool is_tir(const char *path) {
    size_t n = path ? strlen(path) : 0;
    return (n >= 4 && strcmp(path + n - 4, ".tir") == 0) || (n == 1 && *path == '-');
}

void print_note(void *user, const char *line) {
    (void)user;
    progress_end();
    say_line("tern: %s\n", line);
}

bool take_note(const char *what, const char *text, size_t n) {
    if (strcmp(what, "note") != 0) return false;
    fprintf(stderr, "tern: %.*s\n", (int)n, text);
    return true;
}

static TerncSource source_of(const Verb *verb, const ModelFlags *flags) {
    bool text = is_tir(flags->model);
    if (flags->weights && !text)
        usage_error(verb, "--weights goes with a .tir, the model is %s",
                    flags->model ? flags->model : "the embedded one");
    return (TerncSource){.size = sizeof(TerncSource),
                         .path = text ? flags->weights : flags->model,
                         .tir = text ? flags->model : NULL,
                         .note = print_note,
                         .overrides = flags->overrides.v,
                         .n_overrides = flags->overrides.n,
                         .ternary_dense = flags->ternary_dense,
                         .i2s_layout = flags->i2s_layout};
}

TernKv load_arguments(const Verb *verb, const ModelFlags *flags, const char *device, TerncSource *source,
                      TerncOptions *o) {
    TernKv kv = kv_of_flags(verb, flags);
    *source = source_of(verb, flags);
    *o = (TerncOptions){.size = sizeof *o,
                        .cap = flags->cpu,
                        .context = flags->context,
                        .kvs = 1u << kv, /* no session will ask this model for another */
                        .head = flags->head,
                        .target = flags->target,
                        .device = device};
    return kv;
}

/* A missing file is reported when it is opened, not here. */
static bool is_there(const char *path) {
    return path && access(path, R_OK) == 0;
}

void only_of_gguf(const Verb *verb, const char *path, const void *out) {
    const char *name = flag_given(out);
    if (name && (is_tir(path) || (is_there(path) && !is_gguf(path))))
        usage_error(verb, "%s works on a .gguf, %s is %s", name, path,
                    is_tir(path) ? "a graph as text" : "compiled");
}

/* Checks the flags about code. A model compiled at load has no hashes to verify. The evaluator has no level,
 * but people append --target ref to a command that they investigate, so a --cpu in it gets a note and is not
 * refused. */
static void check_code_flags(const Verb *verb, const ModelFlags *flags, bool ref) {
    only_with(verb, &flags->no_check, false, "a .tern: a model compiled at load has no hashes to verify");
    if (ref && flags->cpu)
        note("--cpu: no effect with --target %s: the evaluator has no levels", flags->target);
}

/* Refuses a file that is not a model and says what it is, whatever the flags are. */
static TernStatus refuse_foreign(const char *path, TernError *err) {
    TnFile f;
    TernError ignored;
    if (tn_file_map(path, &f, &ignored) != TERN_OK) return TERN_OK; /* opening it will report that */
    TnFileKind kind = tn_file_kind(f.data, f.size);
    tn_file_unmap(&f);
    if (kind.kind == TN_KIND_TERN || kind.kind == TN_KIND_GGUF) return TERN_OK;
    TernStatus st = tn_file_kind_refuse(kind, "a model (.gguf, or a .tern that tern compile made)", err);
    return st == TERN_OK ? st : tn_fail_in(err, st, "%s", path);
}

TernStatus read_text_file(const char *path, size_t limit, char **out, size_t *out_size, TernError *err) {
    TN_TRY(tn_file_read(path, limit, out, out_size, err));
    TnFileKind kind = tn_file_kind(*out, *out_size);
    if (kind.kind != TN_KIND_BINARY && kind.kind != TN_KIND_GGUF && kind.kind != TN_KIND_TERN) return TERN_OK;
    free(*out);
    *out = NULL;
    TernStatus st = tn_file_kind_refuse(kind, "text in UTF-8", err);
    return tn_fail_in(err, st, "%s", path);
}

/* Refuses flags that change how a model file is read if the model is a blob. */
static TernStatus refuse_source_flags(const Verb *verb, const ModelFlags *flags, TernError *err) {
    if (!is_there(flags->model)) return TERN_OK;
    TN_TRY(refuse_foreign(flags->model, err));
    if (flags->target && !tn_target_evaluates(flags->target))
        usage_error(verb,
                    "--target %s works on a .gguf, %s is compiled: its own code runs, or it is evaluated",
                    flags->target, flags->model);
    if (flags->overrides.n) usage_error(verb, "--override-kv works on a .gguf, %s is compiled", flags->model);
    if (flags->weights) usage_error(verb, "--weights goes with a .tir, %s is compiled", flags->model);
    if (flags->head) usage_error(verb, "--head works on a .gguf, %s is compiled", flags->model);
    if (flags->tune.seconds) usage_error(verb, "--tune works on a .gguf, %s is compiled", flags->model);
    if (flags->tune.cache) usage_error(verb, "--tune-cache goes with --tune");
    if (flags->i2s_layout) usage_error(verb, "--i2s-layout works on a .gguf, %s is compiled", flags->model);
    if (flags->ternary_dense)
        usage_error(verb, "--ternary-dense works on a .gguf, %s is compiled", flags->model);
    return TERN_OK;
}

TernStatus source_of_flags(const Verb *verb, const ModelFlags *flags, TerncSource *out, const char **blob,
                           TernError *err) {
    bool ref = wants_ref(verb, flags);
    *blob = NULL;
    if (!flags->model || is_tir(flags->model) || is_gguf(flags->model)) {
        check_code_flags(verb, flags, ref);
        *out = source_of(verb, flags);
        return TERN_OK;
    }
    TN_TRY(refuse_source_flags(verb, flags, err));
    *blob = flags->model;
    *out = (TerncSource){.size = sizeof(TerncSource), .note = print_note};
    return TERN_OK;
}

typedef struct Opening {
    const ModelFlags *flags;
    DeviceChoice device;
    bool asked; /* flags->known was called */
    int code;   /* what it returned */
} Opening;

/* As the options take it; NULL: the default. */
static const char *device_name(const Opening *o) {
    return *o->device.name ? o->device.name : NULL;
}

static int ask(void *user, const TernModelInfo *info, const void *vocab, size_t vocab_bytes) {
    Opening *o = user;
    progress_end();
    if (o->asked) return o->code;
    o->asked = true;
    if (o->flags->known) o->code = o->flags->known(o->flags->known_user, info, vocab, vocab_bytes);
    return o->code;
}

static int report_progress(void *user, const char *phase, uint64_t done, uint64_t total) {
    const Opening *o = user;
    const atomic_bool *cancelled = o->flags->cancelled;
    progress_bar(NULL, phase, done, total);
    return cancelled && atomic_load(cancelled);
}

/* An open model outlives the call, so its vocabulary is not only valid during it. */
static TernStatus ask_about(Opening *o, const TernModel *model) {
    TernModelInfo info;
    size_t n = 0;
    tern_model_info(model, &info);
    const void *vocab = tern_model_vocab(model, &n);
    return ask(o, &info, vocab, n) ? TERN_ERR_CANCELLED : TERN_OK;
}

static TernStatus open_kept(const Opening *opening, const char *path, bool checked, TernModel **out,
                            TernError *err) {
    TernModelOptions o = {
        .size = sizeof o, .no_check = checked, .huge = opening->flags->huge, .device = device_name(opening)};
    return tern_model_open(path, &o, out, err);
}

/* The smallest session there is: making the first one verifies the weights. */
TernStatus check_weights(TernModel *model, TernPool *pool, TernKv kv, TernError *err) {
    TernSessionOptions o = {.size = sizeof o, .context = 1, .batch = 1, .kv = kv};
    TernSession *s;
    TN_TRY(tern_session_create(model, pool, &o, &s, err));
    tern_session_destroy(s);
    return TERN_OK;
}

/* Opens what an earlier start has kept. Returns false if it must be compiled. A damaged file is found here and not later,
 * since the verb has seen nothing of it yet. */
static bool use_kept(Opening *opening, Keep *keep, TernKv kv, Loaded *out) {
    TernError err = {0};
    const ModelFlags *flags = opening->flags;
    if (flags->anew || !keep_hit(keep)) return false;
    TernModel *model = NULL;
    TernStatus st = open_kept(opening, keep->path, false, &model, &err);
    bool later = flags->late_check && (flags->huge || device_name(opening));
    if (st == TERN_OK && !flags->only_known && !later) st = check_weights(model, out->pool, kv, &err);
    if (st != TERN_OK) {
        tern_model_close(model);
        if (st == TERN_ERR_MEMORY) return false; /* compiling will say so */
        note("compiled anew: %s", err.text);
        return false;
    }
    note("compiled by an earlier start: %s", tn_listed(keep->path).s);
    out->model = model;
    out->kept = true;
    return true;
}

static int ask_alone(void *user, const TernModelInfo *info, const void *vocab, size_t vocab_bytes) {
    int code = ask(user, info, vocab, vocab_bytes);
    return code ? code : -1;
}

/* Reads the facts and compiles nothing. */
static TernStatus read_facts(Opening *opening, const TerncSource *source, TerncOptions o, TernError *err) {
    const TerncCalls *compiler;
    TernModel *model = NULL;
    TN_TRY(find_ternc(&compiler, err));
    o.known = ask_alone;
    TernStatus st = compiler->load(source, &o, NULL, &model, err);
    compiler_aborts(false);
    progress_end();
    if (st != TERN_ERR_CANCELLED || !opening->asked || opening->code) return st;
    *err = (TernError){0};
    return TERN_OK;
}

/* In a process of its own a compile costs no more than this model. What it is asked about, the verb is asked here first. */
static TernStatus compile_file(Opening *opening, const Keep *keep, TerncReport *report, TernError *err) {
    const ModelFlags *flags = opening->flags;
    const TerncCalls *compiler;
    TerncOptions o = *keep->key.options;
    if (flags->apart && !flags->tune.seconds) {
        TerncSource quiet = *keep->key.source;
        quiet.note = NULL; /* the process says the same */
        TN_TRY(read_facts(opening, &quiet, o, err));
        return compile_apart(flags, device_name(opening), keep->path, report_progress, opening, report, err);
    }
    o.best = 1;
    TN_TRY(find_ternc(&compiler, err));
    return compiler->compile(keep->key.source, &o, keep->path, report, err);
}

/* A new file that cannot be opened is removed, and one that a process has left that failed or was stopped all the same: nobody has
 * checked that it is of the model that its name says. */
static TernStatus compile_kept(Opening *opening, const Keep *keep, TerncReport *report, Loaded *out,
                               TernError *err) {
    struct stat before = {0}, now;
    (void)stat(keep->path, &before);
    TernStatus st = compile_file(opening, keep, report, err);
    bool written = stat(keep->path, &now) == 0 && now.st_ino != before.st_ino;
    if (st == TERN_OK) st = open_kept(opening, keep->path, true, &out->model, err);
    if (st != TERN_OK && written) (void)unlink(keep->path);
    out->kept = st == TERN_OK;
    return st;
}

/* Compiles to a file that is kept, if it may and can be, else to memory. */
static TernStatus compile_to(Opening *opening, Keep *keep, bool may_keep, TerncReport *report, Loaded *out,
                             TernError *err) {
    const TerncCalls *compiler;
    if (may_keep && keep_begin(keep)) {
        TernStatus st = compile_kept(opening, keep, report, out, err);
        keep_end(keep, st == TERN_OK ? report : NULL);
        if (st != TERN_ERR_ENV) return st;
        progress_end();
        note("not kept: %s", err->text);
        *err = (TernError){0};
    }
    TN_TRY(find_ternc(&compiler, err));
    return compiler->load(keep->key.source, keep->key.options, report, &out->model, err);
}

static TernStatus compile_model(const Verb *verb, Opening *opening, Loaded *out, TernError *err) {
    const ModelFlags *flags = opening->flags;
    check_code_flags(verb, flags, wants_ref(verb, flags));
    TerncSource source;
    TerncOptions o;
    TernKv kv = load_arguments(verb, flags, device_name(opening), &source, &o);
    o.progress = report_progress;
    o.known = ask;
    o.user = opening;
    TuneFlags tune = flags->tune;
    set_tuning(verb, &tune, flags->threads, &o);
    Keep keep;
    bool may_keep = keep_find(verb, flags, &source, &o, &keep);
    if (may_keep && use_kept(opening, &keep, kv, out)) return ask_about(opening, out->model);
    if (flags->only_known) return read_facts(opening, &source, o, err);
    out->compiled = true;
    TerncReport report = {.refused = ""};
    TernStatus st = compile_to(opening, &keep, may_keep, &report, out, err);
    compiler_aborts(false);
    progress_end();
    if (st == TERN_OK && report_lacks_memory(&report)) note("%s", tn_listed(report.refused).s);
    return st;
}

static TernStatus open_any(const Verb *verb, Opening *opening, Loaded *out, TernError *err) {
    const ModelFlags *flags = opening->flags;
    bool ref = wants_ref(verb, flags);
    if (!flags->model || is_tir(flags->model) || is_gguf(flags->model))
        return compile_model(verb, opening, out, err);
    TN_TRY(refuse_source_flags(verb, flags, err));
    const TerncCalls *compiler;
    if (ref) TN_TRY(find_ternc(&compiler, err));
    TernModelOptions o = {.size = sizeof o,
                          .cpu = flags->cpu,
                          .no_check = flags->no_check,
                          .huge = flags->huge,
                          .device = device_name(opening)};
    if (ref)
        TN_TRY(compiler->open_ref(flags->model, &o, &out->model, err));
    else
        TN_TRY(tern_model_open(flags->model, &o, &out->model, err));
    return ask_about(opening, out->model);
}

static TernStatus open_model(const Verb *verb, Opening *opening, Loaded *out, TernError *err) {
    const char *limit = opening->flags->memory_limit;
    uint64_t bytes = limit ? parse_bytes(verb, flag_given(&opening->flags->memory_limit), limit) : 0;
    TN_TRY(open_any(verb, opening, out, err));
    tern_model_limit(out->model, bytes);
    return TERN_OK;
}

void report_start(Loaded *l) {
    TernModelMemory m = {.size = sizeof m};
    uint64_t limit = tn_memory_limit("");
    report_device(&l->device);
    if (l->tight || !limit || tern_model_memory(l->model, &m, NULL) != TERN_OK) return;
    uint64_t need = m.resident + m.code + m.sessions;
    l->tight = need > limit;
    if (!l->tight) return;
    progress_end();
    say_line("tern: warning: the model needs %.1f MB, and the control group of this process may use %.1f MB: "
             "weights will "
             "be read from the disk again and again\n",
             (double)need / 1e6, (double)limit / 1e6);
}

void note_idle_threads(const Verb *verb, const ModelFlags *flags, const char *name) {
    if (wants_ref(verb, flags))
        note("%s: no effect with --target %s: the evaluator has one thread", name, flags->target);
}

void note_crowded(const char *flag, uint32_t threads, const char *of, uint32_t n_cpus) {
    if (threads > n_cpus)
        note("%s: %u threads on the %u processor%s of %s: more threads than processors wait for each other",
             flag, threads, n_cpus, n_cpus == 1 ? "" : "s", of);
}

static TernStatus open_on_device(const Verb *verb, Opening *opening, Loaded *out, TernError *err) {
    opening->device = choose_device(verb, opening->flags);
    TernStatus st = open_model(verb, opening, out, err);
    if (st == TERN_OK || opening->code || !fall_back(&opening->device, st, err)) return st;
    return open_model(verb, opening, out, err);
}

int load_pool(const Verb *verb, const ModelFlags *flags, Loaded *out) {
    TernError err = {0};
    *out = (Loaded){0};
    if (flag_given(&flags->threads)) {
        check_threads(verb, flag_given(&flags->threads), flags->threads, flags->cpus != NULL);
        note_idle_threads(verb, flags, flag_given(&flags->threads));
    }
    TernPoolOptions po = {.size = sizeof po, .threads = (uint32_t)flags->threads};
    if (flags->cpus) {
        po.n_cpus = out->n_cpus = parse_cpus(verb, flag_given(&flags->cpus), flags->cpus, out->cpus);
        po.cpus = out->cpus;
        if (!po.threads) po.threads = po.n_cpus;
        if (flag_given(&flags->threads))
            note_crowded(flag_given(&flags->threads), po.threads, flag_given(&flags->cpus), po.n_cpus);
    }
    return tern_pool_create(&po, &out->pool, &err) == TERN_OK ? EXIT_OK : fail(&err);
}

TernStatus load_quietly(const Verb *verb, const ModelFlags *flags, Loaded *out, int *code, TernError *err) {
    Opening opening = {.flags = flags};
    double start = tn_os_seconds();
    if (flags->pool) *out = (Loaded){.pool = flags->pool, .borrows_pool = true};
    TernStatus st = open_on_device(verb, &opening, out, err);
    *code = opening.code;
    if (st != TERN_OK) {
        unload_model(out);
        *out = (Loaded){0};
        return st;
    }
    if (out->model) tern_model_info(out->model, &out->info);
    out->device = opening.device;
    out->verb = verb;
    out->flags = flags;
    out->seconds = tn_os_seconds() - start;
    return TERN_OK;
}

int load_model(const Verb *verb, const ModelFlags *flags, Loaded *out) {
    TernError err = {0};
    int code = EXIT_OK;
    if (!flags->pool) code = load_pool(verb, flags, out);
    if (code != EXIT_OK || load_quietly(verb, flags, out, &code, &err) == TERN_OK) return code;
    return code ? code : fail(&err);
}

bool load_for_cpu(Loaded *l, TernStatus status, TernError *err) {
    Opening opening = {.flags = l->flags, .device = l->device, .asked = true};
    double start = tn_os_seconds();
    if (!fall_back(&opening.device, status, err)) return false;
    tern_model_close(l->model);
    l->model = NULL;
    l->compiled = l->kept = false;
    l->device = opening.device;
    *err = (TernError){0};
    if (open_model(l->verb, &opening, l, err) != TERN_OK) return false;
    tern_model_info(l->model, &l->info);
    l->seconds += tn_os_seconds() - start;
    return true;
}

void note_saturated(uint64_t n) {
    if (n)
        note("warning: %llu value%s saturated at 65504 in the f16 cache; --kv f32 has room for them",
             (unsigned long long)n, n == 1 ? "" : "s");
}

void report_huge(const ModelFlags *flags, const Loaded *l) {
    if (!flags->huge) return;
    uint64_t bytes = tern_model_huge_bytes(l->model);
    fprintf(stderr, "tern: %.1f MB of %.1f MB of weights are in huge pages%s\n", (double)bytes / 1e6,
            (double)l->info.weight_bytes / 1e6,
            bytes ? "" : ": the system gives none (/sys/kernel/mm/transparent_hugepage/enabled)");
}

void unload_model(Loaded *l) {
    if (!l->borrows_pool) tern_pool_destroy(l->pool);
    tern_model_close(l->model);
}

int load_vocab(const Verb *verb, const ModelFlags *flags, TernVocab **out, void **image, TernModel **model) {
    TernError err = {0};
    const void *bytes;
    size_t n;
    *image = NULL;
    *model = NULL;
    if (!flags->model || is_tir(flags->model) || is_gguf(flags->model)) {
        TerncSource source = source_of(verb, flags);
        const TerncCalls *compiler;
        if (find_ternc(&compiler, &err) != TERN_OK) return fail(&err);
        if (compiler->vocab(&source, image, &n, &err) != TERN_OK) return fail(&err);
        bytes = *image;
    } else {
        TernModelOptions o = {.size = sizeof o, .no_check = 1};
        if (refuse_source_flags(verb, flags, &err) != TERN_OK) return fail(&err);
        if (tern_model_open(flags->model, &o, model, &err) != TERN_OK) return fail(&err);
        bytes = tern_model_vocab(*model, &n);
        if (!bytes) {
            tern_model_close(*model);
            return fail_text("%s: the model has no tokenizer", flags->model);
        }
    }
    if (tern_vocab_open(bytes, n, out, &err) == TERN_OK) return EXIT_OK;
    free(*image);
    tern_model_close(*model);
    return fail(&err);
}
