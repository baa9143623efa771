/*
 * Gathers stored chunks into packs and writes the packs to the store. A pack is the plain
 * concatenation of its chunks, closed as soon as it has DLF_PACK_TARGET bytes.
 *
 * A pack is built in memory. One of the packer's threads then seals it: hashes it, writes it and
 * gives it its name. The next packs are built meanwhile, because most of sealing is waiting for the
 * disk. With all PACKER_BUFFERS buffers full, packer_add waits. Each pack of a run has a number,
 * from 0 on.
 *
 * All functions are for one thread, the packer's owner.
 */
#ifndef DLFUSE_CHUNKER_PACKER_H
#define DLFUSE_CHUNKER_PACKER_H

#include <stdint.h>

#include "chunker/store.h"
#include "format/index.h"

#define PACKER_BUFFERS 5
#define PACKER_THREADS 3

struct packer;

/* store must stay valid and locked until packer_free. NULL on failure. */
struct packer *packer_new(struct store *store, struct dlf_err *err);

/* Stops the threads. A pack not yet sealed is dropped. NULL is fine. */
void packer_free(struct packer *packer);

/*
 * Appends size stored bytes (1 to DLF_CHUNK_MAX); returns their pack and offset. Also returns an
 * earlier error of a sealing thread.
 */
int packer_add(struct packer *packer, const uint8_t *stored, uint32_t size, uint32_t *pack,
               uint32_t *pack_offset, struct dlf_err *err);

/* Reads back size bytes that were added. */
int packer_read(struct packer *packer, uint32_t pack, uint32_t pack_offset, uint8_t *stored,
                uint32_t size, struct dlf_err *err);

/* Seals the remaining packs; afterwards every pack is durable under its name. No more bytes may be
 * added. */
int packer_finish(struct packer *packer, struct dlf_err *err);

/* After packer_finish: the packs, by number, and their count. The packer owns them. */
const struct dlf_index_pack *packer_packs(const struct packer *packer, uint32_t *count);

#endif
