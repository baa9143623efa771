/*
 * The golden store: tests/unit/format/golden/ holds one small image as a store of version 1, byte
 * for byte. This file makes the same store in memory from a rule, so that both directions can be
 * compared: the writer must give these bytes, and the reader must read them as this image.
 *
 * Its lz4 chunks are made by hand (one literal, one long match, five literals), so that no byte of
 * it depends on the version of liblz4.
 */
#ifndef DLFUSE_TESTS_FORMAT_GOLDEN_H
#define DLFUSE_TESTS_FORMAT_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

#include "format/index.h"
#include "format/manifest.h"

#define GOLDEN_RECORDS 520 /* two full pages and one of eight records */
#define GOLDEN_PAGES 3
#define GOLDEN_PACKS 2
#define GOLDEN_PACK_MAX 65536

struct golden {
    uint8_t *image; /* content, holes are zeros */
    uint64_t image_size;
    uint8_t *packs[GOLDEN_PACKS];
    struct dlf_index_head head; /* points to pages and packs below: do not free it */
    struct dlf_index_page head_pages[GOLDEN_PAGES];
    struct dlf_index_pack head_packs[GOLDEN_PACKS];
    struct dlf_record records[GOLDEN_RECORDS];
    uint8_t *index; /* head and records */
    uint32_t head_size;
    uint64_t index_size;
    struct dlf_manifest manifest;
    char manifest_text[1024];
    size_t manifest_size;
};

/* Makes the golden store; exits when out of memory. */
struct golden *golden_make(void);
void golden_free(struct golden *g);

/* One LZ4 block for length (at least 25) times the same byte. Returns its size. */
uint32_t golden_lz4_run(uint8_t *out, uint8_t byte, uint32_t length);

/* A whole file below the golden directory; NULL when it cannot be read. The caller frees it. */
uint8_t *golden_read(const char *path, size_t *size);

/* Writes a file below the golden directory, with its parent directory. 0 or -1 with errno. */
int golden_write(const char *path, const void *data, size_t size);

#endif
