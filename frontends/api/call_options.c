#include "frontends/api/call_options.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#include "codegen/families.h"
#include "codegen/targets.h"

enum { THREADS_MAX = 1024, ROWS_MAX = 65536 };

static const TnField source_fields[] = {
    TN_FIELD(TerncSource, path),        TN_FIELD(TerncSource, overrides),
    TN_FIELD(TerncSource, n_overrides), TN_FIELD(TerncSource, ternary_dense),
    TN_FIELD(TerncSource, i2s_layout),  TN_FIELD(TerncSource, tir),
    TN_FIELD(TerncSource, note),        TN_FIELD(TerncSource, note_user)};
static const TnShape source_shape = TN_SHAPE(TerncSource, source_fields);
static const TnField options_fields[] = {
    TN_FIELD(TerncOptions, levels),       TN_FIELD(TerncOptions, cap),
    TN_FIELD(TerncOptions, context),      TN_FIELD(TerncOptions, kvs),
    TN_FIELD(TerncOptions, head),         TN_FIELD(TerncOptions, target),
    TN_FIELD(TerncOptions, progress),     TN_FIELD(TerncOptions, user),
    TN_FIELD(TerncOptions, tune_seconds), TN_FIELD(TerncOptions, tune_threads),
    TN_FIELD(TerncOptions, tune_cache),   TN_FIELD(TerncOptions, tune_write),
    TN_FIELD(TerncOptions, tune_text),    TN_FIELD(TerncOptions, known),
    TN_FIELD(TerncOptions, device),       TN_FIELD(TerncOptions, best),
    TN_FIELD(TerncOptions, form),         TN_FIELD(TerncOptions, program),
    TN_FIELD(TerncOptions, family)};
static const TnShape options_shape = TN_SHAPE(TerncOptions, options_fields);
static const TnField opt_fields[] = {
    TN_FIELD(TerncOpt, path),       TN_FIELD(TerncOpt, source),  TN_FIELD(TerncOpt, passes),
    TN_FIELD(TerncOpt, dump_after), TN_FIELD(TerncOpt, level),   TN_FIELD(TerncOpt, head),
    TN_FIELD(TerncOpt, kv),         TN_FIELD(TerncOpt, rows_lo), TN_FIELD(TerncOpt, rows_hi),
    TN_FIELD(TerncOpt, times),      TN_FIELD(TerncOpt, effort),  TN_FIELD(TerncOpt, verify_each),
    TN_FIELD(TerncOpt, ranges),     TN_FIELD(TerncOpt, variant), TN_FIELD(TerncOpt, family)};
static const TnShape opt_shape = TN_SHAPE(TerncOpt, opt_fields);
static const TnField eval_fields[] = {TN_FIELD(TerncEval, path), TN_FIELD(TerncEval, weights),
                                      TN_FIELD(TerncEval, rows), TN_FIELD(TerncEval, variant)};
static const TnShape eval_shape = TN_SHAPE(TerncEval, eval_fields);
static const TnField import_fields[] = {TN_FIELD(TerncImport, source), TN_FIELD(TerncImport, json),
                                        TN_FIELD(TerncImport, progress), TN_FIELD(TerncImport, user),
                                        TN_FIELD(TerncImport, i2s_probe)};
static const TnShape import_shape = TN_SHAPE(TerncImport, import_fields);
static const TnField device_check_fields[] = {TN_FIELD(TerncDeviceCheck, device)};
static const TnShape device_check_shape = TN_SHAPE(TerncDeviceCheck, device_check_fields);
static const TnField convert_fields[] = {
    TN_FIELD(TerncConvert, path), TN_FIELD(TerncConvert, output), TN_FIELD(TerncConvert, type),
    TN_FIELD(TerncConvert, embd), TN_FIELD(TerncConvert, pre),    TN_FIELD(TerncConvert, absmean),
    TN_FIELD(TerncConvert, note), TN_FIELD(TerncConvert, user),   TN_FIELD(TerncConvert, tl_config)};
static const TnShape convert_shape = TN_SHAPE(TerncConvert, convert_fields);
static const TnField diff_fields[] = {TN_FIELD(TerncDiff, a), TN_FIELD(TerncDiff, b),
                                      TN_FIELD(TerncDiff, names), TN_FIELD(TerncDiff, no_stats)};
static const TnShape diff_shape = TN_SHAPE(TerncDiff, diff_fields);
static const TnField picture_fields[] = {
    TN_FIELD(TerncPicture, path),        TN_FIELD(TerncPicture, source),    TN_FIELD(TerncPicture, format),
    TN_FIELD(TerncPicture, levels),      TN_FIELD(TerncPicture, head),      TN_FIELD(TerncPicture, variant),
    TN_FIELD(TerncPicture, fold_layers), TN_FIELD(TerncPicture, one_layer), TN_FIELD(TerncPicture, layer),
    TN_FIELD(TerncPicture, profile),     TN_FIELD(TerncPicture, family)};
static const TnShape picture_shape = TN_SHAPE(TerncPicture, picture_fields);
static const TnField verify_fields[] = {
    TN_FIELD(TerncVerify, source), TN_FIELD(TerncVerify, blob),     TN_FIELD(TerncVerify, options),
    TN_FIELD(TerncVerify, tokens), TN_FIELD(TerncVerify, n_tokens), TN_FIELD(TerncVerify, threads),
    TN_FIELD(TerncVerify, kv),     TN_FIELD(TerncVerify, against),  TN_FIELD(TerncVerify, bisect),
    TN_FIELD(TerncVerify, reduce), TN_FIELD(TerncVerify, random),   TN_FIELD(TerncVerify, seed),
    TN_FIELD(TerncVerify, seeded), TN_FIELD(TerncVerify, rows_lo),  TN_FIELD(TerncVerify, rows_hi)};
static const TnShape verify_shape = TN_SHAPE(TerncVerify, verify_fields);
static const TnField model_fields[] = {
    TN_FIELD(TernModelOptions, cpu),     TN_FIELD(TernModelOptions, no_check),
    TN_FIELD(TernModelOptions, huge),    TN_FIELD(TernModelOptions, kernels),
    TN_FIELD(TernModelOptions, release), TN_FIELD(TernModelOptions, release_user),
    TN_FIELD(TernModelOptions, device)};
static const TnShape model_shape = TN_SHAPE(TernModelOptions, model_fields);

/* ---- fields of one kind */

/* A word or a path must not be empty. */
static TernStatus not_empty(const char *field, const char *text, TernError *err) {
    if (!text || *text) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "%s is empty, expected NULL or a value", field);
}

static TernStatus check_kv(const char *field, TernKv kv, TernError *err) {
    if ((int)kv >= 0 && kv <= TERN_KV_I8) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "%s is %d, expected %d (f16), %d (f32), %d (i8) or 0 for the default",
                   field, (int)kv, TERN_KV_F16, TERN_KV_F32, TERN_KV_I8);
}

static TernStatus check_threads(const char *field, uint32_t n, TernError *err) {
    if (n <= THREADS_MAX) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "%s is %u, expected at most %d", field, n, THREADS_MAX);
}

static TernStatus check_rows(const char *field, uint32_t lo, uint32_t hi, TernError *err) {
    if (hi ? lo <= hi && hi <= ROWS_MAX : lo <= ROWS_MAX) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "%s: %u..%u, expected a rising range of 1 to %d", field, lo, hi,
                   ROWS_MAX);
}

#define NOT_EMPTY(S, o, f) TN_TRY(not_empty(#S "." #f, (o)->f, err))
#define WITHOUT(S, a, b)   tn_fail(err, TERN_ERR_INPUT, #S "." #a " has no effect without " #b)

/* ---- the structs */

TernStatus tn_source_take(const TerncSource *given, TerncSource *out, TernError *err) {
    *out = (TerncSource){0};
    tn_error_clear(err);
    TN_TRY(tn_options_take(&source_shape, given, out, err));
    if (out->n_overrides && !out->overrides)
        return tn_fail(err, TERN_ERR_INPUT, "TerncSource.overrides is NULL although n_overrides is %u",
                       out->n_overrides);
    for (uint32_t i = 0; i < out->n_overrides; i++)
        if (!out->overrides[i])
            return tn_fail(err, TERN_ERR_INPUT, "TerncSource.overrides[%u] is NULL, expected KEY=TYPE:VALUE",
                           i);
    NOT_EMPTY(TerncSource, out, i2s_layout);
    NOT_EMPTY(TerncSource, out, path);
    NOT_EMPTY(TerncSource, out, tir);
    return TERN_OK;
}

static TernStatus check_tuning(const TerncOptions *o, TernError *err) {
    if (!(o->tune_seconds >= 0) || !isfinite(o->tune_seconds))
        return tn_fail(err, TERN_ERR_INPUT, "TerncOptions.tune_seconds is %g, expected 0 or more",
                       o->tune_seconds);
    TN_TRY(check_threads("TerncOptions.tune_threads", o->tune_threads, err));
    NOT_EMPTY(TerncOptions, o, tune_cache);
    if (o->tune_seconds > 0) return TERN_OK;
    if (o->tune_threads) return WITHOUT(TerncOptions, tune_threads, tune_seconds);
    if (o->tune_cache) return WITHOUT(TerncOptions, tune_cache, tune_seconds);
    if (o->tune_write) return WITHOUT(TerncOptions, tune_write, tune_seconds);
    return TERN_OK;
}

static TernStatus check_family(const char *field, const char *name, TernError *err) {
    if (!name || !strcmp(name, TN_FAMILY_ANY) || !strcmp(name, TN_FAMILY_HERE) || tn_family_named(name))
        return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "%s: got '%s', expected one of %s", field, name, tn_family_names());
}

static TernStatus check_form(const TerncOptions *o, TernError *err) {
    const char *form = o->form ? o->form : "blob";
    bool exe = strcmp(form, "exe") == 0;
    if (!exe && strcmp(form, "obj") != 0 && strcmp(form, "blob") != 0)
        return tn_fail(err, TERN_ERR_INPUT, "TerncOptions.form: got '%s', expected one of blob, exe, obj",
                       form);
    if (exe && !o->program)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TerncOptions.program is NULL, expected a static program for form exe");
    if (o->program && !exe)
        return tn_fail(err, TERN_ERR_INPUT, "TerncOptions.program has no effect with form %s", form);
    return TERN_OK;
}

TernStatus tn_compile_take(const TerncOptions *given, TerncOptions *out, TernError *err) {
    const uint32_t all = 1u << TERN_KV_F16 | 1u << TERN_KV_F32 | 1u << TERN_KV_I8;
    *out = (TerncOptions){0};
    tn_error_clear(err);
    TN_TRY(tn_options_take(&options_shape, given, out, err));
    NOT_EMPTY(TerncOptions, out, levels);
    NOT_EMPTY(TerncOptions, out, cap);
    NOT_EMPTY(TerncOptions, out, head);
    NOT_EMPTY(TerncOptions, out, target);
    NOT_EMPTY(TerncOptions, out, device);
    NOT_EMPTY(TerncOptions, out, form);
    NOT_EMPTY(TerncOptions, out, program);
    NOT_EMPTY(TerncOptions, out, family);
    TN_TRY(check_family("TerncOptions.family", out->family, err));
    TN_TRY(check_form(out, err));
    if (out->best && out->levels)
        return tn_fail(err, TERN_ERR_INPUT, "TerncOptions.best is set beside levels, expected one of them");
    if (out->device && out->tune_seconds > 0)
        return tn_fail(err, TERN_ERR_INPUT, "TerncOptions.tune_seconds has no effect with device %s",
                       out->device);
    if (out->kvs & ~all)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TerncOptions.kvs is 0x%x, expected some of 0x%x, 1u << TernKv each", out->kvs, all);
    return check_tuning(out, err);
}

TernStatus tn_model_take(const TernModelOptions *given, TernModelOptions *out, TernError *err) {
    *out = (TernModelOptions){0};
    tn_error_clear(err);
    TN_TRY(tn_options_take(&model_shape, given, out, err));
    if (out->kernels)
        return tn_fail(err, TERN_ERR_INPUT,
                       "TernModelOptions.kernels is set, expected NULL: they are the evaluator's");
    return TERN_OK;
}

static bool is_effort(const char *e) {
    return e[0] == 'O' && e[1] >= '0' && e[1] <= '3' && !e[2];
}

TernStatus tn_opt_take(const TerncOpt *given, TerncOpt *out, TernError *err) {
    *out = (TerncOpt){0};
    tn_error_clear(err);
    TN_TRY(tn_options_take(&opt_shape, given, out, err));
    NOT_EMPTY(TerncOpt, out, path);
    NOT_EMPTY(TerncOpt, out, dump_after);
    NOT_EMPTY(TerncOpt, out, level);
    NOT_EMPTY(TerncOpt, out, head);
    NOT_EMPTY(TerncOpt, out, family);
    TN_TRY(check_family("TerncOpt.family", out->family, err));
    TN_TRY(check_kv("TerncOpt.kv", out->kv, err));
    TN_TRY(check_rows("TerncOpt.rows_lo", out->rows_lo, out->rows_hi, err));
    if (out->effort && !is_effort(out->effort))
        return tn_fail(err, TERN_ERR_INPUT, "TerncOpt.effort is '%s', expected O0, O1, O2 or O3",
                       out->effort);
    if (out->effort && out->passes)
        return tn_fail(err, TERN_ERR_INPUT, "TerncOpt.effort is '%s' beside passes, expected one of them",
                       out->effort);
    return TERN_OK;
}

TernStatus tn_eval_take(const TerncEval *given, TerncEval *out, TernError *err) {
    *out = (TerncEval){0};
    tn_error_clear(err);
    TN_TRY(tn_options_take(&eval_shape, given, out, err));
    NOT_EMPTY(TerncEval, out, path);
    NOT_EMPTY(TerncEval, out, weights);
    return TERN_OK;
}

TernStatus tn_import_take(const TerncImport *given, TerncImport *out, TernError *err) {
    *out = (TerncImport){0};
    tn_error_clear(err);
    return tn_options_take(&import_shape, given, out, err);
}

TernStatus tn_convert_take(const TerncConvert *given, TerncConvert *out, TernError *err) {
    *out = (TerncConvert){0};
    tn_error_clear(err);
    TN_TRY(tn_options_take(&convert_shape, given, out, err));
    if (!out->path || !out->output)
        return tn_fail(err, TERN_ERR_INPUT, "TerncConvert.%s is NULL, expected a %s",
                       out->path ? "output" : "path", out->path ? "file" : "folder");
    NOT_EMPTY(TerncConvert, out, path);
    NOT_EMPTY(TerncConvert, out, output);
    NOT_EMPTY(TerncConvert, out, type);
    NOT_EMPTY(TerncConvert, out, embd);
    NOT_EMPTY(TerncConvert, out, pre);
    return TERN_OK;
}

TernStatus tn_diff_take(const TerncDiff *given, TerncDiff *out, TernError *err) {
    *out = (TerncDiff){0};
    tn_error_clear(err);
    TN_TRY(tn_options_take(&diff_shape, given, out, err));
    if (!out->a || !out->b)
        return tn_fail(err, TERN_ERR_INPUT, "TerncDiff.%s is NULL, expected a file", out->a ? "b" : "a");
    return TERN_OK;
}

TernStatus tn_picture_take(const TerncPicture *given, TerncPicture *out, TernError *err) {
    *out = (TerncPicture){0};
    tn_error_clear(err);
    TN_TRY(tn_options_take(&picture_shape, given, out, err));
    NOT_EMPTY(TerncPicture, out, path);
    NOT_EMPTY(TerncPicture, out, levels);
    NOT_EMPTY(TerncPicture, out, head);
    NOT_EMPTY(TerncPicture, out, profile);
    NOT_EMPTY(TerncPicture, out, family);
    TN_TRY(check_family("TerncPicture.family", out->family, err));
    const char *f = out->format;
    if (!f) return tn_fail(err, TERN_ERR_INPUT, "TerncPicture.format is NULL, expected dot, json or tir");
    if (strcmp(f, "dot") != 0 && strcmp(f, "json") != 0 && strcmp(f, "tir") != 0)
        return tn_fail(err, TERN_ERR_INPUT, "TerncPicture.format is '%s', expected dot, json or tir", f);
    if (out->layer < 0)
        return tn_fail(err, TERN_ERR_INPUT, "TerncPicture.layer is %d, expected 0 or more", out->layer);
    if (out->layer && !out->one_layer) return WITHOUT(TerncPicture, layer, one_layer);
    if (out->head && !out->levels) return WITHOUT(TerncPicture, head, levels);
    if (out->family && !out->levels) return WITHOUT(TerncPicture, family, levels);
    return TERN_OK;
}

TernStatus tn_device_check_take(const TerncDeviceCheck *given, TerncDeviceCheck *out, TernError *err) {
    tn_error_clear(err);
    *out = (TerncDeviceCheck){0};
    return tn_options_take(&device_check_shape, given, out, err);
}

TernStatus tn_verify_take(const TerncVerify *given, TerncVerify *out, TernError *err) {
    *out = (TerncVerify){0};
    tn_error_clear(err);
    TN_TRY(tn_options_take(&verify_shape, given, out, err));
    NOT_EMPTY(TerncVerify, out, blob);
    NOT_EMPTY(TerncVerify, out, against);
    NOT_EMPTY(TerncVerify, out, reduce);
    TN_TRY(check_kv("TerncVerify.kv", out->kv, err));
    TN_TRY(check_threads("TerncVerify.threads", out->threads, err));
    TN_TRY(check_rows("TerncVerify.rows_lo", out->rows_lo, out->rows_hi, err));
    if (out->n_tokens && !out->tokens)
        return tn_fail(err, TERN_ERR_INPUT, "TerncVerify.tokens is NULL although n_tokens is %u",
                       out->n_tokens);
    if (out->random) return TERN_OK;
    if (out->seed) return WITHOUT(TerncVerify, seed, random);
    if (out->rows_lo || out->rows_hi) return WITHOUT(TerncVerify, rows_lo, random);
    return TERN_OK;
}
