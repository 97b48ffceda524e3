/* Streams of the fake driver, and the work on them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fake_cuda.h"

static void *copy_of(const void *from, size_t bytes) {
    void *to = malloc(bytes + 1);
    if (!to) abort();
    if (bytes) memcpy(to, from, bytes);
    return to;
}

bool fake_pinned(const void *at, size_t bytes) {
    for (const struct Pinned *p = fake.pinned; p; p = p->next)
        if ((const uint8_t *)at >= p->at && (const uint8_t *)at + bytes <= p->at + p->bytes) return true;
    return false;
}

Op fake_copy(const Op *op) {
    Op copy = *op;
    if (op->params) copy.params = copy_of(op->params, op->function->entry.param_bytes);
    if (op->copied) copy.copied = copy_of(op->copied, op->bytes);
    return copy;
}

static void drop_op(Op *op) {
    free(op->params);
    free(op->copied);
    op->params = op->copied = NULL;
}

void fake_drop(Graph *g) {
    for (size_t i = 0; i < g->n; i++) drop_op(&g->ops[i]);
    free(g->ops);
    *g = (Graph){0};
}

int fake_enqueue(Stream *s, Op op) {
    Graph *g = s->capture ? s->capture : &s->queue;
    if (s->capture && op.copied) { /* ordinary memory */
        s->spoilt = true;
        drop_op(&op);
        return CAPTURE_FORBIDS;
    }
    if (g->n == g->cap) {
        g->cap = g->cap ? 2 * g->cap : 64;
        g->ops = realloc(g->ops, g->cap * sizeof *g->ops);
        if (!g->ops) abort();
    }
    if (op.event && !s->capture) op.event->recorded = true, op.event->done = false;
    g->ops[g->n++] = op;
    return OK;
}

static int faulty(const char *line, int result) {
    fprintf(stderr, "fake cuda: %s\n", line);
    fake.faults++;
    return fake.sticky = result;
}

static const char *launch(const Op *op) {
    fake.launches++;
    return ptx_launch(fake.machine, op->function->module->ptx,
                      &(PtxLaunch){.entry = op->function->entry.name,
                                   .grid = op->grid,
                                   .grid_y = op->grid_y,
                                   .threads = op->threads,
                                   .shared = op->shared,
                                   .params = op->params,
                                   .param_bytes = op->function->entry.param_bytes,
                                   .seed = fake.seed ? fake.seed + fake.launches : 0});
}

static const char *fill(const Op *op) {
    const char *fault = NULL;
    for (size_t i = 0; i < op->rows && !fault; i++)
        fault = ptx_memory_fill(fake.machine, op->to + i * op->pitch, op->value, op->bytes);
    return fault;
}

static int run_op(Op *op) {
    const char *fault = NULL;
    fake.clock += 0.001;
    switch (op->kind) {
    case OP_LAUNCH:
        fault = launch(op);
        break;
    case OP_TO_DEVICE:
        fault = ptx_memory_write(fake.machine, op->to, op->copied ? op->copied : op->host, op->bytes);
        break;
    case OP_TO_HOST:
        fault = ptx_memory_read(fake.machine, op->host, op->from, op->bytes);
        break;
    case OP_WITHIN:
        fault = ptx_memory_copy(fake.machine, op->to, op->from, op->bytes);
        break;
    case OP_FILL:
        fault = fill(op);
        break;
    case OP_EVENT:
        op->event->done = true;
        op->event->ms = fake.clock;
        break;
    }
    if (!fault) return OK;
    return faulty(fault, op->kind == OP_LAUNCH ? LAUNCH_FAILED : ILLEGAL_ADDRESS);
}

static int run_next(Stream *s) {
    Op op = s->queue.ops[s->ran];
    s->queue.ops[s->ran++] = (Op){.kind = OP_FILL}; /* it owns nothing now */
    int result = run_op(&op);
    drop_op(&op);
    if (s->ran == s->queue.n) s->ran = s->queue.n = 0;
    return result;
}

/* Some of what waits on other streams runs too. */
static int run_others(const Stream *s) {
    for (Stream *o = fake.streams; o && fake.seed; o = o->next) {
        fake.seed = fake.seed * 6364136223846793005u + 1442695040888963407u;
        size_t n = (fake.seed >> 33) % 8;
        for (; o != s && n > 0 && o->queue.n; n--) {
            int result = run_next(o);
            if (result != OK) return result;
        }
    }
    return OK;
}

int fake_run(Stream *s) {
    int result = run_others(s);
    while (result == OK && s->queue.n) result = run_next(s);
    return result;
}

int fake_run_all(void) {
    int result = fake_run(&fake.plain);
    for (Stream *s = fake.streams; s && result == OK; s = s->next) result = fake_run(s);
    return result;
}

static bool waits_for(const Stream *s, const Event *e) {
    for (size_t i = s->ran; i < s->queue.n; i++)
        if (s->queue.ops[i].event == e) return true;
    return false;
}

int fake_run_to(Event *e) {
    if (!e->recorded) return OK;
    Stream *s = waits_for(&fake.plain, e) ? &fake.plain : fake.streams;
    while (s && !waits_for(s, e)) s = s->next;
    int result = OK;
    while (s && result == OK && waits_for(s, e)) result = run_next(s);
    return result;
}
