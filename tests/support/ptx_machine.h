/* For tests: a machine in software that runs PTX text, the very text that a driver would get.
 *
 *   PtxMachine *m = ptx_machine_new(0);
 *   PtxModule *code = ptx_module_load(text, len, line);         // NULL: `line` says why
 *   uint64_t y = ptx_memory_new(m, 4096, PTX_FRESH, "y");
 *   uint64_t params[] = {y, sym};
 *   const char *fault = ptx_launch(m, code, &(PtxLaunch){.entry = "kernel_0", .grid = 4, .threads = 128,
 *                                                        .params = params, .param_bytes = sizeof params});
 *   if (fault) fail_msg("%s", fault);
 *   ptx_memory_read(m, host, y, 4096);
 *
 * It knows the instructions of codegen/ptx/ptx.def and no others. A warp runs in lock-step; where its lanes diverge, the
 * part with the lowest line goes first, and parts that meet join again. It also finds what a GPU does not report. Each
 * of these ends the launch with one line, which names the entry, the CTA, the thread and the line of the text:
 *
 *   - an access outside every piece of memory, across the end of one, or to freed memory; one that is not aligned
 *   - a write to memory that is PTX_READ_ONLY
 *   - bytes of memory that nobody wrote, in PTX_FRESH pieces and in shared memory; registers that nobody wrote
 *   - two threads that touch the same byte of shared memory, one of them writing, with no barrier between
 *     (bar.warp.sync is one for the lanes of a warp; shfl, vote and mma are not)
 *   - two CTAs of a launch that touch the same byte of device memory, one of them writing, unless both use atom or red
 *   - a read of the target of a cp.async before the wait for its group
 *   - bar.sync with lanes missing; warp instructions (shfl, vote, mma, ldmatrix) whose lanes are not those of their mask
 *   - more threads or shared memory than the module or the architecture allows; parameters of another size
 *   - more instructions than `limit`
 *
 * Not thread-safe. One machine is one device. */
#ifndef TN_TEST_PTX_MACHINE_H
#define TN_TEST_PTX_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PTX_LINE = 400 }; /* bytes that a line of error needs at most, with its end */

typedef struct PtxMachine PtxMachine;
typedef struct PtxModule PtxModule;

/* ---- text ---- */

/* Parses a text of `len` bytes. NULL: it is not PTX of ptx.def; `line` is "line N: .." then. Modules are independent of
 * machines. The text need not live longer than the call. */
PtxModule *ptx_module_load(const char *text, size_t len, char line[PTX_LINE]);
void ptx_module_free(PtxModule *module);
/* 80 for `.target sm_80`, and 'a' in *out_suffix for sm_90a (otherwise 0). out_suffix may be NULL. */
unsigned ptx_module_target(const PtxModule *module, char *out_suffix);

typedef struct PtxEntry {
    const char *name; /* lives as long as the module */
    uint32_t params;
    uint32_t param_bytes;  /* of all, each at its alignment */
    uint32_t threads_most; /* .maxntid, or 1024 */
    uint32_t shared;       /* bytes that the text declares: 0, all are the launch's */
    uint32_t registers;    /* 32-bit ones; those of 64 bits count twice */
} PtxEntry;

/* Number of entries of a module, and what is known of each. */
uint32_t ptx_module_entries(const PtxModule *module);
PtxEntry ptx_module_entry(const PtxModule *module, uint32_t i);
/* False if there is none of that name. */
bool ptx_module_find(const PtxModule *module, const char *name, PtxEntry *out);
/* Where parameter i of an entry lies among the bytes of its parameters. */
void ptx_module_param(const PtxModule *module, const char *name, uint32_t i, uint32_t *out_at,
                      uint32_t *out_bytes);

/* ---- memory ---- */

/* bytes: how much there is of it; 0: any amount. */
PtxMachine *ptx_machine_new(uint64_t bytes);
void ptx_machine_free(PtxMachine *m); /* with all its memory */

typedef enum PtxMemory {
    PTX_ZEROED,    /* zeros, as if somebody had written them */
    PTX_FRESH,     /* a launch must not read a byte before it, an earlier one or the host has written it */
    PTX_READ_ONLY, /* zeros that only the host writes */
} PtxMemory;

/* A piece of memory. Its address is made up (a multiple of 256 that no host pointer equals); a gap separates it from
 * others. `name` (copied, may be NULL) is for lines of error. 0: less than `bytes` are left. bytes may be 0. */
uint64_t ptx_memory_new(PtxMachine *m, uint64_t bytes, PtxMemory kind, const char *name);
/* The same over host memory, which the machine reads and writes in place (pinned memory of a driver). It is PTX_ZEROED
 * without being cleared, does not count, and must live until it is released. */
uint64_t ptx_memory_map(PtxMachine *m, void *host, uint64_t bytes, const char *name);
/* Changes the kind of a piece; its bytes stay. PTX_FRESH: all count as not written from now on. */
void ptx_memory_kind(PtxMachine *m, uint64_t address, PtxMemory kind);
/* False: no piece begins there. */
bool ptx_memory_release(PtxMachine *m, uint64_t address);
uint64_t ptx_memory_left(const PtxMachine *m);
uint32_t ptx_memory_pieces(const PtxMachine *m); /* that are not released */

/* What the host and copies of a driver do. NULL, or a line of error, which lives until the next call. Reading bytes that
 * nobody wrote is allowed here. */
const char *ptx_memory_write(PtxMachine *m, uint64_t to, const void *from, uint64_t bytes);
const char *ptx_memory_read(PtxMachine *m, void *to, uint64_t from, uint64_t bytes);
const char *ptx_memory_copy(PtxMachine *m, uint64_t to, uint64_t from, uint64_t bytes);
const char *ptx_memory_fill(PtxMachine *m, uint64_t to, uint8_t value, uint64_t bytes);
/* Host bytes that back [address, address + bytes), or NULL. Valid until the piece is released. What is written through it
 * does not count as written. */
void *ptx_memory_host(PtxMachine *m, uint64_t address, uint64_t bytes);

/* ---- launches ---- */

typedef struct PtxLaunch {
    const char *entry;
    uint32_t grid, threads; /* CTAs, and threads of each */
    uint32_t shared;        /* bytes of dynamic shared memory */
    const void *params;     /* laid out as ptx_module_param says */
    size_t param_bytes;
    uint64_t seed; /* 0: CTAs in order, warps in turn; otherwise CTAs and warps in an order that it decides */
    uint32_t
        alive; /* CTAs that run by turns; 0: 1. With `grid`, CTAs may wait for each other; they are not compared then */
    uint64_t limit;  /* warp instructions of the whole launch; 0: 2^36 */
    uint32_t grid_y; /* CTAs are grid times so many; 0: 1 */
} PtxLaunch;

typedef struct PtxCount {
    uint64_t launches, warp_instructions, lane_instructions;
} PtxCount;

/* Runs a launch to its end. NULL, or the line of the first fault, which lives until the next call. After a fault memory
 * has what was written until then. */
const char *ptx_launch(PtxMachine *m, const PtxModule *module, const PtxLaunch *launch);
/* From now on a row of ptx.def is done wrongly: the lowest bit of its first result is flipped in the warp's first lane, and if it
 * has no result, it is not done. False: there is no such row. */
bool ptx_machine_plant(PtxMachine *m, const char *row);
/* Of all launches so far. */
PtxCount ptx_machine_count(const PtxMachine *m);

#endif
