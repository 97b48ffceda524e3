/* tern inspect: what it does without the compiler library (inspect_blob.c). */
#ifndef TN_INSPECT_H
#define TN_INSPECT_H

#include "frontends/cli/cli.h"

/* Whether the file has a compiled model: a blob, or a program with one in it. A file that cannot be read has none. */
bool is_blob(const char *path);
/* Prints the tables of a blob that need no compiler library. Returns an exit status. */
int list_blob(const char *path);

typedef struct MemoryFlags {
    ModelFlags m; /* model, cpu, kv, head, threads, no_keep */
    TernKv kv;
    int64_t context, slots; /* context 0: the default of tern run */
} MemoryFlags;
/* --memory: prints what a model and a session of that size take. A model file is compiled as tern run does it, a blob of any
 * machine is only read. Returns an exit status; exits 2 on a mistake. */
int show_memory(const Verb *verb, MemoryFlags *flags);

#endif
