/*
 * The check of a store: every manifest, index and pack is read, hashed, and compared with the
 * objects that point to it. Each damage is reported once, at its place, as soon as it is found.
 *
 * One thread.
 */
#ifndef DLFUSE_CHUNKER_AUDIT_H
#define DLFUSE_CHUNKER_AUDIT_H

#include <stdint.h>

#include "chunker/pack_set.h"
#include "chunker/reference.h"
#include "chunker/store.h"
#include "chunker/stored_index.h"
#include "format/codec.h"

struct audit_source {
    struct stored_index index;
    struct dlf_sha256 digest;    /* the index object's */
    uint64_t serial;             /* of the first manifest that names it */
    char name[DLF_NAME_MAX + 1]; /* the same */
};

/* A boot pack that was checked, with the index that it was compared with. */
struct audit_boot {
    struct dlf_sha256 boot;
    struct dlf_sha256 index;
};

struct audit_counts {
    uint64_t manifests;
    uint64_t indexes;
    uint64_t boot_packs;
    uint64_t packs;
    uint64_t chunks;       /* stored chunks that were checked */
    uint64_t bytes;        /* of all objects read */
    uint64_t unused_packs; /* in the store, but no manifest reaches them */
    uint64_t damages;
};

struct audit {
    const struct store *store; /* borrowed */
    /* Called for each damage with one line of text. */
    void (*report)(void *context, const char *line);
    void *context;
    const struct dlf_keys *keys; /* one must have signed each NAME.dlfuse; NULL: unsigned is fine */

    struct audit_counts counts;
    struct audit_source *sources;
    uint32_t source_count;
    struct audit_boot *boots;
    uint32_t boot_count;
    struct pack_set packs; /* that indexes name */
    struct reference_list references;
    uint8_t *pack;    /* a pack being checked, DLF_PACK_MAX + 1 bytes */
    uint8_t *content; /* DLF_CHUNK_MAX bytes */
    struct dlf_decoder *decoder;
    uint8_t *page;                          /* DLF_INDEX_PAGE_SIZE bytes */
    const struct audit_source *page_source; /* page is one of its pages */
    uint32_t page_number;
};

/*
 * Checks all objects that name reaches; with NULL, everything in the store. Damages are reported
 * and counted; a negative return means that the check itself failed.
 */
int audit_store(struct audit *audit, const char *name, struct dlf_err *err);
void audit_free(struct audit *audit);

#endif
