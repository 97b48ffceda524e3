/* A folder as a source: it is converted to a GGUF in memory, whose size is known before its first byte is written. */
#include <string.h>
#include "frontends/api/source.h"
#include "frontends/hf/hf.h"

typedef struct Memory {
    uint8_t *bytes;
    size_t size, used;
} Memory;

static TernStatus append(void *ctx, const void *bytes, size_t n, TernError *err) {
    Memory *m = ctx;
    (void)err;
    TN_CHECK(n <= m->size - m->used);
    memcpy(m->bytes + m->used, bytes, n);
    m->used += n;
    return TERN_OK;
}

TernStatus tn_source_folder(const TerncSource *source, bool vocab_only, TnGguf **out, TernError *err) {
    TnHfOptions options = {.note = source->note, .user = source->note_user};
    TnHfModel *model;
    Memory m = {0};
    void *p = NULL;
    TN_TRY(tn_hf_open(source->path, &options, &model, err));
    m.size = tn_hf_size(model);
    TernStatus st = tn_os_map(m.size, false, &p, err);
    m.bytes = p;
    if (st == TERN_OK) st = tn_hf_write(model, append, &m, err);
    tn_hf_close(model);
    if (st == TERN_OK) st = tn_gguf_open_memory(p, m.size, source->path, vocab_only, out, err);
    if (st != TERN_OK) {
        if (p) tn_os_unmap(p, m.size);
        return st;
    }
    (*out)->made = p;
    (*out)->made_bytes = m.size;
    return TERN_OK;
}
