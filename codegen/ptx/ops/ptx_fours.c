#include "codegen/ptx/ops/ptx_fours.h"

TnPtxFours tn_ptx_fours(TnPtx *b, int64_t columns) {
    uint32_t all = (uint32_t)columns / 4, threads = b->x.threads;
    TN_CHECK(tn_ptx_by_fours(columns) && threads);
    TnPtxFours c = {.n = (all + threads - 1) / threads};
    if (all % threads) c.inside = PX(&b->x, lt, b->tid, tn_px_u(all - (c.n - 1) * threads));
    return c;
}
bool tn_ptx_four(TnPtx *b, TnPtxFours *c, uint32_t i) {
    if (i + 1 < c->n || !c->inside.kind) return false;
    c->last = tn_px_if(&b->x, c->inside);
    return true;
}
void tn_ptx_four_end(TnPtx *b, TnPtxFours *c, bool some) {
    if (some) tn_px_if_end(&b->x, &c->last);
}
TnPxV tn_ptx_four_at(TnPtx *b, TnPxV base, uint32_t i, uint32_t bytes) {
    return tn_px_at(tn_px_index(&b->x, base, b->tid, bytes), (int64_t)i * b->x.threads * bytes);
}
void tn_ptx_get4(TnPtx *b, TnPxV at, TnPxV out[4]) {
    if (at.kind == 'G')
        PX_MANY(&b->x, out, ld4_f, at);
    else
        PX_MANY(&b->x, out, lds4_f, at);
}
void tn_ptx_put4(TnPtx *b, TnPxV at, const TnPxV v[4]) {
    (void)(at.kind == 'G' ? PX(&b->x, st4_f, at, v[0], v[1], v[2], v[3])
                          : PX(&b->x, sts4_f, at, v[0], v[1], v[2], v[3]));
}
