/* The table of loaded index pages. Any thread; a page is published with a release store. */
#include "fuse/pages.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "format/bytes.h"

struct dlf_pages {
    struct dlf_index_head head;
    _Atomic(uint8_t *) *loaded; /* one for each page, NULL until it is there */
};

struct dlf_pages *dlf_pages_new(struct dlf_index_head *head)
{
    struct dlf_pages *pages = calloc(1, sizeof(*pages));
    if (!pages)
        return NULL;
    pages->loaded = calloc((size_t)head->page_count + 1, sizeof(*pages->loaded));
    if (!pages->loaded) {
        free(pages);
        return NULL;
    }
    pages->head = *head;
    memset(head, 0, sizeof(*head));
    return pages;
}

void dlf_pages_free(struct dlf_pages *pages)
{
    if (!pages)
        return;
    for (uint32_t i = 0; i < pages->head.page_count; i++)
        free(atomic_load_explicit(&pages->loaded[i], memory_order_relaxed));
    free(pages->loaded);
    dlf_index_head_free(&pages->head);
    free(pages);
}

const struct dlf_index_head *dlf_pages_head(const struct dlf_pages *pages)
{
    return &pages->head;
}

static const uint8_t *page_data(const struct dlf_pages *pages, uint32_t page)
{
    return atomic_load_explicit(&pages->loaded[page], memory_order_acquire);
}

void dlf_pages_store(struct dlf_pages *pages, uint32_t page, uint8_t *data)
{
    atomic_store_explicit(&pages->loaded[page], data, memory_order_release);
}

bool dlf_pages_loaded(const struct dlf_pages *pages, uint32_t page)
{
    return page_data(pages, page) != NULL;
}

/* The number of records of the page that begin at or before offset. */
static uint32_t records_before(const uint8_t *data, uint32_t count, uint64_t offset)
{
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        /* A record begins with its image offset. */
        if (dlf_get64(data + (size_t)middle * DLF_RECORD_SIZE) <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void dlf_pages_at(const struct dlf_pages *pages, uint64_t offset, struct dlf_spot *spot)
{
    const struct dlf_index_head *head = &pages->head;
    spot->kind = DLF_SPOT_HOLE;
    spot->end = head->image_size;
    if (head->page_count == 0)
        return;
    if (offset < head->pages[0].first_offset) {
        spot->end = head->pages[0].first_offset;
        return;
    }
    spot->page = dlf_index_page_find(head, offset);
    const uint8_t *data = page_data(pages, spot->page);
    if (!data) {
        spot->kind = DLF_SPOT_UNKNOWN;
        return;
    }
    uint32_t count = dlf_index_page_records(head, spot->page);
    uint32_t behind = records_before(data, count, offset);
    /* The page's first record begins where the page does, so there is one at or before offset. */
    dlf_record_read(&spot->record, data + (size_t)(behind - 1) * DLF_RECORD_SIZE);
    if (offset - spot->record.offset < spot->record.length) {
        spot->kind = DLF_SPOT_CHUNK;
        spot->chunk = (uint64_t)spot->page * DLF_INDEX_PAGE_RECORDS + behind - 1;
        spot->end = spot->record.offset + spot->record.length;
    } else if (behind < count) {
        spot->end = dlf_get64(data + (size_t)behind * DLF_RECORD_SIZE);
    } else if (spot->page + 1 < head->page_count) {
        spot->end = head->pages[spot->page + 1].first_offset;
    }
}

void dlf_pages_record(const struct dlf_pages *pages, uint64_t chunk, struct dlf_record *record)
{
    const uint8_t *data = page_data(pages, (uint32_t)(chunk / DLF_INDEX_PAGE_RECORDS));
    dlf_record_read(record, data + (size_t)(chunk % DLF_INDEX_PAGE_RECORDS) * DLF_RECORD_SIZE);
}
