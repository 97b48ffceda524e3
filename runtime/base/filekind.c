#include "runtime/base/filekind.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "runtime/base/single.h"

static const struct {
    const char *magic;
    uint8_t n, at;
    TnKind kind;
    const char *what;
} magics[] = {
    {"GGUF", 4, 0, TN_KIND_GGUF, "a GGUF model, not compiled"},
    {"\x89TERN\r\n\x1a", 8, 0, TN_KIND_TERN, "a model already compiled (.tern)"},
    {"\x89TERN\n", 6, 0, TN_KIND_BINARY,
     "a .tern damaged in transfer as text: CR LF became LF. Transfer it as binary"},
    {"\x89TERN\r\r\n", 8, 0, TN_KIND_BINARY,
     "a .tern damaged in transfer as text: LF became CR LF. Transfer it as binary"},
    {"\x89TERN\r\x1a", 7, 0, TN_KIND_BINARY,
     "a .tern damaged in transfer as text: LF was lost. Transfer it as binary"},
    {"\tTERN", 5, 0, TN_KIND_BINARY, "a .tern damaged in transfer as text of 7 bits. Transfer it as binary"},
    {"\xef\xbf\xbdTERN", 7, 0, TN_KIND_BINARY, "a .tern damaged by being recoded as UTF-8"},
    {"\xc2\x89TERN", 6, 0, TN_KIND_BINARY, "a .tern damaged by being recoded as UTF-8"},
    {"FUGG", 4, 0, TN_KIND_BINARY, "a big-endian GGUF file"},
    {"lmgg", 4, 0, TN_KIND_BINARY, "a model in the old format GGML: convert it to GGUF"},
    {"fmgg", 4, 0, TN_KIND_BINARY, "a model in the old format GGMF: convert it to GGUF"},
    {"tjgg", 4, 0, TN_KIND_BINARY, "a model in the old format GGJT: convert it to GGUF"},
    {"algg", 4, 0, TN_KIND_BINARY, "an adapter in the old format GGLA, not a model"},
    {"ggml", 4, 0, TN_KIND_BINARY, "a model in the old format GGML: convert it to GGUF"},
    {"ggjt", 4, 0, TN_KIND_BINARY, "a model in the old format GGJT: convert it to GGUF"},
    {"PK\x03\x04", 4, 0, TN_KIND_BINARY, "a zip archive"},
    {"PK\x05\x06", 4, 0, TN_KIND_BINARY, "an empty zip archive"},
    {"\x1f\x8b", 2, 0, TN_KIND_BINARY, "compressed by gzip: unpack it"},
    {"\xfd"
     "7zXZ",
     5, 0, TN_KIND_BINARY, "compressed by xz: unpack it"},
    {"\x28\xb5\x2f\xfd", 4, 0, TN_KIND_BINARY, "compressed by zstd: unpack it"},
    {"\x04\x22\x4d\x18", 4, 0, TN_KIND_BINARY, "compressed by lz4: unpack it"},
    {"BZh", 3, 0, TN_KIND_BINARY, "compressed by bzip2: unpack it"},
    {"7z\xbc\xaf\x27\x1c", 6, 0, TN_KIND_BINARY, "a 7z archive: unpack it"},
    {"Rar!\x1a", 5, 0, TN_KIND_BINARY, "a RAR archive: unpack it"},
    {"\x7f"
     "ELF",
     4, 0, TN_KIND_BINARY, "an ELF file: a program or a library"},
    {"\xcf\xfa\xed\xfe", 4, 0, TN_KIND_BINARY, "a Mach-O file: a program or a library"},
    {"MZ", 2, 0, TN_KIND_BINARY, "a Windows program or library"},
    {"!<arch>\n", 8, 0, TN_KIND_BINARY, "an archive of object files"},
    {"\x89PNG", 4, 0, TN_KIND_BINARY, "a PNG picture"},
    {"\xff\xd8\xff", 3, 0, TN_KIND_BINARY, "a JPEG picture"},
    {"%PDF-", 5, 0, TN_KIND_BINARY, "a PDF document"},
    {"\x93NUMPY", 6, 0, TN_KIND_BINARY, "a NumPy array"},
    {"\x89HDF", 4, 0, TN_KIND_BINARY, "an HDF5 file, such as a Keras model"},
    {"TFL3", 4, 4, TN_KIND_BINARY, "a TensorFlow Lite model"},
    {"\xff\xfe", 2, 0, TN_KIND_BINARY, "text in UTF-16: save it as UTF-8"},
    {"\xfe\xff", 2, 0, TN_KIND_BINARY, "text in UTF-16: save it as UTF-8"},
};

static bool begins(const uint8_t *p, size_t n, const char *with) {
    size_t m = strlen(with);
    if (n < m) return false;
    for (size_t i = 0; i < m; i++)
        if ((p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i]) != (uint8_t)with[i]) return false;
    return true;
}

static bool holds(const uint8_t *p, size_t n, const char *what) {
    size_t m = strlen(what);
    for (size_t i = 0; i + m <= n; i++)
        if (memcmp(p + i, what, m) == 0) return true;
    return false;
}

static bool is_text(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if ((p[i] < 0x20 && (p[i] < '\t' || p[i] > '\r') && p[i] != 0x1b) || p[i] == 0x7f) return false;
    return true;
}

/* json, from its brace on. */
static TnFileKind json(const uint8_t *p, size_t n) {
    static const struct {
        const char *word, *what;
    } words[] = {
        {"\"error\"", "a server's error message in json: a failed download"},
        {"\"weight_map\"", "the index of a safetensors model, not its weights: convert the model to GGUF"},
        {"\"added_tokens\"", "a tokenizer.json, not a model"},
        {"\"architectures\"", "a config.json, not a model"},
        {"\"model_type\"", "a config.json, not a model"},
        {"\"tokenizer_class\"", "a tokenizer_config.json, not a model"},
    };
    for (size_t i = 0; i < TN_COUNT(words); i++)
        if (holds(p, n, words[i].word)) return (TnFileKind){TN_KIND_MARKUP, words[i].what};
    return (TnFileKind){TN_KIND_MARKUP, "a json text"};
}

static TnFileKind of_text(const uint8_t *p, size_t n) {
    static const struct {
        const char *begin, *what;
    } begins_with[] = {
        {"version https://git-lfs", "a git-lfs pointer, not the file: fetch that with `git lfs pull`"},
        {"version http://git-media", "a git-lfs pointer, not the file: fetch that with `git lfs pull`"},
        {"../../blobs/", "a link of a download cache written as text, not the file"},
        {"<!doctype html", "an HTML page: a failed download"},
        {"<html", "an HTML page: a failed download"},
        {"<head", "an HTML page: a failed download"},
        {"<body", "an HTML page: a failed download"},
        {"<!--", "an HTML or XML text: a failed download"},
        {"<?xml", "an XML text: a failed download"},
        {"<error", "a server's error message in XML: a failed download"},
        {"<svg", "an SVG picture"},
        {"http/1.", "a server's answer with its headers: a failed download"},
        {"entry not found", "a server's error message: a failed download"},
        {"repository not found", "a server's error message: a failed download"},
        {"invalid username or password", "a server's error message: a failed download"},
        {"access denied", "a server's error message: a failed download"},
        {"404", "a server's error message: a failed download"},
        {"#!", "a script"},
    };
    const uint8_t *start = p;
    if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) p += 3, n -= 3;
    while (n && (*p == ' ' || (*p >= '\t' && *p <= '\r'))) p++, n--;
    for (size_t i = 0; i < TN_COUNT(begins_with); i++)
        if (begins(p, n, begins_with[i].begin)) return (TnFileKind){TN_KIND_MARKUP, begins_with[i].what};
    if (n && *p == '{' && is_text(p, n)) return json(p, n);
    if (holds(p, n < 1024 ? n : 1024, "<html"))
        return (TnFileKind){TN_KIND_MARKUP, "an HTML page: a failed download"};
    if (is_text(start, n + (size_t)(p - start))) return (TnFileKind){TN_KIND_TEXT, "a text"};
    return (TnFileKind){0};
}

TnFileKind tn_file_kind(const void *bytes, size_t n) {
    if (tn_single_is(bytes, n)) return (TnFileKind){TN_KIND_TERN, "a program with a compiled model in it"};
    const uint8_t *p = bytes;
    if (n == 0) return (TnFileKind){TN_KIND_SHORT, "empty"};
    if (n > 4096) n = 4096;
    bool text_alone = is_text(p, n); /* a text may begin with the letters of a magic */
    for (size_t i = 0; i < TN_COUNT(magics) && !text_alone; i++) {
        if (n < (size_t)magics[i].at + magics[i].n ||
            memcmp(p + magics[i].at, magics[i].magic, magics[i].n) != 0)
            continue;
        if (magics[i].magic[0] == 'P' && holds(p, n, "data.pkl"))
            return (TnFileKind){TN_KIND_BINARY, "a PyTorch model (zip): convert it to GGUF"};
        return (TnFileKind){magics[i].kind, magics[i].what};
    }
    uint64_t head = 0;
    if (n >= 10) memcpy(&head, p, 8);
    if (n >= 10 && p[8] == '{' && head >= 2 && head < (uint64_t)1 << 32)
        return (TnFileKind){TN_KIND_BINARY, "a safetensors file: convert the model to GGUF"};
    if (n >= 3 && p[0] == 0x80 && p[1] >= 2 && p[1] <= 5)
        return (TnFileKind){TN_KIND_BINARY,
                            "a Python pickle, such as an old PyTorch model: convert it to GGUF"};
    if (n >= 262 && memcmp(p + 257, "ustar", 5) == 0)
        return (TnFileKind){TN_KIND_BINARY, "a tar archive: unpack it"};
    if (n >= 4 && p[0] == 8 && p[1] >= 1 && p[1] <= 12 && p[2] == 0x12 &&
        holds(p, n < 64 ? n : 64, "pytorch"))
        return (TnFileKind){TN_KIND_BINARY, "an ONNX model: convert the model to GGUF"};
    TnFileKind text = of_text(p, n);
    if (text.what && text.kind != TN_KIND_TEXT) return text;
    size_t nul = 0;
    for (size_t i = 1; i < n && i < 64; i += 2) nul += p[i] == 0 && p[i - 1] >= 9 && p[i - 1] < 0x7f;
    if (n >= 16 && nul == (n < 64 ? n : 64) / 2)
        return (TnFileKind){TN_KIND_BINARY, "text in UTF-16: save it as UTF-8"};
    if (n < 24)
        return (TnFileKind){text.what ? TN_KIND_TEXT : TN_KIND_SHORT, "shorter than the head of any model"};
    nul = 0;
    for (size_t i = 0; i < n; i++) nul += p[i] == 0;
    if (nul == n) return (TnFileKind){TN_KIND_BINARY, "nothing but zeros: a download that was not finished"};
    return text;
}

TernStatus tn_file_kind_refuse(TnFileKind kind, const char *expected, TernError *err) {
    if (!kind.what) return TERN_OK;
    return tn_fail(err, TERN_ERR_INPUT, "the file is %s; expected %s", kind.what, expected);
}
