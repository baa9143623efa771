/*
 * Writes a boot pack: its table, the index head, and chunks of an image that is in the store,
 * encoded anew, in a given order.
 *
 *      reader thread     the index's record of each chunk
 *      worker threads    the chunk out of its pack, checked; encoded, SHA-256
 *      calling thread    into the object, in order
 */
#ifndef DLFUSE_CHUNKER_BOOT_WRITER_H
#define DLFUSE_CHUNKER_BOOT_WRITER_H

#include "chunker/profile_merge.h"
#include "chunker/store.h"
#include "chunker/stored_index.h"
#include "format/codec.h"
#include "format/manifest.h"

struct boot_options {
    enum dlf_codec codec;
    int level;
    unsigned jobs; /* at least 1; the result is the same */
};

/*
 * What a boot pack cannot hold (DLF_BOOT_MAX, DLF_BOOT_TABLE_MAX) comes first in its list of later
 * chunks, with a warning; order is changed to what was written. The store must be locked.
 * Afterwards the object is durable, the manifest's boot fields are set, and
 * data_bytes says how much content it has.
 */
int boot_write(struct store *store, const struct stored_index *index, struct profile_order *order,
               const struct boot_options *options, struct dlf_manifest *manifest,
               uint64_t *data_bytes, struct dlf_err *err);

#endif
