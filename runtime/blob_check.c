/* Verifies a compiled file as a whole, whatever machine it is for, and gives what it says of itself. No engine is made and no
 * code is loaded, so a blob for another architecture, or one that has only code for GPUs, can be checked too. */
#include <stdio.h>
#include <string.h>
#include "runtime/base/options.h"
#include "runtime/base/os.h"
#include "runtime/base/single.h"
#include "runtime/tern.h"
#include "runtime/variant.h"

static TernStatus check_weights(const TnBlob *b, TernError *err) {
    const uint8_t *weights = tn_blob_bytes(b, tn_blob_section(b, TN_SECTION_WGHT, 0));
    for (uint32_t i = 0, n = tn_blob_chunks(b); i < n; i++) {
        const uint8_t *chunk = weights + (size_t)i * TN_BLOB_CHUNK;
        if (!tn_blob_chunk_ok(b, i, chunk)) return tn_blob_chunk_error(b, i, err);
        if (i + 1 < n)
            tn_os_advise_dontneed(chunk, TN_BLOB_CHUNK); /* a small machine need not hold them all */
    }
    return TERN_OK;
}

static void add_level(char *list, size_t size, const char *level) {
    size_t n = strlen(list);
    snprintf(list + n, size - n, "%s%s", n ? "," : "", level);
}

/* In the order of the variants, each once. Levels without a name here were refused when the variants were read. */
static void list_levels(const TnVariant *variants, uint32_t n, char *list, size_t size) {
    uint32_t last = UINT32_MAX;
    *list = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t level = variants[i].prog.level;
        bool seen = level == last;
        for (uint32_t k = 0; k < i && !seen; k++) seen = variants[k].prog.level == level;
        if (!seen) add_level(list, size, tn_level_name(level));
        last = level;
    }
}

static TernStatus check(const TnFile *file, TnArena *arena, TernBlobInfo *out, TernError *err) {
    TnBlob b;
    TnMeta meta;
    TnVariant *variants;
    uint32_t n;
    const uint8_t *data = file->data; /* of a single file: from the blob on */
    size_t size = file->size;
    TN_TRY(tn_single_open(&data, &size, err));
    TN_TRY(tn_blob_open(data, size, &b, err));
    TN_TRY(tn_meta_read(&b, arena, &meta, err));
    TN_TRY(tn_variants_read(&b, &meta, arena, &variants, &n, err));
    TN_TRY(check_weights(&b, err));
    out->version = TN_BLOB_VERSION;
    out->abi = TN_BLOB_ABI;
    out->file_bytes = b.size;
    out->n_params = meta.facts.n_params;
    out->n_context = meta.facts.n_context;
    list_levels(variants, n, out->levels, sizeof out->levels);
    snprintf(out->name, sizeof out->name, "%s", meta.name);
    snprintf(out->arch, sizeof out->arch, "%s", meta.arch);
    snprintf(out->desc, sizeof out->desc, "%s", meta.desc);
    snprintf(out->producer, sizeof out->producer, "%s", meta.producer);
    TnBlobHead head;
    memcpy(&head, b.data, sizeof head);
    memcpy(out->hash.bytes, head.hash, sizeof out->hash.bytes);
    return TERN_OK;
}

static const TnField info_fields[] = {
    TN_FIELD(TernBlobInfo, hash),      TN_FIELD(TernBlobInfo, version),    TN_FIELD(TernBlobInfo, abi),
    TN_FIELD(TernBlobInfo, n_context), TN_FIELD(TernBlobInfo, file_bytes), TN_FIELD(TernBlobInfo, n_params),
    TN_FIELD(TernBlobInfo, levels),    TN_FIELD(TernBlobInfo, name),       TN_FIELD(TernBlobInfo, arch),
    TN_FIELD(TernBlobInfo, desc),      TN_FIELD(TernBlobInfo, producer)};
static const TnShape info_shape = TN_SHAPE(TernBlobInfo, info_fields);

TernStatus tern_blob_check(const char *path, TernBlobInfo *out, TernError *err) {
    tn_error_clear(err);
    TN_NEED(path, err);
    TN_NEED(out, err);
    TnFile file;
    TnArena arena = {0};
    TernBlobInfo info = {.size = sizeof info};
    TN_TRY(tn_file_map(path, &file, err));
    TernStatus s = check(&file, &arena, &info, err);
    tn_arena_free(&arena);
    tn_file_unmap(&file);
    if (s != TERN_OK) return tn_fail_in(err, s, "%s", path);
    return tn_options_give(&info_shape, &info, out, err);
}
