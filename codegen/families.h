/* Families of processors: what is known of them beyond their feature levels, from measurement. Code for a family runs on
 * every machine of its level, with the same bits; only its speed is that family's. */
#ifndef TN_FAMILIES_H
#define TN_FAMILIES_H

#include "ir/ir.h"

typedef struct TnFamily {
    const char *name, *doc;
    const char *vendor; /* as CPUID says */
    uint32_t family;
    struct {
        uint32_t lo, hi;
    } models[4];                                           /* {0, 0}: no more */
    int64_t listed[TN_INTO_COUNT], columns[TN_INTO_COUNT]; /* TnPrefetch.ahead of these streams */
    int64_t beside[TN_INTO_COUNT];                         /* that of bytes of b64 and b80 */
    bool whole;  /* all rows of b64 are faster than p64 of which rows are left out */
    bool base3;  /* b80 is faster than b64 with one row */
    bool panels; /* for many rows, panels are faster than packed bytes */
} TnFamily;

const TnFamily *tn_family_at(size_t i); /* NULL after the last */
/* NULL: it has no row, or name is NULL. */
const TnFamily *tn_family_named(const char *name);
/* The family of a processor; NULL: no row has it. */
const TnFamily *tn_family_of(const char *vendor, uint32_t family, uint32_t model);
/* The name of this machine's family; NULL: no row has it. */
const char *tn_family_here(void);

#endif
