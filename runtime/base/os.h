/* The only system calls of the runtime: files, mappings, threads' clocks. Everything returns a TernStatus
 * with one line that names the path. */
#ifndef TN_BASE_OS_H
#define TN_BASE_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "runtime/base/status.h"

/* A whole file mapped read-only (private). An empty file has data == NULL, size == 0. */
typedef struct TnFile {
    const uint8_t *data;
    size_t size;
} TnFile;
TernStatus tn_file_map(const char *path, TnFile *out, TernError *err); /* regular files only */
void tn_file_unmap(TnFile *f);
/* Reads a whole file, pipe or "-" (standard input), at most `limit` bytes, NUL-terminated; free() it. */
TernStatus tn_file_read(const char *path, size_t limit, char **out, size_t *out_size, TernError *err);

/* Writes a file so that it appears whole or not at all: a temporary file beside it, fsync, rename. Between
 * open and commit, put and pad append; put_at overwrites what was put. After any failed call, or
 * tn_writer_abort, nothing is left behind. A symbolic link stays, what it names is made or replaced. "-", the
 * names of open descriptors (/dev/stdout, /dev/fd/3) and existing pipes and devices are written straight
 * (`direct`), without these promises, and cannot be put_at. */
typedef struct TnWriter {
    int fd, folder; /* folder: of the target, -1 if direct */
    uint64_t pos;
    char *path, *name, *temp; /* path: for messages; the others within the folder */
    bool direct;
} TnWriter;
TernStatus tn_writer_open(const char *path, TnWriter *out, TernError *err);
/* Whether tn_writer_open would succeed, with its error; nothing is made, and no pipe's reader waited for. */
TernStatus tn_writer_probe(const char *path, TernError *err);
TernStatus tn_writer_put(TnWriter *w, const void *bytes, size_t n, TernError *err);
TernStatus tn_writer_put_at(TnWriter *w, uint64_t offset, const void *bytes, size_t n, TernError *err);
TernStatus tn_writer_commit(TnWriter *w, TernError *err);
void tn_writer_abort(TnWriter *w);
/* For a program that is to end now, be it from a signal's handler: removes the temporary files of all writers that this
 * process has open. Async-signal-safe; needs /proc where there are such files at all. */
void tn_writer_clean_up(void);
/* The descriptor that a path means, as a writer takes it: 1 for "-", 3 for /dev/fd/3; -1: none. */
int tn_os_standard(const char *path);
/* The path with its symbolic links followed, of its last part alone, to a file that may not be there; free() it. */
char *tn_os_target(const char *path);
/* For those who read a file, change it and replace it, as a writer does: until tn_os_unlock() nobody else gets this, in
 * whatever process. What is locked is the folder, which leaves nothing behind, and ends with its process. Waits at most
 * `seconds`; -1 if the lock cannot be had, be it that somebody has it for longer or that the file system has no locks. */
int tn_os_lock_folder(const char *path, double seconds);
void tn_os_unlock(int lock); /* -1 is fine */

/* Anonymous zeroed memory, page aligned (2 MiB aligned from 4 MiB on, with huge pages advised when `huge`).
 */
TernStatus tn_os_map(size_t bytes, bool huge, void **out, TernError *err);
void tn_os_unmap(void *p, size_t bytes);
/* Copies code into fresh anonymous memory and makes it read+execute; never writable and executable at once.
 */
TernStatus tn_os_map_code(const void *code, size_t bytes, void **out, TernError *err);
/* Of a mapping of tn_os_map's that has not been touched: no huge pages, whatever the system's default. */
void tn_os_advise_small(void *p, size_t bytes);
/* How much of [p, p + bytes) lies in huge pages now; 0 where the system does not say. Reads /proc: slow. */
size_t tn_os_huge_bytes(const void *p, size_t bytes);
/* Lets go of the resident pages that lie wholly inside a range of a file mapping; they are read again when touched. */
void tn_os_advise_dontneed(const void *p, size_t bytes);

double tn_os_seconds(void); /* a monotonic clock */
uint32_t tn_os_cpus(void);  /* processors this process may run on */
/* The processor's own name, "unknown" if it has none: printable, without blanks at its ends. */
void tn_os_cpu_name(char *out, size_t size);
uint64_t tn_os_random_seed(void);
/* Asks the system for AMX tiles, for this process and all its threads; false: refused, or no such system. */
bool tn_os_allow_amx(void);
uint64_t tn_os_peak_rss(void); /* bytes */
uint64_t
tn_os_free_memory(void); /* bytes that can be had without swapping; 0 where the system does not say */

#endif
