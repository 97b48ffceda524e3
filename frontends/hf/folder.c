/* The weights of a folder, in one file or in several.
 *
 * model.safetensors.index.json has a member weight_map, {"tensor's name": "file's name"}. A name of a file that leads out of
 * the folder is refused, as is a tensor that its file does not have. A tensor that a file has and the index does not name is
 * not there. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include "frontends/hf/hf.h"
#include "frontends/json.h"
#include "runtime/base/files.h"

#define FILES_MAX 1024

static const char single[] = "model.safetensors", index_name[] = "model.safetensors.index.json";

const char *tn_hf_path(TnHfFolder *f, const char *name) {
    size_t n = strlen(f->path);
    while (n > 1 && f->path[n - 1] == '/') n--;
    return tn_sprintf(&f->arena, "%.*s/%s", (int)n, f->path, name);
}

static TernStatus add_file(TnHfFolder *f, const char *name, TernError *err) {
    TnSafe *s;
    TN_TRY(tn_safe_open(tn_hf_path(f, name), &s, err));
    TN_PUSH(f->files, f->n_files, f->cap_files, s);
    return TERN_OK;
}

static void add_tensor(TnHfFolder *f, const TnSafeTensor *t) {
    f->tensors[f->n_tensors] = t;
    (void)tn_map_set(&f->map, t->name, strlen(t->name), (uint32_t)f->n_tensors);
    f->n_tensors++;
}

/* The file of this name, opened by now; NULL if it was refused. */
static TernStatus file_of(TnHfFolder *f, TnMap *opened, const char *index, const char *name,
                          const char *tensor, const TnSafe **out, TernError *err) {
    uint32_t i = tn_map_get(opened, name, strlen(name));
    if (i == TN_MAP_NONE) {
        size_t n = strlen(name);
        static const char end[] = ".safetensors";
        if (n < sizeof end || strcmp(name + n - (sizeof end - 1), end) != 0 || strchr(name, '/') ||
            *name == '.')
            return tn_fail(err, TERN_ERR_INPUT,
                           "%s: tensor '%s' is in '%s', expected the name of a .safetensors in the folder",
                           index, tensor, name);
        if (f->n_files >= FILES_MAX)
            return tn_fail(err, TERN_ERR_UNSUPPORTED, "%s: more than %d files", index, FILES_MAX);
        TN_TRY(add_file(f, name, err));
        i = (uint32_t)f->n_files - 1;
        (void)tn_map_set(opened, name, strlen(name), i);
    }
    *out = f->files[i];
    return TERN_OK;
}

static TernStatus read_weight_map(TnHfFolder *f, TnMap *opened, const char *path, const json_t *index,
                                  TernError *err) {
    json_t *where = json_object_get(index, "weight_map"), *file;
    const char *name;
    if (!json_is_object(where))
        return tn_fail(err, TERN_ERR_INPUT, "%s: no object \"weight_map\" says which file has which tensor",
                       path);
    if (json_object_size(where) == 0)
        return tn_fail(err, TERN_ERR_INPUT, "%s: \"weight_map\" names no tensors", path);
    f->tensors = tn_alloc_array(&f->arena, json_object_size(where), sizeof *f->tensors);
    json_object_foreach(where, name, file) {
        const TnSafe *s = NULL;
        if (!json_is_string(file))
            return tn_fail(err, TERN_ERR_INPUT, "%s: tensor '%s' is in no file that a text names", path,
                           name);
        TN_TRY(file_of(f, opened, path, json_string_value(file), name, &s, err));
        const TnSafeTensor *t = tn_safe_tensor(s, name);
        if (!t)
            return tn_fail(err, TERN_ERR_INPUT, "%s: tensor '%s' is said to be in %s, which does not have it",
                           path, name, s->path);
        add_tensor(f, t);
    }
    return TERN_OK;
}

static TernStatus open_index(TnHfFolder *f, const char *path, TernError *err) {
    json_t *index;
    TnMap opened = {0};
    TN_TRY(tn_hf_json_file(path, true, &index, err));
    TernStatus st = read_weight_map(f, &opened, path, index, err);
    tn_map_free(&opened); /* before its keys */
    json_decref(index);
    return st;
}

static TernStatus open_single(TnHfFolder *f, TernError *err) {
    TN_TRY(add_file(f, single, err));
    const TnSafe *s = f->files[0];
    f->tensors = tn_alloc_array(&f->arena, s->n_tensors, sizeof *f->tensors);
    for (size_t i = 0; i < s->n_tensors; i++) add_tensor(f, &s->tensors[i]);
    return TERN_OK;
}

/* Weights in a format that can run code when it is read, as old repositories have them. */
static TernStatus no_weights(TnHfFolder *f, TernError *err) {
    static const char *const pickles[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
    for (size_t i = 0; i < TN_COUNT(pickles); i++)
        if (tn_os_exists(tn_hf_path(f, pickles[i])))
            return tn_fail(err, TERN_ERR_UNSUPPORTED,
                           "%s: the folder has %s, which is a pickle, expected %s or %s", f->path, pickles[i],
                           single, index_name);
    return tn_fail(err, TERN_ERR_INPUT, "%s: the folder has no weights, expected %s or %s", f->path, single,
                   index_name);
}

static TernStatus load(TnHfFolder *f, TernError *err) {
    const char *index = tn_hf_path(f, index_name);
    if (tn_os_exists(index)) return open_index(f, index, err);
    if (tn_os_exists(tn_hf_path(f, single))) return open_single(f, err);
    return no_weights(f, err);
}

TernStatus tn_hf_folder_open(const char *path, TnHfFolder **out, TernError *err) {
    TnHfFolder *f = tn_xcalloc(1, sizeof *f);
    f->path = tn_strdup(&f->arena, path);
    TernStatus st = load(f, err);
    if (st != TERN_OK) {
        tn_hf_folder_close(f);
        return st;
    }
    *out = f;
    return TERN_OK;
}

void tn_hf_folder_close(TnHfFolder *f) {
    if (!f) return;
    for (size_t i = 0; i < f->n_files; i++) tn_safe_close(f->files[i]);
    free(f->files);
    tn_map_free(&f->map);
    tn_arena_free(&f->arena);
    free(f);
}

const TnSafeTensor *tn_hf_tensor(const TnHfFolder *f, const char *name) {
    uint32_t i = tn_map_get(&f->map, name, strlen(name));
    return i == TN_MAP_NONE ? NULL : f->tensors[i];
}

/* ---- What an output must not be */

/* Blobs and GGUFs may lie in the folder too, and be made anew. */
static bool belongs(const char *name) {
    static const char *const ends[] = {".safetensors", ".json", ".model", ".jinja", ".txt", ".py"};
    size_t n = strlen(name);
    for (size_t i = 0; i < TN_COUNT(ends); i++) {
        size_t of = strlen(ends[i]);
        if (n > of && strcmp(name + n - of, ends[i]) == 0) return true;
    }
    return false;
}

TernStatus tn_hf_check_output(const char *folder, const char *output, TernError *err) {
    if (!folder || !output || !tn_os_is_folder(folder) || !tn_os_exists(output)) return TERN_OK;
    DIR *d = opendir(folder);
    if (!d) return TERN_OK; /* reading the model says why */
    TernStatus st = TERN_OK;
    TnHfFolder f = {.path = folder};
    for (struct dirent *e; st == TERN_OK && (e = readdir(d));) {
        const char *path = tn_hf_path(&f, e->d_name);
        const TnFileUse files[] = {{"the model", path, TN_FILE_IN}, {"the output", output, TN_FILE_BINARY}};
        if (belongs(e->d_name) && tn_os_exists(path) && !tn_os_is_folder(path))
            st = tn_files_check(files, TN_COUNT(files), err);
    }
    closedir(d);
    tn_arena_free(&f.arena);
    return st;
}
