/* The tables of targets.def and families.def for all rooms, including the program: the names of the targets and what they do. This header
 * includes nothing else of ours. */
#ifndef TN_TARGETS_H
#define TN_TARGETS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define TN_FAMILY_ANY  "any"  /* the distances that serve machines of which nothing is known */
#define TN_FAMILY_HERE "here" /* the family of this machine, or any */

typedef enum TnTargetKernels { TN_TARGET_NONE, TN_TARGET_SOME, TN_TARGET_ALL } TnTargetKernels;

typedef struct TnTargetRow {
    const char *name;
    TnTargetKernels kernels;
    const char *listings;
    size_t megabytes;
    const char *doc;
} TnTargetRow;

enum {
#define TARGET(...) +1
    TN_TARGET_COUNT = 0
#include "codegen/targets.def"
#undef TARGET
};

/* The i-th row; NULL after the last. */
static inline const TnTargetRow *tn_target_row(size_t i) {
    static const TnTargetRow rows[] = {
#define TARGET(name, kernels, ...) {#name, TN_TARGET_##kernels, __VA_ARGS__},
#include "codegen/targets.def"
#undef TARGET
    };
    return i < sizeof rows / sizeof *rows ? &rows[i] : NULL;
}

/* Finds a row by name, which may be NULL. Returns NULL if this build has no such target. */
static inline const TnTargetRow *tn_target_named(const char *name) {
    const TnTargetRow *r = NULL;
    for (size_t i = 0; name && (r = tn_target_row(i)) && strcmp(r->name, name) != 0;) i++;
    return r;
}
/* Whether a target of that name (NULL: none) runs kernels without code. */
static inline bool tn_target_evaluates(const char *name) {
    const TnTargetRow *r = tn_target_named(name);
    return r && r->kernels == TN_TARGET_NONE;
}

/* For messages and help: "a, b, c", then "a: doc; b: doc", then the kinds of listing, which may be "". */
static inline const char *tn_target_names(void) {
    static const char text[] = ""
#define TARGET(name, ...) ", " #name
#include "codegen/targets.def"
#undef TARGET
        ;
    return text + 2;
}
static inline const char *tn_target_docs(void) {
    static const char text[] = ""
#define TARGET(name, kernels, listings, megabytes, doc) "; " #name ": " doc
#include "codegen/targets.def"
#undef TARGET
        ;
    return text + 2;
}
static inline const char *tn_target_listings(void) {
    static const char text[] = ""
#define TARGET(name, kernels, listings, ...) listings
#include "codegen/targets.def"
#undef TARGET
        ;
    return *text ? text + 2 : text;
}
/* For messages and help: what may be asked for as a family of processors (codegen/families.def). */
static inline const char *tn_family_names(void) {
    return TN_FAMILY_HERE ", " TN_FAMILY_ANY
#define FAMILY(name, ...) ", " #name
#include "codegen/families.def"
#undef FAMILY
        ;
}
/* Whether a target can print that kind of listing, and whether some target of this build can. */
static inline bool tn_row_lists(const TnTargetRow *row, const char *kind) {
    for (const char *p = row->listings + strspn(row->listings, ", "); *p; p += strspn(p, ", ")) {
        size_t n = strcspn(p, ",");
        if (strlen(kind) == n && strncmp(p, kind, n) == 0) return true;
        p += n;
    }
    return false;
}
static inline bool tn_target_lists(const char *kind) {
    const TnTargetRow *row = NULL;
    for (size_t i = 0; (row = tn_target_row(i)) && !tn_row_lists(row, kind);) i++;
    return row != NULL;
}

#endif
