/* Pre-tokenizers as their authors publish them, and the rows of pretok.c that they are.
 *
 * The expressions here are texts to be recognised, character by character; those that run stand in pretok.c. */
#include <string.h>
#include "runtime/text/pretok.h"
#include "runtime/text/vocab.h"

#define SHORT          "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LAST           "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA(numbers) SHORT "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" LAST
#define UP             "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOW            "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define BEGIN          "[^\\r\\n\\p{L}\\p{N}]?"
#define CASED(numbers, end)                                                                                  \
    BEGIN UP "*" LOW "+" end "|" BEGIN UP "+" LOW "*" end "|" numbers "| "                                   \
             "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" LAST
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

static const struct {
    const char *row, *steps;
} authors[] = {
    {"llama-bpe", "regex " LLAMA("\\p{N}{1,3}")},
    {"dbrx", "regex " LLAMA("\\p{N}{1,3}")},
    {"qwen2", "regex " LLAMA("\\p{N}")},
    {"qwen35", "regex " SHORT "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
               "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LAST},
    {"gpt-2", "bytes"},
    {"gpt-2", "regex " GPT2},
    {"falcon", "punctuation\nbytes\ndigits\nregex [0-9][0-9][0-9]"},
    {"falcon", "punctuation\nbytes\nregex [0-9][0-9][0-9]"},
    {"falcon_e", "punctuation\nbytes\ndigit"},
    {"falcon_e", "punctuation\nbytes\nregex [0-9]"},
    {"starcoder", "digit\nbytes"},
    {"tekken", "regex " CASED("\\p{N}", "")},
    {"gpt-4o", "regex " CASED("\\p{N}{1,3}", SHORT "?")},
};

uint32_t tn_pre_of_steps(const char *steps, bool whole) {
    uint32_t found = TN_PRE_NONE;
    for (size_t i = 0; i < TN_COUNT(authors); i++) {
        if (strcmp(authors[i].steps, steps) != 0) continue;
        uint32_t row = tn_pre_find((TernText){authors[i].row, strlen(authors[i].row)});
        if (!!(tn_pre_flags(row) & TN_VOCAB_IGNORE_MERGES) == whole) return row;
        if (found == TN_PRE_NONE) found = row;
    }
    return found;
}
