/*
 * The boot pack of a version that create has just stored. Chooses its profile, or keeps the
 * existing boot pack.
 */
#ifndef DLFUSE_CHUNKER_CREATE_BOOT_H
#define DLFUSE_CHUNKER_CREATE_BOOT_H

#include <stdbool.h>

#include "chunker/boot_writer.h"
#include "chunker/create_options.h"
#include "chunker/profile.h"
#include "chunker/profile_map.h"
#include "chunker/store.h"
#include "format/manifest.h"

struct create_boot {
    struct profile traces;        /* the traces that the arguments name; create_boot_read */
    bool mapped;                  /* a profile was matched with the image: counts has the result */
    bool carried;                 /* the profile came from the version before */
    struct profile_counts counts; /* zero otherwise */
    uint32_t chunks;              /* in the boot pack */
    uint32_t later;
    uint64_t data_bytes;
};

/* Reads the traces that the options name. Call it before any long work. */
int create_boot_read(struct create_boot *boot, const struct create_options *options,
                     struct dlf_err *err);

/*
 * Makes the boot pack of manifest and sets the manifest's boot fields; they stay zero without a
 * profile. The index must be in the store. previous: the version before, or NULL. The store must be
 * locked.
 */
int create_boot_make(struct create_boot *boot, struct store *store,
                     const struct create_options *options, const struct dlf_manifest *previous,
                     struct dlf_manifest *manifest, struct dlf_err *err);

void create_boot_free(struct create_boot *boot);

#endif
