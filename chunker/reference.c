/* A growing array; it is sorted and freed of duplicates before it grows. */
#include "chunker/reference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/digest.h"

#define FIRST_ROOM 4096

static int compare(const void *a, const void *b)
{
    const struct reference *x = a;
    const struct reference *y = b;
    if (x->pack != y->pack)
        return x->pack < y->pack ? -1 : 1;
    if (x->pack_offset != y->pack_offset)
        return x->pack_offset < y->pack_offset ? -1 : 1;
    if (x->claim != y->claim)
        return x->claim < y->claim ? -1 : 1;
    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    return x->record < y->record ? -1 : x->record > y->record;
}

/* A hash of all fields of a record but its place in the image and its pack number. */
static uint32_t claim_of(const struct dlf_record *record)
{
    struct dlf_record bare = *record;
    uint8_t data[DLF_RECORD_SIZE];
    bare.offset = 0;
    bare.pack = 0;
    dlf_record_write(&bare, data);
    return (uint32_t)dlf_xxh3(data, sizeof(data));
}

void reference_sort(struct reference_list *list)
{
    size_t kept = 0;
    if (list->sorted_count == list->count)
        return;
    qsort(list->items, list->count, sizeof(*list->items), compare);
    for (size_t i = 0; i < list->count; i++) {
        const struct reference *last = kept ? &list->items[kept - 1] : NULL;
        const struct reference *item = &list->items[i];
        if (!last || last->pack != item->pack || last->pack_offset != item->pack_offset ||
            last->claim != item->claim)
            list->items[kept++] = *item;
    }
    list->count = list->sorted_count = kept;
}

int reference_add(struct reference_list *list, uint32_t pack, uint32_t source, uint32_t number,
                  const struct dlf_record *record)
{
    if (list->count == list->room) {
        reference_sort(list);
        if (list->count >= list->room / 2) {
            size_t room = list->room ? list->room * 2 : FIRST_ROOM;
            struct reference *items = realloc(list->items, room * sizeof(*items));
            if (!items)
                return -ENOMEM;
            list->items = items;
            list->room = room;
        }
    }
    list->items[list->count++] = (struct reference){.pack = pack,
                                                    .pack_offset = record->pack_offset,
                                                    .claim = claim_of(record),
                                                    .source = source,
                                                    .record = number};
    return 0;
}

const struct reference *reference_of_pack(const struct reference_list *list, uint32_t pack,
                                          size_t *count)
{
    size_t low = 0;
    size_t high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->items[middle].pack < pack)
            low = middle + 1;
        else
            high = middle;
    }
    size_t end = low;
    while (end < list->count && list->items[end].pack == pack)
        end++;
    *count = end - low;
    return list->items + low;
}

void reference_free(struct reference_list *list)
{
    free(list->items);
    memset(list, 0, sizeof(*list));
}
