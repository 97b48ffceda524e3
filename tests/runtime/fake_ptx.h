/* The kernels of the small model (fake_model.h) as PTX text, by hand: one thread does all of a kernel's work. Only what
 * these tests ask for is there: put stores one element of a token, attend folds what it finds through the block table, head
 * gives logits and the best, hide a hidden row; top gives nothing. */
#ifndef FAKE_PTX_H
#define FAKE_PTX_H

#include "fake_model.h"

#define PTX_ENTRY(name, params, gate)                                                                        \
    ".visible .entry " name "(" params ")\n{\n"                                                              \
    ".reg .b32 %r<24>;\n.reg .b64 %d<24>;\n.reg .f32 %f<4>;\n.reg .b16 %h<4>;\n.reg .pred %p<8>;\n"          \
    "mov.u32 %r0, %tid.x;\nsetp.ne.u32 %p0, %r0, 0;\n@%p0 bra $Lend;\n" gate
#define PTX_END     "$Lend:\nret;\n}\n"
#define PTX_P(k)    ".param .u64 p" #k
#define PTX_UP_TO_3 PTX_P(0) ", " PTX_P(1) ", " PTX_P(2) ", " PTX_P(3)
#define PTX_UP_TO_4 PTX_UP_TO_3 ", " PTX_P(4)
#define PTX_UP_TO_10                                                                                         \
    PTX_UP_TO_4 ", " PTX_P(5) ", " PTX_P(6) ", " PTX_P(7) ", " PTX_P(8) ", " PTX_P(9) ", " PTX_P(10)
/* Ends unless the symbol in byte `at` of the symbols, parameter p, is above 0; it is in d1. */
#define PTX_GATE(p, at)                                                                                      \
    "ld.param.u64 %d0, [p" #p "];\nld.global.u64 %d1, [%d0+" #at "];\n"                                      \
    "setp.le.s64 %p1, %d1, 0;\n@%p1 bra $Lend;\n"

static const char fake_ptx_head[] = ".version 7.0\n.target sm_80\n.address_size 64\n";

/* d4 = the address of the key of the position in r2 of slot r3; table in d5, P in r4, keys in d6 */
#define PTX_KEY                                                                                              \
    "shr.u32 %r5, %r2, 6;\nmad.lo.u32 %r5, %r3, %r4, %r5;\nmul.wide.u32 %d4, %r5, 4;\n"                      \
    "add.u64 %d4, %d4, %d5;\nld.global.u32 %r5, [%d4];\n" /* the page */                                     \
    "mul.lo.u32 %r5, %r5, 768;\nand.b32 %r6, %r2, 63;\nmad.lo.u32 %r5, %r6, 2, %r5;\n"                       \
    "mul.wide.u32 %d4, %r5, 1;\nadd.u64 %d4, %d4, %d6;\n"
#define PTX_CACHES                                                                                           \
    "ld.param.u64 %d5, [p3];\nld.param.u64 %d6, [p5];\nld.global.u64 %d7, [%d0+40];\ncvt.u32.u64 %r4, "      \
    "%d7;\n"

static const char *const fake_ptx_entries[LAUNCHES] = {
    [PUT] = PTX_ENTRY("put", PTX_UP_TO_10, PTX_GATE(10, 0)) PTX_CACHES
    "mov.u32 %r1, %ctaid.x;\ncvt.u64.u32 %d2, %r1;\nsetp.ge.s64 %p2, %d2, %d1;\n@%p2 "
    "bra $Lend;\n" /* its row */
    "ld.param.u64 %d3, [p0];\nmad.wide.u32 %d3, %r1, 4, %d3;\nld.global.u32 %r7, "
    "[%d3];\n" /* the token */
    "ld.param.u64 %d3, [p1];\nmad.wide.u32 %d3, %r1, 4, %d3;\nld.global.u32 %r2, "
    "[%d3];\n"
    "ld.param.u64 %d3, [p2];\nmad.wide.u32 %d3, %r1, 4, %d3;\nld.global.u32 %r3, "
    "[%d3];\n" PTX_KEY "add.u32 %r7, %r7, 1;\ncvt.u16.u32 %h0, %r7;\nst.global.b16 [%d4], %h0;\n" PTX_END,
    [ATTEND] = PTX_ENTRY("attend", PTX_UP_TO_10, PTX_GATE(10, 0)) PTX_CACHES
    "mov.u32 %r1, 0;\n$Lrow:\n" /* of each row */
    "ld.param.u64 %d3, [p1];\nmad.wide.u32 %d3, %r1, 4, %d3;\nld.global.u32 %r8, [%d3];\n"
    "ld.param.u64 %d3, [p2];\nmad.wide.u32 %d3, %r1, 4, %d3;\nld.global.u32 %r3, [%d3];\n"
    "mov.u32 %r2, 0;\nmov.u64 %d8, 0;\n$Lposition:\n" PTX_KEY
    "ld.global.b16 %h0, [%d4];\ncvt.u32.u16 %r7, %h0;\ncvt.u64.u32 %d9, %r7;\n"
    "or.b64 %d10, %d8, %d9;\nand.b64 %d11, %d8, %d9;\nsub.u64 %d8, %d10, %d11;\n" /* exclusive or */
    "mul.lo.u64 %d8, %d8, -7046029254386353131;\nadd.u64 %d8, %d8, 77;\n"
    "add.u32 %r2, %r2, 1;\nsetp.le.u32 %p2, %r2, %r8;\n@%p2 bra $Lposition;\n"
    "ld.param.u64 %d3, [p9];\nmad.wide.u32 %d3, %r1, 64, %d3;\nst.global.u64 [%d3], %d8;\n"
    "add.u32 %r1, %r1, 1;\ncvt.u64.u32 %d2, %r1;\nsetp.lt.s64 %p2, %d2, %d1;\n@%p2 bra $Lrow;\n" PTX_END,
    [HEAD] = PTX_ENTRY(
        "head", PTX_UP_TO_4,
        PTX_GATE(
            4,
            8)) "mov.u32 %r1, 0;\n$Lrow:\n"
                "ld.param.u64 %d3, [p1];\nmad.wide.u32 %d3, %r1, 4, %d3;\nld.global.u32 %r2, [%d3];\n"
                "ld.param.u64 %d3, [p0];\nmad.wide.u32 %d3, %r2, 64, %d3;\nld.global.u64 %d8, [%d3];\n"
                "ld.param.u64 %d4, [p2];\nmad.wide.u32 %d4, %r1, 64, %d4;\n"
                "mov.u32 %r3, 0;\nmov.u32 %r4, 0;\nmov.f32 %f0, 0fBF800000;\n$Llogit:\n" /* -1, no logit */
                "mad.lo.u32 %r5, %r3, 2, 3;\ncvt.u64.u32 %d5, %r5;\nmul.lo.u64 %d5, %d5, %d8;\nshr.u64 %d5, "
                "%d5, 61;\n"
                "cvt.u32.u64 %r6, %d5;\ncvt.rn.f32.u32 %f1, %r6;\nst.global.f32 [%d4], %f1;\n"
                "setp.gt.f32 %p2, %f1, %f0;\nselp.f32 %f0, %f1, %f0, %p2;\nselp.b32 %r4, %r3, %r4, %p2;\n"
                "add.u64 %d4, %d4, 4;\nadd.u32 %r3, %r3, 1;\nsetp.lt.u32 %p2, %r3, 13;\n@%p2 bra $Llogit;\n"
                "ld.param.u64 %d3, [p3];\nmad.wide.u32 %d3, %r1, 4, %d3;\nst.global.u32 [%d3], %r4;\n"
                "add.u32 %r1, %r1, 1;\ncvt.u64.u32 %d2, %r1;\nsetp.lt.s64 %p2, %d2, %d1;\n@%p2 bra "
                "$Lrow;\n" PTX_END,
    [TOP] = PTX_ENTRY("top", PTX_UP_TO_3, "") PTX_END,
    [HIDE] = PTX_ENTRY(
        "hide", PTX_UP_TO_3,
        PTX_GATE(3,
                 24)) "mov.u32 %r1, 0;\n$Lrow:\n"
                      "ld.param.u64 %d3, [p1];\nmad.wide.u32 %d3, %r1, 4, %d3;\nld.global.u32 %r2, [%d3];\n"
                      "ld.param.u64 %d3, [p0];\nmad.wide.u32 %d3, %r2, 64, %d3;\nld.global.u64 %d8, [%d3];\n"
                      "ld.param.u64 %d4, [p2];\nmad.wide.u32 %d4, %r1, 64, %d4;\nmov.u32 %r3, 0;\n$Lbyte:\n"
                      "cvt.u32.u64 %r4, %d8;\nand.b32 %r4, %r4, 255;\ncvt.rn.f32.u32 %f0, "
                      "%r4;\nst.global.f32 [%d4], %f0;\n"
                      "shr.u64 %d8, %d8, 8;\nadd.u64 %d4, %d4, 4;\nadd.u32 %r3, %r3, 1;\nsetp.lt.u32 %p2, "
                      "%r3, 8;\n"
                      "@%p2 bra $Lbyte;\n"
                      "add.u32 %r1, %r1, 1;\ncvt.u64.u32 %d2, %r1;\nsetp.lt.s64 %p2, %d2, %d1;\n@%p2 bra "
                      "$Lrow;\n" PTX_END,
};

/* Puts a section PTXT with these entries in the place of the maker's. */
static inline void fake_ptx_text(TnBuf *section) {
    enum { NAMES = 16 + LAUNCHES * sizeof(TnBlobExport) + 8 };
    static const char names[] = "putattendheadtophide";
    static const uint8_t lengths[LAUNCHES] = {3, 6, 4, 3, 4};
    TnBuf text = {0}, out = {0};
    TnBlobExport exports[LAUNCHES];
    tn_buf_puts(&text, fake_ptx_head);
    TnBlobCode head = {.n_exports = LAUNCHES};
    uint32_t at = (uint32_t)(sizeof head + sizeof exports);
    for (int i = 0; i < LAUNCHES; at += lengths[i++]) {
        exports[i] = (TnBlobExport){.entry = text.len, .name = {at, lengths[i]}};
        tn_buf_puts(&text, fake_ptx_entries[i]);
    }
    tn_buf_put(&text, "", 1);
    head.image_offset = (at + 63) / 64 * 64;
    head.image_size = text.len;
    tn_buf_put(&out, &head, sizeof head);
    tn_buf_put(&out, exports, sizeof exports);
    tn_buf_puts(&out, names);
    tn_buf_align(&out, 64);
    tn_buf_put(&out, text.data, text.len);
    tn_buf_free(&text);
    tn_buf_free(section);
    *section = out;
}

/* The small model for level sm_80, without scratch. */
static inline Image fake_ptx_image(size_t weight_bytes) {
    Maker m = fake_maker(TN_LEVEL_SM_80, weight_bytes);
    fake_ptx_text(&maker_find(&m, TN_SECTION_PTXT, 0)->bytes);
    for (uint32_t i = 0; i < 6; i++) {
        uint8_t *prog = (uint8_t *)maker_find(&m, TN_SECTION_PROG, i)->bytes.data;
        TnBlobLaunch *l = (TnBlobLaunch *)(void *)(prog + sizeof(TnBlobProg));
        TnBlobPlan *plan = (TnBlobPlan *)(void *)maker_find(&m, TN_SECTION_PLAN, i)->bytes.data;
        plan->scratch = 0;
        for (uint32_t k = 0; k < LAUNCHES; k++) {
            l[k].scratch = 0;
            l[k].threads = 32;
            l[k].shared = 64 * k;
            l[k].export_index = k;
        }
    }
    Image image = maker_seal(&m);
    maker_free(&m);
    return image;
}

#endif
