/*
 * Writes a boot pack: its table, the index head, and chunks of a stored image in a given order. The
 * chunks are encoded anew.
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
 * Chunks over the limits of a boot pack (DLF_BOOT_MAX, DLF_BOOT_TABLE_MAX) go to the front of its
 * list of later chunks, with a warning; order is changed to match the written object. The store
 * must be locked. Afterwards the object is durable, the manifest's boot fields are set, and
 * data_bytes is the size of its content.
 */
int boot_write(struct store *store, const struct stored_index *index, struct profile_order *order,
               const struct boot_options *options, struct dlf_manifest *manifest,
               uint64_t *data_bytes, struct dlf_err *err);

#endif
