/* Vocabularies for tests: from the files of tests/data/vocab, or written down in the test. */
#ifndef TEST_VOCAB_FILE_H
#define TEST_VOCAB_FILE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "runtime/base/arena.h"
#include "runtime/base/os.h"
#include "runtime/text/text.h"

#define TEXT(s) ((TernText){(s), sizeof(s) - 1})

/* A vocabulary with what it borrows. */
typedef struct Fixture {
    TernVocabSource source;
    TernText *tokens, *merges;
    int32_t *types;
    float *scores;
    size_t n_tokens, n_types, n_merges, n_scores, cap_tokens, cap_types, cap_merges, cap_scores;
    TnArena arena;
    void *image;
    size_t image_size;
    TernVocab *vocab;
} Fixture;

/* Builds and opens the vocabulary; a failure is printed and fails the test. */
static inline void fixture_open(Fixture *f) {
    TernError err;
    if (tern_vocab_build(&f->source, &f->image, &f->image_size, &err) != TERN_OK) fail_msg("%s", err.text);
    if (tern_vocab_open(f->image, f->image_size, &f->vocab, &err) != TERN_OK) fail_msg("%s", err.text);
}

static inline void fixture_close(Fixture *f) {
    tern_vocab_close(f->vocab);
    free(f->image);
    free(f->tokens);
    free(f->types);
    free(f->merges);
    free(f->scores);
    tn_arena_free(&f->arena);
    *f = (Fixture){0};
}

static inline void fixture_start(Fixture *f, const char *pre) {
    *f = (Fixture){.source = TERN_VOCAB_SOURCE};
    f->source.model = TEXT("gpt2");
    if (pre) f->source.pre = (TernText){pre, strlen(pre)};
}

/* After any change of the lists. */
static inline void fixture_point(Fixture *f) {
    f->source.tokens = f->tokens;
    f->source.n_tokens = f->n_tokens;
    f->source.types = f->types;
    f->source.n_types = f->n_types;
    f->source.merges = f->merges ? f->merges : &f->source.model;
    f->source.n_merges = f->n_merges;
    f->source.scores = f->scores;
    f->source.n_scores = f->n_scores;
}

static inline void fixture_token_n(Fixture *f, int32_t type, const char *text, size_t size) {
    TN_PUSH(f->tokens, f->n_tokens, f->cap_tokens, (TernText){tn_strndup(&f->arena, text, size), size});
    TN_PUSH(f->types, f->n_types, f->cap_types, type);
    fixture_point(f);
}
static inline void fixture_token(Fixture *f, int32_t type, const char *text) {
    fixture_token_n(f, type, text, strlen(text));
}
static inline void fixture_scored(Fixture *f, float score, int32_t type, const char *text) {
    TN_PUSH(f->scores, f->n_scores, f->cap_scores, score);
    fixture_token(f, type, text);
}
static inline void fixture_merge(Fixture *f, const char *text) {
    TN_PUSH(f->merges, f->n_merges, f->cap_merges, (TernText){tn_strdup(&f->arena, text), strlen(text)});
    fixture_point(f);
}
/* The merge "l r" and the token it makes. */
static inline void fixture_grow(Fixture *f, const char *text) {
    fixture_merge(f, text);
    size_t left = strcspn(text, " ");
    fixture_token(f, TERN_TOKEN_NORMAL, tn_sprintf(&f->arena, "%.*s%s", (int)left, text, text + left + 1));
}
/* The tokens of the 256 bytes: id == byte. */
static inline void fixture_bytes(Fixture *f) {
    int other = 256;
    for (int b = 0; b < 256; b++) {
        int c = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae ? b : other++;
        char text[2] = {(char)(c < 0x80 ? c : 0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))};
        fixture_token_n(f, TERN_TOKEN_NORMAL, text, c < 0x80 ? 1 : 2);
    }
}

static inline char *read_data(const char *name, size_t *out_size) {
    char path[600], *data;
    TernError err;
    snprintf(path, sizeof path, "%s/tests/data/vocab/%s", TERN_SOURCE_DIR, name);
    if (tn_file_read(path, 1u << 30, &data, out_size, &err) != TERN_OK) fail_msg("%s", err.text);
    return data;
}

/* All of a file's lists; to be opened by fixture_open. */
static inline void fixture_load(Fixture *f, const char *name) {
    size_t size;
    char *data = read_data(name, &size);
    fixture_start(f, NULL);
    for (char *line = data, *end; line < data + size; line = end + 1) {
        end = strchr(line, '\n');
        *end = '\0';
        if (line[1] == ' ' && line[0] == 't')
            fixture_token(f, atoi(line + 2), line + 4);
        else if (line[1] == ' ' && line[0] == 'm')
            fixture_merge(f, line + 2);
        else if (line[1] == ' ' && line[0] == 'g')
            fixture_grow(f, line + 2);
        else if (line[1] == ' ' && line[0] == 's') {
            char *at;
            float score = strtof(line + 2, &at);
            int32_t type = (int32_t)strtol(at, &at, 10);
            fixture_scored(f, score, type, at + 1);
        } else if (strncmp(line, "model ", 6) == 0)
            f->source.model = (TernText){tn_strdup(&f->arena, line + 6), strlen(line + 6)};
        else if (strncmp(line, "pre ", 4) == 0)
            f->source.pre = (TernText){tn_strdup(&f->arena, line + 4), strlen(line + 4)};
        else if (strncmp(line, "bos ", 4) == 0)
            f->source.bos = atoi(line + 4);
        else if (strncmp(line, "eos ", 4) == 0)
            f->source.eos = atoi(line + 4);
        else if (strncmp(line, "add_bos ", 8) == 0)
            f->source.add_bos = atoi(line + 8);
        else
            fail_msg("%s: '%s'", name, line);
    }
    free(data);
}
static inline void fixture_read(Fixture *f, const char *name) {
    fixture_load(f, name);
    fixture_open(f);
}

/* A generator for made-up inputs, the same on every run. */
static inline uint32_t test_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Encodes a text and compares the ids with those given. */
#define assert_ids(vocab, text, size, flags, ...)                                                            \
    do {                                                                                                     \
        const int32_t want_[] = {__VA_ARGS__};                                                               \
        check_ids(vocab, text, size, flags, want_, sizeof want_ / sizeof *want_, __FILE__, __LINE__);        \
    } while (0)
static inline void check_ids(const TernVocab *v, const char *text, size_t size, uint32_t flags,
                             const int32_t *want, size_t n_want, const char *file, int line) {
    TernError err;
    size_t n;
    int32_t *ids = malloc((size + 2) * sizeof *ids);
    if (tern_encode(v, text, size, flags, ids, size + 2, &n, &err) != TERN_OK) fail_msg("%s", err.text);
    bool equal = n == n_want && (n == 0 || memcmp(ids, want, n * sizeof *ids) == 0);
    if (!equal) {
        printf("%s:%d: '%.*s' gives", file, line, (int)size, text);
        for (size_t i = 0; i < n; i++) printf(" %u", ids[i]);
        printf(", expected");
        for (size_t i = 0; i < n_want; i++) printf(" %u", want[i]);
        printf("\n");
    }
    free(ids);
    assert_true(equal);
}

#endif
