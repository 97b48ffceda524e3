/* What the files of the parser share: ptx_words.c reads words and operands, ptx_parse.c lines, entries and modules. Functions
 * return false after an error, whose line is in t->error. */
#ifndef TN_TEST_PTX_WORDS_H
#define TN_TEST_PTX_WORDS_H

#include "support/ptx_parts.h"

enum { PTX_NAME = 128, PTX_KINDS_MOST = 8, PTX_PARAMS_MOST = 128 };

/* Registers that a line `.reg .b32 %r<9>;` declares. */
typedef struct PtxKind {
    char prefix[PTX_NAME], letter;
    uint32_t n, place; /* of number 0; wide ones are two rows apart */
} PtxKind;

typedef struct PtxLabel {
    char name[PTX_NAME];
    uint32_t at, line; /* at: UINT32_MAX until it is placed; line: first seen */
} PtxLabel;

/* An operand as it stands in the text. kind: a letter of ptx.def, '#' for an integer, '[' for an address. */
typedef struct PtxOperand {
    char kind;
    uint32_t place; /* of a register; label; offset of a parameter */
    uint64_t number;
    int64_t offset;
    char base; /* of an address: the register's letter */
} PtxOperand;

typedef struct PtxParser {
    const char *p, *end;
    uint32_t line;
    PtxModule *module;
    PtxBody *body; /* inside an entry */
    PtxKind kind[PTX_KINDS_MOST];
    uint32_t kinds, code_room, constant_room, labels, label_room;
    PtxLabel *label;
    char shared[PTX_NAME], param[PTX_PARAMS_MOST][PTX_NAME];
    bool failed;
    char *error;
} PtxParser;

/* Sets the error, unless there is one already; false. */
bool ptx_bad(PtxParser *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* p, made larger if n elements fill it. */
void *ptx_grown(void *p, uint32_t n, uint32_t *room, size_t size);
char *ptx_copied(const char *s, size_t n);

/* White space and comments; a character if it comes next; a character that must; a word of letters, digits and ._$%; a number
 * of at most `most`; a certain word. */
void ptx_skip(PtxParser *t);
bool ptx_take(PtxParser *t, char c);
bool ptx_expect(PtxParser *t, char c);
bool ptx_word(PtxParser *t, char out[PTX_NAME]);
bool ptx_decimal(PtxParser *t, uint64_t most, uint64_t *out);
bool ptx_keyword(PtxParser *t, const char *expected);

/* A register that the entry has declared; the number of a label, new or known; an operand of any kind; the row of constants
 * for a number of that kind. */
bool ptx_find_register(PtxParser *t, const char *name, PtxOperand *out);
uint32_t ptx_label_of(PtxParser *t, const char *name);
bool ptx_operand(PtxParser *t, PtxOperand *out);
bool ptx_is_wide(char kind);
uint32_t ptx_constant(PtxParser *t, char kind, uint64_t bits);

#endif
