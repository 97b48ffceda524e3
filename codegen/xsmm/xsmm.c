/* The xsmm target: attention of many rows, its two small GEMMs by libxsmm.
 *
 * LLVM emits the kernel (codegen/llvm/ops/attend_rows.c: masks, softmax, widening of cache pages); where its own GEMM would
 * stand, it calls one by name. libxsmm generates that one in memory; its bytes, which refer to nothing outside
 * themselves, are copied into the image, and the flattener binds the calls to them. A blob needs no libxsmm.
 *
 * libxsmm 1.17 is trusted with nothing. It has kernels that are silently wrong (int8 of some shapes), and float ones that
 * split the sum (m % 64 in 1..16 on AVX-512), which is legal for it and not for us: the order is defined. So
 * every kernel is run, as the copy it will be, on random numbers of all sizes, denormals and negative zeros among them,
 * and held to the plain loop bit for bit, before it is used. What fails, or cannot be run on this machine, is
 * refused; LLVM then takes the attend kernel, and the refusal is in the compile report.
 *
 * libxsmm has one state for the process. It is opened, told the architecture, asked and closed under a lock; kernels
 * stay known here (a few KB), so that it is opened once or twice. */
#include <libxsmm.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/llvm/llvm.h"
#include "runtime/base/arena.h"
#include "runtime/base/half.h"
#include "runtime/base/os.h"
#include "runtime/base/reader.h"

/* Beside LLVM's 100 for everything it can do. Measured (docs/notebook.md, libxsmm). */
enum { WINS = 110, LOSES = 90 };
enum { MOST_CODE = 1 << 16, ROUNDS = 3 };

typedef void GemmFn(const float *a, const float *b, float *c);

typedef struct Gemm {
    int bytes; /* of a vector register: 64 or 32 */
    int64_t m, n, k;
    uint8_t *code; /* NULL: refused */
    size_t size;
    struct Gemm *next;
} Gemm;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Gemm *known;
static char refusal[2][200]; /* of 32 and 64 bytes */

static Gemm *find_gemm(int bytes, const TnSmallGemm *s) {
    for (Gemm *g = known; g; g = g->next)
        if (g->bytes == bytes && g->m == s->m && g->n == s->n && g->k == s->k) return g;
    return NULL;
}

/* ---- The test */

static uint32_t next_u32(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Round 0: numbers near one, whose sums cancel. 1: exponents of all sizes that cannot overflow. 2: zeros of both signs and
 * denormals among small numbers. */
static float sample(uint64_t *state, int round) {
    uint32_t u = next_u32(state), sign = next_u32(state) << 31, kind = next_u32(state) % 4;
    if (round == 0) return tn_bits_f32((u & 0x7fffff) | 0x3f800000 | sign);
    if (round == 1) return tn_bits_f32((u & 0x7fffff) | (64 + kind * 31 + u % 31) << 23 | sign);
    if (kind == 0) return tn_bits_f32(sign);
    return tn_bits_f32((u & 0x7fffff) | (kind == 1 ? 0 : (u >> 23) % 70) << 23 | sign);
}

/* NULL if code does what TnSmallGemm says. */
static const char *test_code(const TnSmallGemm *s, const uint8_t *bytes, size_t size) {
    enum { GUARD = 64 };
    size_t na = (size_t)(s->m * s->k), nb = (size_t)(s->n * s->k), nc = (size_t)(s->m * s->n);
    void *code, *room;
    TernError err;
    if (tn_os_map_code(bytes, size, &code, &err) != TERN_OK) return "executable memory is refused here";
    if (tn_os_map((na + nb + nc + GUARD) * 4 + 192, false, &room, &err) != TERN_OK) {
        tn_os_unmap(code, size);
        return "no memory for its test";
    }
    float *a = room, *b = a + tn_round_up(na, 16), *c = b + tn_round_up(nb, 16);
    const char *why = NULL;
    uint64_t state = 1;
    for (int round = 0; round < ROUNDS && !why; round++) {
        for (size_t i = 0; i < na; i++) a[i] = sample(&state, round);
        for (size_t i = 0; i < nb; i++) b[i] = sample(&state, round);
        for (size_t i = 0; i < nc + GUARD; i++) c[i] = 7.0f;
        ((GemmFn *)(uintptr_t)code)(a, b, c);
        for (int64_t j = 0; j < s->n; j++)
            for (int64_t i = 0; i < s->m; i++) {
                float want = 0.0f;
                for (int64_t l = 0; l < s->k; l++) want = fmaf(a[l * s->m + i], b[j * s->k + l], want);
                if (tn_f32_bits(want) != tn_f32_bits(c[j * s->m + i]))
                    why = "its sums are not in the defined order";
            }
        for (size_t i = nc; i < nc + GUARD; i++)
            if (c[i] != 7.0f) why = "it writes behind its result";
    }
    tn_os_unmap(room, (na + nb + nc + GUARD) * 4 + 192);
    tn_os_unmap(code, size);
    return why;
}

/* ---- Generation; with the lock, libxsmm open for the right architecture */

static const char *generate(const TnSmallGemm *s, Gemm *out) {
    if (s->m % (out->bytes / 4)) return "its rows do not fill vectors, and it might read behind them";
    float one = 1.0f, zero = 0.0f;
    int flags = LIBXSMM_GEMM_FLAG_NONE, prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
    int lda = (int)s->m, ldb = (int)s->k, ldc = (int)s->m;
    libxsmm_kernel_info info;
    memset(&info, 0, sizeof info);
    libxsmm_smmfunction f = libxsmm_smmdispatch((int)s->m, (int)s->n, (int)s->k, &lda, &ldb, &ldc, &one,
                                                &zero, &flags, &prefetch);
    if (!f) return "it is not generated";
    const void *code = (const void *)(uintptr_t)f;
    if (libxsmm_get_kernel_info(code, &info) != EXIT_SUCCESS || info.kind != LIBXSMM_KERNEL_KIND_MATMUL ||
        info.code_size == 0 || info.code_size > MOST_CODE)
        return "its size is not known";
    const char *why = test_code(s, code, info.code_size);
    if (why) return why;
    out->size = info.code_size;
    out->code = tn_xcalloc(out->size, 1);
    memcpy(out->code, code, out->size);
    return NULL;
}

/* libxsmm does not look at what its allocations give: its registry and buffers took 11 MB of address space when measured. */
static bool room_for_libxsmm(void) {
    enum { ROOM = 48 << 20 };
    void *room;
    TernError err;
    if (tn_os_map(ROOM, false, &room, &err) != TERN_OK) return false;
    tn_os_unmap(room, ROOM);
    return true;
}

static void open_libxsmm(int arch) {
    libxsmm_init();
    libxsmm_set_target_archid(arch);
}

static void learn(int bytes, const char *level, const TnSmallGemm *s, uint32_t n) {
    int arch = bytes == 64 ? LIBXSMM_X86_AVX512_CORE : LIBXSMM_X86_AVX2;
    bool here = libxsmm_cpuid() >= arch;
    bool room = here && room_for_libxsmm();
    if (room) open_libxsmm(arch);
    for (uint32_t i = 0; i < n; i++) {
        if (find_gemm(bytes, &s[i])) continue;
        Gemm *g = tn_xcalloc(1, sizeof *g);
        *g = (Gemm){.bytes = bytes, .m = s[i].m, .n = s[i].n, .k = s[i].k, .next = known};
        known = g;
        const char *why = room   ? generate(&s[i], g)
                          : here ? "out of memory"
                                 : "this machine cannot run it, so it is not tested";
        char *text = refusal[bytes == 64];
        if (why && !*text)
            snprintf(text, sizeof refusal[0], "libxsmm's %lldx%lldx%lld for %s is not used: %s",
                     (long long)s[i].m, (long long)s[i].n, (long long)s[i].k, level, why);
    }
    if (room) libxsmm_finalize();
}

/* The kernels of a job, tested; false if it has none or one is refused. */
static bool gemms_of(const TnGraph *g, uint32_t kernel, const char *level, TnSmallGemm s[2], Gemm *out[2],
                     uint32_t *n) {
    int bytes = tn_llvm_x86_bytes(level);
    *n = bytes == 32 || bytes == 64 ? tn_attend_gemms(g, kernel, level, "xsmm", s) : 0;
    if (*n == 0) return false;
    bool all = true;
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < *n; i++)
        if (!find_gemm(bytes, &s[i])) learn(bytes, level, s, *n);
    for (uint32_t i = 0; i < *n; i++) {
        out[i] = find_gemm(bytes, &s[i]);
        all = all && out[i]->code;
    }
    pthread_mutex_unlock(&lock);
    return all;
}

static int xsmm_score(const TnGraph *g, uint32_t kernel, const char *level) {
    TnSmallGemm s[2];
    Gemm *gemm[2];
    uint32_t n;
    if (!gemms_of(g, kernel, level, s, gemm, &n)) return 0;
    /* AVX-512: as fast as LLVM's own to 1 %; AVX2: 4 to 6 % faster */
    return g->rows_hi > 8 && tn_llvm_x86_bytes(level) == 32 ? WINS : LOSES;
}

static TnEnc prefer(const TnType *weight, TnOp reader, const char *level) {
    (void)weight, (void)reader, (void)level;
    return TN_ENC_COUNT;
}

static const char *refused(const char *level) {
    const char *text = refusal[tn_llvm_x86_bytes(level) == 64];
    pthread_mutex_lock(&lock);
    bool any = tn_llvm_x86_bytes(level) && *text;
    pthread_mutex_unlock(&lock);
    return any ? text : NULL;
}

/* The jobs' GEMMs, each once, at the end of the image. */
static TernStatus put_gemms(const TnEmitJob *jobs, uint32_t n, const char *level, TnBuf *image, TnFlat *given,
                            TernError *err) {
    for (uint32_t j = 0; j < n; j++) {
        TnSmallGemm s[2];
        Gemm *gemm[2];
        uint32_t count;
        if (!gemms_of(jobs[j].g, jobs[j].kernel, level, s, gemm, &count)) {
            const char *why = refused(level);
            return tn_fail(err, TERN_ERR_UNSUPPORTED, "kernel %s: target xsmm cannot do it on level %s%s%s",
                           jobs[j].g->kernels[jobs[j].kernel].name, level, why ? ": " : "", why ? why : "");
        }
        for (uint32_t i = 0; i < count; i++) {
            bool there = false;
            for (size_t k = 0; k < given->n; k++) there |= !strcmp(given->symbols[k].name, s[i].symbol);
            if (there) continue;
            size_t len = strlen(s[i].symbol) + 1;
            char *name = tn_xcalloc(len, 1);
            memcpy(name, s[i].symbol, len);
            tn_buf_align(image, 64);
            TN_PUSH(given->symbols, given->n, given->cap, (TnFlatSymbol){name, image->len});
            tn_buf_put(image, gemm[i]->code, gemm[i]->size);
        }
    }
    return TERN_OK;
}

static TernStatus emit(TnEmitJob *jobs, uint32_t n, const char *level, TnBuf *image, TnProgressFn *progress,
                       void *user, TernError *err) {
    TnFlat given = {0};
    TernStatus s = put_gemms(jobs, n, level, image, &given, err);
    if (s == TERN_OK) s = tn_llvm_emit(jobs, n, level, &given, image, progress, user, err);
    tn_flat_free(&given);
    return s;
}

static bool has(const char *level) {
    return tn_llvm_x86_bytes(level) != 0;
}

const TnTarget tn_target_xsmm = {.desc = {.name = "xsmm", .can = xsmm_score, .prefer = prefer},
                                 .has = has,
                                 .section = TN_SECTION_CODE,
                                 .emit = emit,
                                 .show = tn_llvm_show,
                                 .given = put_gemms,
                                 .refused = refused};
