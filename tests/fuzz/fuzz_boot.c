/*
 * Any bytes as a boot pack's table: refused with a word, or in range and written again as the same
 * bytes. What the manifest would say of image and object size comes from the input.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/boot.h"
#include "format/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Numbers of the format are below 2^27; few, so that the search meets both sides of the limit. */
#define CHUNKS 1000

/* An index head of two packs and four pages, for so many chunks. */
#define HEAD (DLF_INDEX_FIXED_SIZE + 6 * 40)

static void check_table(const struct dlf_boot_table *t)
{
    static uint8_t seen[CHUNKS];
    uint64_t at = t->table_size + HEAD;
    memset(seen, 0, sizeof(seen));
    for (uint32_t i = 0; i < t->record_count; i++) {
        const struct dlf_record *r = &t->records[i];
        if (r->length == 0 || r->length > t->max_length || r->stored_length == 0 ||
            r->stored_length > r->length || r->pack_offset != at || r->pack >= CHUNKS ||
            seen[r->pack]++ || !dlf_range_within(r->offset, r->length, t->image_size))
            abort();
        at += r->stored_length;
    }
    if (at != t->size || t->size > DLF_BOOT_MAX)
        abort();
    for (uint32_t i = 0; i < t->later_count; i++) {
        if (t->later[i] >= CHUNKS || seen[t->later[i]]++)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlf_boot_table t;
    struct dlf_err err = {""};
    uint64_t image_size = size >= DLF_BOOT_FIXED_SIZE ? dlf_get64(data + 24) : 0;
    uint64_t object_size = size >= DLF_BOOT_FIXED_SIZE ? dlf_get64(data + 32) : 0;
    if (image_size > DLF_IMAGE_MAX)
        image_size = DLF_IMAGE_MAX;
    if (dlf_boot_table_parse(&t, data, size, HEAD, image_size, object_size, CHUNKS, &err) < 0) {
        if (!err.msg[0])
            abort();
        return 0;
    }
    check_table(&t);
    uint8_t *again = malloc(size);
    if (!again)
        abort();
    dlf_boot_table_write(&t, again);
    if (memcmp(again, data, size) != 0)
        abort();
    free(again);
    dlf_boot_table_free(&t);
    return 0;
}
