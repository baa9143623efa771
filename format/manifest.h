/*
 * The manifest, NAME.dlfuse: a small text that names one version of an image and its index.
 * docs/FORMAT.md has the grammar.
 */
#ifndef DLFUSE_FORMAT_MANIFEST_H
#define DLFUSE_FORMAT_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/digest.h"
#include "format/err.h"
#include "format/limits.h"
#include "format/signature.h"

#define DLF_MANIFEST_VERSION 1
#define DLF_MANIFEST_SUFFIX ".dlfuse"

/* "index/", "pack/", "boot/" or "manifest/", then 64 hexadecimal digits, then NUL. */
#define DLF_OBJECT_PATH_MAX 80

struct dlf_manifest {
    char name[DLF_NAME_MAX + 1];
    uint64_t serial;     /* 1 for the first version of a name, then one more each time */
    uint64_t created;    /* seconds since 1970-01-01 UTC */
    uint64_t image_size; /* bytes, 0 to DLF_IMAGE_MAX */
    struct dlf_sha256 index;
    uint64_t index_size; /* bytes of the index object, head included */
    struct dlf_sha256 index_head;
    uint32_t index_head_size; /* bytes, at most DLF_INDEX_HEAD_MAX */

    /* The boot pack; all zero when there is none. */
    struct dlf_sha256 boot;
    uint64_t boot_size; /* bytes of the object, table included; 0: no boot pack */
    struct dlf_sha256 boot_table;
    uint32_t boot_table_size; /* bytes, at most DLF_BOOT_TABLE_MAX */

    /* Mirrors of the store, as the publisher lists them. */
    unsigned mirror_count;
    char mirrors[DLF_MIRROR_LINES_MAX][DLF_MIRROR_URL_MAX + 1];

    struct dlf_signatures signatures; /* as they stand behind the body, not verified */
};

/* Records of the index, from its size; the parser has checked that the division is exact. */
static inline uint64_t dlf_manifest_chunks(const struct dlf_manifest *m)
{
    return (m->index_size - m->index_head_size) / 72; /* DLF_RECORD_SIZE */
}

/* True for [A-Za-z0-9._-]{1,128} that does not begin with '.' or '-'. */
bool dlf_name_valid(const char *name);

/*
 * True for the URL of a store in a manifest: http:// or https:// and a host, '/' at its end, at
 * most DLF_MIRROR_URL_MAX printable characters, no user name, no '?', '#' or '\\'.
 */
bool dlf_mirror_valid(const char *url);

/* The same mirrors in the same order? */
bool dlf_manifest_same_mirrors(const struct dlf_manifest *a, const struct dlf_manifest *b);

/*
 * Reads size bytes of text, which need not end in NUL: the body and the signature lines behind it.
 * The lines must be well-formed but are not verified: dlf_signed_verify does that, and comes first
 * wherever there are trusted keys. Every field is checked against its range before it is stored.
 * *manifest is untouched on failure. -EBADMSG with the line number in err, -ENOTSUP for another
 * format version, -EFBIG for a text or a size over its limit.
 */
int dlf_manifest_parse(struct dlf_manifest *manifest, const char *text, size_t size,
                       struct dlf_err *err);

/*
 * Writes the text with its signatures, NUL-terminated, into out. A parsed manifest gives the same
 * bytes again. Returns the length, or -EINVAL when room is too small.
 */
int dlf_manifest_format(const struct dlf_manifest *manifest, char *out, size_t room);

/*
 * Signs the manifest's present fields: adds the key's signature, or replaces its earlier one.
 * Signatures by other keys stay, and are wrong if the fields have changed since.
 * dlf_signatures_add's codes, -EINVAL for a manifest that cannot be written.
 */
int dlf_manifest_sign(struct dlf_manifest *manifest, const struct dlf_secret_key *key,
                      struct dlf_err *err);

/* The path of an immutable object below the store's base: KIND/HEX. kind: "index", "pack", "boot",
 * "manifest". */
void dlf_object_path(char out[DLF_OBJECT_PATH_MAX], const char *kind,
                     const struct dlf_sha256 *digest);

#endif
