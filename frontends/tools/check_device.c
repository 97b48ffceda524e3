/* ternc_check_device: runs the trial of every row of ptx.def on a GPU (codegen/ptx/ptx_trial.h). */
#include <stdio.h>
#include <string.h>
#include "codegen/ptx/ptx_trial.h"
#include "frontends/api/call_options.h"
#include "runtime/base/options.h"

enum { WIDTH = 100 };

/* ---- without a device: what none has run */

static void list_unseen(TnBuf *out) {
    uint32_t unseen = 0;
    size_t column = 0;
    for (int r = 0; r < TN_PX_ROWS; r++) unseen += !tn_ptx_seen((TnPxRow)r);
    tn_buf_printf(out, "instructions that no GPU has run in a check: %u of %d\n", unseen, TN_PX_ROWS);
    for (int r = 0; r < TN_PX_ROWS; r++) {
        const char *name = tn_px_rows[r].name;
        if (tn_ptx_seen((TnPxRow)r)) continue;
        bool begins = column == 0 || column + strlen(name) + 1 > WIDTH;
        if (begins) column = 1;
        tn_buf_printf(out, "%s %s", begins ? "\n " : "", name);
        column += strlen(name) + 1;
    }
    if (unseen) tn_buf_puts(out, "\n");
}

/* ---- on a device */

typedef struct Check {
    TernDevice device;
    char level[16];
    TernLab *lab;
    TerncTextFn *text;
    void *user;
    TnBuf line;
    uint32_t differ, untried;
    TernError lost; /* why rows can no longer be tried; "": they can */
} Check;

/* Each line goes out as soon as it is known: a check that is cut off has said what it found. */
static void send(Check *c) {
    c->text(c->user, "result", c->line.data, c->line.len);
    c->line.len = 0;
}

/* *ran: the kernel was there to be run. */
static TernStatus run(Check *c, TnPtxTrial *t, bool *ran, TernError *err) {
    const TernLabBuffer buffers[] = {{t->in, t->in_bytes, 0}, {t->out, t->out_bytes, 1}};
    TernLabLaunch l = {.size = sizeof l,
                       .entry = TN_PTX_TRIAL_ENTRY,
                       .grid = t->grid,
                       .grid_y = t->grid_y,
                       .threads = t->threads,
                       .shared = t->shared,
                       .n_buffers = TN_COUNT(buffers),
                       .buffers = buffers};
    *ran = false;
    TN_TRY(tern_lab_load(c->lab, t->text.data, err));
    *ran = true;
    return tern_lab_run(c->lab, &l, err);
}

/* A kernel that fails may spoil all that comes after it, so the device is opened anew. Some faults outlast that: then the
 * simplest kernel fails too, and a later row's failure would say nothing about the row. */
static void open_again(Check *c) {
    TnPtxTrial t;
    bool ran;
    tern_lab_close(c->lab);
    c->lab = NULL;
    if (tern_lab_open(c->device.device, &c->lab, &c->lost) != TERN_OK) return;
    tn_ptx_trial_make(TN_PX_ld_param, c->level, &t);
    if (run(c, &t, &ran, &c->lost) == TERN_OK) c->lost = (TernError){0};
    tn_ptx_trial_free(&t);
}

static void try_row(Check *c, TnPxRow row) {
    TnPtxTrial t;
    TernError failed = {0};
    bool ran;
    tn_buf_printf(&c->line, "%-13s  %-47s  ", tn_px_rows[row].name, tn_px_rows[row].text);
    if (*c->lost.text) {
        tn_buf_printf(&c->line, "not tried: the device does not come back: %s\n", c->lost.text);
        send(c);
        c->untried++;
        return;
    }
    tn_ptx_trial_make(row, c->level, &t);
    TernStatus st = run(c, &t, &ran, &failed);
    TnBuf what = {0};
    bool same = st == TERN_OK && tn_ptx_trial_judge(&t, &what);
    if (same)
        tn_buf_puts(&c->line, "ok\n");
    else if (st == TERN_OK)
        tn_buf_printf(&c->line, "differs %.*s\n", (int)what.len, (const char *)what.data);
    else
        tn_buf_printf(&c->line, "fails: %s\n", failed.text);
    send(c);
    c->differ += !same;
    if (ran && st != TERN_OK) open_again(c);
    tn_buf_free(&what);
    tn_ptx_trial_free(&t);
}

static TernStatus check(Check *c, TernError *err) {
    TN_TRY(tern_lab_open(c->device.device, &c->lab, err));
    snprintf(c->level, sizeof c->level, "%.*s", (int)strcspn(c->device.levels, ","), c->device.levels);
    tn_buf_printf(&c->line, "%-13s  %-47s  %s\n", "row", "instruction", c->device.device);
    send(c);
    for (int r = 0; r < TN_PX_ROWS; r++) try_row(c, (TnPxRow)r);
    tn_buf_printf(&c->line, "%s, %s, driver %u.%u, %s: %d instructions, %u differ", c->device.device,
                  c->device.name, c->device.driver / 1000, c->device.driver % 1000 / 10, c->level, TN_PX_ROWS,
                  c->differ);
    if (c->untried) tn_buf_printf(&c->line, ", %u not tried", c->untried);
    tn_buf_puts(&c->line, "\n");
    send(c);
    return TERN_OK;
}

static TernStatus check_named(const char *device, TerncTextFn *text, void *user, uint32_t *differ,
                              TernError *err) {
    Check c = {.device = {.size = sizeof c.device}, .text = text, .user = user};
    TN_TRY(tern_device(device, &c.device, err));
    TernStatus st = check(&c, err);
    tern_lab_close(c.lab);
    tn_buf_free(&c.line);
    *differ = c.differ;
    return st;
}

TernStatus ternc_check_device(const TerncDeviceCheck *given, TerncTextFn *text, void *user, int *same,
                              TernError *err) {
    TerncDeviceCheck o;
    TnBuf out = {0};
    uint32_t differ = 0;
    TN_TRY(tn_device_check_take(given, &o, err));
    TN_NEED(text, err);
    TN_NEED(same, err);
    if (o.device) {
        TernStatus st = check_named(o.device, text, user, &differ, err);
        if (st == TERN_OK) *same = differ == 0;
        return st;
    }
    list_unseen(&out);
    text(user, "result", out.data, out.len);
    *same = 1;
    tn_buf_free(&out);
    return TERN_OK;
}
