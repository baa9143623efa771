/*
 * The golden store's second image, golden-boot: four chunks, one of them zstd, and a boot pack.
 * Made by hand like the first one, so that no byte depends on a library's version.
 */
#ifndef DLFUSE_TESTS_FORMAT_GOLDEN_BOOT_H
#define DLFUSE_TESTS_FORMAT_GOLDEN_BOOT_H

#include <stddef.h>
#include <stdint.h>

#include "format/boot.h"
#include "format/index.h"
#include "format/manifest.h"

#define GOLDEN_BOOT_CHUNKS 4
#define GOLDEN_BOOT_RECORDS 3
#define GOLDEN_BOOT_LATER 1
#define GOLDEN_BOOT_IMAGE 12288
#define GOLDEN_BOOT_ROOM 1024

struct golden_boot {
    uint8_t image[GOLDEN_BOOT_IMAGE];
    uint8_t pack[GOLDEN_BOOT_ROOM];
    struct dlf_index_pack pack_entry;
    uint8_t index[GOLDEN_BOOT_ROOM];
    struct dlf_record records[GOLDEN_BOOT_CHUNKS];
    uint8_t boot[GOLDEN_BOOT_ROOM];
    struct dlf_record boot_records[GOLDEN_BOOT_RECORDS];
    uint32_t later[GOLDEN_BOOT_LATER];
    struct dlf_manifest manifest; /* sizes of index and boot pack are there */
    char text[1024];
    size_t text_size;
};

void golden_boot_make(struct golden_boot *g);

#endif
