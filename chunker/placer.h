/*
 * Finds a place for each chunk's bytes, in image order: in the library, earlier in this image, or
 * in a new pack. Writes the index. One thread decides in order, so the result does not depend on
 * the number of workers.
 */
#ifndef DLFUSE_CHUNKER_PLACER_H
#define DLFUSE_CHUNKER_PLACER_H

#include <stdbool.h>
#include <stdint.h>

#include "chunker/dedup.h"
#include "chunker/index_writer.h"
#include "chunker/library.h"
#include "chunker/packer.h"
#include "chunker/queue.h"

/* A pack of the index's table. */
struct placer_pack {
    bool is_new;
    uint32_t number; /* the packer's when new, else the library's */
};

struct placer_counts {
    uint64_t chunks;
    uint64_t new_chunks;
    uint64_t new_bytes;    /* stored bytes of the new chunks: the size of all new packs */
    uint64_t stored_bytes; /* of the whole image, each stored chunk once */
    uint32_t new_packs;
    uint32_t packs; /* packs that the index uses */
};

struct placer {
    const struct library *library; /* borrowed */
    struct packer *packer;
    struct index_writer index;
    struct dedup seen; /* new chunks of this image, by record number */
    struct placer_pack *packs;
    uint32_t pack_room;
    uint32_t *library_packs; /* number in packs for each of the library's, or PACK_NONE */
    uint32_t last_new_pack;  /* number in packs of the packer's newest */
    uint8_t *library_used;   /* a bit for each library chunk: counted in stored_bytes */
    uint8_t *stored;         /* DLF_CHUNK_MAX bytes, to compare */
    uint8_t *content;        /* the same */
    struct dlf_decoder *decoder;
    struct placer_counts counts;
};

/* library and store must stay valid until placer_free. */
int placer_init(struct placer *placer, struct store *store, const struct library *library,
                struct dlf_err *err);
void placer_free(struct placer *placer);

/* Places a job that a worker is done with. Jobs must come in image order. */
int placer_put(struct placer *placer, const struct job *job, struct dlf_err *err);

/* Seals the packs, then the index. Sets the image size and index fields of the manifest. */
int placer_finish(struct placer *placer, uint64_t image_size, struct dlf_manifest *manifest,
                  struct dlf_err *err);

#endif
