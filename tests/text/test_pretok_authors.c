/* Pre-tokenizers by the steps that tokenizer.json has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "runtime/text/pretok.h"

#define LLAMA(n)                                                                                             \
    "regex (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" n                                    \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static void finds_rows(void **state) {
    (void)state;
    static const struct {
        const char *steps;
        bool whole;
        const char *row; /* NULL: none */
    } list[] = {
        {"bytes", false, "gpt-2"},
        {"bytes", true, "gpt-2"},
        {LLAMA("\\p{N}{1,3}"), true, "llama-bpe"},
        {LLAMA("\\p{N}{1,3}"), false, "dbrx"},
        {LLAMA("\\p{N}"), false, "qwen2"},
        {LLAMA("\\p{N}"), true, "qwen2"},
        {"punctuation\nbytes\ndigit", false, "falcon_e"},
        {"punctuation\nbytes\ndigits\nregex [0-9][0-9][0-9]", false, "falcon"},
        {"digit\nbytes", false, "starcoder"},
        {LLAMA("\\p{N}{2}"), false, NULL},
        {LLAMA("\\p{N}") "\nbytes", false, NULL},
        {"bytes\n", false, NULL},
        {"", false, NULL},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        uint32_t row = tn_pre_of_steps(list[i].steps, list[i].whole);
        if (!list[i].row)
            assert_int_equal(row, TN_PRE_NONE);
        else
            assert_string_equal(tn_pre_name(row), list[i].row);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
