/* The checked reader for all bytes from outside. Every count, length and offset in a file is read here.
 *
 * A reader is a cursor over memory that stays valid. If too few bytes are left, its calls return false and change
 * nothing. Arithmetic on values from files goes through tn_add, tn_mul and tn_align_up, which return false if the
 * result does not fit in a size_t. Nothing here allocates. */
#ifndef TN_BASE_READER_H
#define TN_BASE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct TnReader {
    const uint8_t *base;
    size_t size, pos;
} TnReader;

static inline TnReader tn_reader(const void *base, size_t size) {
    TnReader r = {(const uint8_t *)base, size, 0};
    return r;
}
static inline size_t tn_left(const TnReader *r) {
    return r->size - r->pos;
}

/* The next n bytes, or NULL. */
static inline const void *tn_read(TnReader *r, size_t n) {
    if (n > tn_left(r)) return NULL;
    const void *p = r->base + r->pos;
    r->pos += n;
    return p;
}
#define TN_READ_INT(name, type)                                                                              \
    static inline bool name(TnReader *r, type *out) {                                                        \
        const void *p = tn_read(r, sizeof(type));                                                            \
        if (!p) return false;                                                                                \
        memcpy(out, p, sizeof(type));                                                                        \
        return true;                                                                                         \
    }
TN_READ_INT(tn_read_u8, uint8_t)
TN_READ_INT(tn_read_u16, uint16_t)
TN_READ_INT(tn_read_u32, uint32_t)
TN_READ_INT(tn_read_u64, uint64_t)
TN_READ_INT(tn_read_f32, float)
TN_READ_INT(tn_read_f64, double)

static inline bool tn_add(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline bool tn_mul(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
/* align: a power of two */
static inline bool tn_align_up(size_t a, size_t align, size_t *out) {
    if (__builtin_add_overflow(a, align - 1, out)) return false;
    *out &= ~(align - 1);
    return true;
}
/* True if [off, off + n) lies within `size` bytes. */
static inline bool tn_range_ok(uint64_t off, uint64_t n, uint64_t size) {
    return off <= size && n <= size - off;
}
/* For our own values, which cannot overflow. */
static inline size_t tn_round_up(size_t a, size_t align) {
    return (a + align - 1) / align * align;
}

#endif
