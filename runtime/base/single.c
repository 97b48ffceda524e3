#include "runtime/base/single.h"

#include <string.h>
#include "runtime/base/hash.h"
#include "runtime/base/reader.h"

static const char magic[16] = "\x89TERN file\r\n\x1a\n\0";

_Static_assert(sizeof(TnSingleTrailer) == 64 && sizeof(TnSingleSlot) == 48, "the structs have no holes");

static TnSingleTrailer trailer_of(const void *data, size_t size) {
    TnSingleTrailer t;
    memcpy(&t, (const uint8_t *)data + size - sizeof t, sizeof t);
    return t;
}

bool tn_single_is(const void *data, size_t size) {
    return size >= sizeof(TnSingleTrailer) && memcmp(trailer_of(data, size).magic, magic, sizeof magic) == 0;
}

/* A hash of two parts: that of the hash of the first, followed by the second. */
static TnHash128 hash_of(const void *before, size_t n, const TnSingleTrailer *t) {
    uint8_t both[16 + offsetof(TnSingleTrailer, hash)];
    TnHash128 first = tn_hash128(before, n);
    memcpy(both, first.bytes, 16);
    memcpy(both + 16, t, offsetof(TnSingleTrailer, hash));
    return tn_hash128(both, sizeof both);
}

TernStatus tn_single_open(const uint8_t **data, size_t *size, TernError *err) {
    if (!tn_single_is(*data, *size)) return TERN_OK;
    TnSingleTrailer t = trailer_of(*data, *size);
    uint64_t room = *size - sizeof t;
    if (t.offset % TN_SINGLE_ALIGN || t.offset > room || t.bytes != room - t.offset || t.reserved[0] ||
        t.reserved[1])
        return tn_fail(err, TERN_ERR_INPUT,
                       "trailer: the model is %llu bytes at %llu, expected to end at %llu, where the trailer "
                       "begins",
                       (unsigned long long)t.bytes, (unsigned long long)t.offset, (unsigned long long)room);
    TnHash128 is = hash_of(*data, (size_t)t.offset, &t);
    if (memcmp(is.bytes, t.hash, sizeof t.hash) != 0)
        return tn_fail(err, TERN_ERR_INPUT,
                       "trailer: the program or the trailer is damaged: the hash of %llu "
                       "bytes before the model differs",
                       (unsigned long long)t.offset);
    *data += t.offset;
    *size = (size_t)t.bytes;
    return TERN_OK;
}

TnSingleTrailer tn_single_trailer(const void *before, size_t n, uint64_t bytes) {
    TnSingleTrailer t = {.offset = n, .bytes = bytes};
    TN_CHECK(n % TN_SINGLE_ALIGN == 0);
    memcpy(t.magic, magic, sizeof magic);
    TnHash128 hash = hash_of(before, n, &t);
    memcpy(t.hash, hash.bytes, sizeof t.hash);
    return t;
}

/* ---- programs */

_Static_assert(sizeof(TnElfHead) == 64, "ELF's head has no holes");
enum { ELF_EXEC = 2, ELF_DYN = 3, ELF_INTERP = 3 };

static TernStatus not_one(const char *name, const char *what, TernError *err) {
    return tn_fail(err, TERN_ERR_INPUT, "%s: %s, expected the static program tern for x86-64 or aarch64",
                   name, what);
}

static TernStatus check_elf(const char *name, const uint8_t *data, size_t size, TnElfHead *e,
                            TernError *err) {
    static const uint8_t head[7] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    if (size < sizeof *e || memcmp(data, head, sizeof head) != 0)
        return not_one(name, "is no 64-bit ELF program", err);
    memcpy(e, data, sizeof *e);
    if (e->machine != TN_ELF_X86_64 && e->machine != TN_ELF_AARCH64)
        return not_one(name, "is for another machine", err);
    if ((e->type != ELF_EXEC && e->type != ELF_DYN) || e->phentsize < 8 ||
        !tn_range_ok(e->phoff, (uint64_t)e->phentsize * e->phnum, size))
        return not_one(name, "is no program", err);
    for (uint32_t i = 0; i < e->phnum; i++) {
        uint32_t type;
        memcpy(&type, data + e->phoff + (size_t)i * e->phentsize, sizeof type);
        if (type == ELF_INTERP) return not_one(name, "is linked dynamically", err);
    }
    return TERN_OK;
}

static const uint8_t *find_slot(const uint8_t *from, const uint8_t *end) {
    static const char head[] = TN_SINGLE_SLOT_HEAD, tail[] = TN_SINGLE_SLOT_TAIL;
    enum { N = sizeof head - 1 };
    const uint8_t *p = from;
    for (; (size_t)(end - p) >= sizeof(TnSingleSlot); p++) {
        p = memchr(p, head[0], (size_t)(end - p) - sizeof(TnSingleSlot) + 1);
        if (!p) return NULL;
        if (memcmp(p, head, N) == 0 && memcmp(p + N, tail, 16 - N) == 0) return p;
    }
    return NULL;
}

TernStatus tn_single_program(const char *name, const uint8_t *data, size_t size, const char *version,
                             uint32_t abi, size_t *out_slot, uint32_t *out_machine, TernError *err) {
    TnElfHead e;
    TN_TRY(check_elf(name, data, size, &e, err));
    const uint8_t *at = find_slot(data, data + size);
    if (!at || find_slot(at + 1, data + size)) return not_one(name, "has no place for a model", err);
    TnSingleSlot slot;
    memcpy(&slot, at, sizeof slot);
    if (slot.offset) return not_one(name, "already has a model in it", err);
    if (strncmp(slot.version, version, sizeof slot.version) != 0 || slot.abi != abi)
        return tn_fail(err, TERN_ERR_INPUT, "%s: is version %.16s, abi %u, expected version %s, abi %u", name,
                       slot.version, slot.abi, version, abi);
    *out_slot = (size_t)(at - data);
    *out_machine = e.machine;
    return TERN_OK;
}
