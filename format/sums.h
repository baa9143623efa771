/*
 * Checksums of files, a text as sha256sum(1) prints it: a line
 *
 *      SHA256  NAME
 *
 * for each file, with two blanks, or a blank and an asterisk. The text vouches for files that are
 * in no store, and is signed under DLF_SIGNS_SUMS (signature.h). docs/FORMAT.md has the grammar.
 *
 * Pure; may be called from any thread.
 */
#ifndef DLFUSE_FORMAT_SUMS_H
#define DLFUSE_FORMAT_SUMS_H

#include <stddef.h>

#include "format/digest.h"
#include "format/err.h"

/* Bytes of the lines; 500 files and more. Signatures come on top. */
#define DLF_SUMS_MAX ((size_t)64 << 10)

/*
 * The digest that text has for name. text is a body without signatures. -EBADMSG with the line's
 * number for a line of any other form, also behind the wanted line, and for a second line with that
 * name. -ENOENT when no line has it. *digest is untouched on failure.
 */
int dlf_sums_find(const char *text, size_t size, const char *name, struct dlf_sha256 *digest,
                  struct dlf_err *err);

#endif
