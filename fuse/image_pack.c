/*
 * Mirrors that send the whole object where a range is asked for. One chunk of a pack then costs as
 * much as all of it: whoever asks for one asks for the others, and one pass of the pack brings
 * them. Index pages are asked for in the same way (image_pages.c).
 */
#include "fuse/image_private.h"

/* Has the cache room for what nobody has read? */
static bool has_room(const struct dlf_image *im)
{
    return atomic_load_explicit(&im->limit_bytes, memory_order_relaxed) >=
           dlf_pages_head(im->pages)->data_size;
}

/* The chunk, if it lies in pack and is not here. The bytes that are asked for; 0: none. */
static uint32_t ask_mate(struct dlf_image *im, uint64_t chunk, uint32_t pack, enum dlf_class class)
{
    struct dlf_spot spot = {.kind = DLF_SPOT_CHUNK, .chunk = chunk};
    if (dlf_cache_present(im->cache, chunk) || !dlf_pages_record(im->pages, chunk, &spot.record) ||
        spot.record.pack != pack)
        return 0;
    int rc = dlf_cache_get(im->cache, &spot, class, NULL, NULL, 0, 0);
    return rc == DLF_CACHE_ASKED ? spot.record.length : 0;
}

uint64_t dlf_image_bring_pack(struct dlf_image *im, const struct dlf_spot *spot,
                              enum dlf_class class)
{
    const struct dlf_index_head *head = dlf_pages_head(im->pages);
    uint64_t asked = 0;
    if (!im->prefetch || spot->boot || !dlf_sched_sends_whole(im->sched) || !has_room(im))
        return 0;
    for (uint64_t chunk = 0; chunk < head->record_count; chunk++) {
        if (dlf_pages_loaded(im->pages, (uint32_t)(chunk / DLF_INDEX_PAGE_RECORDS)))
            asked += ask_mate(im, chunk, spot->record.pack, class);
        else
            chunk |= DLF_INDEX_PAGE_RECORDS - 1;
    }
    return asked;
}
