/* ternc_convert: a folder of Hugging Face to a file of GGUF, or a GGUF to one with other types. */
#include "frontends/api/call_options.h"
#include "frontends/gguf/gguf.h"
#include "frontends/hf/hf.h"
#include "runtime/base/files.h"

static TernStatus put(void *ctx, const void *bytes, size_t n, TernError *err) {
    return tn_writer_put(ctx, bytes, n, err);
}

/* What is written: a folder that was opened, or a GGUF with its options. */
typedef struct Job {
    TnHfModel *folder;
    TnGguf *gguf;
    const TnHfOptions *options;
} Job;

static TernStatus write_model(const Job *j, const char *path, TernError *err) {
    TnWriter w;
    TN_TRY(tn_writer_open(path, &w, err));
    TernStatus st =
        j->folder ? tn_hf_write(j->folder, put, &w, err) : tn_hf_between(j->gguf, j->options, put, &w, err);
    if (st == TERN_OK) return tn_writer_commit(&w, err);
    tn_writer_abort(&w);
    return st;
}

/* Refuses an output that is another part of the model. */
static TernStatus check_output(const TnGguf *g, const char *output, TernError *err) {
    for (size_t i = 0; g && i < g->n_parts; i++) {
        const TnFileUse files[] = {{"the model", g->parts[i]->path, TN_FILE_IN},
                                   {"the output", output, TN_FILE_BINARY}};
        TN_TRY(tn_files_check(files, TN_COUNT(files), err));
    }
    return TERN_OK;
}

static TernStatus check_gguf(const TerncConvert *c, TernError *err) {
    const char *field = c->pre ? "pre" : c->absmean ? "absmean" : NULL;
    if (!field) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "TerncConvert.%s is for a folder of Hugging Face, %s is a file",
                   field, c->path);
}

TernStatus ternc_convert(const TerncConvert *convert, TernError *err) {
    TerncConvert c;
    TN_TRY(tn_convert_take(convert, &c, err));
    const TnFileUse files[] = {{"the model", c.path, TN_FILE_MODEL},
                               {"TerncConvert.tl_config", c.tl_config, TN_FILE_IN},
                               {"the output", c.output, TN_FILE_BINARY}};
    TN_TRY(tn_files_check(files, TN_COUNT(files), err));
    TN_TRY(tn_hf_check_output(c.path, c.output, err));
    TnHfOptions o = {.type = c.type        ? c.type
                             : c.tl_config ? "i2_s"
                                           : NULL,
                     .embd = c.embd,
                     .pre = c.pre,
                     .absmean = c.absmean,
                     .note = c.note,
                     .user = c.user};
    Job j = {.options = &o};
    if (tn_os_is_folder(c.path)) {
        if (c.tl_config)
            return tn_fail(err, TERN_ERR_INPUT, "TerncConvert.tl_config is for a .gguf, %s is a folder",
                           c.path);
        TN_TRY(tn_hf_open(c.path, &o, &j.folder, err));
    } else {
        TN_TRY(check_gguf(&c, err));
        TN_TRY(tn_gguf_open(c.path, false, &j.gguf, err));
    }
    TernStatus st = c.tl_config ? tn_gguf_tl_config(j.gguf, c.tl_config, err) : TERN_OK;
    if (st == TERN_OK) st = check_output(j.gguf, c.output, err);
    if (st == TERN_OK) st = write_model(&j, c.output, err);
    tn_hf_close(j.folder);
    tn_gguf_close(j.gguf);
    return st;
}
