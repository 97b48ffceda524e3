/* Loads, stores and atomics of a warp. */
#include "support/ptx_parts.h"

#include <inttypes.h>
#include <string.h>

typedef enum Space { SPACE_NONE, SPACE_PARAM, SPACE_GLOBAL, SPACE_SHARED } Space;
typedef enum Update { DO_NOTHING, DO_ADD, DO_MAX, DO_MIN, DO_CAS } Update;

/* The rows that access memory, as ptx.def states them. */
typedef struct Form {
    Space space;
    uint32_t bytes; /* of an element */
    bool sign;
    Update update;
} Form;

static const Form forms[TN_PX_ROWS] = {
#define FORM_LOAD(space, bytes, sign)                                                                        \
    { SPACE_##space, bytes, sign, DO_NOTHING }
#define FORM_STORE(space, bytes)                                                                             \
    { SPACE_##space, bytes, false, DO_NOTHING }
#define FORM_ATOM(space, update)                                                                             \
    { SPACE_##space, 4, false, DO_##update }
#define PTX_ALU(...)                                                                                         \
    { SPACE_NONE, 0, false, DO_NOTHING }
#define PTX_LOAD(meaning)                             FORM_LOAD meaning
#define PTX_STORE(meaning)                            FORM_STORE meaning
#define PTX_ATOM(meaning)                             FORM_ATOM meaning
#define PTX_COPY(meaning)                             PTX_ALU()
#define PTX_GROUP(meaning)                            PTX_ALU()
#define PTX_LANES(meaning)                            PTX_ALU()
#define PTX_TILE(meaning)                             PTX_ALU()
#define PTX_SYNC(meaning)                             PTX_ALU()
#define PTX_FLOW(meaning)                             PTX_ALU()
#define PTX(name, class, text, result, operands, ...) [TN_PX_##name] = PTX_##class(__VA_ARGS__),
#include "codegen/ptx/ptx.def"
#undef PTX
};

PtxWho ptx_who(const PtxRun *run, const PtxCta *cta, const PtxWarp *w, bool shared) {
    return (PtxWho){.cta = shared ? cta->serial : cta->id % (PTX_ANY_CTA - 1) + 1,
                    .warp = w->number,
                    .now = cta->now,
                    .since_block = cta->since,
                    .since_warp = w->since,
                    .shared = shared,
                    .alone = run->alone};
}

void ptx_device_addresses(const PtxWarp *w, const PtxIns *i, uint32_t k, int64_t offset, uint64_t at[32]) {
    memcpy(at, w->file + i->value[k], 8 * PTX_ROW);
    for (int l = 0; l < PTX_ROW; l++) at[l] += (uint64_t)offset;
}

void ptx_shared_addresses(const PtxWarp *w, const PtxIns *i, uint32_t k, uint32_t at[32]) {
    const uint32_t *row = w->file + i->value[k];
    for (int l = 0; l < PTX_ROW; l++) at[l] = row[l] + (uint32_t)i->offset;
}

uint32_t ptx_device_reach(PtxRun *run, PtxCta *cta, PtxWarp *w, const uint64_t *at, uint32_t lanes,
                          uint32_t bytes, PtxHow how, uintptr_t *out_delta) {
    PtxAccess a = {.at = at,
                   .lanes = lanes,
                   .bytes = bytes,
                   .how = how,
                   .launch = run->number,
                   .who = ptx_who(run, cta, w, false),
                   .first_thread = w->number * 32};
    return ptx_memory_reach(run->m, &a, out_delta, &run->fault);
}

static const char *verb(PtxHow how) {
    return how == PTX_WRITE ? "writes" : how == PTX_UPDATE ? "updates" : "reads";
}

static bool shared_clash(PtxRun *run, uint32_t lane, PtxClash clash, PtxHow how, uint32_t byte,
                         uint32_t bytes, uint64_t other, const PtxWho *who) {
    char room[48];
    const char *name = ptx_shadow_name(other, who, room);
    switch (clash) {
    case PTX_UNWRITTEN:
        return ptx_fails(run, lane, "reads %u bytes at byte %u of shared memory, which nobody wrote", bytes,
                         byte);
    case PTX_TOO_EARLY:
        return ptx_fails(run, lane,
                         "%s %u bytes at byte %u of shared memory before the cp.async of %s is waited for",
                         verb(how), bytes, byte, name);
    default:
        return ptx_fails(
            run, lane, "%s %u bytes at byte %u of shared memory, which %s %s with no barrier between",
            verb(how), bytes, byte, clash == PTX_AFTER_READ ? "was read by" : "was written by", name);
    }
}

bool ptx_shared_reach(PtxRun *run, PtxCta *cta, PtxWarp *w, const uint32_t *at, uint32_t lanes,
                      uint32_t bytes, PtxHow how, bool together) {
    PtxWho who = ptx_who(run, cta, w, true);
    who.atomic = how == PTX_UPDATE;
    uint32_t first = (uint32_t)__builtin_ctz(lanes), same = 0, size = run->launch->shared;
    for (int l = 0; l < PTX_ROW; l++) same |= (uint32_t)(at[l] == at[first]) << l;
    bool all_the_same = how == PTX_READ && (same & lanes) == lanes && lanes & (lanes - 1);
    for (uint32_t left = all_the_same ? lanes & -lanes : lanes; left; left &= left - 1) {
        uint32_t l = (uint32_t)__builtin_ctz(left), byte = at[l] - PTX_SHARED_BASE;
        uint64_t other = 0;
        if (at[l] < PTX_SHARED_BASE || byte > size || bytes > size - byte)
            return ptx_fails(run, l, "%s %u bytes at byte %" PRId32 " of shared memory, which has %u bytes",
                             verb(how), bytes, (int32_t)byte, size);
        if (byte % bytes)
            return ptx_fails(run, l, "%s %u bytes at byte %u of shared memory, which is not aligned",
                             verb(how), bytes, byte);
        who.thread = all_the_same || together ? PTX_WARP + w->number : w->number * 32 + l;
        PtxClash clash = PTX_NO_CLASH;
        if (how != PTX_WRITE)
            clash =
                ptx_shadow_read(how == PTX_READ ? cta->reads : NULL, cta->writes, byte, bytes, &who, &other);
        if (!clash && how != PTX_READ)
            clash = ptx_shadow_write(cta->reads, cta->writes, byte, bytes, &who, &other);
        if (clash) return shared_clash(run, l, clash, how, byte, bytes, other, &who);
    }
    return true;
}

/* ---- moving bytes. A lane's lie at at[lane] + delta of the host; elements of 4 bytes or less go to words, of 8 to pairs. */

#define HOST(l) ((uint8_t *)((uintptr_t)at[l] + delta))
#define EACH(l)                                                                                              \
    for (uint32_t l = 0; l < PTX_ROW; l++)                                                                   \
        if (lanes >> l & 1)

static void load(const PtxIns *i, PtxWarp *w, const Form *f, const uint64_t *at, uintptr_t delta,
                 uint32_t lanes) {
    uint32_t *to = w->file + i->result[0];
    switch (f->bytes) {
    case 1:
        EACH(l) to[l] = f->sign ? (uint32_t)(int32_t)(int8_t)*HOST(l) : *HOST(l);
        return;
    case 2:
        EACH(l) {
            uint16_t h;
            memcpy(&h, HOST(l), 2);
            to[l] = h;
        }
        return;
    case 8:
        EACH(l) memcpy(to + 2 * l, HOST(l), 8);
        return;
    default:
        for (uint32_t e = 0; e < i->results; e++) {
            to = w->file + i->result[e];
            EACH(l) memcpy(to + l, HOST(l) + 4 * e, 4);
        }
    }
}

/* values: the rows of what is stored. */
static void store(const Form *f, const uint32_t *const *values, uint32_t n, const uint64_t *at,
                  uintptr_t delta, uint32_t lanes) {
    switch (f->bytes) {
    case 1:
        EACH(l) * HOST(l) = (uint8_t)values[0][l];
        return;
    case 2:
        EACH(l) memcpy(HOST(l), values[0] + l, 2); /* little-endian */
        return;
    case 8:
        EACH(l) memcpy(HOST(l), values[0] + 2 * l, 8);
        return;
    default:
        for (uint32_t e = 0; e < n; e++) EACH(l) memcpy(HOST(l) + 4 * e, values[e] + l, 4);
    }
}

static void update_lane(const PtxIns *i, PtxWarp *w, const Form *f, const uint32_t *const *values,
                        uint8_t *at, uint32_t l) {
    uint32_t old, x = values[0][l], now;
    memcpy(&old, at, 4);
    switch (f->update) {
    case DO_ADD:
        now = old + x;
        break;
    case DO_MAX:
        now = old > x ? old : x;
        break;
    case DO_MIN:
        now = old < x ? old : x;
        break;
    default:
        now = old == x ? values[1][l] : old;
        break;
    }
    memcpy(at, &now, 4);
    if (i->results) w->file[i->result[0] + l] = old;
}

static void move(const PtxIns *i, PtxWarp *w, const Form *f, const uint32_t *const *values, uint32_t n,
                 const uint64_t *at, uintptr_t delta, uint32_t lanes) {
    if (i->class == TN_PX_LOAD)
        load(i, w, f, at, delta, lanes);
    else if (i->class == TN_PX_STORE)
        store(f, values, n, at, delta, lanes);
    else
        EACH(l) update_lane(i, w, f, values, HOST(l), l);
}

static bool load_parameter(PtxRun *run, PtxWarp *w, const PtxIns *i, uint32_t lanes) {
    for (uint32_t l = 0; l < PTX_ROW; l++)
        if (lanes >> l & 1)
            memcpy(w->file + i->result[0] + 2 * l, (const uint8_t *)run->launch->params + i->value[0], 8);
    return true;
}

bool ptx_access(PtxRun *run, PtxCta *cta, PtxWarp *w, const PtxIns *i, uint32_t lanes) {
    const Form *f = &forms[i->row];
    if (f->space == SPACE_PARAM) return load_parameter(run, w, i, lanes);
    const uint32_t *values[4] = {0};
    uint32_t n = 0;
    for (uint32_t k = 1; k < i->values; k++) values[n++] = ptx_value(w, run->body->constants, i->value[k]);
    PtxHow how = i->class == TN_PX_LOAD ? PTX_READ : i->class == TN_PX_STORE ? PTX_WRITE : PTX_UPDATE;
    if (i->row == TN_PX_ld_acquire) how = PTX_ACQUIRE;
    uint32_t elements = i->class == TN_PX_LOAD ? i->results : i->class == TN_PX_STORE ? n : 1;
    uint64_t at[PTX_ROW];
    if (f->space == SPACE_SHARED) {
        uint32_t offset[PTX_ROW];
        ptx_shared_addresses(w, i, 0, offset);
        if (!ptx_shared_reach(run, cta, w, offset, lanes, f->bytes * elements, how, false)) return false;
        for (int l = 0; l < PTX_ROW; l++) at[l] = offset[l];
        move(i, w, f, values, n, at, (uintptr_t)cta->shared - PTX_SHARED_BASE, lanes);
        return true;
    }
    ptx_device_addresses(w, i, 0, i->offset, at);
    for (uint32_t left = lanes, some; left; left &= ~some) {
        uintptr_t delta;
        some = ptx_device_reach(run, cta, w, at, left, f->bytes * elements, how, &delta);
        if (!some) return false;
        move(i, w, f, values, n, at, delta, some);
    }
    return true;
}
