/* Random grammars over random vocabularies: every mask equals trying every token with a matcher that backtracks over the
 * grammar as it was made, knows no stacks and no bytes of classes, and reads the whole text again each time. The vocabularies
 * are byte-level BPE, SentencePiece, whose characters may be spelled by byte tokens and whose first token may lose a space,
 * and BPE of characters, which has byte tokens too.
 * TERN_ROUNDS: how many grammars of each kind. */
#include "vocab_file.h"
#include "runtime/base/buf.h"
#include "runtime/text/grammar.h"
#include "runtime/text/utf8.h"

/* ---- Grammars as trees */

typedef enum Kind { CHARS, ANY, TEXT_, TOKEN, NOT_TOKEN, SEQ, ALT, LOOP, RULE } Kind;
enum { KIDS = 4, RULES = 4, RANGES = 3, FOREVER = 1 << 20, STEPS = 20000 };

typedef struct Node {
    Kind kind;
    bool negated;
    uint32_t lo[RANGES], hi[RANGES]; /* CHARS; TEXT_: the characters lo[0..n) */
    int n, min, max, rule;
    int32_t id;
    struct Node *kids[KIDS];
} Node;

typedef enum VocabKind { BYTE_BPE, PIECES, PIECES_NO_PREFIX, CHAR_BPE } VocabKind;

typedef struct Made {
    TnArena arena;
    uint64_t seed;
    VocabKind vocab;
    Node *rules[RULES];
    int32_t n_tokens;
} Made;

static uint32_t pick(Made *m, uint32_t n) {
    return test_random(&m->seed) % n;
}

/* Characters of one to four bytes, some of which share their first bytes. */
static uint32_t some_char(Made *m) {
    static const uint32_t chars[] = {'a',    'b',    'c',     'd',     '"',     0x7f,   0x80,
                                     0xe9,   0xe8,   0x7ff,   0x800,   0x20ac,  0x20ab, 0xd7ff,
                                     0xe000, 0xffff, 0x10000, 0x1f600, 0x10ffff};
    if (m->vocab != BYTE_BPE && pick(m, 4) == 0) return ' ';
    return chars[pick(m, pick(m, 3) ? 4 : sizeof chars / sizeof *chars)];
}

static Node *new_node(Made *m, Kind kind) {
    Node *n = tn_alloc(&m->arena, sizeof *n);
    n->kind = kind;
    return n;
}

/* `lowest`: the first rule that may be named here, so that no rule begins with itself. */
static Node *make(Made *m, int depth, int lowest) {
    uint32_t what = pick(m, depth > 0 ? 12 : 5);
    Node *n;
    if (what == 0 || what == 1) {
        n = new_node(m, TEXT_);
        n->n = 1 + (int)pick(m, RANGES);
        for (int i = 0; i < n->n; i++) n->lo[i] = some_char(m);
    } else if (what == 2 || what == 3) {
        n = new_node(m, pick(m, 6) ? CHARS : ANY);
        n->n = 1 + (int)pick(m, RANGES);
        n->negated = pick(m, 4) == 0;
        for (int i = 0; i < n->n; i++) {
            uint32_t a = some_char(m), b = pick(m, 2) ? a : some_char(m);
            n->lo[i] = a < b ? a : b, n->hi[i] = a < b ? b : a;
        }
    } else if (what == 4) {
        if (pick(m, 3) && lowest < RULES) {
            n = new_node(m, RULE);
            n->rule = lowest + (int)pick(m, (uint32_t)(RULES - lowest));
        } else {
            n = new_node(m, pick(m, 2) ? TOKEN : NOT_TOKEN);
            n->id = (int32_t)pick(m, (uint32_t)m->n_tokens);
            if (pick(m, 2)) n->id = m->n_tokens - 1 - (int32_t)pick(m, 40);
            if (m->vocab == PIECES && pick(m, 2)) n->id = m->n_tokens - 1 - (int32_t)pick(m, 2);
        }
    } else if (what < 8) {
        n = new_node(m, SEQ);
        n->n = (int)pick(m, KIDS + 1);
        for (int i = 0; i < n->n; i++) {
            n->kids[i] = make(m, depth - 1, lowest);
            Kind k = n->kids[i]->kind;
            if (k == CHARS || k == ANY || k == TEXT_ || k == TOKEN || k == NOT_TOKEN) lowest = 0;
        }
    } else if (what < 10) {
        n = new_node(m, ALT);
        n->n = 1 + (int)pick(m, KIDS);
        for (int i = 0; i < n->n; i++) n->kids[i] = make(m, depth - 1, lowest);
    } else {
        n = new_node(m, LOOP);
        n->kids[0] = make(m, depth - 1, lowest);
        n->min = (int)pick(m, 3);
        n->max = pick(m, 2) ? FOREVER : n->min + (int)pick(m, 3);
    }
    return n;
}

static void put_char(TnBuf *b, uint32_t c) {
    tn_buf_printf(b, "\\U%08X", c);
}

static void print(const Node *n, TnBuf *b) {
    switch (n->kind) {
    case ANY:
        tn_buf_puts(b, ".");
        break;
    case CHARS:
        tn_buf_puts(b, n->negated ? "[^" : "[");
        for (int i = 0; i < n->n; i++) {
            put_char(b, n->lo[i]);
            if (n->hi[i] != n->lo[i]) tn_buf_puts(b, "-"), put_char(b, n->hi[i]);
        }
        tn_buf_puts(b, "]");
        break;
    case TEXT_:
        tn_buf_puts(b, "\"");
        for (int i = 0; i < n->n; i++) put_char(b, n->lo[i]);
        tn_buf_puts(b, "\"");
        break;
    case TOKEN:
    case NOT_TOKEN:
        tn_buf_printf(b, "%s<[%d]>", n->kind == TOKEN ? "" : "!", n->id);
        break;
    case RULE:
        tn_buf_printf(b, "%s%d", n->rule ? "r" : "root # r", n->rule);
        break;
    case SEQ:
    case ALT:
        tn_buf_puts(b, "(");
        for (int i = 0; i < n->n; i++) {
            if (i) tn_buf_puts(b, n->kind == SEQ ? " " : " | ");
            print(n->kids[i], b);
            tn_buf_puts(b, "\n");
        }
        tn_buf_puts(b, ")");
        break;
    case LOOP:
        print(n->kids[0], b);
        if (n->kids[0]->kind == RULE) tn_buf_puts(b, "\n");
        if (n->max == FOREVER)
            tn_buf_printf(b, "{%d,}", n->min);
        else
            tn_buf_printf(b, "{%d,%d}", n->min, n->max);
        break;
    }
}

/* ---- The matcher */

typedef struct Place {
    int token;
    size_t byte; /* in the token's text */
} Place;

typedef struct After { /* what comes after the node that is being matched */
    const Node *node;  /* SEQ: kids from `at` on; LOOP: `at` turns, the last from `start` on */
    int at;
    Place start;
    const struct After *up;
} After;

typedef struct Match {
    const Made *made;
    const TernText *texts; /* of the tokens, size 0: no text */
    const int32_t *ids;
    int n;
    bool goes_on, complete;
    long steps;
} Match;

static Place settle(const Match *m, Place p) {
    if (p.token < m->n && p.byte && p.byte == m->texts[p.token].size) return (Place){p.token + 1, 0};
    return p;
}

static bool is_in(const Node *n, uint32_t c) {
    bool found = n->kind == ANY;
    for (int i = 0; i < n->n && n->kind == CHARS; i++) found = found || (c >= n->lo[i] && c <= n->hi[i]);
    return found != (n->kind == CHARS && n->negated);
}

/* Whether some character from lo to hi is in: a set changes only at the ends of its ranges. */
static bool in_class(const Node *n, uint32_t lo, uint32_t hi) {
    uint32_t tries[4 + 4 * RANGES] = {lo, hi, 0xd7ff, 0xe000};
    int k = 4;
    for (int i = 0; i < n->n && n->kind == CHARS; i++) {
        tries[k++] = n->lo[i] - 1, tries[k++] = n->lo[i];
        tries[k++] = n->hi[i], tries[k++] = n->hi[i] + 1;
    }
    for (int i = 0; i < k; i++)
        if (tries[i] >= lo && tries[i] <= hi && (tries[i] < 0xd800 || tries[i] >= 0xe000) &&
            is_in(n, tries[i]))
            return true;
    return false;
}

/* Matches one character of a class at *p. Notes that the text ends inside of it, or before it, and may go on. */
static bool one_char(Match *m, const Node *n, Place *p) {
    uint8_t bytes[4];
    size_t have = 0;
    Place at = *p, ends[5];
    while (have < 4) {
        at = settle(m, at);
        ends[have] = at;
        if (at.token == m->n || m->texts[at.token].size == 0) break;
        bytes[have++] = (uint8_t)m->texts[at.token].data[at.byte++];
    }
    ends[have] = settle(m, at);
    bool at_end = ends[have].token == m->n;
    uint32_t c;
    int partial = 0, size = have ? tn_utf8_next(bytes, have, &c, &partial) : 0;
    if (size) {
        *p = ends[size];
        return in_class(n, c, c);
    }
    if (!at_end || (have && !partial)) return false;
    if (have == 0) {
        m->goes_on = true; /* no class of these tests is empty */
        return false;
    }
    size_t all = bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    uint32_t lo = bytes[0] & (0x7f >> all), hi;
    for (size_t i = 1; i < have; i++) lo = lo << 6 | (bytes[i] & 0x3f);
    lo <<= 6 * (all - have);
    hi = lo + (1u << (6 * (all - have))) - 1;
    if (all == 3 && lo < 0x800) lo = 0x800;
    if (all == 4 && lo < 0x10000) lo = 0x10000;
    if (hi > 0x10ffff) hi = 0x10ffff;
    m->goes_on = m->goes_on || in_class(n, lo, hi);
    return false;
}

static void go_on(Match *m, const After *k, Place p);

static void match(Match *m, const Node *n, Place p, const After *k) {
    p = settle(m, p);
    if (++m->steps > STEPS) return;
    switch (n->kind) {
    case CHARS:
    case ANY:
        if (one_char(m, n, &p)) go_on(m, k, p);
        break;
    case TEXT_:
        for (int i = 0; i < n->n; i++) {
            Node c = {.kind = CHARS, .n = 1, .lo = {n->lo[i]}, .hi = {n->lo[i]}};
            if (!one_char(m, &c, &p)) return;
        }
        go_on(m, k, p);
        break;
    case TOKEN:
    case NOT_TOKEN:
        if (p.byte) return; /* inside a token */
        if (p.token == m->n)
            m->goes_on = true;
        else if ((m->ids[p.token] == n->id) == (n->kind == TOKEN))
            go_on(m, k, (Place){p.token + 1, 0});
        break;
    case RULE:
        match(m, m->made->rules[n->rule], p, k);
        break;
    case ALT:
        for (int i = 0; i < n->n; i++) match(m, n->kids[i], p, k);
        break;
    case SEQ:
        go_on(m, &(After){n, 0, p, k}, p);
        break;
    case LOOP:
        if (n->min == 0) go_on(m, k, p);
        if (n->max > 0) match(m, n->kids[0], p, &(After){n, 1, p, k});
        break;
    }
}

static void go_on(Match *m, const After *k, Place p) {
    p = settle(m, p);
    if (!k) {
        if (p.token == m->n) m->complete = true;
        return;
    }
    const Node *n = k->node;
    if (n->kind == SEQ) {
        if (k->at == n->n)
            go_on(m, k->up, p);
        else
            match(m, n->kids[k->at], p, &(After){n, k->at + 1, p, k->up});
        return;
    }
    bool empty = p.token == k->start.token && p.byte == k->start.byte;
    if (empty || k->at >= n->min) go_on(m, k->up, p);
    if (!empty && k->at < n->max) match(m, n->kids[0], p, &(After){n, k->at + 1, p, k->up});
}

/* ---- The comparison */

/* How byte-level BPE spells a byte. */
static void spell(TnBuf *b, const char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int byte = (unsigned char)bytes[i], other = 256, c = byte;
        for (int k = 0; k <= byte; k++) {
            bool plain = (k >= 0x21 && k <= 0x7e) || (k >= 0xa1 && k <= 0xac) || k >= 0xae;
            if (!plain)
                c = other++;
            else
                c = k;
        }
        char text[2] = {(char)(c < 0x80 ? c : 0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))};
        tn_buf_put(b, text, c < 0x80 ? 1 : 2);
    }
}

/* Writes a character in UTF-8 and gives its size. */
static size_t put_utf8(uint32_t c, char u[4]) {
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t k = size; k-- > 1; c >>= 6) u[k] = (char)(0x80 | (c & 0x3f));
    u[0] = (char)(size == 1 ? c : (0xf00 >> size & 0xff) | c);
    return size;
}

static void make_byte_tokens(Made *m, Fixture *f) {
    fixture_start(f, "gpt-2");
    fixture_bytes(f);
    for (int i = 0; i < 60; i++) {
        TnBuf bytes = {0}, text = {0};
        for (uint32_t n = 2 + pick(m, 3); n; n--) {
            uint32_t c = some_char(m);
            char u[4];
            size_t size = put_utf8(c, u), from = pick(m, 4) ? 0 : pick(m, (uint32_t)size),
                   to = pick(m, 4) ? size : 1 + pick(m, (uint32_t)size);
            if (from < to) tn_buf_put(&bytes, u + from, to - from);
        }
        spell(&text, bytes.data ? bytes.data : "a", bytes.data ? bytes.len : 1);
        fixture_token_n(f, TERN_TOKEN_NORMAL, text.data, text.len);
        tn_buf_free(&bytes);
        tn_buf_free(&text);
    }
}

/* Byte tokens, and pieces of whole characters, which files write with U+2581 for a space. */
static void make_pieces(Made *m, Fixture *f) {
    static const int32_t types[] = {TERN_TOKEN_NORMAL, TERN_TOKEN_NORMAL, TERN_TOKEN_NORMAL,
                                    TERN_TOKEN_NORMAL, TERN_TOKEN_UNUSED, TERN_TOKEN_USER_DEFINED};
    fixture_start(f, NULL);
    f->source.model = m->vocab == CHAR_BPE ? TEXT("gemma4") : TEXT("llama");
    if (m->vocab != CHAR_BPE) f->source.add_space_prefix = m->vocab == PIECES;
    fixture_scored(f, 0, TERN_TOKEN_UNKNOWN, "<unk>");
    for (int b = 0; b < 256; b++)
        fixture_scored(f, 0, TERN_TOKEN_BYTE, tn_sprintf(&f->arena, "<0x%02X>", (unsigned)b));
    for (int i = 0; i < 80; i++) {
        TnBuf text = {0};
        for (uint32_t n = i == 0 ? 0 : 1 + pick(m, 3); n; n--) {
            char u[4];
            uint32_t c = some_char(m);
            tn_buf_put(&text, u, put_utf8(c == ' ' ? 0x2581 : c, u));
        }
        if (!text.len) tn_buf_puts(&text, "\xe2\x96\x81");
        tn_buf_put(&text, "", 1);
        fixture_scored(f, (float)-i, types[pick(m, sizeof types / sizeof *types)], text.data);
        tn_buf_free(&text);
    }
}

static void make_vocab(Made *m, Fixture *f) {
    if (m->vocab == BYTE_BPE)
        make_byte_tokens(m, f);
    else
        make_pieces(m, f);
    const char *const controls[] = {"<x>", "<y>", "<end>"};
    for (size_t i = 0; i < 3; i++) {
        if (m->vocab != BYTE_BPE)
            fixture_scored(f, 0, TERN_TOKEN_CONTROL, controls[i]);
        else
            fixture_token(f, TERN_TOKEN_CONTROL, controls[i]);
    }
    f->source.eos = (int32_t)f->n_tokens - 1; /* no token reference names it */
    fixture_open(f);
}

static bool is_hidden(const Fixture *f, int32_t id) {
    TernTokenType type = tern_token_get_type(f->vocab, id);
    return type == TERN_TOKEN_CONTROL || type == TERN_TOKEN_UNKNOWN;
}

/* The bytes that a token adds to an output of n ids. With a space prefix the first token that is shown loses a space, if it
 * is a word: no byte, and no token that a user defined. */
static TernText shown(const Made *m, const Fixture *f, const int32_t *ids, int n, int32_t id) {
    TernText t = tern_token_get_bytes(f->vocab, id);
    TernTokenType type = tern_token_get_type(f->vocab, id);
    bool first = m->vocab == PIECES;
    if (is_hidden(f, id)) return (TernText){"", 0};
    for (int i = 0; i < n; i++) first = first && is_hidden(f, ids[i]);
    if (first && type != TERN_TOKEN_BYTE && type != TERN_TOKEN_USER_DEFINED && t.data[0] == ' ')
        return (TernText){t.data + 1, t.size - 1};
    return t;
}

/* The texts are what the detokenizer says. */
static void check_decoded(const Fixture *f, const int32_t *ids, const TernText *texts, int n) {
    char out[256];
    size_t size, at = 0;
    TernError err;
    if (tern_decode(f->vocab, ids, (size_t)n, 0, out, sizeof out, &size, &err) != TERN_OK)
        fail_msg("%s", err.text);
    for (int i = 0; i < n; i++) {
        assert_true(at + texts[i].size <= size);
        assert_memory_equal(out + at, texts[i].data, texts[i].size);
        at += texts[i].size;
    }
    assert_int_equal(at, size);
}

static bool check_walk(Made *m, const Fixture *f, TernGrammar *g, const char *text) {
    enum { WALK = 7 };
    int32_t ids[WALK + 1];
    TernText texts[WALK + 1];
    TernGrammarState s = TERN_GRAMMAR_START;
    TernGrammarMask mask;
    TernError err;
    for (int n = 0; n < WALK; n++) {
        Match now = {m, texts, ids, n, false, false, 0};
        match(&now, m->rules[0], (Place){0, 0}, NULL);
        if (now.steps > STEPS) return false;
        if (now.complete != tern_grammar_may_end(g, s))
            fail_msg("%s\nmay end: %d after %d", text, !now.complete, n);
        if (tern_grammar_get_mask(g, s, &mask, &err) != TERN_OK) return false;
        int32_t next = -1, seen = 0;
        for (int32_t id = 0; id <= m->n_tokens; id++) {
            bool bit = mask.words[id / 64] >> (id % 64) & 1, expected = now.complete;
            if (id < m->n_tokens) {
                ids[n] = id, texts[n] = shown(m, f, ids, n, id);
                Match with = {m, texts, ids, n + 1, false, false, 0};
                match(&with, m->rules[0], (Place){0, 0}, NULL);
                if (with.steps > STEPS) return false;
                expected = with.goes_on || with.complete;
            }
            if (bit != expected) {
                for (int i = 0; i <= n; i++)
                    printf("id %d '%.*s'\n", ids[i], (int)texts[i].size, texts[i].data);
                fail_msg("%s\nid %d after %d: the mask says %d", text, id, n, bit);
            }
            if (bit && id < m->n_tokens && pick(m, (uint32_t)++seen) == 0) next = id;
            /* after a hidden token the next is still the first that is shown */
            if (bit && n == 0 && m->vocab == PIECES && is_hidden(f, id) && id < m->n_tokens) next = id;
        }
        if (next < 0) break;
        ids[n] = next, texts[n] = shown(m, f, ids, n, next);
        check_decoded(f, ids, texts, n + 1);
        if (tern_grammar_accept(g, s, next, &s, &err) != TERN_OK) fail_msg("%s\n%s", text, err.text);
    }
    return true;
}

static void random_grammars(VocabKind vocab, int usual) {
    const char *given = getenv("TERN_ROUNDS");
    int rounds = given ? atoi(given) : usual, done = 0, invalid = 0;
    Fixture f = {0};
    for (int round = 0; round < rounds; round++) {
        Made m = {.vocab = vocab, .seed = (uint64_t)round * 77 + 1 + ((uint64_t)vocab << 40)};
        TernGrammar *g;
        TernError err;
        if (round % 50 == 0) {
            if (round) fixture_close(&f);
            make_vocab(&m, &f);
        }
        m.n_tokens = (int32_t)f.n_tokens - 1;
        TnBuf b = {0};
        for (int r = 0; r < RULES; r++) {
            m.rules[r] = make(&m, 4, r + 1);
            tn_buf_printf(&b, r ? "r%d ::= (" : "root ::= (", r);
            print(m.rules[r], &b);
            tn_buf_puts(&b, "\n)\n");
        }
        tn_buf_put(&b, "", 1);
        if (tern_grammar_create(f.vocab, b.data, b.len - 1, &g, &err) == TERN_OK) {
            for (int walk = 0; walk < 2; walk++) done += check_walk(&m, &f, g, b.data);
            tern_grammar_destroy(g);
        } else if (!strstr(err.text, "no character is in")) { /* the negation of everything */
            fail_msg("%s\n%s", b.data, err.text);
        } else {
            invalid++;
        }
        tn_buf_free(&b);
        tn_arena_free(&m.arena);
    }
    fixture_close(&f);
    printf("%d walks, %d grammars with an empty class\n", done, invalid);
    assert_true(done > rounds);
}

static void byte_bpe(void **state) {
    (void)state;
    random_grammars(BYTE_BPE, 150);
}
static void sentencepiece(void **state) {
    (void)state;
    random_grammars(PIECES, 150);
}
static void without_prefix(void **state) {
    (void)state;
    random_grammars(PIECES_NO_PREFIX, 50);
}
static void char_bpe(void **state) {
    (void)state;
    random_grammars(CHAR_BPE, 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_bpe),
        cmocka_unit_test(sentencepiece),
        cmocka_unit_test(without_prefix),
        cmocka_unit_test(char_bpe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
