/* JSON text from outside as a tree, parsed by jansson: strict RFC 8259, in UTF-8.
 *
 * The members of an object stay in their order. A key that is there twice has its last value at its first place, as in
 * Python and JavaScript. Integers have at most 64 bits. Strings are decoded, and they may hold NUL; half of a surrogate
 * pair, NaN, comments and trailing commas are errors. Callers name a place by its path: messages[2].content. */
#ifndef TN_JSON_TREE_H
#define TN_JSON_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/base/arena.h"
#include "runtime/base/buf.h"
#include "runtime/base/error.h"

typedef enum TnJsonKind {
    TN_JSON_NULL,
    TN_JSON_FALSE,
    TN_JSON_TRUE,
    TN_JSON_INT,  /* a number without fraction and exponent */
    TN_JSON_REAL, /* any other number */
    TN_JSON_STRING,
    TN_JSON_ARRAY,
    TN_JSON_OBJECT,
} TnJsonKind;

enum { TN_JSON_DEPTH_MOST = 256 }; /* arrays and objects in each other */

typedef struct TnJsonNode {
    TnJsonKind kind;
    const char *text; /* STRING: its bytes; INT, REAL: its digits, of a REAL the fewest; a NUL follows */
    size_t size;
    const char *key; /* if it is a member of an object: its name, a NUL follows; else NULL */
    size_t key_size;
    struct TnJsonNode *first, *next; /* ARRAY, OBJECT: the first item; the next item of the parent */
    size_t n;                        /* ARRAY, OBJECT: items */
} TnJsonNode;

/* The whole text must be one value. All memory is of the arena, at most about 100 bytes for each byte of text. An error is
 * TERN_ERR_INPUT: "line 3, column 7: unexpected token near '}'". */
TernStatus tn_json_tree(const char *text, size_t size, TnArena *arena, const TnJsonNode **out,
                        TernError *err);

/* The member of this name, or NULL; also NULL if `node` is NULL or no object. Linear in the number of members. */
const TnJsonNode *tn_json_member(const TnJsonNode *node, const char *key);
bool tn_json_is(const TnJsonNode *node, const char *string); /* a STRING that equals `string` */
/* "null", "true", "an integer", "a string", .. for messages. */
const char *tn_json_kind_name(TnJsonKind kind);

/* Appends the value as JSON without blanks, its members in order, strings with the shortest escapes:
 * only quotes, backslashes and controls are escaped. */
void tn_json_print(const TnJsonNode *node, TnBuf *out);
/* Appends n bytes of UTF-8 as such a string, with its quotes. */
void tn_json_print_string(const char *bytes, size_t n, TnBuf *out);

#endif
