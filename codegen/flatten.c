/* Makes a relocatable object into an image that runs at any address.
 *
 * The image is the object's executable sections, then its read-only ones, each at a multiple of its alignment
 * (64 at least), with every relocation between them applied. All supported relocations are relative to the
 * place, so the image needs none at load. Page-relative relocations of aarch64 hold because an image is always
 * mapped at a page boundary and appended to a buffer that starts at one. Unwind tables, notes and debug
 * information are left out.
 *
 * This is the one place that enforces "no globals, no imports": whatever generated code must not have is refused here, by
 * name. The object comes from LLVM in our own process, but its bytes are read like any other input. Symbols of code that
 * was made elsewhere and is in the image already (libxsmm's) are given by name; nothing else may be undefined. */
#include "codegen/codegen.h"

#include <elf.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "runtime/base/reader.h"

#define NOT_PLACED UINT64_MAX

typedef struct Object {
    const uint8_t *bytes;
    size_t n;
    uint16_t machine;
    uint32_t n_sections;
    const uint8_t *headers; /* n_sections of Elf64_Shdr, inside bytes, maybe unaligned */
    uint32_t names;         /* section of section names */
    uint64_t *place;        /* offset of each section in the image, or NOT_PLACED */
    const TnFlat *given;    /* the symbols that may be undefined; NULL: none */
    TnBuf *image;
    TernError *err;
} Object;

static TernStatus bad(const Object *o, const char *what) {
    return tn_fail(o->err, TERN_ERR_INPUT, "object: %s", what);
}

static Elf64_Shdr section(const Object *o, uint32_t i) {
    Elf64_Shdr s;
    memcpy(&s, o->headers + (size_t)i * sizeof s, sizeof s);
    return s;
}

/* A NUL-terminated string of a string table section; "?" if it lies outside. */
static const char *string_at(const Object *o, uint32_t table, uint32_t offset) {
    if (table >= o->n_sections) return "?";
    Elf64_Shdr s = section(o, table);
    if (s.sh_type != SHT_STRTAB || !tn_range_ok(s.sh_offset, s.sh_size, o->n) || offset >= s.sh_size)
        return "?";
    const char *p = (const char *)o->bytes + s.sh_offset + offset;
    return memchr(p, 0, (size_t)(s.sh_size - offset)) ? p : "?";
}

static const char *section_name(const Object *o, uint32_t i) {
    return string_at(o, o->names, section(o, i).sh_name);
}

static TernStatus open_object(Object *o) {
    TnReader r = tn_reader(o->bytes, o->n);
    const void *p = tn_read(&r, sizeof(Elf64_Ehdr));
    if (!p) return bad(o, "shorter than an ELF header");
    Elf64_Ehdr h;
    memcpy(&h, p, sizeof h);
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_ident[EI_CLASS] != ELFCLASS64 ||
        h.e_ident[EI_DATA] != ELFDATA2LSB || h.e_type != ET_REL)
        return bad(o, "not a little-endian ELF64 relocatable object");
    if (h.e_machine != EM_X86_64 && h.e_machine != EM_AARCH64)
        return tn_fail(o->err, TERN_ERR_UNSUPPORTED,
                       "object: machine %u, expected x86-64 (%u) or aarch64 (%u)", h.e_machine, EM_X86_64,
                       EM_AARCH64);
    if (h.e_shentsize != sizeof(Elf64_Shdr) || h.e_shnum == 0 || h.e_shstrndx >= h.e_shnum ||
        !tn_range_ok(h.e_shoff, (uint64_t)h.e_shnum * sizeof(Elf64_Shdr), o->n))
        return bad(o, "section table outside the file");
    o->machine = h.e_machine;
    o->n_sections = h.e_shnum;
    o->headers = o->bytes + h.e_shoff;
    o->names = h.e_shstrndx;
    return TERN_OK;
}

static bool is_dropped(const Object *o, uint32_t i, const Elf64_Shdr *s) {
    if (!(s->sh_flags & SHF_ALLOC) || s->sh_size == 0 || s->sh_type == SHT_NOTE) return true;
    return !strcmp(section_name(o, i), ".eh_frame");
}

static TernStatus place_sections(Object *o) {
    for (uint32_t i = 0; i < o->n_sections; i++) o->place[i] = NOT_PLACED;
    for (int exec = 1; exec >= 0; exec--) {
        for (uint32_t i = 1; i < o->n_sections; i++) {
            Elf64_Shdr s = section(o, i);
            if (is_dropped(o, i, &s) || !!(s.sh_flags & SHF_EXECINSTR) != exec) continue;
            if ((s.sh_flags & (SHF_WRITE | SHF_TLS)) || s.sh_type == SHT_NOBITS)
                return tn_fail(o->err, TERN_ERR_UNSUPPORTED,
                               "object: writable section %s of %" PRIu64 " bytes, expected none",
                               section_name(o, i), (uint64_t)s.sh_size);
            if (!tn_range_ok(s.sh_offset, s.sh_size, o->n)) return bad(o, "section outside the file");
            uint64_t align = s.sh_addralign > 64 ? s.sh_addralign : 64;
            if (align > 4096 || (align & (align - 1)))
                return bad(o, "section alignment is not a power of two up to 4096");
            tn_buf_align(o->image, align);
            o->place[i] = o->image->len;
            tn_buf_put(o->image, o->bytes + s.sh_offset, (size_t)s.sh_size);
        }
    }
    tn_buf_align(o->image, 64);
    return TERN_OK;
}

/* One symbol: its name and, if its section is placed, its address in the image (else NOT_PLACED). */
static bool read_symbol(const Object *o, const Elf64_Shdr *table, uint64_t index, Elf64_Sym *out,
                        const char **name, uint64_t *address) {
    if (table->sh_type != SHT_SYMTAB || !tn_range_ok(table->sh_offset, table->sh_size, o->n) ||
        index >= table->sh_size / sizeof(Elf64_Sym))
        return false;
    memcpy(out, o->bytes + table->sh_offset + index * sizeof *out, sizeof *out);
    bool in_section = out->st_shndx > 0 && out->st_shndx < o->n_sections;
    *name = ELF64_ST_TYPE(out->st_info) == STT_SECTION && in_section
                ? section_name(o, out->st_shndx)
                : string_at(o, table->sh_link, out->st_name);
    *address = NOT_PLACED;
    if (in_section && o->place[out->st_shndx] != NOT_PLACED &&
        out->st_value <= section(o, out->st_shndx).sh_size)
        *address = o->place[out->st_shndx] + out->st_value;
    return true;
}

/* The address of an undefined symbol that was given, or NOT_PLACED. */
static uint64_t given_address(const Object *o, const Elf64_Sym *sym, const char *name) {
    for (size_t i = 0; sym->st_shndx == SHN_UNDEF && o->given && i < o->given->n; i++)
        if (!strcmp(o->given->symbols[i].name, name)) return o->given->symbols[i].offset;
    return NOT_PLACED;
}

/* The shift of the scaled 12-bit immediate of an aarch64 relocation, or -1 if it has none. */
static int low12_shift(uint32_t type) {
    switch (type) {
    case R_AARCH64_ADD_ABS_LO12_NC:
    case R_AARCH64_LDST8_ABS_LO12_NC:
        return 0;
    case R_AARCH64_LDST16_ABS_LO12_NC:
        return 1;
    case R_AARCH64_LDST32_ABS_LO12_NC:
        return 2;
    case R_AARCH64_LDST64_ABS_LO12_NC:
        return 3;
    case R_AARCH64_LDST128_ABS_LO12_NC:
        return 4;
    default:
        return -1;
    }
}

static bool fits(int64_t v, int bits) {
    return v >= -((int64_t)1 << (bits - 1)) && v < (int64_t)1 << (bits - 1);
}

/* Patches the word at `place` to reach `target`. Returns 0 if done, 1 for an unknown type, 2 if out of reach. */
static int apply_x86(uint8_t *at, uint32_t type, int64_t target, int64_t place) {
    if (type != R_X86_64_PC32 && type != R_X86_64_PLT32) return 1;
    if (!fits(target - place, 32)) return 2;
    uint32_t v = (uint32_t)(target - place);
    memcpy(at, &v, 4);
    return 0;
}

static int apply_aarch64(uint8_t *at, uint32_t type, int64_t target, int64_t place) {
    uint32_t in;
    memcpy(&in, at, 4);
    int shift = low12_shift(type);
    if (shift >= 0) {
        uint32_t low = (uint32_t)target & 0xfff;
        if (low & ((1u << shift) - 1)) return 2;
        in = (in & ~(0xfffu << 10)) | low >> shift << 10;
    } else if (type == R_AARCH64_ADR_PREL_PG_HI21) {
        int64_t pages = (target >> 12) - (place >> 12);
        if (!fits(pages, 21)) return 2;
        in = (in & ~0x60ffffe0u) | ((uint32_t)pages & 3) << 29 | ((uint32_t)(pages >> 2) & 0x7ffff) << 5;
    } else if (type == R_AARCH64_CALL26 || type == R_AARCH64_JUMP26) {
        int64_t d = target - place;
        if ((d & 3) || !fits(d, 28)) return 2;
        in = (in & 0xfc000000u) | ((uint32_t)(d >> 2) & 0x3ffffff);
    } else if (type == R_AARCH64_PREL32) {
        if (!fits(target - place, 32)) return 2;
        in = (uint32_t)(target - place);
    } else {
        return 1;
    }
    memcpy(at, &in, 4);
    return 0;
}

static TernStatus relocate(const Object *o, uint32_t rela_index) {
    Elf64_Shdr rs = section(o, rela_index);
    if (rs.sh_type != SHT_RELA && rs.sh_type != SHT_REL) return TERN_OK;
    if (rs.sh_info >= o->n_sections || rs.sh_link >= o->n_sections)
        return bad(o, "relocations of no section");
    uint64_t base = o->place[rs.sh_info];
    if (base == NOT_PLACED) return TERN_OK;
    if (rs.sh_type == SHT_REL)
        return tn_fail(o->err, TERN_ERR_UNSUPPORTED, "object: section %s has relocations without addends",
                       section_name(o, rela_index));
    if (!tn_range_ok(rs.sh_offset, rs.sh_size, o->n)) return bad(o, "relocations outside the file");
    Elf64_Shdr target = section(o, rs.sh_info), table = section(o, rs.sh_link);
    for (uint64_t k = 0; k < rs.sh_size / sizeof(Elf64_Rela); k++) {
        Elf64_Rela r;
        memcpy(&r, o->bytes + rs.sh_offset + k * sizeof r, sizeof r);
        Elf64_Sym sym;
        const char *name;
        uint64_t address;
        if (!read_symbol(o, &table, ELF64_R_SYM(r.r_info), &sym, &name, &address))
            return bad(o, "relocation against a symbol outside the table");
        uint32_t type = (uint32_t)ELF64_R_TYPE(r.r_info);
        if (address == NOT_PLACED) address = given_address(o, &sym, name);
        if (address == NOT_PLACED)
            return tn_fail(o->err, TERN_ERR_UNSUPPORTED,
                           "object: undefined symbol `%s` (relocation type %u of section %s)", name, type,
                           section_name(o, rs.sh_info));
        if (!tn_range_ok(r.r_offset, 4, target.sh_size)) return bad(o, "relocation outside its section");
        int64_t place = (int64_t)(base + r.r_offset), goal;
        if (__builtin_add_overflow((int64_t)address, r.r_addend, &goal) || !fits(goal, 48))
            return bad(o, "relocation with a wild addend");
        uint8_t *at = (uint8_t *)o->image->data + place;
        int bad_kind =
            o->machine == EM_X86_64 ? apply_x86(at, type, goal, place) : apply_aarch64(at, type, goal, place);
        if (bad_kind == 1)
            return tn_fail(o->err, TERN_ERR_UNSUPPORTED,
                           "object: %s relocation type %u against `%s` is not supported",
                           o->machine == EM_X86_64 ? "x86-64" : "aarch64", type, name);
        if (bad_kind)
            return tn_fail(o->err, TERN_ERR_UNSUPPORTED,
                           "object: relocation type %u against `%s` does not reach", type, name);
    }
    return TERN_OK;
}

static TernStatus collect_symbols(const Object *o, uint32_t index, TnFlat *out) {
    Elf64_Shdr table = section(o, index);
    if (table.sh_type != SHT_SYMTAB) return TERN_OK;
    for (uint64_t k = 0; k < table.sh_size / sizeof(Elf64_Sym); k++) {
        Elf64_Sym sym;
        const char *name;
        uint64_t address;
        if (!read_symbol(o, &table, k, &sym, &name, &address)) return bad(o, "symbol table outside the file");
        if (ELF64_ST_TYPE(sym.st_info) != STT_FUNC || address == NOT_PLACED) continue;
        size_t len = strlen(name) + 1;
        char *copy = tn_xcalloc(len, 1);
        memcpy(copy, name, len);
        TN_PUSH(out->symbols, out->n, out->cap, (TnFlatSymbol){copy, address});
    }
    return TERN_OK;
}

static TernStatus flatten(Object *o, TnFlat *out) {
    TN_TRY(place_sections(o));
    for (uint32_t i = 1; i < o->n_sections; i++) TN_TRY(relocate(o, i));
    for (uint32_t i = 1; i < o->n_sections; i++) TN_TRY(collect_symbols(o, i, out));
    return TERN_OK;
}

TernStatus tn_flatten(const void *object, size_t n, const TnFlat *given, TnBuf *image, TnFlat *out,
                      TernError *err) {
    Object o = {.bytes = object, .n = n, .given = given, .image = image, .err = err};
    *out = (TnFlat){0};
    TN_TRY(open_object(&o));
    size_t before = image->len;
    o.place = tn_xcalloc(o.n_sections, sizeof *o.place);
    tn_buf_align(image, 64);
    TernStatus s = flatten(&o, out);
    free(o.place);
    if (s != TERN_OK) {
        image->len = before;
        tn_flat_free(out);
    }
    return s;
}

void tn_flat_free(TnFlat *f) {
    for (size_t i = 0; i < f->n; i++) free(f->symbols[i].name);
    free(f->symbols);
    *f = (TnFlat){0};
}
