/* The arguments of ternc.h and ternc_tools.h. Every call copies the caller's struct, of whatever version,
 * into one of its own, checks each field of the copy, and trusts it from then on. Pointers in the copy still
 * belong to the caller. */
#ifndef TN_CALL_OPTIONS_H
#define TN_CALL_OPTIONS_H

#include "frontends/api/ternc_tools.h"
#include "runtime/base/options.h"

/* Each clears the error first. given may be NULL: then all fields have their defaults. */
TernStatus tn_source_take(const TerncSource *given, TerncSource *out, TernError *err);
TernStatus tn_compile_take(const TerncOptions *given, TerncOptions *out, TernError *err);
TernStatus tn_model_take(const TernModelOptions *given, TernModelOptions *out, TernError *err);
TernStatus tn_opt_take(const TerncOpt *given, TerncOpt *out, TernError *err);
TernStatus tn_eval_take(const TerncEval *given, TerncEval *out, TernError *err);
TernStatus tn_import_take(const TerncImport *given, TerncImport *out, TernError *err);
TernStatus tn_convert_take(const TerncConvert *given, TerncConvert *out, TernError *err);
TernStatus tn_diff_take(const TerncDiff *given, TerncDiff *out, TernError *err);
TernStatus tn_picture_take(const TerncPicture *given, TerncPicture *out, TernError *err);
TernStatus tn_device_check_take(const TerncDeviceCheck *given, TerncDeviceCheck *out, TernError *err);
TernStatus tn_verify_take(const TerncVerify *given, TerncVerify *out, TernError *err);

#endif
