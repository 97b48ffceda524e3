/* Instructions in which the lanes of a warp work together: shuffles, votes, and tiles. */
#include "support/ptx_parts.h"

#include <string.h>

/* All lanes of the member mask must be here, and no others. Lanes that a short last warp does not have may be named. */
static bool members(PtxRun *run, const PtxWarp *w, uint32_t lanes, uint32_t mask) {
    uint32_t missing = mask & w->lanes & ~lanes, strange = lanes & ~mask;
    if (missing)
        return ptx_fails(run, (uint32_t)__builtin_ctz(lanes), "the lanes are 0x%08x, but the mask 0x%08x",
                         lanes, mask);
    if (strange)
        return ptx_fails(run, (uint32_t)__builtin_ctz(strange), "the lane is not in the mask 0x%08x", mask);
    return true;
}

static uint32_t number(const PtxRun *run, const PtxWarp *w, const PtxIns *i, uint32_t k) {
    return *ptx_value(w, run->body->constants, i->value[k]);
}

/* shfl.sync: value, distance or lane, 31, mask */
static bool shuffle(PtxRun *run, PtxWarp *w, const PtxIns *i, uint32_t lanes, bool butterfly) {
    const uint32_t *value = ptx_value(w, run->body->constants, i->value[0]);
    const uint32_t *which = ptx_value(w, run->body->constants, i->value[1]);
    uint32_t result[PTX_ROW] = {0};
    if (number(run, w, i, 2) != 31)
        return ptx_fails(run, (uint32_t)__builtin_ctz(lanes), "the range of a shuffle is %u, expected 31",
                         number(run, w, i, 2));
    if (!members(run, w, lanes, number(run, w, i, 3))) return false;
    for (uint32_t l = 0; l < PTX_ROW; l++) {
        if (!(lanes >> l & 1)) continue;
        uint32_t from = butterfly ? l ^ (which[l] & 31) : which[l] & 31;
        if (!(lanes >> from & 1)) return ptx_fails(run, l, "reads lane %u, which takes no part", from);
        result[l] = value[from];
    }
    for (uint32_t l = 0; l < PTX_ROW; l++)
        if (lanes >> l & 1) w->file[i->result[0] + l] = result[l];
    return true;
}

/* vote.sync.ballot: predicate, mask */
static bool ballot(PtxRun *run, PtxWarp *w, const PtxIns *i, uint32_t lanes) {
    if (!members(run, w, lanes, number(run, w, i, 1))) return false;
    uint32_t all = w->predicate[i->value[0]] & lanes;
    for (uint32_t l = 0; l < PTX_ROW; l++)
        if (lanes >> l & 1) w->file[i->result[0] + l] = all;
    return true;
}

/* ldmatrix.x4: lane 8m + r has the address of row r (8 values of 16 bits) of matrix m. Lane 4r + c gets values 2c and 2c + 1 of
 * row r of each matrix. */
static bool load_matrices(PtxRun *run, PtxCta *cta, PtxWarp *w, const PtxIns *i) {
    uint32_t at[PTX_ROW], result[4][PTX_ROW];
    ptx_shared_addresses(w, i, 0, at);
    if (!ptx_shared_reach(run, cta, w, at, UINT32_MAX, 16, PTX_READ, true)) return false;
    for (int m = 0; m < 4; m++)
        for (int r = 0; r < 8; r++)
            memcpy(&result[m][4 * r], cta->shared + (at[8 * m + r] - PTX_SHARED_BASE), 16);
    for (int m = 0; m < 4; m++) memcpy(w->file + i->result[m], result[m], sizeof result[m]);
    return true;
}

/* mma.m16n8k32 of bytes. Lane 4g + t holds, of A: row g, columns 4t..; row g + 8; both again 16 columns further. Of B: column
 * g, rows 4t..; rows 16 + 4t... Of C: row g, columns 2t and 2t + 1; row g + 8. */
PTX_CLONES static void multiply(const PtxRun *run, PtxWarp *w, const PtxIns *i, bool a_signed) {
    int16_t a[16][32], b[8][32];
    int32_t c[16][8];
    const uint32_t *v[10];
    for (int k = 0; k < 10; k++) v[k] = ptx_value(w, run->body->constants, i->value[k]);
    for (int l = 0; l < 32; l++) {
        int g = l / 4, t = l % 4;
        for (int k = 0; k < 4; k++)
            for (int byte = 0; byte < 4; byte++) {
                uint8_t x = (uint8_t)(v[k][l] >> 8 * byte);
                a[g + 8 * (k & 1)][16 * (k >> 1) + 4 * t + byte] = a_signed ? (int8_t)x : x;
            }
        for (int k = 0; k < 2; k++)
            for (int byte = 0; byte < 4; byte++)
                b[g][16 * k + 4 * t + byte] = (int8_t)(v[4 + k][l] >> 8 * byte);
    }
    for (int r = 0; r < 16; r++)
        for (int n = 0; n < 8; n++) {
            int32_t sum = 0;
            for (int k = 0; k < 32; k++) sum += a[r][k] * b[n][k];
            c[r][n] = sum;
        }
    for (int l = 0; l < 32; l++)
        for (int k = 0; k < 4; k++) {
            uint32_t sum = (uint32_t)c[l / 4 + 8 * (k >> 1)][2 * (l % 4) + (k & 1)];
            w->file[i->result[k] + l] = v[6 + k][l] + sum;
        }
}

bool ptx_lanes(PtxRun *run, PtxCta *cta, PtxWarp *w, const PtxIns *i, uint32_t lanes) {
    if (i->class == TN_PX_TILE && lanes != UINT32_MAX)
        return ptx_fails(run, (uint32_t)__builtin_ctz(lanes),
                         "the lanes are 0x%08x, but all 32 must take part", lanes);
    switch (i->row) {
    case TN_PX_bfly:
    case TN_PX_bfly_f:
        return shuffle(run, w, i, lanes, true);
    case TN_PX_idx:
    case TN_PX_idx_f:
        return shuffle(run, w, i, lanes, false);
    case TN_PX_ballot:
        return ballot(run, w, i, lanes);
    case TN_PX_ldmatrix4:
        return load_matrices(run, cta, w, i);
    case TN_PX_mma_u8s8:
    case TN_PX_mma_s8s8:
        multiply(run, w, i, i->row == TN_PX_mma_s8s8);
        return true;
    default:
        return ptx_fails(run, (uint32_t)__builtin_ctz(lanes), "the machine has no such row");
    }
}
