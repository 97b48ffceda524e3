/* Chooses which of a blob's levels to run. The engine says what it can run; the table says which is preferred. */
#include <stdio.h>
#include "runtime/cpu.h"
#include "runtime/model.h"

typedef struct Names {
    char text[160];
} Names;

/* "avx512-vnni, avx2": the levels of the blob, best first. */
static Names blob_levels(const TernModel *m) {
    Names n = {""};
    size_t at = 0;
    for (size_t row = TN_LEVEL_COUNT + 1; row-- > 0;) { /* the table's rows from the last, then ref */
        uint32_t number = row ? tn_level_row(row - 1)->number : TN_LEVEL_REF;
        bool has = false;
        for (uint32_t i = 0; i < m->n_variants; i++) has |= m->variants[i].prog.level == number;
        const char *name = tn_level_name(number);
        if (has && name && at < sizeof n.text)
            at += (size_t)snprintf(n.text + at, sizeof n.text - at, "%s%s", at ? ", " : "", name);
    }
    return n;
}

/* With code, choose the best level that the engine runs and the cap allows. Without code, the level decides only which plan
 * and which packed weights are used, so the machine does not matter: choose the best level that the cap allows, or the least
 * preferred level if there is no cap. */
TernStatus tn_model_choose_level(TernModel *m, const char *cpu, TernError *err) {
    const TnEngine *e = m->engine;
    uint32_t cap = cpu ? tn_level_number(cpu) : UINT32_MAX;
    if (cpu && (cap == UINT32_MAX || cap == TN_LEVEL_REF))
        return tn_fail(err, TERN_ERR_INPUT, "cpu level '%s' is unknown, expected one of %s", cpu,
                       TN_LEVEL_NAMES);
    const char *here = *e->levels ? e->levels : "none of the levels";
    const char *runner = e->apart ? e->name : "this machine"; /* a GPU has a name */
    if (cpu && e->coded && tn_level_numbered(cap)->arch != e->arch)
        return tn_fail(err, TERN_ERR_UNSUPPORTED,
                       "cpu level '%s' is of another architecture: the file has code for %s, %s runs %s", cpu,
                       blob_levels(m).text, runner, here);
    bool found = false;
    for (uint32_t i = 0; i < m->n_variants; i++) {
        uint32_t level = m->variants[i].prog.level;
        if (!tn_level_name(level) || (cpu && !tn_level_under(level, cap))) continue;
        if (!e->runs(e, level)) continue;
        bool better =
            !e->coded && !cpu ? tn_level_preferred(m->level, level) : tn_level_preferred(level, m->level);
        if (!found || better) m->level = level;
        found = true;
    }
    if (found) return TERN_OK;
    return tn_fail(err, TERN_ERR_UNSUPPORTED,
                   "the file has code for %s, %s runs %s%s%s: run it evaluated (ternc_open_ref), or compile "
                   "the model for %s",
                   blob_levels(m).text, runner, here, cpu ? ", capped at " : "", cpu ? cpu : "", runner);
}
