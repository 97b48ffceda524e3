/* cuda_probe: what a GPU gives for the pieces of which kernels are made, before kernels are built on them.
 *
 *   cuda_probe [--device cuda[:N]] [--small]      one JSON object a line, each as soon as it is known
 *   cuda_probe --texts FOLDER [--level sm_90a]    writes the kernels' texts instead, for an assembler
 *
 * Each line has the best and the median time of a launch among several of a graph, and its share of the roof: the memory's
 * rate by its clock and bus, or the int8 rate that NVIDIA states for the chip at its highest clock. What a kernel writes is
 * compared with what the host computes ("equal"); a kernel that is wrong is not timed, since one that waited in vain may take
 * minutes. A kernel that the driver refuses has "refused" with the reason. --small is
 * for the tests' driver in software, whose times mean nothing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bench/probe/probe_run.h"
#include "runtime/base/arena.h"
#include "runtime/base/half.h"
#include "runtime/abi/levels.h"

typedef struct Sizes {
    ProbeSizes probe;
    uint32_t read_ctas, rows, many_rows, head_rows, chain, phases, spins, stages, depth, turns;
} Sizes;
static const Sizes full = {
    {(size_t)1 << 30, (size_t)64 << 20, 7}, 8192, 13824, 221184, 128256, 1000, 400, 1 << 20, 4, 8, 2000};
static const Sizes small = {{1 << 20, 1 << 20, 1}, 2, 128, 256, 64, 3, 3, 100, 2, 2, 3};

typedef struct Run {
    const char *device; /* NULL: write texts */
    const char *folder, *level;
    const Sizes *sizes;
    Probe p;
    bool open;
    uint32_t trouble; /* kernels that ran and were wrong, or failed */
} Run;

struct Piece;
/* Whether a kernel has written what it is to write; `out` was 0xff.. before. */
typedef bool Judge(const Run *r, const struct Piece *b, const uint32_t *out);

typedef struct Piece {
    const char *probe, *way; /* way: "" if there is one alone */
    ProbeCase c;
    uint32_t parameter; /* rows a group, of gemv */
    double bytes, macs; /* of a launch */
    uint32_t parts;     /* phases of a launch; 0: none */
    size_t out_bytes;
    Judge *judge;
    const char *needs; /* a level, or NULL */
} Piece;

/* ---- what kernels are to write */

static bool judge_read(const Run *r, const Piece *b, const uint32_t *out) {
    (void)b;
    for (uint32_t t = 0; t < PROBE_THREADS; t++) {
        uint32_t sum = 0, words[4];
        for (uint32_t at = t * 16; at < PROBE_READ_BYTES; at += PROBE_THREADS * 16) {
            memcpy(words, r->p.pattern + at, 16);
            sum += words[0] + words[1] + words[2] + words[3];
        }
        if (out[t] != sum) return false;
    }
    return true;
}

static uint32_t dot_codes(const uint8_t *row, const int8_t *x) {
    int32_t sum = 0;
    for (uint32_t at = 0; at < PROBE_K / 4; at++)
        for (uint32_t q = 0; q < 4; q++)
            sum += (row[at] >> 2 * q & 3) * x[at / 16 * 64 + at % 16 / 4 * 16 + q * 4 + at % 4];
    return (uint32_t)sum;
}

static bool judge_gemv(const Run *r, const Piece *b, const uint32_t *out) {
    for (uint32_t row = 0; row < 32 * b->parameter; row++)
        if (out[row] != dot_codes(r->p.pattern + (size_t)row * PROBE_K / 4, r->p.ints)) return false;
    return true;
}

static float dot_halves(const uint8_t *row, const float *x) {
    float sums[32] = {0};
    for (uint32_t i = 0; i < PROBE_K; i++) {
        uint16_t half;
        memcpy(&half, row + 2 * i, 2);
        sums[i % 32] = fmaf(tn_f16_to_f32(half), x[i], sums[i % 32]);
    }
    for (uint32_t d = 16; d; d /= 2)
        for (uint32_t i = 0; i < d; i++) sums[i] += sums[i + d];
    return sums[0];
}

static bool judge_head(const Run *r, const Piece *b, const uint32_t *out) {
    (void)b;
    for (uint32_t row = 0; row < PROBE_HEAD_ROWS; row++) {
        float expected = dot_halves(r->p.pattern + (size_t)row * PROBE_K * 2, r->p.floats);
        if (memcmp(&expected, &out[row], 4) != 0) return false;
    }
    return true;
}

static bool judge_meeting(const Run *r, const Piece *b, const uint32_t *out) {
    (void)r, (void)b;
    return out[0] != 1; /* 0xff.. if nobody wrote */
}

/* The threads of all CTAs together read all stages. */
static bool judge_ring(const Run *r, const Piece *b, const uint32_t *out) {
    const uint8_t *data = r->p.pattern;
    size_t bytes = (size_t)b->bytes, pattern = r->sizes->probe.pattern;
    uint32_t sums[PROBE_THREADS];
    if (out[0] == 1) return false;
    memset(sums, 0xff, sizeof sums);
    for (size_t at = 0; at < bytes; at += 16) {
        uint32_t words[4];
        memcpy(words, data + at % pattern, 16);
        sums[at / 16 % PROBE_THREADS] += words[0] + words[1] + words[2] + words[3];
    }
    return memcmp(sums, out + 1, sizeof sums) == 0;
}

static bool judge_tiles(const Run *r, const Piece *b, const uint32_t *out) {
    enum { RESULTS = 64, OF_A_TURN = 2 * 3 * 128 }; /* of a thread */
    (void)b;
    for (uint32_t t = 0; t < PROBE_THREADS; t++)
        if (out[t] != RESULTS * OF_A_TURN * r->sizes->turns) return false;
    return true;
}

/* ---- results */

static void put_string(const char *name, const char *text) {
    printf("\"%s\":\"", name);
    for (; *text; text++)
        if ((unsigned char)*text < 0x20)
            printf("\\u%04x", *text);
        else
            printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    printf("\"");
}

static void put_share(const char *unit, double rate, double roof) {
    printf(",\"%s\":%.4g,\"share\":", unit, rate / 1e9);
    if (roof > 0)
        printf("%.3f", rate / roof);
    else
        printf("null");
}

static void begin_line(const Piece *b) {
    printf("{");
    put_string("probe", b->probe);
    if (*b->way) printf(","), put_string("way", b->way);
    if (b->parameter) printf(",\"rows\":%u", b->parameter);
}

static void end_line(void) {
    printf("}\n");
    fflush(stdout);
}

static void refuse(const Piece *b, const char *why) {
    begin_line(b);
    printf(",");
    put_string("refused", why);
    end_line();
}

static void report(const Run *r, const Piece *b, double best, double median) {
    begin_line(b);
    printf(",\"ctas\":%u,\"launches\":%u,\"us\":%.4g,\"us_median\":%.4g", b->c.grid, b->c.launches, best,
           median);
    if (b->parts) printf(",\"phases\":%u,\"us_phase\":%.4g", b->parts, best / b->parts);
    if (b->bytes > 0)
        printf(",\"bytes\":%.0f", b->bytes), put_share("gb_s", b->bytes / best * 1e6, r->p.read_roof);
    if (b->macs > 0)
        printf(",\"macs\":%.0f", b->macs), put_share("gmac_s", b->macs / best * 1e6, r->p.mac_roof);
    if (b->judge) printf(",\"equal\":true");
    end_line();
}

static void report_wrong(const Piece *b) {
    begin_line(b);
    printf(",\"equal\":false");
    end_line();
}

/* ---- a piece */

static TernStatus check(Run *r, Piece *b, bool *equal, TernError *err) {
    uint32_t *out = tn_xcalloc(b->out_bytes + 4, 1);
    TernStatus s = probe_once(&r->p, &b->c, out, b->out_bytes, err);
    *equal = s != TERN_OK || !b->judge || b->judge(r, b, out);
    free(out);
    return s;
}

static TernStatus measure(Run *r, Piece *b, TernError *err) {
    double best = 0, median = 0;
    bool equal = true;
    TernStatus s = check(r, b, &equal, err);
    if (!equal) report_wrong(b);
    if (s == TERN_OK && equal) s = probe_time(&r->p, &b->c, &best, &median, err);
    if (s == TERN_OK && equal) report(r, b, best, median);
    r->trouble += s != TERN_OK || !equal;
    return s;
}

static void write_text(const Run *r, const Piece *b) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s%s%s%.0u.ptx", r->folder, b->probe, *b->way ? "_" : "", b->way,
             b->parameter);
    FILE *f = fopen(path, "w");
    bool written = f && fwrite(b->c.text.text.data, 1, b->c.text.text.len - 1, f) == b->c.text.text.len - 1;
    if (!f || fclose(f) != 0 || !written) {
        fprintf(stderr, "cuda_probe: %s: cannot be written\n", path);
        exit(1);
    }
}

/* After a failure the device is opened anew: a kernel that faults spoils all that comes after it. */
static void open_again(Run *r) {
    TernError err = {0};
    probe_close(&r->p);
    r->open = probe_open(r->device, &r->sizes->probe, &r->p, &err) == TERN_OK;
    if (!r->open) fprintf(stderr, "cuda_probe: %s\n", err.text);
}

static void try_piece(Run *r, Piece *b) {
    TernError err = {0};
    if (r->folder) {
        write_text(r, b);
    } else if (!r->open) {
        refuse(b, "the device does not open again");
    } else if (b->needs && strcmp(b->needs, r->level) != 0) {
        tn_fail(&err, TERN_ERR_UNSUPPORTED, "it is for %s, the device takes %s", b->needs, r->level);
        refuse(b, err.text);
    } else if (probe_load(&r->p, &b->c, &err) != TERN_OK) {
        refuse(b, err.text);
    } else {
        TernStatus s = measure(r, b, &err);
        probe_unload(&r->p, &b->c);
        if (s != TERN_OK) {
            refuse(b, err.text);
            open_again(r);
        }
    }
    tn_buf_free(&b->c.text.text);
}

/* ---- all pieces */

static void try_read(Run *r) {
    Piece b = {.probe = "read",
               .way = "",
               .bytes = (double)r->sizes->read_ctas * PROBE_READ_BYTES,
               .out_bytes = PROBE_THREADS * 4,
               .judge = judge_read};
    b.c = (ProbeCase){.grid = r->sizes->read_ctas,
                      .launches = 2,
                      .params = {r->p.weights, r->p.out},
                      .stride = (size_t)r->sizes->read_ctas * PROBE_READ_BYTES};
    probe_read(r->level, &b.c.text);
    try_piece(r, &b);
}

static void try_gemv(Run *r, uint32_t rows, ProbeLoad how, bool many) {
    static const char *const ways[][2] = {
        {"ld", "ld-long"}, {"cp.async", "cp.async-long"}, {"bulk", "bulk-long"}};
    uint32_t n = many ? r->sizes->many_rows : r->sizes->rows;
    size_t bytes = (size_t)n * PROBE_K / 4;
    Piece b = {.probe = "gemv",
               .way = ways[how][many],
               .parameter = rows,
               .bytes = (double)bytes,
               .out_bytes = (size_t)32 * rows * 4,
               .judge = judge_gemv,
               .needs = how == PROBE_BULK ? "sm_90a" : NULL};
    b.c = (ProbeCase){.grid = n / (32 * rows),
                      .launches = many                   ? 4
                                  : r->sizes->chain < 64 ? r->sizes->chain
                                                         : 64,
                      .params = {r->p.weights, r->p.x, r->p.out},
                      .stride = bytes};
    probe_gemv(r->level, rows, how, &b.c.text);
    try_piece(r, &b);
}

static void try_head(Run *r) {
    Piece b = {.probe = "head",
               .way = "f16",
               .bytes = (double)r->sizes->head_rows * PROBE_K * 2,
               .out_bytes = PROBE_HEAD_ROWS * 4,
               .judge = judge_head};
    b.c = (ProbeCase){.grid = r->sizes->head_rows / PROBE_HEAD_ROWS,
                      .launches = 2,
                      .params = {r->p.weights, r->p.x + PROBE_K, r->p.out}};
    probe_head(r->level, &b.c.text);
    try_piece(r, &b);
}

/* The gap between two launches: each does nothing. */
static void try_gap(Run *r, bool pdl) {
    Piece b = {.probe = "gap", .way = pdl ? "pdl" : "graph", .needs = pdl ? "sm_90a" : NULL};
    uint32_t all = r->p.device.facts.multiprocessors;
    b.c = (ProbeCase){.grid = r->sizes == &small || !all ? 2 : all, .launches = r->sizes->chain, .pdl = pdl};
    probe_empty(r->level, pdl, &b.c.text);
    try_piece(r, &b);
}

static uint32_t meeting_ctas(const Run *r) {
    uint32_t all = r->p.device.facts.multiprocessors;
    return r->sizes == &small || !all ? 1 : all; /* the driver in software runs one after the other */
}

static void try_barrier(Run *r) {
    const Sizes *z = r->sizes;
    Piece b = {.probe = "barrier", .way = "", .parts = z->phases, .out_bytes = 4, .judge = judge_meeting};
    b.c = (ProbeCase){
        .grid = meeting_ctas(r), .launches = 1, .params = {r->p.counter, r->p.out}, .counts = true};
    probe_barrier(r->level, b.c.grid, z->phases, z->spins, &b.c.text);
    try_piece(r, &b);
}

/* As many phases as the buffer has bytes for. */
static void try_ring(Run *r) {
    const Sizes *z = r->sizes;
    uint32_t grid = meeting_ctas(r);
    size_t phase = (size_t)grid * z->stages * PROBE_STAGE, phases = z->probe.weights / phase;
    if (phases > z->phases) phases = z->phases;
    Piece b = {.probe = "ring",
               .way = "barriers",
               .bytes = (double)(phases * phase),
               .parts = (uint32_t)phases,
               .out_bytes = 4 + PROBE_THREADS * 4,
               .judge = judge_ring,
               .needs = "sm_90a"};
    b.c = (ProbeCase){
        .grid = grid, .launches = 1, .params = {r->p.weights, r->p.counter, r->p.out}, .counts = true};
    probe_ring(r->level, grid, (uint32_t)phases, z->stages, z->depth, z->spins, &b.c.text);
    try_piece(r, &b);
}

static void try_tiles(Run *r, bool wgmma) {
    uint32_t all = r->p.device.facts.multiprocessors;
    Piece b = {.probe = "tile",
               .way = wgmma ? "wgmma" : "mma",
               .out_bytes = PROBE_THREADS * 4,
               .judge = judge_tiles,
               .needs = wgmma ? "sm_90a" : NULL};
    b.c = (ProbeCase){.grid = r->sizes == &small || !all ? 1 : 4 * all, .launches = 1, .params = {r->p.out}};
    b.macs = (double)b.c.grid * r->sizes->turns *
             (wgmma ? 2.0 * PROBE_WGMMA_MACS : PROBE_THREADS / 32 * (double)PROBE_MMA_MACS);
    (wgmma ? probe_wgmma : probe_mma)(r->level, r->sizes->turns, &b.c.text);
    try_piece(r, &b);
}

static void try_all(Run *r) {
    try_read(r);
    for (int many = 0; many < 2; many++)
        for (int how = PROBE_LD; how <= PROBE_BULK; how++)
            for (uint32_t rows = 1; rows <= 4; rows *= 2) try_gemv(r, rows, (ProbeLoad)how, many);
    try_head(r);
    try_gap(r, false);
    try_gap(r, true);
    try_barrier(r);
    try_ring(r);
    try_tiles(r, false);
    try_tiles(r, true);
}

static void describe(const Run *r) {
    const TernDevice *d = &r->p.device.facts;
    printf("{\"probe\":\"device\",");
    put_string("name", d->name);
    printf(
        ",\"capability\":\"%u.%u\",\"driver\":\"%u.%u\",\"level\":\"%s\",\"multiprocessors\":%u,\"mhz\":%u,"
        "\"memory_mhz\":%u,\"bus_bits\":%u,\"roof_gb_s\":%.4g,\"roof_gmac_s\":%.4g",
        d->major, d->minor, d->driver / 1000, d->driver % 1000 / 10, r->level, d->multiprocessors, r->p.mhz,
        r->p.memory_mhz, r->p.bus, r->p.read_roof / 1e9, r->p.mac_roof / 1e9);
    end_line();
}

int main(int argc, char **argv) {
    Run r = {.device = "cuda", .level = "sm_90a", .sizes = &full};
    TernError err = {0};
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--small") == 0)
            r.sizes = &small;
        else if (more && strcmp(argv[i], "--device") == 0)
            r.device = argv[++i];
        else if (more && strcmp(argv[i], "--texts") == 0)
            r.folder = argv[++i];
        else if (more && strcmp(argv[i], "--level") == 0)
            r.level = argv[++i];
        else
            return fprintf(
                       stderr,
                       "usage: cuda_probe [--device cuda[:N]] [--small] | --texts FOLDER [--level LEVEL]\n"),
                   2;
    }
    if (!r.folder) {
        if (probe_open(r.device, &r.sizes->probe, &r.p, &err) != TERN_OK)
            return fprintf(stderr, "cuda_probe: %s\n", err.text), 1;
        r.open = true;
        r.level = tn_level_named(r.p.level)->name;
        describe(&r);
    }
    try_all(&r);
    if (r.open) probe_close(&r.p);
    return r.trouble ? 1 : 0;
}
