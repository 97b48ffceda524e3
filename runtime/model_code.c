/* Gives the code of the chosen level to the engine. */
#include <string.h>
#include "runtime/model.h"

static TnLoaded *find_loaded(const TernModel *m, uint32_t section) {
    for (uint32_t i = 0; i < m->n_loaded; i++)
        if (m->loaded[i].section == section) return &m->loaded[i];
    return NULL;
}

/* The section's hash was right in the file, but the file may have changed since. So the hash is checked again over the
 * copy, and everything is read from the copy. */
static TernStatus load_copy(TernModel *m, uint32_t section, const uint8_t *copy, TernError *err) {
    const TnBlobSection *s = &m->blob.sections[section];
    TnCode code;
    TN_TRY(tn_blob_check_copy(&m->blob, s, copy, err));
    TN_TRY(tn_code_read(&m->blob, s, copy, &m->arena, &code, err));
    TnHandle *handles = tn_alloc_array(&m->arena, code.n + 1u, sizeof *handles);
    TN_TRY(m->engine->load(m->engine, &code, handles, err));
    m->loaded[m->n_loaded++] = (TnLoaded){.section = section, .handles = handles, .n = code.n};
    return TERN_OK;
}

static TernStatus load(TernModel *m, uint32_t section, TernError *err) {
    const TnBlobSection *s = &m->blob.sections[section];
    void *copy;
    TN_TRY(tn_os_map((size_t)s->size, false, &copy, err));
    memcpy(copy, tn_blob_bytes(&m->blob, s), (size_t)s->size);
    TernStatus status = load_copy(m, section, copy, err);
    tn_os_unmap(copy, (size_t)s->size);
    return status;
}

TernStatus tn_model_load_code(TernModel *m, TernError *err) {
    uint32_t most = tn_blob_count(&m->blob, tn_code_kind(m->level));
    m->loaded = tn_alloc_array(&m->arena, most + 1u, sizeof *m->loaded);
    for (uint32_t i = 0; i < m->n_variants; i++) {
        const TnBlobProg *g = &m->variants[i].prog;
        if (g->level == m->level && g->level != TN_LEVEL_REF && !find_loaded(m, g->code))
            TN_TRY(load(m, g->code, err));
    }
    return TERN_OK;
}

TnHandle tn_model_kernel(const TernModel *m, const TnVariant *v, const TnBlobLaunch *l) {
    const TnLoaded *code = find_loaded(m, v->prog.code);
    TN_CHECK(code && l->export_index < code->n);
    return code->handles[l->export_index];
}
