#include "codegen/ptx/ptx_trial.h"
#include "runtime/base/status.h"

static const uint32_t words[] = {
    0,          1,          2,          31,         32,         33,     63,      64,         255,
    256,        0x7f,       0x80,       0x7fff,     0x8000,     0xffff, 0x10000, 0x7fffffff, 0x80000000,
    0x80000001, 0xffffffff, 0xfffffffe, 0x01020304, 0xfffefdfc, 0x3210, 0x7654,  0xba98,     0x80ff7f01};
/* f32: zeros, subnormals, the ends of the range, halves between integers and between f16, NaN, infinities */
static const uint32_t floats[] = {
    0,          0x80000000, 1,          0x80000001, 0x007fffff, 0x00800000, 0x00800001, 0x7f7fffff,
    0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001, 0x3f800000, 0xbf800000,
    0x3f800001, 0x3f000000, 0xbf000000, 0x3fc00000, 0x40200000, 0xc0200000, 0x40600000, 0x4b000000,
    0x4b000001, 0x4b7fffff, 0x4f000000, 0xcf000000, 0xcf000001, 0x4effffff, 0x477fe000, 0x477fefff,
    0x477ff000, 0x477ff001, 0x33000000, 0x33000001, 0x33800000, 0x387fc000, 0x38800000, 0x3f801000,
    0x3f803000, 0x3eaaaaab, 0x1e3ce508, 0x5f000000};
static const uint64_t doubles[] = {0,
                                   (uint64_t)1 << 63,
                                   1,
                                   0x000fffffffffffff,
                                   0x0010000000000000,
                                   0x7fefffffffffffff,
                                   0x7ff0000000000000,
                                   0xfff0000000000000,
                                   0x7ff8000000000000,
                                   0x3ff0000000000000,
                                   0xbff0000000000001,
                                   0x3ff0000010000000,
                                   0x3ff0000030000000,
                                   0x36a0000000000000,
                                   0x3690000000000000,
                                   0x3690000000000001,
                                   0x47efffffe0000000,
                                   0x47effffff0000000,
                                   0x47efffffefffffff,
                                   0x4330000000000001,
                                   0x3fe0000000000000};
static const uint16_t halves[] = {0,      0x8000, 1,      0x8001, 0x3ff,  0x400,  0x401, 0x3c00,
                                  0xbc01, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0xfe01};

uint32_t tn_ptx_awkward_count(char kind) {
    switch (kind) {
    case 'f':
        return TN_COUNT(floats);
    case 'g':
        return TN_COUNT(doubles);
    case 'h':
        return TN_COUNT(halves);
    case 'p':
        return 2;
    case 'd':
        return 2 * TN_COUNT(words);
    default:
        return TN_COUNT(words);
    }
}

uint64_t tn_ptx_awkward(char kind, uint32_t i) {
    switch (kind) {
    case 'f':
        return floats[i];
    case 'g':
        return doubles[i];
    case 'h':
        return halves[i];
    case 'p':
        return i;
    case 'd': /* small ones, and the same in the upper half */
        return i < TN_COUNT(words) ? (uint64_t)(int64_t)(int32_t)words[i]
                                   : (uint64_t)words[i - TN_COUNT(words)] << 32;
    default:
        return words[i];
    }
}

uint64_t tn_ptx_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t awkward(char kind, uint64_t r) {
    return tn_ptx_awkward(kind, (uint32_t)(r % tn_ptx_awkward_count(kind)));
}

uint64_t tn_ptx_any(char kind, uint64_t *state) {
    uint64_t r = tn_ptx_random(state), v = tn_ptx_random(state);
    switch (kind) {
    case 'f':
        if (r % 3 == 0) return awkward(kind, v);
        /* close to one, so that sums and products round in every way; or anything */
        return r % 3 == 1 ? (uint32_t)(v & 0x80ffffff) | (0x3e000000u + (uint32_t)(r >> 8 & 0x3000000))
                          : v >> 32;
    case 'g':
        if (r % 3 == 0) return awkward(kind, v);
        return r % 3 == 1 ? (v & 0x803fffffffffffff) | 0x3fc0000000000000 : v;
    case 'h':
        return r % 3 ? v >> 48 : awkward(kind, v);
    case 'p':
        return v >> 63;
    case 'd':
        if (r % 3 == 0) return (uint64_t)words[v % TN_COUNT(words)] << (r >> 40) % 40;
        return r % 3 == 1 ? awkward(kind, v) : v;
    default:
        if (r % 3 == 0) return v >> 58; /* distances */
        return r % 3 == 1 ? awkward(kind, v) : v >> 32;
    }
}
