/*
 * One image into the store, up to its index: reader, workers, writer. The manifest is the caller's.
 *
 *      reader thread     input -> scanner (holes, cuts)
 *      worker threads    XXH3, look up in the library; if not there: encode, SHA-256
 *      calling thread    placer, in image order
 *      packer's threads  hash and write packs
 *
 * Memory is bounded by the queue (QUEUE_MEMORY_BYTES), the packer's buffers, and the two dedup
 * tables; none of it grows with the image beyond that but for 40 bytes per 256 chunks and per pack.
 */
#ifndef DLFUSE_CHUNKER_BUILD_H
#define DLFUSE_CHUNKER_BUILD_H

#include <stdbool.h>

#include "chunker/cutter.h"
#include "chunker/filesystem.h"
#include "chunker/input.h"
#include "chunker/library.h"
#include "chunker/placer.h"
#include "chunker/store.h"
#include "format/codec.h"

struct build_options {
    enum dlf_codec codec;
    int level;
    uint32_t average_bytes; /* cutter_average_valid */
    bool cut_auto;          /* else cut says how */
    enum cut_kind cut;
    unsigned jobs; /* at least 1 */
};

struct build_result {
    enum filesystem filesystem;
    enum cut_kind cut;
    struct placer_counts counts;
    uint64_t data_bytes;
    struct dlf_manifest manifest; /* image size and index fields */
};

/* The store must be locked. Afterwards all objects but the manifest are there, durable. */
int build_image(struct store *store, struct library *library, struct input *input,
                const struct build_options *options, struct build_result *result,
                struct dlf_err *err);

#endif
