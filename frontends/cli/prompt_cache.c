/* --prompt-cache of run: the prompt's cache in a file, so that the next prompt with the same beginning runs only its rest.
 *
 * The file is read before the prompt runs. It is written after the answer, if the prompt went further than what it held: the
 * ids of the prompt, or with --prompt-cache-all also those of the answer. */
#include <unistd.h>
#include "frontends/cli/generate_flags.h"
#include "runtime/base/escape.h"

void check_prompt_cache(const Verb *verb, const PromptCache *c) {
    only_with(verb, &c->all, c->path, "--prompt-cache");
    only_with(verb, &c->read_only, c->path, "--prompt-cache");
    if (c->all && c->read_only)
        usage_error(verb, "--prompt-cache-all: nothing is saved with --prompt-cache-ro");
}

TernStatus open_prompt_cache(PromptCache *c, TernGenerator *g, const int32_t *ids, size_t n, TernError *err) {
    if (!c->path) return TERN_OK;
    TN_TRY(tern_slot_create(g, &c->slot, err));
    if (!c->read_only && access(c->path, F_OK) != 0) return TERN_OK;
    TernStatus st = tern_slot_load(c->slot, c->path, ids, n, &c->n_file, err);
    if (st != TERN_OK) return st;
    tern_slot_ids(c->slot, &c->n_loaded);
    return TERN_OK;
}

/* The ids that the file should have: those of the prompt, as far as they were run, or all that were run. */
static size_t count_to_save(const PromptCache *c, size_t n_prompt) {
    size_t held = 0;
    tern_slot_ids(c->slot, &held);
    return c->all || held < n_prompt ? held : n_prompt;
}

TernStatus save_prompt_cache(const PromptCache *c, const TernGenerated *got, TernError *err) {
    if (!c->slot) return TERN_OK;
    fprintf(stderr, "tern: %12s      = %zu of %zu ids of the prompt were not run again\n", "prompt cache",
            got->n_reused, got->n_prompt);
    size_t n = count_to_save(c, got->n_prompt);
    if (c->read_only || n <= c->n_loaded) return TERN_OK; /* all of it is there already */
    TN_TRY(tern_slot_save(c->slot, n, c->path, err));
    note("prompt cache: %zu ids in %s", n, tn_listed(c->path).s);
    return TERN_OK;
}
