/* tern devices: the GPUs that can run models. */
#include "frontends/cli/cli.h"

static void print_device(const TernDevice *d) {
    char capability[24], driver[24];
    snprintf(capability, sizeof capability, "%u.%u", d->major, d->minor);
    snprintf(driver, sizeof driver, "%u.%u", d->driver / 1000, d->driver % 1000 / 10);
    printf("%-8s  %-10s  %10.1f  %6s  %-12s  %s\n", d->device, capability, (double)d->memory / 1e9, driver,
           *d->levels ? d->levels : "none", d->name);
}

int verb_devices(const Verb *verb, int argc, char **argv) {
    const Flag flags[] = {FLAG_END};
    int n_words;
    parse_args(verb, flags, argc, argv, NULL, 0, &n_words);
    TernError err = {0};
    uint32_t n = 0;
    if (tern_devices(&n, &err) != TERN_OK || n == 0) {
        printf("no GPU: %s\n", n == 0 && !*err.text ? "the driver finds none" : err.text);
        return EXIT_OK;
    }
    printf("%-8s  %-10s  %10s  %6s  %-12s  %s\n", "device", "capability", "memory GB", "CUDA", "levels",
           "name");
    for (uint32_t i = 0; i < n; i++) {
        char name[24];
        TernDevice d = {.size = sizeof d};
        snprintf(name, sizeof name, "cuda:%u", i);
        if (tern_device(name, &d, &err) != TERN_OK) return fail(&err);
        print_device(&d);
    }
    return EXIT_OK;
}
