/* For tests: a small decoder of random weights as model-stage text, odd in every size: 2 layers, hidden 192,
 * 3 heads on 1 kv head of 64, ffn 448, vocabulary 97. */
#ifndef TN_TEST_SMALL_MODEL_H
#define TN_TEST_SMALL_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "codegen/codegen.h"

enum { SMALL_LAYERS = 2, SMALL_VOCAB = 97, SMALL_CONTEXT = 320, SMALL_TOP = 17 };

static const char small_head[] = "tir 1\n"
                                 "graph @step stage=model\n"
                                 "  $emb: f16[97,192] = random {seed=1}\n"
                                 "  $freq: f32[2,32] = rope_freq {base=0x1.388p+13}\n"
                                 "  %ids: i32[T] = input {name=\"ids\"}\n"
                                 "  %pos: i32[T] = input {name=\"pos\"}\n"
                                 "  %slot: i32[T] = input {name=\"slot\"}\n"
                                 "  %rows: i32[R] = input {name=\"rows\"}\n"
                                 "  %hrows: i32[H] = input {name=\"hrows\"}\n"
                                 "  %table: i32[S,P] = input {name=\"table\"}\n"
                                 "  %angle: f32[T,64] = rope_angle %pos, $freq\n"
                                 "  %x0: f32[T,192] = embed %ids, $emb\n";

/* In: %x<i>; out: %x<i+1>. `@` stands for the layer's number, `^` for the next, `~` for the seeds' first
 * digit. */
static const char small_layer[] =
    "  $n@: f32[192] = random {seed=~1}\n"
    "  $wq@: t8[192,192] scale=0x1p-4 = random {seed=~2}\n"
    "  $wk@: t8[64,192] scale=0x1p-5 = random {seed=~3}\n"
    "  $wv@: t8[64,192] scale=0x1.8p-4 = random {seed=~4}\n"
    "  $wo@: t8[192,192] scale=0x1.2p-4 = random {seed=~5}\n"
    "  $fn@: f32[192] = random {seed=~6}\n"
    "  $wg@: t8[448,192] scale=0x1p-4 = random {seed=~7}\n"
    "  $wu@: t8[448,192] scale=0x1.4p-4 = random {seed=~8}\n"
    "  $sn@: f32[448] = random {seed=~9}\n"
    "  $wd@: t8[192,448] scale=0x1p-6 = random {seed=~0}\n"
    "  %k@: kc[N,1,64] = input {name=\"k@\"}\n"
    "  %v@: vc[N,1,64] = input {name=\"v@\"}\n"
    "  %h@: f32[T,192] = rmsnorm %x@, $n@ {eps=0x1.4f8b58p-17}\n"
    "  %hq@: q8[T,192] = quant %h@\n"
    "  %qa@: i32[T,192] = tmatmul %hq@, $wq@\n"
    "  %q@: f32[T,192] = dequant %qa@, %hq@, $wq@\n"
    "  %qr@: f32[T,192] = rope %q@, %angle {mode=half}\n"
    "  %ka@: i32[T,64] = tmatmul %hq@, $wk@\n"
    "  %kf@: f32[T,64] = dequant %ka@, %hq@, $wk@\n"
    "  %kr@: f32[T,64] = rope %kf@, %angle {mode=half}\n"
    "  %va@: i32[T,64] = tmatmul %hq@, $wv@\n"
    "  %vf@: f32[T,64] = dequant %va@, %hq@, $wv@\n"
    "  %kp@: kc[N,1,64] = kv_put %k@, %kr@, %pos, %slot, %table\n"
    "  %vp@: vc[N,1,64] = kv_put %v@, %vf@, %pos, %slot, %table\n"
    "  %at@: f32[T,192] = attend %qr@, %kp@, %vp@, %pos, %slot, %table {scale=0x1p-3, window=0}\n"
    "  %aq@: q8[T,192] = quant %at@\n"
    "  %oa@: i32[T,192] = tmatmul %aq@, $wo@\n"
    "  %o@: f32[T,192] = dequant %oa@, %aq@, $wo@\n"
    "  %m@: f32[T,192] = add %x@, %o@\n"
    "  %f@: f32[T,192] = rmsnorm %m@, $fn@ {eps=0x1.4f8b58p-17}\n"
    "  %fq@: q8[T,192] = quant %f@\n"
    "  %ga@: i32[T,448] = tmatmul %fq@, $wg@\n"
    "  %g@: f32[T,448] = dequant %ga@, %fq@, $wg@\n"
    "  %ua@: i32[T,448] = tmatmul %fq@, $wu@\n"
    "  %u@: f32[T,448] = dequant %ua@, %fq@, $wu@\n"
    "  %gr@: f32[T,448] = relu2 %g@\n"
    "  %gu@: f32[T,448] = mul %gr@, %u@\n"
    "  %gn@: f32[T,448] = rmsnorm %gu@, $sn@ {eps=0x1.4f8b58p-17}\n"
    "  %gq@: q8[T,448] = quant %gn@\n"
    "  %da@: i32[T,192] = tmatmul %gq@, $wd@\n"
    "  %d@: f32[T,192] = dequant %da@, %gq@, $wd@\n"
    "  %x^: f32[T,192] = add %m@, %d@\n";

static const char small_tail[] = "  $on: f32[192] = random {seed=2}\n"
                                 "  %xr: f32[R,192] = gather %x2, %rows\n"
                                 "  %xn: f32[R,192] = rmsnorm %xr, $on {eps=0x1.4f8b58p-17}\n"
                                 "  %lg: f32[R,97] = matmul %xn, $emb\n"
                                 "  %best: i32[R] = argmax %lg\n"
                                 "  %top: i32[K,17] = topk %lg {k=17}\n"
                                 "  %tl: f32[K,17] = take %lg, %top\n"
                                 "  %hr: f32[H,192] = gather %x2, %hrows\n"
                                 "  %hn: f32[H,192] = rmsnorm %hr, $on {eps=0x1.4f8b58p-17}\n"
                                 "  %out0: i32[R] = output %best {name=\"best\"}\n"
                                 "  %out1: i32[K,17] = output %top {name=\"top\"}\n"
                                 "  %out2: f32[K,17] = output %tl {name=\"toplogit\"}\n"
                                 "  %out3: f32[R,97] = output %lg {name=\"logits\"}\n"
                                 "  %out4: f32[H,192] = output %hn {name=\"hidden\"}\n"
                                 "end\n";

static const TnFacts small_facts = {.arch = "test",
                                    .name = "small",
                                    .desc = "random",
                                    .n_vocab = SMALL_VOCAB,
                                    .n_context = SMALL_CONTEXT,
                                    .n_layers = SMALL_LAYERS,
                                    .n_hidden = 192,
                                    .n_ffn = 448,
                                    .n_heads = 3,
                                    .n_kv_heads = 1,
                                    .head_dim = 64,
                                    .n_params = 12345,
                                    .source_hash = 42,
                                    .vocab = "vocabulary",
                                    .vocab_bytes = 10};

static inline TnGraph *small_model(void) {
    TnBuf b = {0};
    tn_buf_puts(&b, small_head);
    for (int layer = 0; layer < SMALL_LAYERS; layer++)
        for (const char *p = small_layer; *p; p++) {
            char c = *p == '@'   ? (char)('0' + layer)
                     : *p == '^' ? (char)('1' + layer)
                     : *p == '~' ? (char)('5' + layer)
                                 : *p;
            tn_buf_put(&b, &c, 1);
        }
    tn_buf_puts(&b, small_tail);
    TnDiag diag = {0};
    TnGraph **gs = NULL;
    uint32_t n = 0;
    if (tn_parse(b.data, b.len, "small", &gs, &n, &diag)) fail_msg("%s", diag.text.data);
    TnGraph *g = gs[0];
    if (tn_verify(g, &diag)) fail_msg("%s", diag.text.data);
    free(gs);
    tn_buf_free(&b);
    tn_diag_free(&diag);
    return g;
}

#endif
