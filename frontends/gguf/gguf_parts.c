/* A model in several files, as llama-gguf-split writes it: NAME-00001-of-00003.gguf and so on.
 *
 * The first has all keys, the others only split.no, split.count and split.tensors.count; each has a table and data of its own
 * tensors, of which the first may have none. Any part names the model. It is read as one file whose tensors lie in several:
 * the parts stay open as long as the first. A part that is missing, belongs to another model, or brings a tensor again is
 * refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/gguf/gguf.h"

enum { DIGITS = 5, TAIL = sizeof "-00001-of-00003.gguf" - 1, PARTS_MOST = 99999 };

static bool digits(const char *p, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < DIGITS; i++) {
        if (p[i] < '0' || p[i] > '9') return false;
        *out = *out * 10 + (uint32_t)(p[i] - '0');
    }
    return true;
}

/* Whether a path ends as that of a part does; *stem bytes precede the end. */
static bool part_name(const char *path, size_t *stem, uint32_t *no, uint32_t *count) {
    size_t n = strlen(path);
    if (n <= TAIL) return false;
    const char *end = path + n - TAIL;
    *stem = n - TAIL;
    return end[0] == '-' && digits(end + 1, no) && strncmp(end + 6, "-of-", 4) == 0 &&
           digits(end + 10, count) && strcmp(end + 15, ".gguf") == 0 && *no >= 1 && *no <= *count;
}

static char *path_of(const char *path, size_t stem, uint32_t no, uint32_t count) {
    char *s = tn_xcalloc(stem + TAIL + 8, 1);
    sprintf(s, "%.*s-%05u-of-%05u.gguf", (int)stem, path, no, count);
    return s;
}

static TernStatus check_part(const TnGguf *part, uint32_t no, uint32_t count, TernError *err) {
    uint64_t is_no = 0, is_count = 0;
    TN_TRY(tn_gguf_uint(part, "split.no", true, 0, PARTS_MOST, &is_no, err));
    TN_TRY(tn_gguf_uint(part, "split.count", true, 0, PARTS_MOST, &is_count, err));
    if (is_no + 1 == no && is_count == count) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT,
                   "%s: the file says that it is part %llu of %llu, expected part %u of %u", part->path,
                   (unsigned long long)is_no + 1, (unsigned long long)is_count, no, count);
}

/* What the numbers of types mean in this part goes to the whole. */
static TernStatus join_types(TnGguf *g, const TnGguf *part, TernError *err) {
    TnGgufSettled *all = tn_alloc_array(&g->arena, g->n_settled + part->n_settled, sizeof *all);
    if (g->n_settled) memcpy(all, g->settled, g->n_settled * sizeof *all);
    g->settled = all;
    for (size_t i = 0; i < part->n_settled; i++) {
        const TnGgufSettled *s = &part->settled[i], *same = NULL;
        for (size_t k = 0; k < g->n_settled; k++)
            if (all[k].type == s->type) same = &all[k];
        if (same && strcmp(same->name, s->name) != 0)
            return tn_fail(err, TERN_ERR_INPUT, "%s: type %u is %s, but %s in the parts before", part->path,
                           s->type, s->name, same->name);
        if (!same) all[g->n_settled++] = *s;
    }
    return TERN_OK;
}

/* Makes one table of the tensors of all parts. */
static TernStatus join_tensors(TnGguf *g, TernError *err) {
    uint64_t total = g->n_tensors, says = 0;
    for (size_t i = 0; i < g->n_parts; i++) total += g->parts[i]->n_tensors;
    says = total;
    TN_TRY(tn_gguf_uint(g, "split.tensors.count", false, 0, UINT32_MAX, &says, err));
    if (says != total)
        return tn_fail(err, TERN_ERR_INPUT,
                       "%s: split.tensors.count is %llu, but the parts have %llu tensors", g->path,
                       (unsigned long long)says, (unsigned long long)total);
    TnGgufTensor *all = tn_alloc_array(&g->arena, total, sizeof *all);
    if (g->n_tensors) memcpy(all, g->tensors, g->n_tensors * sizeof *all);
    g->tensors = all;
    for (size_t i = 0; i < g->n_parts; i++) {
        const TnGguf *part = g->parts[i];
        for (size_t k = 0; k < part->n_tensors; k++) {
            const TnGgufTensor *t = &part->tensors[k];
            all[g->n_tensors] = *t;
            if (tn_map_set(&g->tensor_map, t->name, strlen(t->name), (uint32_t)g->n_tensors++) != TN_MAP_NONE)
                return tn_fail(err, TERN_ERR_INPUT, "%s: tensor %s is in a part before, too", part->path,
                               t->name);
        }
        TN_TRY(join_types(g, part, err));
        g->table_hash = (g->table_hash << 1 | g->table_hash >> 63) ^ part->table_hash;
    }
    return TERN_OK;
}

static TernStatus join(TnGguf *g, size_t stem, uint32_t count, TernError *err) {
    TN_TRY(check_part(g, 1, count, err));
    for (uint32_t no = 2; no <= count; no++) {
        TnGguf *part;
        char *path = path_of(g->path, stem, no, count);
        TernStatus st = tn_gguf_open_part(path, false, g, &part, err);
        free(path);
        TN_TRY(st);
        TN_PUSH(g->parts, g->n_parts, g->cap_parts, part);
        TN_TRY(check_part(part, no, count, err));
    }
    return join_tensors(g, err);
}

static bool is_split(const TnGguf *g) {
    uint64_t count = 1;
    TernError ignored;
    return tn_gguf_uint(g, "split.count", false, 0, UINT32_MAX, &count, &ignored) == TERN_OK && count > 1;
}

TernStatus tn_gguf_open(const char *path, bool vocab_only, TnGguf **out, TernError *err) {
    size_t stem;
    uint32_t no, count;
    if (!part_name(path, &stem, &no, &count)) return tn_gguf_open_part(path, vocab_only, NULL, out, err);
    char *first = path_of(path, stem, 1, count);
    bool there = tn_os_exists(first);
    TernStatus st = tn_gguf_open_part(there ? first : path, vocab_only, NULL, out, err);
    free(first);
    TN_TRY(st);
    if (is_split(*out)) {
        if (!there)
            st = tn_fail(err, TERN_ERR_INPUT,
                         "%s: part %u of %u, and the first, which has the keys, is not beside it", path, no,
                         count);
        else if (!vocab_only)
            st = join(*out, stem, count, err);
    } else if (there && no != 1) { /* whole files that are only named so */
        tn_gguf_close(*out);
        return tn_gguf_open_part(path, vocab_only, NULL, out, err);
    }
    if (st != TERN_OK) tn_gguf_close(*out);
    return st;
}
