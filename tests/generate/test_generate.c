/* Generation with the model that comes with Tern: what ends it, what is held back, and that guesses, other sequences and
 * the chunks of a prompt change no id. */
#include <pthread.h>
#include "generate/opened.h"
#include "generate/still_clock.h"
#include "runtime/text/utf8.h"

#define TEXT(s) ((TernText){(s), sizeof(s) - 1})
enum { MOST = 200 };

/* What came of a request. */
typedef struct Heard {
    int32_t ids[MOST];
    char text[16 * MOST];
    size_t n_ids, n_text, n_pieces, n_after; /* after: pieces without an id */
    size_t stop_after;                       /* return nonzero after this many ids; 0: never */
    void (*on_id)(void *user);
    void *user;
    TernGenerated got;
} Heard;
#define HEARD ((Heard){.got = {.size = sizeof(TernGenerated)}})

static int hear(void *user, const TernPiece *p) {
    Heard *h = user;
    h->n_pieces++;
    assert_true(h->n_ids < MOST && h->n_text + p->size < sizeof h->text);
    if (p->id == TERN_NO_TOKEN) {
        h->n_after++;
    } else {
        h->ids[h->n_ids++] = p->id;
        assert_int_equal(tn_utf8_partial_tail(p->text, p->size), 0);
    }
    memcpy(h->text + h->n_text, p->text, p->size);
    h->n_text += p->size;
    h->text[h->n_text] = '\0';
    if (h->on_id) h->on_id(h->user);
    return h->stop_after && h->n_ids >= h->stop_after;
}

static TernSamplerOptions greedy(void) {
    TernSamplerOptions o = TERN_SAMPLER_OPTIONS;
    o.temp = 0;
    return o;
}

/* In a generator of its own, with room for `draft` guesses. */
static Heard run_alone(TernRequest r) {
    Heard h = HEARD;
    TernError err;
    TernGenerator *g = open_generator((TernGeneratorOptions){.draft_max = r.draft_max, .context = 256});
    r.size = sizeof r;
    must(tern_generate(g, &r, hear, &h, &h.got, &err), &err);
    assert_int_equal(h.got.n_out, h.n_ids);
    tern_generator_destroy(g);
    return h;
}

static void check_same(const Heard *a, const Heard *b) {
    assert_int_equal(a->n_ids, b->n_ids);
    assert_memory_equal(a->ids, b->ids, a->n_ids * sizeof *a->ids);
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->got.end, b->got.end);
    assert_int_equal(a->got.n_prompt, b->got.n_prompt);
}

#define MOSES TEXT("And the LORD said unto Moses, And the LORD said unto")

/* ---- Against the run interface itself */

static void keep_id(void *user, const TernResult *r) {
    *(int32_t *)user = r->id;
}

static void ids_are_those_of_the_session(void **state) {
    (void)state;
    TernSamplerOptions so = greedy();
    Heard h = run_alone((TernRequest){.text = MOSES, .max_tokens = 20, .sampler = &so});
    assert_int_equal(h.got.end, TERN_END_LENGTH);
    assert_int_equal(h.n_ids, 20);
    size_t n;
    int32_t ids[64], next = -1;
    TernError err;
    TernVocab *v;
    const void *image = tern_model_vocab(model, &n);
    must(tern_vocab_open(image, n, &v, &err), &err);
    must(tern_encode(v, MOSES.data, MOSES.size, TERN_ENCODE_ADD_SPECIAL, ids, 64, &n, &err), &err);
    assert_int_equal(h.got.n_prompt, n);
    assert_int_equal(h.got.n_prefilled, n);
    assert_int_equal(h.got.n_decoded, 19);
    TernSession *s;
    must(tern_session_create(model, pool, NULL, &s, &err), &err);
    TernRow rows[64];
    for (size_t i = 0; i < n; i++) rows[i] = (TernRow){ids[i], 0, i + 1 == n ? TERN_WANT_GREEDY : 0};
    must(tern_session_step(s, rows, n, keep_id, &next, &err), &err);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(h.ids[i], next);
        rows[0] = (TernRow){next, 0, TERN_WANT_GREEDY};
        must(tern_session_step(s, rows, 1, keep_id, &next, &err), &err);
    }
    char text[1000];
    must(tern_decode(v, h.ids, 20, 0, text, sizeof text, &n, &err), &err);
    assert_int_equal(n, h.n_text);
    assert_memory_equal(text, h.text, n);
    tern_session_destroy(s);
    tern_vocab_close(v);
    /* the same prompt as ids */
    Heard again =
        run_alone((TernRequest){.ids = ids, .n_ids = h.got.n_prompt, .max_tokens = 20, .sampler = &so});
    check_same(&h, &again);
}

static void guesses_change_nothing(void **state) {
    (void)state;
    TernSamplerOptions so[3] = {greedy(), TERN_SAMPLER_OPTIONS, TERN_SAMPLER_OPTIONS};
    so[1].seed = 5;
    so[2].seed = 6;
    so[2].repeat_penalty = 1.2f;
    size_t right = 0;
    uint32_t n = *native_levels() ? 100 : 16; /* the evaluator is slow */
    for (size_t i = 0; i < TN_COUNT(so); i++) {
        Heard plain = run_alone((TernRequest){.text = MOSES, .max_tokens = n, .sampler = &so[i]});
        assert_int_equal(plain.got.n_guessed, 0);
        for (uint32_t draft = 1; draft <= 16; draft *= 4) {
            Heard drafted = run_alone(
                (TernRequest){.text = MOSES, .max_tokens = n, .sampler = &so[i], .draft_max = draft});
            check_same(&plain, &drafted);
            assert_true(drafted.got.n_right <= drafted.got.n_guessed);
            right += drafted.got.n_right;
        }
    }
    assert_true(right > 10 || n == 16);
}

/* ---- Ends */

/* Takes every part of a text as a stop string: the text ends there, wherever tokens begin and end. */
static void stop_strings_straddle_pieces(void **state) {
    (void)state;
    TernSamplerOptions so = greedy();
    Heard plain = run_alone((TernRequest){.text = MOSES, .max_tokens = 12, .sampler = &so});
    TernGenerator *g = open_generator((TernGeneratorOptions){.context = 64});
    for (size_t at = 3; at + 6 < plain.n_text; at += 5)
        for (size_t size = 1; size <= 6; size += 5) {
            char stop[8] = {0};
            memcpy(stop, plain.text + at, size);
            size_t first = (size_t)(strstr(plain.text, stop) - plain.text);
            TernText stops[] = {TEXT("never said"), {stop, size}};
            TernRequest r = {.size = sizeof r,
                             .text = MOSES,
                             .max_tokens = 12,
                             .sampler = &so,
                             .stops = stops,
                             .n_stops = 2};
            Heard h = HEARD;
            TernError err;
            must(tern_generate(g, &r, hear, &h, &h.got, &err), &err);
            assert_int_equal(h.got.end, TERN_END_STOP);
            assert_int_equal(h.got.stop, 1);
            assert_int_equal(h.n_text, first);
            assert_memory_equal(h.text, plain.text, first);
            assert_int_equal(h.n_after, 0);
            assert_memory_equal(h.ids, plain.ids, h.n_ids * sizeof *h.ids);
        }
    /* Text that was held back comes out if the text ends in another way. */
    char half[40];
    snprintf(half, sizeof half, "%s and more", plain.text + plain.n_text - 4);
    TernText stops[] = {{half, strlen(half)}};
    TernRequest r = {
        .size = sizeof r, .text = MOSES, .max_tokens = 12, .sampler = &so, .stops = stops, .n_stops = 1};
    Heard h = HEARD;
    TernError err;
    must(tern_generate(g, &r, hear, &h, &h.got, &err), &err);
    check_same(&plain, &h);
    assert_int_equal(h.n_after, 1);
    assert_int_equal(h.got.stop, TERN_NO_STOP);
    tern_generator_destroy(g);
}

static void stop_ids_end_it(void **state) {
    (void)state;
    TernSamplerOptions so = greedy();
    Heard plain = run_alone((TernRequest){.text = MOSES, .max_tokens = 12, .sampler = &so});
    int32_t ids[] = {1700, plain.ids[6]};
    Heard h = run_alone(
        (TernRequest){.text = MOSES, .max_tokens = 12, .sampler = &so, .stop_ids = ids, .n_stop_ids = 2});
    size_t first = 0;
    while (plain.ids[first] != ids[1]) first++;
    assert_int_equal(h.got.end, TERN_END_TOKEN);
    assert_int_equal(h.n_ids, first + 1); /* its id is given, its text is not */
    assert_int_equal(h.ids[first], ids[1]);
    assert_true(h.n_text < plain.n_text);
    assert_memory_equal(h.text, plain.text, h.n_text);
}

static void a_full_context_ends_it(void **state) {
    (void)state;
    TernSamplerOptions so = greedy();
    static const uint32_t drafts[] = {0, 5};
    Heard first = HEARD;
    for (size_t i = 0; i < TN_COUNT(drafts); i++) {
        TernGenerator *g = open_generator((TernGeneratorOptions){.context = 40, .draft_max = drafts[i]});
        TernRequest r = {
            .size = sizeof r, .text = MOSES, .sampler = &so, .ignore_eog = 1, .draft_max = drafts[i]};
        Heard h = HEARD;
        TernError err;
        must(tern_generate(g, &r, hear, &h, &h.got, &err), &err);
        assert_int_equal(h.got.end, TERN_END_CONTEXT);
        assert_int_equal(h.got.n_prompt + h.n_ids, 41); /* the last id has no position any more */
        if (i) check_same(&first, &h);
        first = h;
        tern_generator_destroy(g);
    }
}

static void refused(TernGenerator *g, TernRequest r, const char *line) {
    TernError err;
    TernSequence *s = (TernSequence *)g;
    r.size = sizeof r;
    assert_int_equal(tern_sequence_create(g, &r, hear, NULL, &s, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, line);
    assert_ptr_equal(s, g); /* untouched */
    assert_int_equal(tern_generate(g, &r, hear, NULL, NULL, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, line);
    assert_int_equal(tern_generator_running(g), 0);
}

static void wrong_requests(void **state) {
    (void)state;
    TernGenerator *g = open_generator((TernGeneratorOptions){.context = 8, .draft_max = 2});
    static const int32_t ids[9] = {1, 2, 1792};
    const TernText empty = {"", 0};
    refused(g, (TernRequest){.ids = ids}, "the prompt is empty");
    refused(g, (TernRequest){.text = empty, .plain = 1},
            "the prompt is empty and the model adds no BOS token");
    refused(g, (TernRequest){.ids = ids, .n_ids = 3}, "TernRequest.ids[2] is 1792, expected 0 to 1791");
    refused(g, (TernRequest){.ids = ids, .n_ids = 9},
            "the prompt has 9 tokens, but the context has 8 positions");
    refused(g, (TernRequest){.ids = ids + 3, .n_ids = 6, .draft_max = 3},
            "TernRequest.draft_max is 3, expected at most the generator's 2");
    refused(g, (TernRequest){.text = TEXT("And the LORD said unto Moses, And the LORD said")},
            "the prompt has 12 tokens, but the context has 8 positions");
    refused(g, (TernRequest){.text = TEXT("a"), .stops = &empty, .n_stops = 1},
            "TernRequest: stops[0] has 0 bytes, expected 1 to 4096");
    refused(g, (TernRequest){.text = TEXT("a"), .stop_ids = ids, .n_stop_ids = 3},
            "TernRequest.stop_ids[2] is 1792, expected 0 to 1791");
    /* an empty text where the model adds a token before it is a prompt */
    TernRequest r = {.size = sizeof r, .text = empty, .max_tokens = 1};
    Heard h = HEARD;
    TernError err;
    must(tern_generate(g, &r, hear, &h, &h.got, &err), &err);
    assert_int_equal(h.got.n_prompt, 1);
    tern_generator_destroy(g);
}

/* ---- Cancelling */

static void the_callback_ends_it(void **state) {
    (void)state;
    TernSamplerOptions so = greedy();
    TernGenerator *g = open_generator((TernGeneratorOptions){.context = 64, .draft_max = 4});
    TernRequest r = {.size = sizeof r, .text = MOSES, .sampler = &so, .draft_max = 4};
    Heard h = HEARD;
    h.stop_after = 5;
    TernError err;
    must(tern_generate(g, &r, hear, &h, &h.got, &err), &err);
    assert_int_equal(h.got.end, TERN_END_CANCELLED);
    assert_int_equal(h.n_ids, 5);
    assert_int_equal(h.n_pieces, 5); /* none more */
    /* at the same id that completes a stop string: it counts as ended by the callback */
    const TernText stop = {h.text + h.n_text - 8, 8};
    assert_ptr_equal(strstr(h.text, stop.data), stop.data);
    r.stops = &stop;
    r.n_stops = 1;
    Heard both = HEARD;
    both.stop_after = 5;
    must(tern_generate(g, &r, hear, &both, &both.got, &err), &err);
    assert_int_equal(both.n_ids, 5);
    assert_int_equal(both.got.end, TERN_END_CANCELLED);
    assert_int_equal(both.got.stop, TERN_NO_STOP);
    tern_generator_destroy(g);
}

typedef struct Caller {
    TernGenerator *g;
    size_t n_pieces;
} Caller;

static int calls_back(void *user, const TernPiece *piece) {
    static const char *const line =
        "the generator is in a step: the function that gets pieces must not call it";
    Caller *c = user;
    TernRequest r = {.size = sizeof r, .text = TEXT("a")};
    TernSequence *s;
    TernError err;
    (void)piece;
    c->n_pieces++;
    assert_int_equal(tern_generator_step(c->g, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, line);
    assert_int_equal(tern_sequence_create(c->g, &r, NULL, NULL, &s, &err), TERN_ERR_INPUT);
    assert_string_equal(err.text, line);
    return 0;
}

static void the_callback_must_not_come_back(void **state) {
    (void)state;
    TernGenerator *g = open_generator((TernGeneratorOptions){.context = 64, .slots = 2});
    TernRequest r = {.size = sizeof r, .text = MOSES, .max_tokens = 3};
    Caller c = {g, 0};
    TernError err;
    must(tern_generate(g, &r, calls_back, &c, NULL, &err), &err);
    assert_int_equal(c.n_pieces, 3);
    /* nor from the piece that a cancelled sequence gets: text that was held back for a stop string */
    TernSamplerOptions so = greedy();
    r.sampler = &so;
    Heard h = HEARD;
    must(tern_generate(g, &r, hear, &h, &h.got, &err), &err);
    char held[256];
    int n = snprintf(held, sizeof held, "%s\n\n\n", h.text);
    const TernText stop = {held, (size_t)n};
    r.stops = &stop, r.n_stops = 1, r.max_tokens = 10;
    TernSequence *s;
    c.n_pieces = 0;
    must(tern_sequence_create(g, &r, calls_back, &c, &s, &err), &err);
    while (c.n_pieces < 3) must(tern_generator_step(g, &err), &err);
    tern_sequence_cancel(s);
    must(tern_generator_step(g, &err), &err);
    assert_int_equal(c.n_pieces, 4);
    tern_sequence_destroy(s);
    tern_generator_destroy(g);
}

static void *cancel_from_thread(void *g) {
    tern_generator_cancel(g);
    return NULL;
}

static void cancel_and_wait(void *g) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_from_thread, g), 0);
    pthread_join(thread, NULL);
}

static void another_thread_ends_it(void **state) {
    (void)state;
    TernSamplerOptions so = greedy();
    TernGenerator *g = open_generator((TernGeneratorOptions){.context = 64});
    TernRequest r = {.size = sizeof r, .text = MOSES, .sampler = &so};
    Heard h = HEARD;
    h.on_id = cancel_and_wait;
    h.user = g;
    TernError err;
    tern_generator_cancel(g); /* there is no sequence, so nothing is cancelled */
    must(tern_generate(g, &r, hear, &h, &h.got, &err), &err);
    assert_int_equal(h.got.end, TERN_END_CANCELLED);
    assert_int_equal(h.n_ids, 1); /* what the step gave before */
    Heard next = HEARD;
    next.stop_after = 2;
    must(tern_generate(g, &r, hear, &next, &next.got, &err), &err); /* the cancel no longer has an effect */
    assert_int_equal(next.n_ids, 2);
    tern_generator_destroy(g);
}

static void a_long_prompt_is_cancelled_between_chunks(void **state) {
    (void)state;
    TernGenerator *g = open_generator((TernGeneratorOptions){.context = 64, .batch = 4});
    TernRequest r = {.size = sizeof r, .text = MOSES};
    TernSequence *s;
    Heard h = HEARD;
    TernError err;
    must(tern_sequence_create(g, &r, hear, &h, &s, &err), &err);
    must(tern_generator_step(g, &err), &err);
    tern_sequence_cancel(s);
    must(tern_generator_step(g, &err), &err);
    must(tern_sequence_get(s, &h.got, &err), &err);
    assert_int_equal(h.got.end, TERN_END_CANCELLED);
    assert_int_equal(h.got.n_prefilled, 4);
    assert_int_equal(h.n_pieces, 0);
    assert_int_equal(tern_generator_running(g), 0);
    must(tern_sequence_status(s, &err), &err);
    tern_sequence_destroy(s);
    tern_generator_destroy(g);
}

/* ---- Several at once */

enum { SEQUENCES = 5, SLOTS = 3 };

static TernRequest request_of(size_t i, TernSamplerOptions so[SEQUENCES], TernText stops[1]) {
    static const TernText prompts[] = {MOSES, TEXT("In the beginning"), TEXT("KING RICHARD:\n"),
                                       TEXT("Now is the winter of our discontent, now is the winter"),
                                       TEXT("")};
    so[i] = i % 2 ? (TernSamplerOptions)TERN_SAMPLER_OPTIONS : greedy();
    so[i].seed = 40 + i;
    return (TernRequest){.size = sizeof(TernRequest),
                         .text = prompts[i],
                         .max_tokens = 6 + 5 * (uint32_t)i,
                         .draft_max = i == 0 ? 3 : 0,
                         .sampler = &so[i],
                         .stops = stops,
                         .n_stops = 1};
}

/* Requests in several slots that come and go, with prompts in small chunks: each gives the same as alone. */
static void company_changes_nothing(void **state) {
    (void)state;
    TernSamplerOptions so[SEQUENCES];
    TernText stops[1] = {TEXT(" the ")};
    TernRequest r[SEQUENCES];
    Heard alone[SEQUENCES], h[SEQUENCES];
    for (size_t i = 0; i < SEQUENCES; i++) {
        r[i] = request_of(i, so, stops);
        if (i != 1) r[i].n_stops = 0, r[i].stops = NULL;
        alone[i] = run_alone(r[i]);
        h[i] = HEARD;
    }
    TernGenerator *g =
        open_generator((TernGeneratorOptions){.slots = SLOTS, .context = 96, .batch = 12, .draft_max = 3});
    TernSequence *s[SEQUENCES] = {0};
    TernError err;
    size_t made = 0, done = 0, together = 0;
    stop_clock(g);
    while (done < SEQUENCES) {
        size_t live = made - done;
        if (made < SEQUENCES && live < SLOTS) {
            must(tern_sequence_create(g, &r[made], hear, &h[made], &s[made], &err), &err);
            made++;
        } else if (made < SEQUENCES) {
            TernSequence *none = NULL;
            assert_int_equal(tern_sequence_create(g, &r[made], hear, NULL, &none, &err), TERN_ERR_INPUT);
            assert_string_equal(err.text,
                                "all slots of the generator are taken, expected at most 3 sequences at once");
        }
        if (tern_generator_running(g) > together) together = tern_generator_running(g);
        must(tern_generator_step(g, &err), &err);
        for (size_t i = 0; i < made; i++) {
            if (!s[i]) continue;
            must(tern_sequence_get(s[i], &h[i].got, &err), &err);
            if (h[i].got.end == TERN_END_NOT) continue;
            must(tern_sequence_status(s[i], &err), &err);
            tern_sequence_destroy(s[i]);
            s[i] = NULL;
            done++;
        }
    }
    assert_int_equal(together, SLOTS);
    for (size_t i = 0; i < SEQUENCES; i++) check_same(&alone[i], &h[i]);
    must(tern_generator_step(g, &err), &err); /* nothing to do */
    tern_generator_destroy(g);
}

/* Ids drawn from the whole vocabulary, with bytes that are not characters among them. All pieces together are the text of
 * the ids, and only the piece at the end may end inside a character. */
static void pieces_are_whole_characters(void **state) {
    (void)state;
    TernSamplerOptions so = TERN_SAMPLER_OPTIONS;
    so.temp = 1e6f;
    so.top_k = 0;
    so.top_p = 1;
    so.min_p = 0;
    so.seed = 11;
    TernText stops[] = {TEXT("\xc3\xa9\xc3\xa9\xc3\xa9")};
    Heard h = run_alone((TernRequest){
        .text = MOSES, .max_tokens = 120, .ignore_eog = 1, .sampler = &so, .stops = stops, .n_stops = 1});
    TernVocab *v;
    TernError err;
    char text[16 * MOST];
    size_t n;
    const void *image = tern_model_vocab(model, &n);
    must(tern_vocab_open(image, n, &v, &err), &err);
    must(tern_decode(v, h.ids, h.n_ids, 0, text, sizeof text, &n, &err), &err);
    assert_int_equal(n, h.n_text);
    assert_memory_equal(text, h.text, n);
    tern_vocab_close(v);
}

static void wrong_generators(void **state) {
    (void)state;
    static const struct {
        TernGeneratorOptions o;
        const char *line;
    } cases[] = {
        {{.slots = 4, .batch = 3}, "TernGeneratorOptions.slots is 4, expected at most 3, the rows of a step"},
        {{.batch = 9999}, "TernGeneratorOptions.batch is 9999 rows, expected at most 512"},
        {{.context = 1u << 23},
         "TernGeneratorOptions.context is 8388608 positions, expected at most the model's 1024"},
        {{.slots = 4, .batch = 16, .draft_max = 4},
         "TernGeneratorOptions.draft_max is 4, expected at most 3: 4 slots share 16 rows a step"},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        TernGeneratorOptions o = cases[i].o;
        TernGenerator *g = NULL;
        TernError err;
        o.size = sizeof o;
        assert_int_equal(tern_generator_create(model, pool, &o, &g, &err), TERN_ERR_INPUT);
        assert_string_equal(err.text, cases[i].line);
        assert_null(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_of_the_session),
        cmocka_unit_test(guesses_change_nothing),
        cmocka_unit_test(stop_strings_straddle_pieces),
        cmocka_unit_test(stop_ids_end_it),
        cmocka_unit_test(a_full_context_ends_it),
        cmocka_unit_test(wrong_requests),
        cmocka_unit_test(the_callback_ends_it),
        cmocka_unit_test(the_callback_must_not_come_back),
        cmocka_unit_test(another_thread_ends_it),
        cmocka_unit_test(a_long_prompt_is_cancelled_between_chunks),
        cmocka_unit_test(company_changes_nothing),
        cmocka_unit_test(pieces_are_whole_characters),
        cmocka_unit_test(wrong_generators),
    };
    return cmocka_run_group_tests(tests, open_embedded, close_embedded);
}
