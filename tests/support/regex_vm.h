/* A small engine for regular expressions over code points. Tests compare the product's pre-tokenizers with it. It knows
 * the constructs that tokenizers use: | ( ) (?: ) (?i: ) (?= ) (?! ) [ ] with ranges, ^, nested classes and &&, \p{..}
 * \s \S \d \b \r \n \t, ? * + {n} {n,m}, a + after these (possessive), and $ for the end. It tries alternatives in order
 * and takes the first that matches, as Perl, Oniguruma and Rust's fancy-regex do. */
#ifndef TEST_REGEX_VM_H
#define TEST_REGEX_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the engine knows of Unicode: general categories as two letters, and the script Han. */
typedef struct VmUnicode {
    const char (*category)[2]; /* [0x110000] */
    const bool *han;           /* [0x110000] */
} VmUnicode;

typedef struct VmRegex VmRegex;
VmRegex *vm_compile(const char *pattern, const VmUnicode *unicode); /* aborts on what it does not know */
void vm_free(VmRegex *re);
/* The first match at or after `from`; false if there is none. */
bool vm_find(const VmRegex *re, const uint32_t *text, size_t n, size_t from, size_t *out_start,
             size_t *out_end);

#endif
