/*
 * A server that sends the whole object where a range is asked for: one that has no ranges, or a
 * cache that lacks the object. One chunk of a pack then costs as much as all of it, and the others
 * in it need no request. Index pages are asked for in the same way (image_pages.c).
 */
#include "fuse/image_private.h"

/* Has the cache room for chunks that no reader has asked for? */
static bool has_room(const struct dlf_image *im)
{
    return dlf_cache_holds_all(im->cache,
                               atomic_load_explicit(&im->limit_bytes, memory_order_relaxed));
}

/* Asks for the chunk, if it lies in pack and is not here. */
static void ask_mate(struct dlf_image *im, uint64_t chunk, uint32_t pack)
{
    struct dlf_spot spot = {.kind = DLF_SPOT_CHUNK, .chunk = chunk};
    if (!dlf_cache_present(im->cache, chunk) && dlf_pages_record(im->pages, chunk, &spot.record) &&
        spot.record.pack == pack)
        dlf_cache_get(im->cache, &spot, DLF_PREFETCH, NULL, NULL, 0, 0);
}

void dlf_image_pack_passes(void *cookie, uint32_t pack)
{
    struct dlf_image *im = cookie;
    const struct dlf_index_head *head = dlf_pages_head(im->pages);
    if (!im->prefetch || !has_room(im))
        return;
    for (uint64_t chunk = 0; chunk < head->record_count; chunk++) {
        if (dlf_pages_loaded(im->pages, (uint32_t)(chunk / DLF_INDEX_PAGE_RECORDS)))
            ask_mate(im, chunk, pack);
        else
            chunk |= DLF_INDEX_PAGE_RECORDS - 1;
    }
}
