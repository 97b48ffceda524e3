/* The `.tern` file: fixed-width, little-endian structs, with offsets from the start of the file or section and no
 * pointers. docs/blob.md is the specification; this header is its C form. It includes nothing of the runtime and
 * is shared with the compiler.
 *
 *   head (64 bytes) | section table | sections, each at its alignment, zero bytes between them
 *
 * Every byte is checked. The head's hash covers head and section table. A section's hash covers its bytes, but WGHT
 * is covered chunk by chunk by the hashes in CHNK. Bytes between sections are zero. A hash detects damage, not
 * malice: a blob is a program. */
#ifndef TN_ABI_BLOB_H
#define TN_ABI_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/abi/counts.h"
#include "runtime/abi/kvs.h"
#include "runtime/abi/sections.def"
#include "runtime/abi/version.h"

#define TN_BLOB_MAGIC        "\x89TERN\r\n\x1a" /* 8 bytes: shows text-mode damage at once */
#define TN_BLOB_CHUNK        (4u << 20)         /* bytes of a chunk of WGHT; each chunk has a hash */
#define TN_BLOB_SECTIONS_MAX 256

typedef struct TnBlobHead {
    uint8_t magic[8];
    uint32_t version;
    uint32_t head_bytes; /* 64 */
    uint32_t probe_int;  /* 0x01020304 */
    float probe_float;   /* -1.5f */
    uint64_t file_bytes;
    uint32_t n_sections;
    uint32_t abi;      /* TN_BLOB_ABI */
    uint8_t hash[16];  /* XXH3-128 of head (with these 16 bytes zero) followed by the section table */
    uint64_t reserved; /* 0 */
} TnBlobHead;

enum {
#define TN_SECTION_NUMBER(name, number, ...) TN_SECTION_##name = (number),
    TN_SECTIONS(TN_SECTION_NUMBER)
#undef TN_SECTION_NUMBER
};
typedef struct TnSectionKind {
    uint32_t number;
    char name[5];
    bool needed, many;
} TnSectionKind;
/* The i-th kind; NULL after the last. */
static inline const TnSectionKind *tn_section_row(size_t i) {
    static const TnSectionKind kinds[] = {
#define TN_SECTION_KIND(name, number, needed, many) {(number), #name, (needed), (many)},
        TN_SECTIONS(TN_SECTION_KIND)
#undef TN_SECTION_KIND
    };
    return i < sizeof kinds / sizeof *kinds ? &kinds[i] : NULL;
}
/* NULL if no kind has that number. */
static inline const TnSectionKind *tn_section_kind(uint32_t number) {
    const TnSectionKind *k = NULL;
    for (size_t i = 0; (k = tn_section_row(i)) && k->number != number;) i++;
    return k;
}
enum { TN_SECTION_REQUIRED = 1 }; /* flag: a reader that does not know the kind must refuse the file */

typedef struct TnBlobSection {
    uint32_t kind, flags;
    uint32_t level; /* CODE, PTXT, PROG, PLAN: feature level */
    uint32_t align; /* power of two */
    uint64_t offset, size;
    uint8_t hash[16]; /* of the bytes; of the CHNK section's bytes for WGHT */
    uint64_t reserved[2];
} TnBlobSection; /* 64 bytes */

/* A string or image inside its section. Strings are UTF-8 without a terminator. */
typedef struct TnBlobRange {
    uint32_t offset, size;
} TnBlobRange;

typedef struct TnBlobMeta {
    TN_MODEL_COUNTS(TN_MODEL_COUNT_MEMBER)
    uint64_t n_params, source_hash; /* source_hash: XXH3-64 of the model file's metadata and tensor table */
    TnBlobRange arch, name, producer,
        desc;                   /* producer: "tern 0.1.0"; desc: weight and head encodings, for tables */
    TnBlobRange vocab;          /* vocabulary image (runtime/text); size 0: none; offset a multiple of 64 */
    uint32_t pooling, reserved; /* TN_POOLING_* */
} TnBlobMeta;
/* What the hidden rows of a text become, as the model file says; tern.h has the same numbers. */
enum {
    TN_POOLING_UNSAID,
    TN_POOLING_NONE,
    TN_POOLING_MEAN,
    TN_POOLING_CLS,
    TN_POOLING_LAST,
    TN_POOLING_COUNT
};

typedef struct TnBlobCode {
    uint32_t n_exports, reserved;
    uint64_t image_offset, image_size; /* in the section, 64-aligned */
    /* TnBlobExport[n_exports], names, image. The image of PTXT is a text that ends in a 0, which counts */
} TnBlobCode;

typedef struct TnBlobExport {
    uint64_t entry; /* in the image. PTXT: where the line ".visible .entry NAME(" begins */
    TnBlobRange name;
} TnBlobExport;

/* One variant: a feature level, a cache type and a batch class. A step of T rows runs the variant with rows_lo <= T
 * <= rows_hi. */
typedef struct TnBlobProg {
    uint32_t level, kv;
    uint32_t rows_lo, rows_hi;
    uint32_t code; /* index of the CODE or PTXT section in the table; UINT32_MAX for level ref */
    uint32_t n_launches, n_operands, n_names;
    uint32_t output[8]; /* operand index of TN_OUT_*, UINT32_MAX if absent */
    /* TnBlobLaunch[n_launches], TnBlobOperand[n_operands], names */
} TnBlobProg;
enum { TN_OUT_BEST, TN_OUT_TOP, TN_OUT_TOPLOGIT, TN_OUT_LOGITS, TN_OUT_HIDDEN, TN_OUT_COUNT };

typedef struct TnBlobLaunch {
    uint32_t export_index; /* in the CODE or PTXT section; 0 for level ref */
    uint32_t first_operand, n_operands, n_reads;
    uint32_t gate_sym; /* launched only if this symbol is > 0; UINT32_MAX: always */
    uint32_t unit_sym; /* the number of units is `units` times this symbol; UINT32_MAX: `units` */
    uint64_t units;
    uint64_t scratch, scratch_page; /* bytes: scratch + scratch_page * P */
    uint8_t flags;
    /* If not 0, a unit is done for each block of so many rows, of which there are gate_sym, by threads of its own. 0 on
     * processors */
    uint8_t block;
    /* If many threads run a unit together: their number, and the bytes of memory that they share. 0 on processors */
    uint16_t threads;
    uint32_t shared;
    TnBlobRange name; /* in the section */
} TnBlobLaunch;
enum {
    TN_LAUNCH_BARRIER = 1, /* all tiles must end before the next launch begins */
    TN_LAUNCH_LISTS =
        2 /* the kernel can list the rows of a table that it will read, in several calls: TnRowList */
};
enum { TN_LAUNCH_THREADS_MAX = 1024, TN_LAUNCH_SHARED_MAX = 1 << 18 };

enum {
    /* index: a symbol, address = its part + offset * the symbol's largest value; or UINT32_MAX, address = constant part +
     * offset */
    TN_SPACE_ARENA,
    TN_SPACE_WGHT,  /* index: TN_WGHT_*; offset in WGHT */
    TN_SPACE_INPUT, /* index: TN_IN_* */
    TN_SPACE_KEYS,  /* index: layer */
    TN_SPACE_VALUES /* index: layer */
};
/* How a launch reads a weight: all of it; a few rows, as the ids say; or perhaps not at all, since another operand of the
 * launch holds the same weights in an order that may be read faster. Nothing but the memory taken depends on it. */
enum { TN_WGHT_WHOLE, TN_WGHT_ROWS, TN_WGHT_EITHER };
enum { TN_IN_IDS, TN_IN_POS, TN_IN_SLOT, TN_IN_ROWS, TN_IN_HROWS, TN_IN_TABLE, TN_IN_LROWS, TN_IN_COUNT };

typedef struct TnBlobOperand {
    uint32_t space, index;
    uint64_t offset;    /* 64-aligned */
    uint64_t row_bytes; /* for checks. Arena: bytes per row of the leading symbol; WGHT: all bytes */
} TnBlobOperand;

/* Memory as a formula: arena bytes = arena_const + sum over symbols s of arena[s] * largest value of s, each part
 * rounded up to 64. */
typedef struct TnBlobPlan {
    uint64_t arena_const;
    uint64_t arena[8];              /* by symbol T R K H S P N L */
    uint64_t scratch, scratch_page; /* per worker, of the launch that needs most */
    uint64_t key_page, value_page;  /* bytes of a page of one layer's cache */
    uint64_t weight_bytes;          /* bytes of WGHT that a token reads: see docs/blob.md */
    uint32_t n_barriers, topk;      /* topk: k of TN_OUT_TOP */
} TnBlobPlan;

typedef struct TnBlobWdir {
    uint32_t n, reserved;
    /* TnBlobWeight[n], names */
} TnBlobWdir;
typedef struct TnBlobWeight {
    uint64_t offset, size;  /* in WGHT */
    TnBlobRange name, type; /* e.g. "concat(blk.0.attn_q.weight,...)", "p64[3840,2560]" */
} TnBlobWeight;

#endif
