/* Computes the time a test would take if only the machine's three rates counted.
 *
 * A step must read every weight of its plan once, and the keys and values that its rows attend to; and it
 * must do its multiply-adds. Its floor is the longer of the two times: decoding is bound by reading, prefill
 * by arithmetic. Activations are not counted, because they stay in caches. The multiply-adds of attention
 * are in f32 and count at that rate. Those of a head of floats count as if they were int8; of a prompt only one
 * row needs it, so the floor of prefill is a little lower than any code can reach. */
#include <stdlib.h>
#include "frontends/cli/bench.h"

/* A batch class of the model, with the costs of its launches. */
typedef struct Class {
    TernProfileProgram facts;
    TerncCost *cost;
    uint32_t n;
} Class;

enum { CLASSES_MOST = 8 };
typedef struct Plans {
    Class classes[CLASSES_MOST];
    uint32_t n, max_rows;
} Plans;

/* A session's profile lists the variants that the session uses. It takes no larger steps than the tests did, and so no more
 * memory. */
static TernStatus read_plans(Loaded *l, TernKv kv, uint32_t batch, Plans *p, TernError *err) {
    TernSession *s;
    TernProfile *profile = NULL;
    TernSessionOptions o = {.size = sizeof o, .context = 1, .batch = batch, .wants = 1, .kv = kv};
    TN_TRY(tern_session_create(l->model, l->pool, &o, &s, err));
    TernStatus st = tern_profile_create(s, NULL, &profile, err);
    uint32_t n = st == TERN_OK ? tern_profile_programs(profile) : 0;
    for (; p->n < n && p->n < CLASSES_MOST && st == TERN_OK; p->n++) {
        Class *c = &p->classes[p->n];
        tern_profile_program(profile, p->n, &c->facts);
        st = ternc()->cost(l->model, c->facts.variant, &c->cost, &c->n, err);
    }
    tern_profile_destroy(profile);
    tern_session_destroy(s);
    return st;
}

/* Seconds of a test by the rate that they are due to. */
typedef struct Seconds {
    double read, int8, f32;
} Seconds;

static double at_rate(double amount, double rate) {
    return rate > 0 ? amount / rate : 0;
}

/* Adds a run of `rows` rows, `wants` of which ask for logits. At its end the slots hold `held` positions in
 * all; its rows attend to `attended` positions in all. */
static void add_run(const Plans *p, BenchRow *b, Seconds *seconds, uint32_t rows, uint32_t wants, double held,
                    double attended) {
    const Class *c = p->classes;
    while (c < p->classes + p->n - 1 && rows > c->facts.rows_hi) c++;
    double bytes = (double)c->facts.weight_bytes, macs = 0, floats = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        const TerncCost *w = &c->cost[i];
        double most = (double)rows * (double)w->window, seen = attended, back = held;
        if (w->window && seen > most) seen = most;
        if (w->window && back > seen) back = seen;
        bytes += (double)w->held_bytes * back;
        macs += (double)w->sym_macs[0] * rows + (double)w->sym_macs[1] * wants;
        floats += (double)w->attended_macs * seen;
    }
    b->bytes += bytes;
    b->macs += macs;
    b->float_macs += floats;
    double read = at_rate(bytes, machine_read(b->machine));
    double int8 = at_rate(2 * macs, b->machine->int8), f32 = at_rate(2 * floats, b->machine->f32);
    if (read > int8 + f32) {
        seconds->read += read;
        return;
    }
    seconds->int8 += int8;
    seconds->f32 += f32;
}

/* Adds the same runs as verb_bench.c makes: prompts sequence by sequence, cut at the largest batch class. */
static void floor_of(const Plans *p, BenchRow *b) {
    Seconds s = {0};
    uint32_t left = b->n_prompt * b->sequences, at = 0; /* at: position in the current sequence */
    while (left) {
        uint32_t rows = left < p->max_rows ? left : p->max_rows, wants = 0;
        double held = 0, attended = 0;
        for (uint32_t r = 0; r < rows; r++) {
            attended += (double)b->depth + at + 1;
            if (at + 1 == b->n_prompt) wants++;
            if (at + 1 == b->n_prompt || r + 1 == rows) held += (double)b->depth + at + 1;
            at = at + 1 == b->n_prompt ? 0 : at + 1;
        }
        add_run(p, b, &s, rows, wants, held, attended);
        left -= rows;
    }
    for (uint32_t i = 0; i < b->n_gen; i++) {
        double positions = ((double)b->depth + b->n_prompt + i + 1) * b->sequences;
        add_run(p, b, &s, b->sequences, b->sequences, positions, positions);
    }
    bool known = machine_read(b->machine) > 0 && b->machine->int8 > 0 && b->machine->f32 > 0;
    double all = s.read + s.int8 + s.f32;
    b->floor = known && all > 0 ? bench_tokens(b) / all : 0;
    b->bound = s.read > s.int8 + s.f32 ? "read" : s.int8 >= s.f32 ? "int8" : "f32";
}

double bench_share(const BenchRow *b) {
    return b->floor > 0 ? b->median / b->floor : 0;
}

TernStatus bench_floors(Loaded *l, TernKv kv, BenchRow *rows, uint32_t n, TernError *err) {
    if (!ternc_present()) return TERN_OK;
    Plans p = {.max_rows = l->info.max_rows};
    uint32_t batch = 1;
    for (uint32_t i = 0; i < n; i++)
        if (bench_batch(&rows[i], p.max_rows) > batch) batch = bench_batch(&rows[i], p.max_rows);
    TernStatus st = read_plans(l, kv, batch, &p, err);
    for (uint32_t i = 0; i < n && st == TERN_OK && p.n; i++) floor_of(&p, &rows[i]);
    for (uint32_t i = 0; i < p.n; i++) free(p.classes[i].cost);
    return st;
}
