/*
 * Stores one image up to its index: reader, workers, writer. The manifest is the caller's.
 *
 *      reader thread     input -> scanner (holes, cuts)
 *      worker threads    XXH3, look up in the library; if not there: encode, SHA-256
 *      calling thread    placer, in image order
 *      packer's threads  hash and write packs
 *
 * The queue (QUEUE_MEMORY_BYTES), the packer's buffers, and the two dedup tables bound the memory.
 * Beyond that only 40 bytes per 256 chunks and per pack grow with the image.
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
    bool cut_auto;          /* else cut decides */
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

/* The store must be locked. Afterwards all objects but the manifest are in it, durable. */
int build_image(struct store *store, struct library *library, struct input *input,
                const struct build_options *options, struct build_result *result,
                struct dlf_err *err);

#endif
