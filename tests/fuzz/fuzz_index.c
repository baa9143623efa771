/*
 * Any bytes as an index: head, then each page. The input is the index object; image size and index
 * size come from it too, as a publisher who signs nonsense would have them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/bytes.h"
#include "format/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_records(const struct dlf_index_head *h, uint32_t page, const uint8_t *data)
{
    uint64_t lowest = h->pages[page].first_offset;
    uint8_t again[DLF_RECORD_SIZE];
    for (uint32_t i = 0; i < dlf_index_page_records(h, page); i++, data += DLF_RECORD_SIZE) {
        struct dlf_record r;
        dlf_record_read(&r, data);
        dlf_record_write(&r, again);
        if (memcmp(again, data, DLF_RECORD_SIZE) != 0)
            abort();
        if (r.offset < lowest || r.length == 0 || r.length > h->max_length ||
            !dlf_range_within(r.offset, r.length, h->image_size) || r.stored_length == 0 ||
            r.stored_length > r.length || r.pack >= h->pack_count ||
            !dlf_range_within(r.pack_offset, r.stored_length, h->packs[r.pack].size))
            abort();
        if (dlf_index_page_find(h, r.offset) != page)
            abort();
        lowest = r.offset + r.length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlf_index_head h;
    struct dlf_err err = {""};
    if (size < DLF_INDEX_FIXED_SIZE)
        return 0;
    /* The head ends where its own tables say, or with the input. */
    uint32_t head_size = dlf_index_head_size(dlf_get32(data + 20), dlf_get32(data + 56));
    if (head_size == 0 || head_size > size)
        head_size = (uint32_t)size;
    uint64_t index_size = head_size + dlf_get64(data + 24) * DLF_RECORD_SIZE;
    if (dlf_index_head_parse(&h, data, head_size, dlf_get64(data + 32), index_size, &err) < 0) {
        if (!err.msg[0])
            abort();
        return 0;
    }
    uint8_t *again = malloc(head_size);
    if (!again)
        abort();
    dlf_index_head_write(&h, again);
    if (memcmp(again, data, head_size) != 0)
        abort();
    free(again);
    for (uint32_t page = 0; page < h.page_count; page++) {
        uint64_t at = dlf_index_page_offset(&h, page);
        size_t room = at < size ? size - (size_t)at : 0;
        size_t page_size = (size_t)dlf_index_page_records(&h, page) * DLF_RECORD_SIZE;
        if (room > page_size)
            room = page_size;
        if (dlf_index_page_check(&h, page, data + (at < size ? at : size), room, &err) == 0)
            check_records(&h, page, data + at);
    }
    dlf_index_head_free(&h);
    return 0;
}
