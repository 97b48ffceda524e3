/* The files of tern batch: lines that are read, and answers that are appended. */
#ifndef TN_SERVE_BATCH_FILE_H
#define TN_SERVE_BATCH_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include "runtime/base/buf.h"
#include "runtime/base/status.h"

/* ---- Lines of a file that is read */
typedef struct TnLines {
    const char *path;
    int fd;
    size_t most; /* bytes of a line that are kept */
    char block[64 << 10];
    size_t at, n; /* of the block */
    /* the line */
    TnBuf text;
    uint64_t number; /* from 1 */
    uint64_t end;    /* bytes of the file up to its end */
    bool too_long;   /* it has more than `most` bytes, and `text` lacks them */
    bool whole;      /* it ended with a newline; false: the file ended */
} TnLines;
/* Takes an open file, and reads from its beginning. The file stays the caller's. */
TernStatus tn_lines_start(TnLines *l, const char *path, int fd, size_t most, TernError *err);
/* False: there are no more, or (*st) the file could not be read. */
bool tn_lines_next(TnLines *l, TernStatus *st, TernError *err);
bool tn_lines_blank(const TnLines *l);
void tn_lines_free(TnLines *l);

/* Opens the file of requests, which is read more than once. */
TernStatus tn_batch_open_in(const char *path, int *fd, TernError *err);
/* Whether it has more than that many bytes by now. */
bool tn_batch_has_grown(int fd, uint64_t bytes);

/* ---- The file of answers */
typedef struct TnAnswers {
    const char *path;
    int fd;
    uint64_t end; /* of the last whole line */
} TnAnswers;
/* Opens or makes the file, and locks it: no other batch may append to it. */
TernStatus tn_answers_open(TnAnswers *a, const char *path, TernError *err);
/* Appends a line, which ends with a newline: the file has all of it or, after a failure, nothing. A process that is killed
 * in the middle leaves a part of it, without a newline, at the end of the file. */
TernStatus tn_answers_put(TnAnswers *a, const TnBuf *line, TernError *err);
/* Cuts off what follows `end`. */
TernStatus tn_answers_cut(TnAnswers *a, TernError *err);
/* Puts a file without some lines, by their numbers in rising order, in its place: a process that is killed meanwhile leaves the
 * one or the other. */
TernStatus tn_answers_drop(TnAnswers *a, const uint64_t *numbers, size_t n, TernError *err);
/* Brings all of it to the disk, and closes. */
TernStatus tn_answers_close(TnAnswers *a, TernError *err);

#endif
