/* Programs and objects with a blob in them. Both are the blob with bytes before and after it, so they are written by the same
 * code, front to back, and a program of a 2B model takes no more memory to make than its blob does.
 *
 * The object has one section of data and two symbols:
 *
 *   ELF head | zeros to 4096 | the blob | symbols | their names | names of sections | section table */
#include "frontends/api/form.h"

#include <string.h>
#include "runtime/abi/blob.h"
#include "runtime/abi/levels.h"
#include "runtime/base/reader.h"
#include "runtime/base/single.h"

/* ---- a program */

static void around_program(void *user, uint64_t bytes, TnBuf *before, TnBuf *after) {
    const TnForm *f = user;
    tn_buf_put(before, f->program.data, f->program.size);
    tn_buf_align(before, TN_SINGLE_ALIGN);
    uint64_t offset = before->len;
    memcpy(before->data + f->slot + offsetof(TnSingleSlot, offset), &offset, sizeof offset);
    TnSingleTrailer t = tn_single_trailer(before->data, before->len, bytes);
    tn_buf_put(after, &t, sizeof t);
}

/* ---- an object */

typedef struct ElfSection {
    uint32_t name, type;
    uint64_t flags, addr, offset, size;
    uint32_t link, info;
    uint64_t align, entsize;
} ElfSection;
typedef struct ElfSymbol {
    uint32_t name;
    uint8_t info, other;
    uint16_t section;
    uint64_t value, size;
} ElfSymbol;
_Static_assert(sizeof(TnElfHead) == 64 && sizeof(ElfSection) == 64 && sizeof(ElfSymbol) == 24,
               "ELF's structs have no holes");

static void around_object(void *user, uint64_t bytes, TnBuf *before, TnBuf *after) {
    enum { PAGE = 4096, NULL_SECTION = 0, DATA = 1, SYMBOLS, NAMES, SECTION_NAMES, STACK, N };
    static const char names[] = "\0tern_blob\0tern_blob_end",
                      section_names[] = "\0.rodata\0.symtab\0.strtab\0.shstrtab\0.note.GNU-stack";
    const ElfSymbol symbols[] = {{0},
                                 {.name = 1, .info = 1 << 4 | 1, .section = DATA, .size = bytes},
                                 {.name = 11, .info = 1 << 4, .section = DATA, .value = bytes}};
    uint64_t at = PAGE + bytes, pad = -at & 7;
    ElfSection s[N] = {
        [DATA] = {.name = 1, .type = 1, .flags = 2, .offset = PAGE, .size = bytes, .align = PAGE},
        [SYMBOLS] = {.name = 9,
                     .type = 2,
                     .size = sizeof symbols,
                     .link = NAMES,
                     .info = 1,
                     .align = 8,
                     .entsize = 24},
        [NAMES] = {.name = 17, .type = 3, .size = sizeof names, .align = 1},
        [SECTION_NAMES] = {.name = 25, .type = 3, .size = sizeof section_names, .align = 1},
        [STACK] = {.name = 35, .type = 1, .align = 1}};
    s[SYMBOLS].offset = at + pad;
    s[NAMES].offset = s[SYMBOLS].offset + s[SYMBOLS].size;
    s[SECTION_NAMES].offset = s[NAMES].offset + s[NAMES].size;
    s[STACK].offset = s[SECTION_NAMES].offset + s[SECTION_NAMES].size;
    uint64_t table = tn_round_up((size_t)s[STACK].offset, 8);
    const TnElfHead head = {.ident = {0x7f, 'E', 'L', 'F', 2, 1, 1},
                            .type = 1,
                            .machine = (uint16_t)((const TnForm *)user)->machine,
                            .version = 1,
                            .shoff = table,
                            .ehsize = sizeof head,
                            .shentsize = sizeof(ElfSection),
                            .shnum = N,
                            .shstrndx = SECTION_NAMES};
    static const uint8_t zeros[8];
    tn_buf_put(before, &head, sizeof head);
    tn_buf_align(before, PAGE);
    tn_buf_put(after, zeros, (size_t)pad);
    tn_buf_put(after, symbols, sizeof symbols);
    tn_buf_put(after, names, sizeof names);
    tn_buf_put(after, section_names, sizeof section_names);
    tn_buf_put(after, zeros, (size_t)(table - s[STACK].offset));
    tn_buf_put(after, s, sizeof s);
}

/* ---- options */

static TernStatus machine_of(const char **levels, uint32_t n, uint32_t *out, const char **out_name,
                             TernError *err) {
    *out = 0;
    for (uint32_t i = 0; i < n; i++) {
        const TnLevelRow *row = tn_level_named(levels[i]);
        uint32_t arch = row ? row->arch : 0;
        if (arch != TN_ARCH_X86_64 && arch != TN_ARCH_AARCH64) continue; /* texts for GPUs, and no code */
        uint32_t machine = arch == TN_ARCH_X86_64 ? TN_ELF_X86_64 : TN_ELF_AARCH64;
        if (*out && *out != machine)
            return tn_fail(err, TERN_ERR_INPUT,
                           "TerncOptions.levels: got %s beside %s, expected levels of one machine", levels[i],
                           *out_name);
        *out = machine;
        *out_name = levels[i];
    }
    if (*out) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT,
                   "TerncOptions.form: no level that has code for a processor, expected one at least");
}

static const char *machine_name(uint32_t machine) {
    return machine == TN_ELF_X86_64 ? "x86-64" : "aarch64";
}

static TernStatus take_program(const TerncOptions *o, const char *level, TnForm *f, TernError *err) {
    uint32_t machine;
    TN_TRY(tn_file_map(o->program, &f->program, err));
    TN_TRY(tn_single_program(o->program, f->program.data, f->program.size, tern_version(), TN_BLOB_ABI,
                             &f->slot, &machine, err));
    if (machine != f->machine)
        return tn_fail(err, TERN_ERR_INPUT, "%s: is for %s, expected a program for %s, as level %s is",
                       o->program, machine_name(machine), machine_name(f->machine), level);
    f->wrap = (TnBlobWrap){.user = f, .around = around_program, .executable = true};
    return TERN_OK;
}

TernStatus tn_form_take(const TerncOptions *o, const char **levels, uint32_t n_levels, TnForm *out,
                        TernError *err) {
    const char *form = o->form ? o->form : "blob", *level = NULL;
    bool exe = strcmp(form, "exe") == 0, obj = strcmp(form, "obj") == 0;
    *out = (TnForm){0};
    if (!exe && !obj) return TERN_OK;
    TN_TRY(machine_of(levels, n_levels, &out->machine, &level, err));
    if (exe) return take_program(o, level, out, err);
    out->wrap = (TnBlobWrap){.user = out, .around = around_object};
    return TERN_OK;
}

void tn_form_free(TnForm *f) {
    tn_file_unmap(&f->program);
}
