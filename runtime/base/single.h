/* A single file: a program with a compiled model after it, which it finds in itself.
 *
 *   the program (ELF, static) | zeros | the blob, at a multiple of 64 KiB | a trailer of 64 bytes
 *
 * 64 KiB serves every page size, so the blob is mapped where it lies. The trailer says where it begins; it is found from the
 * end of the file, so nobody has to understand ELF to find the model. Its hash covers what comes before the blob, and the
 * blob has hashes of its own, so every byte of the file is checked.
 *
 * A file that lost its end has no trailer. So that such a program does not take itself for one without a model, it has a slot
 * too: a struct among its constants, which is filled in when the blob is added. */
#ifndef TN_BASE_SINGLE_H
#define TN_BASE_SINGLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/base/status.h"

enum { TN_SINGLE_ALIGN = 64 << 10 };

typedef struct TnSingleSlot {
    char magic[16];         /* TN_SINGLE_SLOT_HEAD, TN_SINGLE_SLOT_TAIL */
    char version[16];       /* tern_version() */
    uint32_t abi, reserved; /* of blobs that the program runs */
    uint64_t offset;        /* of the blob in the file; 0: the program has none */
} TnSingleSlot;
/* In two pieces, so that code which looks for a slot does not contain one. */
#define TN_SINGLE_SLOT_HEAD "\x89TERN sl"
#define TN_SINGLE_SLOT_TAIL "ot\r\n\x1a\n\0"

typedef struct TnSingleTrailer {
    char magic[16];
    uint64_t offset, bytes; /* of the blob */
    uint64_t reserved[2];
    uint8_t hash[16]; /* XXH3-128 of what comes before the blob, then the 48 bytes above */
} TnSingleTrailer;

/* Whether a file ends in a trailer. */
bool tn_single_is(const void *data, size_t size);
/* Checks the trailer and what it covers, and narrows the bytes to the blob. Leaves bytes of any other file as they are. */
TernStatus tn_single_open(const uint8_t **data, size_t *size, TernError *err);
/* The trailer for a blob of that many bytes after `before`, whose length is a multiple of TN_SINGLE_ALIGN. */
TnSingleTrailer tn_single_trailer(const void *before, size_t n, uint64_t bytes);

/* The head of a 64-bit ELF file. */
typedef struct TnElfHead {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
} TnElfHead;

/* Finds the slot of a program for blobs of this abi: its place in the file. `name` is for messages. Refuses a file that is not
 * a static ELF program, has no slot or one of another version or abi, or already has a blob. *out_machine is ELF's number of
 * the machine. */
enum { TN_ELF_X86_64 = 62, TN_ELF_AARCH64 = 183 };
TernStatus tn_single_program(const char *name, const uint8_t *data, size_t size, const char *version,
                             uint32_t abi, size_t *out_slot, uint32_t *out_machine, TernError *err);

#endif
