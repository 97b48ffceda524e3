/* Objects made by hand, byte by byte, so that every relocation and every refusal can be shown on any machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <elf.h>
#include <cmocka.h>
#include "codegen/codegen.h"
#include "runtime/base/reader.h"

/* Sections: 1 .text, 2 .rodata, 3 .rela.text, 4 .symtab, 5 .strtab (of sections too), 6 .eh_frame, 7 .data */
enum { TEXT = 1, RODATA, RELA, SYMTAB, STRTAB, EH, DATA, SECTIONS };
static const char names[] =
    "\0.text\0.rodata\0.rela.text\0.symtab\0.strtab\0.eh_frame\0.data\0entry\0table\0memcpy";

typedef struct Fixture {
    uint16_t machine;
    uint8_t text[96], rodata[80];
    Elf64_Rela rela;
    size_t data_bytes;
    Elf64_Word rodata_flags;
} Fixture;

static uint32_t name_at(const char *s) {
    for (size_t i = 0; i + strlen(s) < sizeof names; i++)
        if (!memcmp(names + i, s, strlen(s) + 1) && (i == 0 || names[i - 1] == 0)) return (uint32_t)i;
    abort();
}

/* Symbols: 1 entry (function, .text+16), 2 table (.rodata+8), 3 memcpy (undefined) */
static TnBuf make_object(const Fixture *f) {
    TnBuf b = {0};
    Elf64_Sym sym[4] = {{0},
                        {name_at("entry"), ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, TEXT, 16, 0},
                        {name_at("table"), ELF64_ST_INFO(STB_LOCAL, STT_OBJECT), 0, RODATA, 8, 0},
                        {name_at("memcpy"), ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE), 0, SHN_UNDEF, 0, 0}};
    const uint8_t data[64] = {0};
    struct {
        const char *name;
        Elf64_Word type;
        Elf64_Xword flags;
        const void *bytes;
        size_t n;
        Elf64_Word link, info;
        Elf64_Xword entsize;
    } s[SECTIONS] = {
        {"", SHT_NULL, 0, NULL, 0, 0, 0, 0},
        {".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, f->text, sizeof f->text, 0, 0, 0},
        {".rodata", SHT_PROGBITS, SHF_ALLOC | f->rodata_flags, f->rodata, sizeof f->rodata, 0, 0, 0},
        {".rela.text", SHT_RELA, 0, &f->rela, sizeof f->rela, SYMTAB, TEXT, sizeof f->rela},
        {".symtab", SHT_SYMTAB, 0, sym, sizeof sym, STRTAB, 3, sizeof sym[0]},
        {".strtab", SHT_STRTAB, 0, names, sizeof names, 0, 0, 0},
        {".eh_frame", SHT_PROGBITS, SHF_ALLOC, data, 24, 0, 0, 0},
        {".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, data, f->data_bytes, 0, 0, 0}};
    Elf64_Shdr h[SECTIONS] = {{0}};
    tn_buf_grow(&b, sizeof(Elf64_Ehdr));
    for (int i = 1; i < SECTIONS; i++) {
        tn_buf_align(&b, 8);
        h[i] = (Elf64_Shdr){name_at(s[i].name), s[i].type, s[i].flags, 0,           b.len, s[i].n,
                            s[i].link,          s[i].info, 16,         s[i].entsize};
        tn_buf_put(&b, s[i].bytes, s[i].n);
    }
    tn_buf_align(&b, 8);
    Elf64_Ehdr e = {.e_type = ET_REL,
                    .e_machine = f->machine,
                    .e_version = 1,
                    .e_shoff = b.len,
                    .e_ehsize = sizeof e,
                    .e_shentsize = sizeof(Elf64_Shdr),
                    .e_shnum = SECTIONS,
                    .e_shstrndx = STRTAB};
    memcpy(e.e_ident, ELFMAG, SELFMAG);
    e.e_ident[EI_CLASS] = ELFCLASS64;
    e.e_ident[EI_DATA] = ELFDATA2LSB;
    memcpy(b.data, &e, sizeof e);
    tn_buf_put(&b, h, sizeof h);
    return b;
}

static Fixture fixture(uint16_t machine, uint32_t type, uint32_t symbol, uint64_t at, int64_t addend) {
    Fixture f = {.machine = machine, .rela = {at, ELF64_R_INFO(symbol, type), addend}};
    for (size_t i = 0; i < sizeof f.text; i++) f.text[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof f.rodata; i++) f.rodata[i] = (uint8_t)(200 + i);
    return f;
}

/* Flattens after `before` bytes that are in the image already; text is at round_up(before, 64), rodata 128
 * bytes after it. */
static TernStatus flatten(const Fixture *f, size_t before, TnBuf *image, TnFlat *flat, TernError *err) {
    TnBuf o = make_object(f);
    *image = (TnBuf){0};
    if (before) memset(tn_buf_grow(image, before), 0xaa, before);
    TernStatus s = tn_flatten(o.data, o.len, NULL, image, flat, err);
    tn_buf_free(&o);
    return s;
}

static uint32_t word(const TnBuf *image, size_t at) {
    uint32_t v;
    memcpy(&v, image->data + at, 4);
    return v;
}

static void places_code_then_data(void **state) {
    (void)state;
    Fixture f = fixture(EM_X86_64, R_X86_64_PC32, 2, 4, -4);
    TnBuf image;
    TnFlat flat;
    TernError err;
    assert_int_equal(flatten(&f, 70, &image, &flat, &err), TERN_OK);
    assert_int_equal(image.len,
                     128 + 128 + 128); /* text of 96 at 128, rodata of 80 behind it, no .eh_frame */
    assert_memory_equal(image.data + 128 + 8, f.text + 8, 88);
    assert_memory_equal(image.data + 256, f.rodata, 80);
    assert_int_equal(flat.n, 1);
    assert_string_equal(flat.symbols[0].name, "entry");
    assert_int_equal(flat.symbols[0].offset, 128 + 16);
    assert_int_equal((int32_t)word(&image, 128 + 4), (256 + 8 - 4) - (128 + 4));
    tn_flat_free(&flat);
    tn_buf_free(&image);
}

/* The result of one aarch64 relocation on an instruction whose field is all ones or all zeros. */
static uint32_t relocated(uint32_t type, uint32_t symbol, uint32_t instruction, int64_t addend,
                          size_t before) {
    Fixture f = fixture(EM_AARCH64, type, symbol, 8, addend);
    memcpy(f.text + 8, &instruction, 4);
    TnBuf image;
    TnFlat flat;
    TernError err;
    assert_int_equal(flatten(&f, before, &image, &flat, &err), TERN_OK);
    uint32_t v = word(&image, tn_round_up(before, 64) + 8);
    tn_flat_free(&flat);
    tn_buf_free(&image);
    return v;
}

static void aarch64_relocations(void **state) {
    (void)state;
    /* The table is at 128 + 8 in the image; with 4,096 bytes in front text is in page 1 and so is the table.
     */
    assert_int_equal(relocated(R_AARCH64_ADD_ABS_LO12_NC, 2, 0x91000000, 0, 0), 0x91000000 | 136 << 10);
    assert_int_equal(relocated(R_AARCH64_LDST8_ABS_LO12_NC, 2, 0x39400000, 3, 0), 0x39400000 | 139 << 10);
    assert_int_equal(relocated(R_AARCH64_LDST16_ABS_LO12_NC, 2, 0x79400000, 2, 0), 0x79400000 | (138 / 2)
                                                                                                    << 10);
    assert_int_equal(relocated(R_AARCH64_LDST32_ABS_LO12_NC, 2, 0xb9400000, 4, 0), 0xb9400000 | (140 / 4)
                                                                                                    << 10);
    assert_int_equal(relocated(R_AARCH64_LDST64_ABS_LO12_NC, 2, 0xf9400000, 8, 4096), 0xf9400000 | (144 / 8)
                                                                                                       << 10);
    assert_int_equal(relocated(R_AARCH64_LDST128_ABS_LO12_NC, 2, 0x3dc00000, 8, 0), 0x3dc00000 | (144 / 16)
                                                                                                     << 10);
    assert_int_equal(relocated(R_AARCH64_ADR_PREL_PG_HI21, 2, 0x90000000, 0, 4096), 0x90000000);
    /* text at 4032, its word in page 0, the table at 4032 + 128 + 8 in page 1 */
    assert_int_equal(relocated(R_AARCH64_ADR_PREL_PG_HI21, 2, 0x90000000, 0, 4032), 0xb0000000);
    assert_int_equal(relocated(R_AARCH64_ADR_PREL_PG_HI21, 2, 0x90000000, -8192, 0), 0xd0ffffe0);
    assert_int_equal(relocated(R_AARCH64_CALL26, 1, 0x94000000, 0, 0), 0x94000002);
    assert_int_equal(relocated(R_AARCH64_JUMP26, 1, 0x14000000, -16, 0), 0x17fffffe);
    assert_int_equal(relocated(R_AARCH64_PREL32, 2, 0xffffffff, 0, 0), 128);
}

static void refuse(const Fixture *f, TernStatus want, const char *says) {
    TnBuf image;
    TnFlat flat;
    TernError err;
    TernStatus s = flatten(f, 5, &image, &flat, &err);
    assert_int_equal(s, want);
    if (!strstr(err.text, says)) fail_msg("\"%s\" does not say \"%s\"", err.text, says);
    assert_int_equal(image.len, 5); /* nothing is left behind */
    assert_int_equal(flat.n, 0);
    tn_buf_free(&image);
}

static void refusals_name_what_they_refuse(void **state) {
    (void)state;
    Fixture f = fixture(EM_X86_64, R_X86_64_PLT32, 3, 4, -4);
    refuse(&f, TERN_ERR_UNSUPPORTED, "undefined symbol `memcpy`");
    f = fixture(EM_X86_64, R_X86_64_64, 2, 4, 0);
    refuse(&f, TERN_ERR_UNSUPPORTED, "x86-64 relocation type 1 against `table`");
    f = fixture(EM_AARCH64, R_AARCH64_ABS64, 2, 4, 0);
    refuse(&f, TERN_ERR_UNSUPPORTED, "aarch64 relocation type 257");
    f = fixture(EM_X86_64, R_X86_64_PC32, 2, 4, 0);
    f.data_bytes = 8;
    refuse(&f, TERN_ERR_UNSUPPORTED, "writable section .data");
    f = fixture(EM_X86_64, R_X86_64_PC32, 2, 4, 0);
    f.rodata_flags = SHF_WRITE;
    refuse(&f, TERN_ERR_UNSUPPORTED, "writable section .rodata");
    f = fixture(EM_RISCV, 1, 2, 4, 0);
    refuse(&f, TERN_ERR_UNSUPPORTED, "machine 243");
    f = fixture(EM_X86_64, R_X86_64_PC32, 2, 94, 0);
    refuse(&f, TERN_ERR_INPUT, "outside its section");
    f = fixture(EM_X86_64, R_X86_64_PC32, 2, 4, (int64_t)1 << 40);
    refuse(&f, TERN_ERR_UNSUPPORTED, "does not reach");
    f = fixture(EM_AARCH64, R_AARCH64_LDST64_ABS_LO12_NC, 2, 4, 3);
    refuse(&f, TERN_ERR_UNSUPPORTED, "does not reach");
}

/* Every byte of the object damaged, and every length cut: an answer each time, no crash (sanitizers watch).
 */
static void damage_is_survived(void **state) {
    (void)state;
    Fixture f = fixture(EM_X86_64, R_X86_64_PC32, 2, 4, -4);
    TnBuf o = make_object(&f);
    for (size_t i = 0; i < o.len; i++) {
        for (int bit = 0; bit < 8; bit += 3) {
            TnBuf image = {0};
            TnFlat flat;
            o.data[i] ^= (char)(1 << bit);
            if (tn_flatten(o.data, o.len, NULL, &image, &flat, NULL) == TERN_OK) tn_flat_free(&flat);
            o.data[i] ^= (char)(1 << bit);
            tn_buf_free(&image);
        }
        void *cut = malloc(i + 1);
        memcpy(cut, o.data, i);
        TnBuf image = {0};
        TnFlat flat;
        assert_int_not_equal(tn_flatten(cut, i, NULL, &image, &flat, NULL), TERN_OK);
        tn_buf_free(&image);
        free(cut);
    }
    tn_buf_free(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_code_then_data),
        cmocka_unit_test(aarch64_relocations),
        cmocka_unit_test(refusals_name_what_they_refuse),
        cmocka_unit_test(damage_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
