#include "frontends/blob_list.h"

#include <stdio.h>
#include <string.h>
#include "runtime/abi/blob.h"
#include "runtime/abi/kernel.h"
#include "runtime/base/escape.h"
#include "runtime/base/reader.h"

#define MIB(bytes) ((double)(bytes) / (1 << 20))

const char *tn_level_machines(uint32_t level) {
    switch (level) {
    case TN_LEVEL_AVX2:
        return "Intel since Haswell (2013), AMD since Excavator and Zen";
    case TN_LEVEL_AVX_VNNI:
        return "Intel since Alder Lake (12th generation), AMD since Zen 5";
    case TN_LEVEL_AVX512_VNNI:
        return "Intel servers since Cascade Lake, AMD since Zen 4";
    case TN_LEVEL_AMX:
        return "Intel servers since Sapphire Rapids";
    case TN_LEVEL_NEON:
        return "every 64-bit ARM: Raspberry Pi 3 and 4, Graviton 1";
    case TN_LEVEL_NEON_DOTPROD:
        return "Raspberry Pi 5 yes, Pi 4 no; Graviton 2 and later";
    case TN_LEVEL_NEON_I8MM:
        return "Graviton 3 and later, Apple M2 and later; Raspberry Pi 5 no";
    case TN_LEVEL_SM_80:
        return "NVIDIA GPUs of compute capability 8.0 or newer";
    case TN_LEVEL_SM_90A:
        return "NVIDIA GPUs of compute capability 9.0";
    case TN_LEVEL_REF:
        return "no code: kernels are evaluated (--target ref)";
    default:
        return "";
    }
}

uint32_t tn_blob_levels(const TernModel *m, uint32_t out[TN_LEVEL_COUNT + 1]) {
    uint32_t n = 0;
    size_t bytes;
    const void *section;
    for (uint32_t i = 0; (section = tern_model_section(m, TN_SECTION_PROG, i, &bytes)); i++) {
        TnBlobProg p;
        bool seen = false;
        memcpy(&p, section, sizeof p);
        for (uint32_t k = 0; k < n; k++) seen |= out[k] == p.level;
        if (!seen && n <= TN_LEVEL_COUNT) out[n++] = p.level;
    }
    return n;
}

size_t tn_blob_scratch(const TernModel *m, uint32_t variant, const int64_t *sym_max) {
    size_t bytes;
    TnBlobPlan p;
    memcpy(&p, tern_model_section(m, TN_SECTION_PLAN, variant, &bytes), sizeof p);
    return (size_t)(p.scratch + p.scratch_page * (uint64_t)sym_max[TN_ABI_P]);
}

static void print_sections(const TernModel *m, TnBuf *b) {
    tn_buf_printf(b, "\nsections\n  %-5s %5s %14s\n", "kind", "index", "bytes");
    const TnSectionKind *kind;
    for (size_t row = 0; (kind = tn_section_row(row)); row++) {
        size_t n;
        for (uint32_t i = 0; tern_model_section(m, kind->number, i, &n); i++)
            tn_buf_printf(b, "  %-5s %5u %14zu\n", kind->name, i, n);
    }
}

static void print_code(const TernModel *m, uint32_t kind, const char *called, TnBuf *b) {
    size_t n;
    const uint8_t *p;
    for (uint32_t i = 0; (p = tern_model_section(m, kind, i, &n)); i++) {
        TnBlobCode c;
        memcpy(&c, p, sizeof c);
        tn_buf_printf(b, "\n%s %u: %u kernels, %.1f KiB\n", called, i, c.n_exports,
                      (double)c.image_size / 1024);
        for (uint32_t k = 0; k < c.n_exports; k++) {
            TnBlobExport e;
            memcpy(&e, p + sizeof c + k * sizeof e, sizeof e);
            tn_buf_printf(b, "  %8llu  %s\n", (unsigned long long)e.entry,
                          tn_listed_n(p + e.name.offset, e.name.size).s);
        }
    }
}

static void print_variants(const TernModel *m, TnBuf *b) {
    static const char syms[] = "TRKHSPN";
    size_t n;
    const uint8_t *prog, *plan;
    tn_buf_printf(b, "\nvariants\n  %-12s %-4s %-9s %8s %8s %14s  %s\n", "level", "kv", "rows", "launches",
                  "barriers", "weights MiB", "arena bytes; scratch per worker; cache per page and layer");
    for (uint32_t i = 0; (prog = tern_model_section(m, TN_SECTION_PROG, i, &n)) &&
                         (plan = tern_model_section(m, TN_SECTION_PLAN, i, &n));
         i++) {
        TnBlobProg p;
        TnBlobPlan l;
        memcpy(&p, prog, sizeof p);
        memcpy(&l, plan, sizeof l);
        char rows[32];
        if (p.rows_lo == p.rows_hi)
            snprintf(rows, sizeof rows, "%u", p.rows_lo);
        else
            snprintf(rows, sizeof rows, "%u..%u", p.rows_lo, p.rows_hi);
        tn_buf_printf(b, "  %-12s %-4s %-9s %8u %8u %14.1f  %llu", tn_level_name(p.level),
                      tn_kv_type(p.kv)->name, rows, p.n_launches, l.n_barriers, MIB(l.weight_bytes),
                      (unsigned long long)l.arena_const);
        for (int s = 0; s < 7; s++)
            if (l.arena[s]) tn_buf_printf(b, " + %llu %c", (unsigned long long)l.arena[s], syms[s]);
        tn_buf_printf(b, "; %llu", (unsigned long long)l.scratch);
        if (l.scratch_page) tn_buf_printf(b, " + %llu P", (unsigned long long)l.scratch_page);
        tn_buf_printf(b, "; %llu\n", (unsigned long long)(l.key_page + l.value_page));
    }
}

/* The text at a range of a section; empty if the range is not inside it (opening checks hashes, not the
 * contents of WDIR). */
static const char *range_text(const uint8_t *section, size_t n, TnBlobRange r, int *out_len) {
    bool in = tn_range_ok(r.offset, r.size, n);
    *out_len = in ? (int)r.size : 0;
    return in ? (const char *)section + r.offset : "";
}

static void print_weights(const TernModel *m, TnBuf *b) {
    size_t n;
    const uint8_t *p = tern_model_section(m, TN_SECTION_WDIR, 0, &n);
    if (!p) return;
    TnReader r = tn_reader(p, n);
    const void *head = tn_read(&r, sizeof(TnBlobWdir));
    TnBlobWdir d = {0};
    if (head) memcpy(&d, head, sizeof d);
    tn_buf_printf(b, "\nweights\n  %14s %12s  %-24s %s\n", "offset", "bytes", "type", "name");
    for (uint32_t i = 0; i < d.n; i++) {
        const void *row = tn_read(&r, sizeof(TnBlobWeight));
        if (!row) return;
        TnBlobWeight w;
        int type_len, name_len;
        memcpy(&w, row, sizeof w);
        const char *type = range_text(p, n, w.type, &type_len), *name = range_text(p, n, w.name, &name_len);
        tn_buf_printf(b, "  %14llu %12llu  %-24s %s\n", (unsigned long long)w.offset,
                      (unsigned long long)w.size, tn_listed_n(type, (size_t)type_len).s,
                      tn_listed_n(name, (size_t)name_len).s);
    }
}

static void print_levels(const TernModel *m, TnBuf *b) {
    uint32_t levels[TN_LEVEL_COUNT + 1], n = tn_blob_levels(m, levels);
    tn_buf_printf(b, "\nlevels\n");
    for (uint32_t i = 0; i < n; i++)
        tn_buf_printf(b, "  %-12s  %s\n", tn_level_name(levels[i]), tn_level_machines(levels[i]));
}

void tn_blob_list(const char *path, const TernModel *m, TnBuf *b) {
    TernModelInfo f;
    tern_model_info(m, &f);
    tn_buf_printf(b,
                  "%s: Tern blob, %.1f MiB\n\nmodel\n  %s (%s), %s, %.2f M parameters, %u layers, hidden %u, "
                  "ffn %u, %u heads (%u kv) of %u, "
                  "vocabulary %u, context %u\n",
                  tn_listed(path).s, MIB(f.file_bytes), tn_listed(f.name).s, tn_listed(f.arch).s,
                  tn_listed(f.desc).s, (double)f.n_params / 1e6, f.n_layers, f.n_hidden, f.n_ffn, f.n_heads,
                  f.n_kv_heads, f.head_dim, f.n_vocab, f.n_context);
    print_levels(m, b);
    print_sections(m, b);
    print_variants(m, b);
    print_code(m, TN_SECTION_CODE, "code", b);
    print_code(m, TN_SECTION_PTXT, "text", b);
    print_weights(m, b);
}
