/* A folder as a source: it is converted to a GGUF in a file without a name. The system may write the file's pages to disk
 * and drop them, so that a model that is compiled from a folder takes no more memory than one from a GGUF. */
#include "frontends/api/source.h"
#include "frontends/hf/hf.h"

static TernStatus put(void *ctx, const void *bytes, size_t n, TernError *err) {
    return tn_spare_put(ctx, bytes, n, err);
}

static TernStatus convert(TnHfModel *model, TnFile *out, TernError *err) {
    TnSpareFile spare;
    TN_TRY(tn_spare_open(&spare, err));
    TernStatus st = tn_hf_write(model, put, &spare, err);
    if (st == TERN_OK) st = tn_spare_map(&spare, out, err);
    tn_spare_close(&spare);
    return st;
}

TernStatus tn_source_folder(const TerncSource *source, bool vocab_only, TnGguf **out, TernError *err) {
    TnHfOptions options = {.note = source->note, .user = source->note_user};
    TnHfModel *model;
    TnFile file;
    TN_TRY(tn_hf_open(source->path, &options, &model, err));
    TernStatus st = convert(model, &file, err);
    tn_hf_close(model);
    TN_TRY(st);
    return tn_gguf_open_mapped(file, source->path, vocab_only, out, err);
}
