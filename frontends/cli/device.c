/* --device: what runs the model. */
#include <string.h>
#include "frontends/cli/cli.h"

static bool is_name(const char *device) {
    static const char gpu[] = "cuda";
    if (strcmp(device, "cpu") == 0 || strcmp(device, "auto") == 0 || strcmp(device, gpu) == 0) return true;
    size_t n = sizeof gpu - 1, digits = strncmp(device, gpu, n) == 0 && device[n] == ':';
    return digits && device[n + 1] && !device[n + 1 + strspn(device + n + 1, "0123456789")];
}

/* Why the cpu is chosen whatever GPUs there are; NULL: a GPU may be. */
static const char *against(const ModelFlags *flags) {
    const TnLevelRow *cap = flags->cpu ? tn_level_named(flags->cpu) : NULL;
    if (tn_target_evaluates(flags->target)) return "--target makes no code";
    return cap && cap->arch != TN_ARCH_PTX ? "--cpu names a level of processors" : NULL;
}

static DeviceChoice take_cpu(const char *why) {
    say_line("tern: device cpu: %s\n", why);
    return (DeviceChoice){.automatic = true};
}

/* The first GPU, if it runs code of any level. */
static DeviceChoice choose(const ModelFlags *flags) {
    TernDevice d = {.size = sizeof d};
    TernError err = {0};
    if (against(flags)) return take_cpu(against(flags));
    if (tern_device("cuda", &d, &err) != TERN_OK) return take_cpu(err.text);
    if (!*d.levels) {
        tn_fail(&err, TERN_ERR_UNSUPPORTED, "%s has compute capability %u.%u, expected 8.0 or newer", d.name,
                d.major, d.minor);
        return take_cpu(err.text);
    }
    DeviceChoice choice = {.automatic = true};
    memcpy(choice.name, d.device, sizeof choice.name);
    snprintf(choice.why, sizeof choice.why, "%s, which runs %s", d.name, d.levels);
    return choice;
}

void report_device(DeviceChoice *choice) {
    if (!*choice->why) return;
    progress_end();
    say_line("tern: device %s: %s\n", choice->name, choice->why);
    *choice->why = 0;
}

DeviceChoice choose_device(const Verb *verb, const ModelFlags *flags) {
    DeviceChoice choice = {0};
    const char *device = flags->device;
    if (!device || strcmp(device, "cpu") == 0) return choice;
    if (!is_name(device) || strlen(device) >= sizeof choice.name)
        usage_error(verb, "--device: '%s', expected cpu, cuda, cuda:N or auto", device);
    if (strcmp(device, "auto") == 0) return choose(flags);
    if (tn_target_evaluates(flags->target))
        usage_error(verb, "--device %s runs code, and --target %s makes none", device, flags->target);
    memcpy(choice.name, device, strlen(device));
    return choice;
}

bool fall_back(DeviceChoice *choice, TernStatus status, const TernError *err) {
    if (!choice->automatic || !*choice->name) return false;
    if (status != TERN_ERR_ENV && status != TERN_ERR_MEMORY && status != TERN_ERR_UNSUPPORTED) return false;
    progress_end();
    TernError line = *err;
    name_flags(&line);
    say_line("tern: device cpu in place of %s: %s\n", choice->name, line.text);
    *choice = (DeviceChoice){.automatic = true};
    return true;
}
