/* What the files of the PTX machine share. ptx_machine.h has the interface. */
#ifndef TN_TEST_PTX_PARTS_H
#define TN_TEST_PTX_PARTS_H

#include "codegen/ptx/ptx_writer.h"
#include "support/ptx_machine.h"
#include "support/ptx_shadow.h"

/* ---- modules: ptx_parse.c */

/* Where a register lies: in units of 4 bytes from the start of a warp's file, or of the entry's constants. A register of 32
 * bits takes a row of 32 words, one of 64 bits a row of 32 pairs. A predicate is a bit for each lane: its place is a number. */
enum { PTX_ROW = 32 };
#define PTX_CONSTANT 0x80000000u

enum { PTX_VALUES_MOST = 10, PTX_RESULTS_MOST = 4, PTX_NO_GUARD = 0xffff };

typedef struct PtxIns {
    uint16_t row;  /* of ptx.def; TN_PX_ROWS: the end of the body */
    uint8_t class; /* TnPxClass */
    uint8_t results, values;
    uint16_t guard; /* a predicate, or PTX_NO_GUARD */
    bool unless, predicate_result;
    uint16_t registers, predicates; /* bits: values that are registers of the file, that are predicates */
    uint32_t line;
    uint32_t result[PTX_RESULTS_MOST];
    uint32_t value
        [PTX_VALUES_MOST]; /* of addresses the register; P: the offset of the parameter; L: the index of an instruction */
    int64_t offset; /* the constant of an address: at most one of a row is not 0 */
    int64_t second; /* COPY: of the source */
} PtxIns;

typedef struct PtxBody {
    char *name;
    PtxIns *code; /* ends with an instruction of row TN_PX_ROWS */
    uint32_t n;
    uint32_t words, predicates; /* of a warp's file */
    uint32_t *constants;        /* rows, filled */
    uint32_t constant_words;
    uint32_t params, param_bytes, threads_most, registers;
    uint32_t *param_at, *param_size;
} PtxBody;

struct PtxModule {
    PtxBody *bodies;
    uint32_t n;
    unsigned target;
    char suffix;
    char *text; /* the instructions, for lines of faults */
    uint32_t *line_at, lines;
};

const PtxBody *ptx_body_find(const PtxModule *module, const char *name);
/* The text of a line, without its end. */
const char *ptx_line_text(const PtxModule *module, uint32_t line, int *out_len);

/* Where shared memory begins: the first KiB of a CTA's is the system's, as on sm_80. */
enum { PTX_SHARED_BASE = 1024 };

/* The rows of a warp's file that hold special registers come first, in the order of ptx_special.def. */
static inline uint32_t ptx_special_place(uint32_t special) {
    return special * PTX_ROW;
}

/* ---- memory: ptx_memory.c */

typedef enum PtxHow { PTX_READ, PTX_WRITE, PTX_UPDATE /* atom */, PTX_ACQUIRE /* an atomic read */ } PtxHow;

/* An access of one instruction: a lane's `bytes` (1 to 16) at at[lane]. */
typedef struct PtxAccess {
    const uint64_t *at;
    uint32_t lanes, bytes;
    PtxHow how;
    uint32_t launch;
    PtxWho who;            /* without the thread */
    uint32_t first_thread; /* of the warp */
} PtxAccess;

/* A fault of a lane. text: what is wrong, in words that go on after "thread 3, line 7 (..): ". */
typedef struct PtxFault {
    uint32_t lane;
    char text[PTX_LINE];
} PtxFault;

/* Checks what lies in one piece of memory with the first of the lanes, and marks it as touched. Returns these lanes, and
 * what to add to their addresses to get host addresses. 0: a fault. */
uint32_t ptx_memory_reach(PtxMachine *m, const PtxAccess *access, uintptr_t *out_delta, PtxFault *fault);

struct PtxPieces;
struct PtxPieces *ptx_pieces_new(uint64_t bytes);
void ptx_pieces_free(struct PtxPieces *p);
struct PtxPieces *ptx_pieces(PtxMachine *m);

/* ---- execution */

/* A part of a warp: lanes that are at the same instruction. */
typedef struct PtxPart {
    uint32_t pc, lanes;
} PtxPart;

/* A cp.async on its way. */
typedef struct PtxLate {
    uint64_t from;
    uint32_t to, bytes, lane, group;
} PtxLate;

typedef enum PtxState { PTX_READY, PTX_AT_BARRIER, PTX_ENDED, PTX_FAULTY } PtxState;

typedef struct PtxWarp {
    uint32_t *file;    /* words; rows are aligned to 64 bytes */
    uint32_t *written; /* for each row: lanes whose value somebody wrote */
    uint32_t *predicate, *predicate_written;
    PtxPart part[33];
    uint32_t parts;
    uint32_t number, lanes; /* in its CTA; that exist */
    uint32_t since;         /* moment of its last bar.warp.sync */
    PtxState state;
    uint32_t barrier_line, barrier;
    PtxLate *late;
    uint32_t lates, late_room;
    uint32_t groups[32]; /* of cp.async that a lane has closed */
} PtxWarp;

typedef struct PtxCta {
    uint32_t id;
    uint32_t serial; /* from 1: which CTA of this slot; stands in the tags of shared memory */
    uint8_t *shared;
    uint64_t *reads, *writes; /* tags of shared memory */
    uint32_t now, since;      /* moments: now, and the last barrier of all */
    PtxWarp *warps;
    uint32_t n; /* warps */
    bool alive;
    /* what the slot has room for */
    uint32_t *file, *written;
    uint64_t room_words, room_rows, room_shared;
} PtxCta;

typedef struct PtxRun {
    PtxMachine *m;
    const PtxModule *module;
    const PtxBody *body;
    const PtxLaunch *launch;
    uint32_t number; /* of the launch, from 1 */
    uint32_t wrong;  /* ptx_machine_plant */
    bool alone;      /* several CTAs are alive: their accesses are not compared */
    uint64_t left, warp_instructions, lane_instructions;
    PtxFault fault;
    uint32_t fault_line;
} PtxRun;

/* A warp until it ends, waits at a barrier, meets a fault, or did about `budget` instructions. Sets w->state. */
void ptx_warp_run(PtxRun *run, PtxCta *cta, PtxWarp *w, uint64_t budget);
/* One row of class ALU for the lanes: ptx_alu.c. Operands are rows of registers; predicates are read at values[..]. */
void ptx_alu(const PtxIns *i, PtxWarp *w, const uint32_t *constants, uint32_t lanes);
/* Loads, stores and atomics: ptx_access.c. False: run->fault. */
bool ptx_access(PtxRun *run, PtxCta *cta, PtxWarp *w, const PtxIns *i, uint32_t lanes);
/* cp.async and its groups: ptx_late.c. */
bool ptx_copy(PtxRun *run, PtxCta *cta, PtxWarp *w, const PtxIns *i, uint32_t lanes);
bool ptx_group(PtxRun *run, PtxCta *cta, PtxWarp *w, const PtxIns *i, uint32_t lanes);
/* shfl, vote, ldmatrix, mma: ptx_lanes.c. */
bool ptx_lanes(PtxRun *run, PtxCta *cta, PtxWarp *w, const PtxIns *i, uint32_t lanes);

/* Checks and marks an access to shared memory, whose lanes' addresses are at[lane]; `together`: each address counts as read by
 * the whole warp. */
bool ptx_shared_reach(PtxRun *run, PtxCta *cta, PtxWarp *w, const uint32_t *at, uint32_t lanes,
                      uint32_t bytes, PtxHow how, bool together);
/* Device memory: *out_delta and the lanes it is for, as ptx_memory_reach. */
uint32_t ptx_device_reach(PtxRun *run, PtxCta *cta, PtxWarp *w, const uint64_t *at, uint32_t lanes,
                          uint32_t bytes, PtxHow how, uintptr_t *out_delta);
PtxWho ptx_who(const PtxRun *run, const PtxCta *cta, const PtxWarp *w, bool shared);
/* The addresses of operand k. */
void ptx_device_addresses(const PtxWarp *w, const PtxIns *i, uint32_t k, int64_t offset, uint64_t at[32]);
void ptx_shared_addresses(const PtxWarp *w, const PtxIns *i, uint32_t k, uint32_t at[32]);

/* False, with that fault. */
bool ptx_fails(PtxRun *run, uint32_t lane, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The row of a value: a register or a constant. */
static inline const uint32_t *ptx_value(const PtxWarp *w, const uint32_t *constants, uint32_t place) {
    return place & PTX_CONSTANT ? constants + (place & ~PTX_CONSTANT) : w->file + place;
}

/* Hot loops have a second body for processors with AVX2; as ir/eval_ops.h. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PTX_NO_CLONES
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define PTX_NO_CLONES
#endif
#endif
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(PTX_NO_CLONES)
#define PTX_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define PTX_CLONES
#endif

#endif
