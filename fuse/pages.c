/*
 * The table of loaded index pages, and the boot table's records by image offset, which is also by
 * chunk number. Any thread; each is published with a release store.
 */
#include "fuse/pages.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "format/bytes.h"

struct dlf_pages {
    struct dlf_index_head head;
    _Atomic(uint8_t *) *loaded;  /* one for each page, NULL until it is there */
    _Atomic uint32_t missing;    /* pages that are not loaded */
    struct dlf_record *boot;     /* sorted; valid once boot_count is not 0 */
    _Atomic uint32_t boot_count; /* 0: no boot table */
    atomic_bool boot_dropped;    /* nothing is asked of it any more; its records stay */
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
    atomic_init(&pages->missing, head->page_count);
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
    free(pages->boot);
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
    atomic_fetch_sub_explicit(&pages->missing, 1, memory_order_release);
}

bool dlf_pages_all_loaded(const struct dlf_pages *pages)
{
    return atomic_load_explicit(&pages->missing, memory_order_acquire) == 0;
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

/* The number of boot records that begin at or before offset. */
static uint32_t boot_before(const struct dlf_pages *pages, uint32_t count, uint64_t offset)
{
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (pages->boot[middle].offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The spot that the boot table knows at an offset without a loaded page. */
static void boot_at(const struct dlf_pages *pages, uint64_t offset, struct dlf_spot *spot)
{
    uint32_t count = atomic_load_explicit(&pages->boot_count, memory_order_acquire);
    uint32_t behind = boot_before(pages, count, offset);
    spot->kind = DLF_SPOT_UNKNOWN;
    if (behind == 0 || atomic_load_explicit(&pages->boot_dropped, memory_order_acquire))
        return;
    const struct dlf_record *r = &pages->boot[behind - 1];
    if (offset - r->offset < r->length) {
        spot->kind = DLF_SPOT_CHUNK;
        spot->boot = true;
        spot->record = *r;
        spot->chunk = r->pack;
        spot->end = r->offset + r->length;
    } else if (behind < count && r[1].pack == r->pack + 1) {
        /* Neighbours in the index: no chunk lies between them. */
        spot->kind = DLF_SPOT_HOLE;
        spot->end = r[1].offset;
    }
}

void dlf_pages_at(const struct dlf_pages *pages, uint64_t offset, struct dlf_spot *spot)
{
    const struct dlf_index_head *head = &pages->head;
    spot->boot = false;
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
        boot_at(pages, offset, spot);
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

static int by_number(const void *key, const void *element)
{
    uint64_t chunk = *(const uint64_t *)key;
    const struct dlf_record *r = element;
    return chunk < r->pack ? -1 : chunk > r->pack;
}

static const struct dlf_record *boot_record(const struct dlf_pages *pages, uint64_t chunk)
{
    uint32_t count = atomic_load_explicit(&pages->boot_count, memory_order_acquire);
    return count ? bsearch(&chunk, pages->boot, count, sizeof(*pages->boot), by_number) : NULL;
}

bool dlf_pages_record(const struct dlf_pages *pages, uint64_t chunk, struct dlf_record *record)
{
    const uint8_t *data = page_data(pages, (uint32_t)(chunk / DLF_INDEX_PAGE_RECORDS));
    if (data) {
        dlf_record_read(record, data + (size_t)(chunk % DLF_INDEX_PAGE_RECORDS) * DLF_RECORD_SIZE);
        return true;
    }
    const struct dlf_record *boot = boot_record(pages, chunk);
    if (!boot)
        return false;
    *record = *boot;
    record->pack = 0;
    record->pack_offset = 0;
    return true;
}

/* The same content at the same place? How it is stored may differ. */
static bool fits(const struct dlf_record *boot, const uint8_t *data)
{
    struct dlf_record r;
    dlf_record_read(&r, data + (size_t)(boot->pack % DLF_INDEX_PAGE_RECORDS) * DLF_RECORD_SIZE);
    return r.offset == boot->offset && r.length == boot->length && r.xxh3 == boot->xxh3;
}

bool dlf_pages_fit_boot(const struct dlf_pages *pages, uint32_t page, const uint8_t *data)
{
    uint64_t first = (uint64_t)page * DLF_INDEX_PAGE_RECORDS;
    uint32_t count = dlf_index_page_records(&pages->head, page);
    for (uint64_t chunk = first; chunk < first + count; chunk++) {
        const struct dlf_record *boot = boot_record(pages, chunk);
        if (boot && !fits(boot, data))
            return false;
    }
    return true;
}

static int by_offset(const void *a, const void *b)
{
    const struct dlf_record *x = a;
    const struct dlf_record *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Where the index head says that a chunk of that number can be, and no longer than any. */
static bool can_be(const struct dlf_index_head *head, const struct dlf_record *boot)
{
    uint32_t page = boot->pack / DLF_INDEX_PAGE_RECORDS;
    if (boot->pack >= head->record_count || boot->length > head->max_length)
        return false;
    uint64_t end =
        page + 1 < head->page_count ? head->pages[page + 1].first_offset : head->image_size;
    return boot->offset >= head->pages[page].first_offset &&
           dlf_range_within(boot->offset, boot->length, end);
}

/* In order of place and of number alike, none over another, and as the index has it, as far as that
 * is known. */
static bool boot_is_sound(const struct dlf_pages *pages, const struct dlf_record *boot,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!can_be(&pages->head, &boot[i]))
            return false;
        const uint8_t *data = page_data(pages, boot[i].pack / DLF_INDEX_PAGE_RECORDS);
        if (data && !fits(&boot[i], data))
            return false;
        if (i && (boot[i].pack <= boot[i - 1].pack ||
                  boot[i].offset - boot[i - 1].offset < boot[i - 1].length))
            return false;
    }
    return true;
}

int dlf_pages_add_boot(struct dlf_pages *pages, const struct dlf_boot_table *table)
{
    size_t size = (size_t)table->record_count * sizeof(*table->records);
    struct dlf_record *boot = malloc(size + 1);
    if (!boot)
        return -ENOMEM;
    if (size)
        memcpy(boot, table->records, size);
    qsort(boot, table->record_count, sizeof(*boot), by_offset);
    if (!boot_is_sound(pages, boot, table->record_count)) {
        free(boot);
        return -EBADMSG;
    }
    pages->boot = boot;
    atomic_store_explicit(&pages->boot_count, table->record_count, memory_order_release);
    return 0;
}

void dlf_pages_drop_boot(struct dlf_pages *pages)
{
    atomic_store_explicit(&pages->boot_dropped, true, memory_order_release);
}
