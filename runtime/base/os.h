/* All system calls of the runtime are made here: files, mappings, clocks. A call that fails returns a TernStatus and
 * writes one line that names the path. */
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
    int kept; /* the descriptor + 1, if it stays open until tn_file_unmap; else 0 */
} TnFile;
TernStatus tn_file_map(const char *path, TnFile *out, TernError *err);      /* regular files only */
TernStatus tn_file_map_kept(const char *path, TnFile *out, TernError *err); /* also keeps it open */
void tn_file_unmap(TnFile *f);
/* Reads bytes of the mapping from the file, into other memory: without a page fault, and the process maps no more of it. False
 * if the file is not kept open, or not all of them can be read. */
bool tn_file_read_at(const TnFile *f, const void *p, size_t bytes, void *out);
/* Asks the system to drop bytes of the mapping from its cache of files. It keeps those that a process has mapped, so call
 * tn_os_advise_dontneed first. Does nothing if the file is not kept open. */
void tn_file_forget(const TnFile *f, const void *p, size_t bytes);
/* Reads a whole file, a pipe or "-" (standard input). More than `limit` bytes are an error. *out is NUL-terminated;
 * free() it. */
TernStatus tn_file_read(const char *path, size_t limit, char **out, size_t *out_size, TernError *err);

/* spare.c: a file without a name, for bytes that need not stay in memory. It lies in $TMPDIR, else in /tmp. tn_spare_map maps
 * what was put and closes the file; *out is unmapped with tn_file_unmap, and then the file is gone. */
typedef struct TnSpareFile {
    int fd;             /* -1: closed */
    const char *folder; /* for messages */
    size_t size;        /* bytes put */
} TnSpareFile;
TernStatus tn_spare_open(TnSpareFile *out, TernError *err);
TernStatus tn_spare_put(TnSpareFile *f, const void *bytes, size_t n, TernError *err);
TernStatus tn_spare_map(TnSpareFile *f, TnFile *out, TernError *err);
void tn_spare_close(TnSpareFile *f); /* of a closed one: does nothing */

/* What a path names; both follow symbolic links, and say no where the system does not tell. */
bool tn_os_exists(const char *path);
bool tn_os_is_folder(const char *path);

/* Writes a file so that it appears whole or not at all: a temporary file beside it, fsync, rename. Between open and
 * commit, put appends and put_at overwrites bytes that were put. After a failed call, or after tn_writer_abort, no file is
 * left. If the path is a symbolic link, the link stays and the file it names is made or replaced. "-", the names of open
 * descriptors (/dev/stdout, /dev/fd/3), and existing pipes and devices are written directly (`direct`), without these
 * guarantees; put_at does not work for them. */
typedef struct TnWriter {
    int fd, folder; /* folder: the target's; -1 if direct */
    uint64_t pos;
    char *path, *name, *temp; /* path: for messages; name and temp: within the folder */
    bool direct;
} TnWriter;
TernStatus tn_writer_open(const char *path, TnWriter *out, TernError *err);
/* Gives the status and error that tn_writer_open would give, but makes no file and does not wait for a pipe's reader. */
TernStatus tn_writer_probe(const char *path, TernError *err);
TernStatus tn_writer_put(TnWriter *w, const void *bytes, size_t n, TernError *err);
TernStatus tn_writer_put_at(TnWriter *w, uint64_t offset, const void *bytes, size_t n, TernError *err);
/* Lets those who may read the file run it too. Does nothing to a file that is written directly. */
void tn_writer_executable(TnWriter *w);
TernStatus tn_writer_commit(TnWriter *w, TernError *err);
void tn_writer_abort(TnWriter *w);
/* Removes the temporary files of all writers that this process has open. For a program that is about to end, also from a
 * signal handler: async-signal-safe. Needs /proc if there are such files. */
void tn_writer_clean_up(void);
/* The descriptor that a writer uses for a path: 1 for "-", 3 for /dev/fd/3; -1 if the path names none. */
int tn_os_standard(const char *path);
/* Follows symbolic links in the last part of the path, to a file that need not exist; free() the result. */
char *tn_os_target(const char *path);
/* For a process that reads a file, changes it and replaces it with a writer. Until tn_os_unlock no other caller, in any
 * process, gets the lock. The lock is on the file's folder, so it leaves no file, and it ends with the process. Waits at
 * most `seconds`. Returns -1 if another holds the lock for longer, or if the file system has no locks. */
int tn_os_lock_folder(const char *path, double seconds);
void tn_os_unlock(int lock); /* -1 is fine */

/* Maps anonymous zeroed memory, page aligned. From 4 MiB on it is 2 MiB aligned, and `huge` advises huge pages. */
TernStatus tn_os_map(size_t bytes, bool huge, void **out, TernError *err);
void tn_os_unmap(void *p, size_t bytes);
/* code.c: copies code into new memory that is readable and executable, and never was writable and executable at once.
 * Where the system lets no memory become executable, it is a mapping of a sealed file in memory (memfd). If that is
 * refused too: TERN_ERR_ENV, and the line names both refusals. Unmap it with tn_os_unmap. */
TernStatus tn_os_map_code(const void *code, size_t bytes, void **out, TernError *err);
/* Advises against huge pages, whatever the system's default. For an untouched mapping from tn_os_map. */
void tn_os_advise_small(void *p, size_t bytes);
/* How many bytes of [p, p + bytes) are in huge pages now; 0 if the system does not say. Reads /proc: slow. */
size_t tn_os_huge_bytes(const void *p, size_t bytes);
/* Drops the resident pages that lie wholly inside a range of a file mapping. They are read again when touched. */
void tn_os_advise_dontneed(const void *p, size_t bytes);
/* Bytes of file mappings that are resident in this process; 0 if the system does not say. Some microseconds. */
uint64_t tn_os_file_resident(void);
/* Lets the system read the pages that a range of a file mapping touches, if they are not in memory, without waiting for them. */
void tn_os_advise_soon(const void *p, size_t bytes);
/* Says that a range of a file mapping is read here and there, so that a page that is read does not bring its neighbours from
 * the disk; or, with false, that it is read as usual. Only pages that lie wholly inside count. */
void tn_os_advise_random(const void *p, size_t bytes, bool random);

double tn_os_seconds(void); /* a monotonic clock */
uint32_t tn_os_cpus(void);  /* processors that this process may run on */
/* Bytes of the third-level cache; 0 or -1 if the system does not say. */
long tn_os_last_cache(void);
/* The processor's own name, or "unknown": printable, without blanks at either end. */
void tn_os_cpu_name(char *out, size_t size);
/* What CPUID says; on other machines empty and 0. */
typedef struct TnCpuModel {
    char vendor[16]; /* "AuthenticAMD" */
    uint32_t family, model;
} TnCpuModel;
void tn_os_cpu_model(TnCpuModel *out);
uint64_t tn_os_random_seed(void);
/* Asks the system for AMX tiles, for this process and all its threads; false if it refuses or has no such call. */
bool tn_os_allow_amx(void);
/* Whether the program was linked dynamically. One that was not must not call dlopen: glibc's loads a library that expects
 * another C library in the process, and crashes. */
bool tn_os_opens_libraries(void);
uint64_t tn_os_peak_rss(void); /* bytes; of this program, not of the one that started it */
/* Lets tn_os_peak_rss count from now on; false if the system cannot: then it still counts from the start. */
bool tn_os_peak_rss_restart(void);
/* Bytes that are available without swapping; 0 if the system does not say. */
uint64_t tn_os_free_memory(void);

#endif
