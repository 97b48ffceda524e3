/* Device memory: blocks at invented addresses, each backed by host memory, and what is known of each byte. */
#include "support/ptx_parts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/status.h"

/* The tags of 4096 bytes, made when a launch touches them, and of that launch. */
enum { CHUNK = 4096 };
typedef struct Chunk {
    uint32_t launch;
    uint64_t *reads;  /* [CHUNK / 4]; NULL: no reader yet */
    uint64_t *writes; /* [CHUNK]; NULL: no writer yet */
} Chunk;

typedef struct Piece {
    uint64_t at, bytes;
    uint8_t *host;
    bool mapped, released;
    PtxMemory kind;
    char name[24];
    uint8_t *written; /* PTX_FRESH: a bit for each byte, with 2 bytes more than needed */
    Chunk *chunks;
} Piece;

/* Pieces in the order of their addresses. The released ones stay for a while, to name what is used after its end. */
enum { RELEASED_MOST = 256 };
struct PtxPieces {
    Piece *piece;
    uint32_t n, room, released, last; /* last: found last */
    uint64_t next, bytes, used;       /* next address; bytes: 0 is any amount */
    char line[PTX_LINE];
};

static const uint64_t first_address = (uint64_t)1 << 48; /* beyond what a user's pointer can be */

static void *zeroed(uint64_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p) abort();
    return p;
}

/* ---- pieces */

struct PtxPieces *ptx_pieces_new(uint64_t bytes) {
    struct PtxPieces *p = zeroed(1, sizeof *p);
    p->next = first_address;
    p->bytes = bytes;
    return p;
}

static void drop_tags(Piece *p) {
    for (uint64_t i = 0; p->chunks && i < (p->bytes + CHUNK - 1) / CHUNK; i++) {
        free(p->chunks[i].reads);
        free(p->chunks[i].writes);
    }
    free(p->chunks);
    free(p->written);
    p->chunks = NULL;
    p->written = NULL;
}

static void drop(Piece *p) {
    drop_tags(p);
    if (!p->mapped) free(p->host);
    p->host = NULL;
}

void ptx_pieces_free(struct PtxPieces *p) {
    for (uint32_t i = 0; i < p->n; i++) drop(&p->piece[i]);
    free(p->piece);
    free(p);
}

/* The last piece that begins at or before an address, or NULL. */
static Piece *piece_before(struct PtxPieces *p, uint64_t at) {
    uint32_t lo = 0, hi = p->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (p->piece[mid].at <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? &p->piece[lo - 1] : NULL;
}

static bool holds(const Piece *p, uint64_t at, uint64_t bytes) {
    return !p->released && at >= p->at && at - p->at <= p->bytes && bytes <= p->bytes - (at - p->at);
}

static void set_kind(Piece *p, PtxMemory kind) {
    p->kind = kind;
    free(p->written);
    p->written = kind == PTX_FRESH ? zeroed(p->bytes / 8 + 3, 1) : NULL;
}

static uint64_t add_piece(struct PtxPieces *p, uint64_t bytes, uint8_t *host, PtxMemory kind,
                          const char *name) {
    if (p->n == p->room) {
        p->room = p->room ? 2 * p->room : 16;
        p->piece = realloc(p->piece, p->room * sizeof *p->piece);
        if (!p->piece) abort();
    }
    Piece *piece = &p->piece[p->n++];
    *piece = (Piece){.at = p->next, .bytes = bytes, .host = host, .mapped = host != NULL};
    snprintf(piece->name, sizeof piece->name, "%s", name ? name : "memory");
    if (!host) {
        piece->host = aligned_alloc(256, (bytes + 511) / 256 * 256);
        if (!piece->host) abort();
        memset(piece->host, 0, bytes);
    }
    piece->chunks = zeroed((bytes + CHUNK - 1) / CHUNK, sizeof *piece->chunks);
    set_kind(piece, kind);
    p->next += (bytes + 2 * 4096 - 1) / 4096 * 4096 + 256; /* odd multiples of 256 too */
    return piece->at;
}

uint64_t ptx_memory_new(PtxMachine *m, uint64_t bytes, PtxMemory kind, const char *name) {
    struct PtxPieces *p = ptx_pieces(m);
    if (p->bytes && bytes > p->bytes - p->used) return 0;
    p->used += bytes;
    return add_piece(p, bytes, NULL, kind, name);
}

uint64_t ptx_memory_map(PtxMachine *m, void *host, uint64_t bytes, const char *name) {
    return add_piece(ptx_pieces(m), bytes, host, PTX_ZEROED, name);
}

static Piece *piece_at(PtxMachine *m, uint64_t address) {
    Piece *p = piece_before(ptx_pieces(m), address);
    return p && p->at == address && !p->released ? p : NULL;
}

void ptx_memory_kind(PtxMachine *m, uint64_t address, PtxMemory kind) {
    Piece *p = piece_at(m, address);
    TN_CHECK(p);
    set_kind(p, kind);
}

/* Forgets the older half of the released pieces. */
static void forget(struct PtxPieces *p) {
    uint32_t to = 0, left = RELEASED_MOST / 2;
    for (uint32_t i = 0; i < p->n; i++) {
        if (p->piece[i].released && left) {
            left--;
            p->released--;
        } else {
            p->piece[to++] = p->piece[i];
        }
    }
    p->n = to;
}

bool ptx_memory_release(PtxMachine *m, uint64_t address) {
    struct PtxPieces *p = ptx_pieces(m);
    Piece *piece = piece_at(m, address);
    if (!piece) return false;
    if (!piece->mapped) p->used -= piece->bytes;
    drop(piece);
    piece->released = true;
    if (++p->released > RELEASED_MOST) forget(p);
    return true;
}

uint64_t ptx_memory_left(const PtxMachine *m) {
    const struct PtxPieces *p = ptx_pieces((PtxMachine *)m);
    return p->bytes ? p->bytes - p->used : UINT64_MAX;
}
uint32_t ptx_memory_pieces(const PtxMachine *m) {
    const struct PtxPieces *p = ptx_pieces((PtxMachine *)m);
    return p->n - p->released;
}

/* ---- the host's accesses */

/* Where an address lies, in words: "16 bytes beyond the end of y (64 bytes)". */
static void put_place(struct PtxPieces *p, uint64_t at, uint64_t bytes, char *out, size_t room) {
    Piece *piece = piece_before(p, at);
    if (!piece)
        snprintf(out, room, "0x%" PRIx64 ", which is no address of the device", at);
    else if (piece->released && at - piece->at < piece->bytes)
        snprintf(out, room, "byte %" PRIu64 " of %s, which was released", at - piece->at, piece->name);
    else if (at - piece->at < piece->bytes && bytes > 1)
        snprintf(out, room, "byte %" PRIu64 " of %s, which ends after %" PRIu64 " bytes", at - piece->at,
                 piece->name, piece->bytes);
    else if (at - piece->at < piece->bytes)
        snprintf(out, room, "byte %" PRIu64 " of %s", at - piece->at, piece->name);
    else
        snprintf(out, room, "0x%" PRIx64 ", %" PRIu64 " bytes past the end of %s (%" PRIu64 " bytes)", at,
                 at - piece->at - piece->bytes, piece->name, piece->bytes);
}

/* The piece that holds a range, or NULL with p->line set. */
static Piece *range(struct PtxPieces *p, uint64_t at, uint64_t bytes, const char *what) {
    Piece *piece = piece_before(p, at);
    if (piece && holds(piece, at, bytes)) return piece;
    char place[200];
    put_place(p, at, bytes, place, sizeof place);
    snprintf(p->line, sizeof p->line, "%s %" PRIu64 " bytes at %s", what, bytes, place);
    return NULL;
}

static void mark_written(Piece *p, uint64_t at, uint64_t bytes) {
    uint64_t i = at - p->at, end = i + bytes;
    if (!p->written) return;
    for (; i < end && i % 8; i++) p->written[i / 8] |= (uint8_t)(1u << i % 8);
    uint64_t whole = (end - i) / 8;
    memset(p->written + i / 8, 0xff, whole);
    for (i += whole * 8; i < end; i++) p->written[i / 8] |= (uint8_t)(1u << i % 8);
}

const char *ptx_memory_write(PtxMachine *m, uint64_t to, const void *from, uint64_t bytes) {
    struct PtxPieces *p = ptx_pieces(m);
    Piece *piece = range(p, to, bytes, "the host writes");
    if (!piece) return p->line;
    memcpy(piece->host + (to - piece->at), from, bytes);
    mark_written(piece, to, bytes);
    return NULL;
}

const char *ptx_memory_read(PtxMachine *m, void *to, uint64_t from, uint64_t bytes) {
    struct PtxPieces *p = ptx_pieces(m);
    Piece *piece = range(p, from, bytes, "the host reads");
    if (!piece) return p->line;
    memcpy(to, piece->host + (from - piece->at), bytes);
    return NULL;
}

const char *ptx_memory_copy(PtxMachine *m, uint64_t to, uint64_t from, uint64_t bytes) {
    struct PtxPieces *p = ptx_pieces(m);
    Piece *source = range(p, from, bytes, "a copy reads"), *piece = NULL;
    if (source) piece = range(p, to, bytes, "a copy writes");
    if (!piece) return p->line;
    memmove(piece->host + (to - piece->at), source->host + (from - source->at), bytes);
    /* what nobody wrote is copied as what nobody wrote */
    for (uint64_t i = 0; piece->written && i < bytes; i++) {
        uint64_t s = from - source->at + i, d = to - piece->at + i;
        bool written = !source->written || (source->written[s / 8] >> s % 8 & 1);
        if (written)
            piece->written[d / 8] |= (uint8_t)(1u << d % 8);
        else
            piece->written[d / 8] &= (uint8_t) ~(1u << d % 8);
    }
    return NULL;
}

const char *ptx_memory_fill(PtxMachine *m, uint64_t to, uint8_t value, uint64_t bytes) {
    struct PtxPieces *p = ptx_pieces(m);
    Piece *piece = range(p, to, bytes, "the host fills");
    if (!piece) return p->line;
    memset(piece->host + (to - piece->at), value, bytes);
    mark_written(piece, to, bytes);
    return NULL;
}

void *ptx_memory_host(PtxMachine *m, uint64_t address, uint64_t bytes) {
    struct PtxPieces *p = ptx_pieces(m);
    Piece *piece = range(p, address, bytes, "the host uses");
    return piece ? piece->host + (address - piece->at) : NULL;
}

/* ---- accesses of a launch */

static const char *verb(PtxHow how) {
    return how == PTX_WRITE ? "writes" : how == PTX_UPDATE ? "updates" : "reads";
}

static uint32_t fails(PtxFault *fault, uint32_t lane, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static uint32_t fails(PtxFault *fault, uint32_t lane, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vsnprintf(fault->text, sizeof fault->text, format, ap);
    va_end(ap);
    fault->lane = lane;
    return 0;
}

/* Bits of lanes: whose access lies in a piece, is not aligned, is that of the first lane. */
typedef struct Lanes {
    uint32_t within, skewed, same;
} Lanes;

PTX_CLONES static Lanes look(const uint64_t *at, uint64_t lo, uint64_t last, uint64_t first, uint32_t bytes) {
    uint32_t outside[PTX_ROW], skewed[PTX_ROW], same[PTX_ROW];
    Lanes r = {0, 0, 0};
    for (uint32_t l = 0; l < PTX_ROW; l++) outside[l] = (uint32_t) !(at[l] < lo || at[l] > last) << l;
    for (uint32_t l = 0; l < PTX_ROW; l++) skewed[l] = (uint32_t)((at[l] & (bytes - 1)) != 0) << l;
    for (uint32_t l = 0; l < PTX_ROW; l++) same[l] = (uint32_t)(at[l] == first) << l;
    for (uint32_t l = 0; l < PTX_ROW; l++) r.within |= outside[l];
    for (uint32_t l = 0; l < PTX_ROW; l++) r.skewed |= skewed[l];
    for (uint32_t l = 0; l < PTX_ROW; l++) r.same |= same[l];
    return r;
}

static Chunk *chunk_of(Piece *p, uint64_t i, uint32_t launch) {
    Chunk *c = &p->chunks[i / CHUNK];
    if (c->launch != launch) {
        if (c->reads) memset(c->reads, 0, CHUNK / 4 * sizeof *c->reads);
        if (c->writes) memset(c->writes, 0, CHUNK * sizeof *c->writes);
        c->launch = launch;
    }
    return c;
}

/* Whether all of `bytes` (1, 2, 4, 8, 16, aligned) are written; or marks them. */
static bool all_written(const Piece *p, uint64_t i, uint32_t bytes) {
    uint32_t bits = (uint32_t)p->written[i / 8] | (uint32_t)p->written[i / 8 + 1] << 8,
             all = (1u << bytes) - 1;
    return (bits >> i % 8 & all) == all;
}

/* Tags for one lane, as `who`. False: a fault. */
static bool touch(Piece *p, const PtxAccess *a, uint32_t lane, const PtxWho *who, PtxFault *fault) {
    uint64_t i = a->at[lane] - p->at, other = 0;
    bool writes = a->how == PTX_WRITE || a->how == PTX_UPDATE;
    if (p->written) {
        if (a->how != PTX_WRITE && !all_written(p, i, a->bytes))
            return fails(fault, lane, "reads %u bytes at byte %" PRIu64 " of %s, which nobody wrote",
                         a->bytes, i, p->name);
        if (writes) mark_written(p, a->at[lane], a->bytes);
    }
    Chunk *c = chunk_of(p, i, a->launch);
    if (writes && !c->writes) c->writes = zeroed(CHUNK, sizeof *c->writes);
    if (!writes && !c->reads) c->reads = zeroed(CHUNK / 4, sizeof *c->reads);
    uint32_t at = (uint32_t)(i % CHUNK);
    if (!writes && ptx_shadow_read_words(c->reads, c->writes, at, a->bytes, who)) return true;
    PtxClash clash = writes ? ptx_shadow_write(c->reads, c->writes, at, a->bytes, who, &other)
                            : ptx_shadow_read(c->reads, c->writes, at, a->bytes, who, &other);
    if (!clash) return true;
    char room[48];
    return fails(fault, lane,
                 "%s %u bytes at byte %" PRIu64 " of %s, which was %s by %s with no order between",
                 verb(a->how), a->bytes, i, p->name, clash == PTX_AFTER_READ ? "read" : "written",
                 ptx_shadow_name(other, who, room));
}

/* All lanes of `lanes`, or one for all if they read the same. */
static bool touch_all(Piece *p, const PtxAccess *a, uint32_t lanes, bool all_the_same, PtxFault *fault) {
    PtxWho who = a->who;
    who.atomic = a->how == PTX_UPDATE || a->how == PTX_ACQUIRE;
    if (all_the_same) lanes &= -lanes;
    for (; lanes; lanes &= lanes - 1) {
        uint32_t l = (uint32_t)__builtin_ctz(lanes);
        who.thread = all_the_same ? PTX_WARP + who.warp : a->first_thread + l;
        if (!touch(p, a, l, &who, fault)) return false;
    }
    return true;
}

uint32_t ptx_memory_reach(PtxMachine *m, const PtxAccess *a, uintptr_t *out_delta, PtxFault *fault) {
    struct PtxPieces *p = ptx_pieces(m);
    uint32_t first = (uint32_t)__builtin_ctz(a->lanes);
    Piece *piece = p->last < p->n ? &p->piece[p->last] : NULL;
    if (!piece || !holds(piece, a->at[first], a->bytes)) piece = piece_before(p, a->at[first]);
    if (!piece || !holds(piece, a->at[first], a->bytes)) {
        char place[200];
        put_place(p, a->at[first], a->bytes, place, sizeof place);
        return fails(fault, first, "%s %u bytes at %s", verb(a->how), a->bytes, place);
    }
    p->last = (uint32_t)(piece - p->piece);
    if (piece->kind == PTX_READ_ONLY && (a->how == PTX_WRITE || a->how == PTX_UPDATE))
        return fails(fault, first, "%s byte %" PRIu64 " of %s, which is read only", verb(a->how),
                     a->at[first] - piece->at, piece->name);
    Lanes seen = look(a->at, piece->at, piece->at + piece->bytes - a->bytes, a->at[first], a->bytes);
    uint32_t lanes = seen.within & a->lanes;
    if (seen.skewed & lanes) {
        uint32_t l = (uint32_t)__builtin_ctz(seen.skewed & lanes);
        return fails(fault, l, "%s %u bytes at byte %" PRIu64 " of %s, which is not aligned", verb(a->how),
                     a->bytes, a->at[l] - piece->at, piece->name);
    }
    bool all_the_same = a->how == PTX_READ && (lanes & (lanes - 1)) && (seen.same & lanes) == lanes;
    if (piece->kind != PTX_READ_ONLY && !touch_all(piece, a, lanes, all_the_same, fault)) return 0;
    *out_delta = (uintptr_t)piece->host - (uintptr_t)piece->at;
    return lanes;
}
