/* What is known of a module that ptx_parse.c has read. */
#include "support/ptx_parts.h"

#include <stdlib.h>
#include <string.h>

void ptx_module_free(PtxModule *m) {
    for (uint32_t i = 0; m && i < m->n; i++) {
        PtxBody *b = &m->bodies[i];
        free(b->name);
        free(b->code);
        free(b->constants);
        free(b->param_at);
        free(b->param_size);
    }
    if (m) {
        free(m->bodies);
        free(m->text);
        free(m->line_at);
    }
    free(m);
}

unsigned ptx_module_target(const PtxModule *m, char *out_suffix) {
    if (out_suffix) *out_suffix = m->suffix;
    return m->target;
}

const PtxBody *ptx_body_find(const PtxModule *m, const char *name) {
    for (uint32_t i = 0; i < m->n; i++)
        if (!strcmp(m->bodies[i].name, name)) return &m->bodies[i];
    return NULL;
}

const char *ptx_line_text(const PtxModule *m, uint32_t line, int *out_len) {
    if (!line || line > m->lines) return *out_len = 0, "";
    const char *p = m->text + m->line_at[line - 1];
    *out_len = (int)strcspn(p, "\n");
    return p;
}

uint32_t ptx_module_entries(const PtxModule *m) {
    return m->n;
}
PtxEntry ptx_module_entry(const PtxModule *m, uint32_t i) {
    const PtxBody *b = &m->bodies[i];
    return (PtxEntry){b->name, b->params, b->param_bytes, b->threads_most, 0, b->registers};
}
bool ptx_module_find(const PtxModule *m, const char *name, PtxEntry *out) {
    const PtxBody *b = ptx_body_find(m, name);
    if (b) *out = ptx_module_entry(m, (uint32_t)(b - m->bodies));
    return b != NULL;
}
void ptx_module_param(const PtxModule *m, const char *name, uint32_t i, uint32_t *out_at,
                      uint32_t *out_bytes) {
    const PtxBody *b = ptx_body_find(m, name);
    *out_at = b->param_at[i];
    *out_bytes = b->param_size[i];
}
