/* ternc_convert: a folder of Hugging Face to a file of GGUF. */
#include "frontends/api/call_options.h"
#include "frontends/hf/hf.h"
#include "runtime/base/files.h"

static TernStatus put(void *ctx, const void *bytes, size_t n, TernError *err) {
    return tn_writer_put(ctx, bytes, n, err);
}

static TernStatus write_model(TnHfModel *m, const char *path, TernError *err) {
    TnWriter w;
    TN_TRY(tn_writer_open(path, &w, err));
    TernStatus st = tn_hf_write(m, put, &w, err);
    if (st == TERN_OK) return tn_writer_commit(&w, err);
    tn_writer_abort(&w);
    return st;
}

TernStatus ternc_convert(const TerncConvert *convert, TernError *err) {
    TerncConvert c;
    TnHfModel *m;
    TN_TRY(tn_convert_take(convert, &c, err));
    const TnFileUse files[] = {{"the folder", c.path, TN_FILE_MODEL},
                               {"the output", c.output, TN_FILE_BINARY}};
    TN_TRY(tn_files_check(files, TN_COUNT(files), err));
    if (!tn_os_is_folder(c.path))
        return tn_fail(err, TERN_ERR_INPUT, "%s: is a file, expected a folder of Hugging Face", c.path);
    TnHfOptions o = {
        .type = c.type, .embd = c.embd, .pre = c.pre, .absmean = c.absmean, .note = c.note, .user = c.user};
    TN_TRY(tn_hf_open(c.path, &o, &m, err));
    TernStatus st = write_model(m, c.output, err);
    tn_hf_close(m);
    return st;
}
