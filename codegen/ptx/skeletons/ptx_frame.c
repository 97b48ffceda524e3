/* Frames: where the ops of a row find and leave their values. */
#include "codegen/ptx/skeletons/ptx_frame.h"

#include "passes/passes.h"
#include "runtime/base/arena.h"
#include "runtime/base/reader.h"
#include <stdlib.h>

/* ---- the launch */

TnPxV tn_ptx_sym(TnPtx *b, TnSym s) {
    return PX(&b->x, low, PX(&b->x, ld_d, tn_px_at(b->sym, 8 * (int64_t)s)));
}

TnPxV tn_ptx_operand(TnPtx *b, TnRef ref) {
    if (tn_encs[b->g->nodes[ref].type.enc].kind == TN_CACHE) ref = tn_alias_root(b->g, ref);
    for (uint32_t i = 0; i < b->n_ops; i++)
        if (b->ops[i] == ref) return b->op_ptr[i];
    TN_BUG("kernel @%s: %%%s is not an operand", b->k->name, b->g->nodes[ref].name);
}

TnPxV tn_ptx_operand_row(TnPtx *b, TnRef ref, TnPxV row) {
    size_t bytes = tn_row_bytes(&b->g->nodes[ref].type);
    TN_CHECK(bytes <= UINT32_MAX);
    return tn_px_index(&b->x, tn_ptx_operand(b, ref), row, (uint32_t)bytes);
}

bool tn_ptx_inside(const TnPtx *b, TnRef ref) {
    return ref >= b->k->first && ref < b->k->first + b->k->n;
}

bool tn_ptx_leaves(const TnPtx *b, TnRef ref) {
    for (uint32_t i = b->n_in; i < b->n_ops; i++)
        if (b->ops[i] == ref) return true;
    return false;
}

int64_t tn_ptx_cols(const TnPtx *b, TnRef ref) {
    const TnType *t = &b->g->nodes[ref].type;
    return t->rank == 1 && tn_dim_is_sym(t->dim[0]) ? 1 : t->dim[t->rank - 1];
}

TnPxElem tn_ptx_elem(TnEnc enc) {
    switch (enc) {
    case TN_ENC_f32:
        return TN_PX_F32;
    case TN_ENC_i32:
        return TN_PX_U32;
    case TN_ENC_f16:
        return TN_PX_F16;
    case TN_ENC_bf16:
        return TN_PX_BF16;
    default:
        TN_BUG("%s has no elements", tn_encs[enc].name);
    }
}

/* ---- values */

TnPxV tn_ptx_row_mem(TnPtx *b, const TnPtxFrame *f, TnRef ref) {
    if (!tn_ptx_inside(b, ref)) return tn_ptx_operand_row(b, ref, f->row);
    TnPxV m = f->mem[ref - b->k->first];
    if (!m.kind)
        TN_BUG("kernel @%s: %%%s is needed in memory but is not there", b->k->name, b->g->nodes[ref].name);
    return m;
}

static TnPxV operand_strip(TnPtx *b, const TnPtxFrame *f, TnRef ref) {
    TnPxV row = tn_ptx_operand_row(b, ref, f->row);
    return f->width.kind ? tn_px_index(&b->x, row, f->col, 4) : row;
}

TnPxV tn_ptx_mem(TnPtx *b, const TnPtxFrame *f, TnRef ref) {
    return tn_ptx_inside(b, ref) ? tn_ptx_row_mem(b, f, ref) : operand_strip(b, f, ref);
}

TnPxV tn_ptx_value(TnPtx *b, const TnPtxFrame *f, TnRef ref, TnPxV off) {
    TnPxElem e = tn_ptx_elem(b->g->nodes[ref].type.enc);
    if (!tn_ptx_inside(b, ref)) return tn_px_get(&b->x, operand_strip(b, f, ref), off, e);
    TnPxV m = f->mem[ref - b->k->first];
    if (m.kind) return tn_px_get(&b->x, m, off, e);
    const TnPtxOp *op = b->table[b->g->nodes[ref].op];
    TN_CHECK(op->elem);
    return op->elem(b, f, ref, off);
}

TnPxV tn_ptx_width(TnPtx *b, const TnPtxFrame *f, TnRef ref) {
    return f->width.kind ? f->width : tn_px_u((uint32_t)tn_ptx_cols(b, ref));
}

TnPxV tn_ptx_result(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TnPxV *m = &f->mem[ref - b->k->first];
    const TnType *t = &b->g->nodes[ref].type;
    if (m->kind) return *m;
    if (!f->width.kind && !f->own && tn_ptx_leaves(b, ref)) return *m = tn_ptx_operand_row(b, ref, f->row);
    size_t bytes = f->width.kind ? tn_ptx_strip_bytes(f->grain) : tn_row_bytes(t);
    if (tn_encs[t->enc].kind == TN_DENSE && !f->width.kind) bytes = (size_t)tn_ptx_cols(b, ref) * 4;
    TN_CHECK(bytes < 1u << 24);
    return *m = tn_px_team_shared(&b->x, (uint32_t)bytes);
}

static bool is_operand(TnPtx *b, const TnPtxFrame *f, TnRef ref) {
    return f->mem[ref - b->k->first].kind == 'G';
}

void tn_ptx_copy_out(TnPtx *b, const TnPtxFrame *f, TnRef ref) {
    if (!tn_ptx_leaves(b, ref) || is_operand(b, f, ref)) return;
    TnPxV from = tn_ptx_row_mem(b, f, ref), to = operand_strip(b, f, ref);
    TnPxLoop l = tn_px_strided(&b->x, tn_ptx_width(b, f, ref));
    tn_px_put(&b->x, to, l.i, TN_PX_U32, tn_px_get(&b->x, from, l.i, TN_PX_U32));
    tn_px_loop_end(&b->x, &l);
}

/* ---- nodes */

/* Whether a slice reads its operand from another frame than this one. */
static bool cuts_elsewhere(const TnPtx *b, const TnPtxFrame *f, TnRef slice) {
    return f && f->root_end && tn_attr_int(&b->g->nodes[slice], TN_ATTR_lo) != f->root_base;
}

/* How often a node is read inside its kernel from frame f (NULL: from any), and whether an op there needs it in memory. */
static uint32_t readers(TnPtx *b, const TnPtxFrame *f, TnRef ref, bool *out_memory) {
    uint32_t n = 0;
    *out_memory = false;
    for (TnRef r = ref + 1; r < b->k->first + b->k->n; r++)
        for (uint32_t a = 0; a < b->g->nodes[r].n_args; a++)
            if (b->g->nodes[r].args[a] == ref) {
                if (b->g->nodes[r].op == TN_OP_slice && cuts_elsewhere(b, f, r)) continue;
                const TnPtxOp *op = b->table[b->g->nodes[r].op];
                n++;
                if (op->row || op->kernel || (op->mixes && a == 0)) *out_memory = true;
            }
    return n;
}

/* Writes a column-by-column value to memory if it is needed there; returns whether it did. */
static bool settle(TnPtx *b, TnPtxFrame *f, TnRef ref) {
    TnPxV *mem = &f->mem[ref - b->k->first], kept = *mem, out = {0};
    bool memory, leaves = tn_ptx_leaves(b, ref) && !f->own;
    uint32_t n = readers(b, f, ref, &memory);
    if (!memory && n <= 1 && !kept.kind && !leaves && !(f->own && tn_ptx_leaves(b, ref))) return false;
    if (f->width.kind && leaves) out = operand_strip(b, f, ref);
    if (!kept.kind && (n || !out.kind)) kept = tn_ptx_result(b, f, ref);
    if (!f->width.kind && leaves && kept.kind == 'S') out = operand_strip(b, f, ref);
    *mem = (TnPxV){0}; /* so that the value is computed and not loaded */
    TnPxElem e = tn_ptx_elem(b->g->nodes[ref].type.enc);
    TnPxLoop l = tn_px_strided(&b->x, tn_ptx_width(b, f, ref));
    TnPxV v = tn_ptx_value(b, f, ref, l.i);
    if (kept.kind) tn_px_put(&b->x, kept, l.i, e, v);
    if (out.kind) tn_px_put(&b->x, out, l.i, e, v);
    tn_px_loop_end(&b->x, &l);
    *mem = kept;
    return true;
}

void tn_ptx_frame(TnPtx *b, TnPtxFrame *f, TnRef first, TnRef end, const bool *skip) {
    for (TnRef r = first; r < end; r++) {
        if (skip && skip[r - b->k->first]) continue;
        const TnPtxOp *op = b->table[b->g->nodes[r].op];
        tn_px_note(&b->x, tn_ops[b->g->nodes[r].op].name);
        if (op->row)
            op->row(b, f, r);
        else if (!op->elem)
            TN_BUG("kernel @%s: %s has no emitter for a row", b->k->name, tn_ops[b->g->nodes[r].op].name);
        else if (!settle(b, f, r))
            continue;
        tn_px_meet(&b->x);
    }
}

/* ---- products */

/* Copies what leaves the kernel from memory of this CTA to its operand, 4 bytes a thread. */
static void copy_row(TnPtx *b, const TnPtxFrame *f, TnRef ref) {
    size_t bytes = tn_encs[b->g->nodes[ref].type.enc].kind == TN_DENSE ? (size_t)tn_ptx_cols(b, ref) * 4
                                                                       : tn_row_bytes(&b->g->nodes[ref].type);
    TnPxV to = tn_ptx_operand_row(b, ref, f->row);
    TnPxLoop l = tn_px_strided(&b->x, tn_px_u((uint32_t)(bytes / 4)));
    tn_px_put(&b->x, to, l.i, TN_PX_U32, tn_px_get(&b->x, f->mem[ref - b->k->first], l.i, TN_PX_U32));
    tn_px_loop_end(&b->x, &l);
}

void tn_ptx_prologue(TnPtx *b, TnPxV row, TnPxV x) {
    TnRef root = b->k->root;
    TnPtxFrame f = {.row = row, .col = tn_px_u(0), .own = true};
    f.mem = tn_xcalloc(b->k->n, sizeof *f.mem);
    uint32_t used = b->x.used;
    TnRef in = b->g->nodes[root].args[0];
    if (tn_ptx_inside(b, in)) f.mem[in - b->k->first] = x;
    tn_ptx_frame(b, &f, b->k->first, root, NULL);
    for (TnRef r = b->k->first; r < root; r++) {
        if (!tn_ptx_leaves(b, r)) continue;
        TnPxIf first = tn_px_if(&b->x, PX(&b->x, eq, b->unit, tn_px_u(0)));
        copy_row(b, &f, r);
        tn_px_if_end(&b->x, &first);
    }
    b->x.used = used;
    free(f.mem);
}

/* Sets skip for all nodes except those after the root that belong to this part, or, with part = TN_NONE, that come before
 * all slices. */
static void choose(TnPtx *b, uint32_t part, bool *skip) {
    for (TnRef r = b->k->first; r < b->k->first + b->k->n; r++)
        skip[r - b->k->first] = r <= b->k->root || tn_node_part(b->g, b->kernel, r) != part;
}

uint32_t tn_ptx_strips(TnPtx *b) {
    uint32_t n = 0;
    for (TnRef r = b->k->root + 1; r < b->k->first + b->k->n; r++) {
        bool memory;
        uint32_t reads = readers(b, NULL, r, &memory);
        n += memory || reads > (tn_ptx_leaves(b, r) ? 0 : 1) || b->table[b->g->nodes[r].op]->row;
    }
    return n;
}

static bool has_slices(const TnPtx *b) {
    for (TnRef r = b->k->first; r < b->k->first + b->k->n; r++)
        if (b->g->nodes[r].op == TN_OP_slice) return true;
    return false;
}

void tn_ptx_epilogue(TnPtx *b, const TnPtxCols *c) {
    TnPart parts[TN_PARTS_MAX];
    uint32_t n = tn_kernel_parts(b->g, b->kernel, parts), used = b->x.used;
    TN_CHECK(c->part < n);
    const TnPart *p = &parts[c->part];
    TnRef root = b->k->root, end = b->k->first + b->k->n, in = b->g->nodes[root].args[0];
    bool slices = has_slices(b), *skip = tn_xcalloc(b->k->n, sizeof *skip);
    TnPtxFrame frames[5] = {{.grain = 0}};
    for (uint32_t i = 0; i < p->n_bases + (slices ? 1 : 0); i++) {
        TnPtxFrame *f = &frames[i];
        bool base = i < p->n_bases;
        f->row = c->row;
        f->col = base && p->base[i] ? PX(&b->x, add, c->lo, tn_px_u((uint32_t)p->base[i])) : c->lo;
        f->width = c->n;
        f->grain = (uint32_t)b->k->grain;
        f->mem = tn_xcalloc(b->k->n, sizeof *f->mem);
        if (tn_ptx_inside(b, in)) f->mem[in - b->k->first] = c->x;
        if (!base) {
            f->bases = frames;
            f->n_bases = p->n_bases;
            choose(b, c->part, skip);
            tn_ptx_frame(b, f, root + 1, end, skip);
            break;
        }
        f->mem[root - b->k->first] = tn_px_index(&b->x, c->words, tn_px_u(i), c->stride);
        f->root_base = p->base[i];
        f->root_end = p->base[i] + p->n;
        tn_ptx_copy_out(b, f, root);
        if (tn_ptx_leaves(b, root)) tn_px_meet(&b->x);
        if (slices)
            choose(b, TN_NONE, skip);
        else
            for (TnRef r = b->k->first; r < end; r++) skip[r - b->k->first] = r <= root;
        tn_ptx_frame(b, f, root + 1, end, skip);
    }
    for (size_t i = 0; i < TN_COUNT(frames); i++) free(frames[i].mem);
    free(skip);
    b->x.used = used;
}
