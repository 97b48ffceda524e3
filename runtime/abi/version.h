/* The numbers that a blob must have to run here. Includes nothing. */
#ifndef TN_ABI_VERSION_H
#define TN_ABI_VERSION_H

#define TN_BLOB_VERSION 4  /* of the format, docs/blob.md */
#define TN_BLOB_ABI     10 /* changes with kernel.h, blob.h and how weights lie */

#endif
