/* tern devices: the GPUs that can run models, and whether their instructions do what the compiler takes them to do. */
#include <stdlib.h>
#include "frontends/cli/cli.h"

static void print_device(const TernDevice *d) {
    char capability[24], driver[24];
    snprintf(capability, sizeof capability, "%u.%u", d->major, d->minor);
    snprintf(driver, sizeof driver, "%u.%u", d->driver / 1000, d->driver % 1000 / 10);
    printf("%-8s  %-10s  %10.1f  %6s  %-12s  %s\n", d->device, capability, (double)d->memory / 1e9, driver,
           *d->levels ? d->levels : "none", d->name);
}

static void take_table(void *user, const char *what, const char *text, size_t n) {
    (void)user, (void)what;
    fwrite(text, 1, n, stdout);
    fflush(stdout);
}

/* All rows of instructions on one device; NULL: the names of those that none has run. */
static int check_rows(const char *device) {
    const TerncDeviceCheck check = {.size = sizeof check, .device = device};
    TernError err = {0};
    int same = 0;
    if (ternc()->check_device(&check, take_table, NULL, &same, &err) != TERN_OK) return fail(&err);
    return same ? EXIT_OK : EXIT_INPUT;
}

/* Nothing is printed before all is known. */
static TernStatus find_all(uint32_t n, TernDevice *out, TernError *err) {
    for (uint32_t i = 0; i < n; i++) {
        char name[24];
        out[i] = (TernDevice){.size = sizeof *out};
        snprintf(name, sizeof name, "cuda:%u", i);
        TN_TRY(tern_device(name, &out[i], err));
    }
    return TERN_OK;
}

static int list_devices(uint32_t n) {
    TernError err = {0};
    TernDevice *all = tn_xcalloc(n, sizeof *all);
    TernStatus st = find_all(n, all, &err);
    if (st == TERN_OK)
        printf("%-8s  %-10s  %10s  %6s  %-12s  %s\n", "device", "capability", "memory GB", "CUDA", "levels",
               "name");
    for (uint32_t i = 0; i < n && st == TERN_OK; i++) print_device(&all[i]);
    free(all);
    return st == TERN_OK ? EXIT_OK : fail(&err);
}

int verb_devices(const Verb *verb, int argc, char **argv) {
    bool check = false;
    const char *device = NULL;
    const Flag flags[] = {
        {"--check", NULL, FLAG_BOOL, &check, 0, 0,
         "run every instruction of the compiler's table on a GPU and compare with what the table says; exit "
         "1 if one "
         "differs"},
        {"--device", "cuda[:N]", FLAG_STR, &device, 0, 0, "with --check: the GPU (default: cuda:0)"},
        FLAG_END};
    int n_words;
    parse_args(verb, flags, argc, argv, NULL, 0, &n_words);
    only_with(verb, &device, check, "--check");
    TernError err = {0};
    uint32_t n = 0;
    if (check) return check_rows(device ? device : "cuda:0");
    if (tern_devices(&n, &err) != TERN_OK || n == 0)
        printf("no GPU: %s\n", n == 0 && !*err.text ? "the driver finds none" : err.text);
    else if (list_devices(n) != EXIT_OK)
        return EXIT_INPUT;
    printf("\n");
    if (ternc_present()) return check_rows(NULL);
    printf("no compiler library, so its instructions are not listed\n");
    return EXIT_OK;
}
