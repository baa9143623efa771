/*
 * Memory grows with the profile, not with the image: the index is walked once and never held.
 *
 * Keys with the same content lie together, sorted by place. Records come in image order, so the
 * record nearest to a key is the last one before it or the first one behind. As a record passes,
 * the keys between it and the previous record get the nearer of the two; no key is looked at twice.
 */
#include "chunker/profile_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare_content(uint64_t xxh3, uint32_t length, const struct profile_touch *touch)
{
    if (xxh3 != touch->xxh3)
        return xxh3 < touch->xxh3 ? -1 : 1;
    if (length != touch->length)
        return length < touch->length ? -1 : 1;
    return 0;
}

static int compare_touches(const struct profile_touch *a, const struct profile_touch *b)
{
    int order = compare_content(a->xxh3, a->length, b);
    if (order == 0 && a->offset != b->offset)
        order = a->offset < b->offset ? -1 : 1;
    return order;
}

static int compare_keys(const void *a, const void *b)
{
    return compare_touches(&((const struct profile_key *)a)->touch,
                           &((const struct profile_key *)b)->touch);
}

static void add_keys(struct profile_map *map, const struct profile_trace *trace)
{
    for (size_t i = 0; i < trace->count; i++) {
        map->keys[map->key_count++] = (struct profile_key){.touch = trace->touches[i],
                                                           .chunk = PROFILE_NOT_FOUND,
                                                           .boot = i < trace->boot_count,
                                                           .by_place = trace->same_name,
                                                           .last_chunk = PROFILE_NOT_FOUND};
    }
}

static int make_keys(struct profile_map *map, const struct profile *profile, struct dlf_err *err)
{
    size_t total = 0;
    size_t kept = 0;
    for (size_t i = 0; i < profile->count; i++)
        total += profile->traces[i].count;
    map->keys = calloc(total + 1, sizeof(*map->keys));
    if (!map->keys)
        return dlf_fail(err, ENOMEM, "out of memory for a profile of %zu chunks", total);
    for (size_t i = 0; i < profile->count; i++)
        add_keys(map, &profile->traces[i]);
    qsort(map->keys, map->key_count, sizeof(*map->keys), compare_keys);
    for (size_t i = 0; i < map->key_count; i++) {
        struct profile_key *key = &map->keys[i];
        struct profile_key *before = kept ? &map->keys[kept - 1] : NULL;
        if (before && compare_keys(before, key) == 0) {
            before->boot |= key->boot;
            before->by_place |= key->by_place;
        } else {
            map->keys[kept++] = *key;
        }
    }
    map->key_count = kept;
    return 0;
}

/* The first key with that content, or NULL. */
static struct profile_key *find_content(const struct profile_map *map, uint64_t xxh3,
                                        uint32_t length)
{
    size_t low = 0;
    size_t high = map->key_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_content(xxh3, length, &map->keys[middle].touch) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == map->key_count || compare_content(xxh3, length, &map->keys[low].touch) != 0)
        return NULL;
    return &map->keys[low];
}

static bool same_content(const struct profile_key *a, const struct profile_key *b)
{
    return a->touch.xxh3 == b->touch.xxh3 && a->touch.length == b->touch.length;
}

/*
 * Gives the keys of a content (first is the first one) up to offset the nearer of the last record
 * and this one. chunk is PROFILE_NOT_FOUND when there is no other record.
 */
static void assign(struct profile_map *map, struct profile_key *first, uint32_t chunk,
                   uint64_t offset)
{
    size_t base = (size_t)(first - map->keys);
    struct profile_key *key = first + first->next;
    for (; base + first->next < map->key_count && same_content(key, first); key++, first->next++) {
        uint64_t at = key->touch.offset;
        if (chunk != PROFILE_NOT_FOUND && at > offset)
            break;
        bool last_is_nearer =
            first->last_chunk != PROFILE_NOT_FOUND &&
            (chunk == PROFILE_NOT_FOUND || at - first->last_offset <= offset - at);
        key->chunk = last_is_nearer ? first->last_chunk : chunk;
    }
}

static int match_record(void *context, uint64_t number, const struct dlf_record *record)
{
    struct profile_map *map = context;
    struct profile_key *first = find_content(map, record->xxh3, record->length);
    if (!first)
        return 0;
    assign(map, first, (uint32_t)number, record->offset);
    first->last_chunk = (uint32_t)number;
    first->last_offset = record->offset;
    return 0;
}

static int match_contents(struct profile_map *map, const struct stored_index *index,
                          struct dlf_err *err)
{
    int rc = stored_index_each(index, match_record, map, err);
    for (size_t i = 0; rc == 0 && i < map->key_count; i++) {
        if (i == 0 || !same_content(&map->keys[i], &map->keys[i - 1]))
            assign(map, &map->keys[i], PROFILE_NOT_FOUND, 0);
    }
    return rc;
}

static int add_hit(struct profile_map *map, struct profile_key *key, uint32_t chunk)
{
    if (map->hit_count == map->hit_room) {
        size_t room = map->hit_room ? map->hit_room * 2 : 1024;
        uint32_t *hits = realloc(map->hits, room * sizeof(*hits));
        if (!hits)
            return -ENOMEM;
        map->hits = hits;
        map->hit_room = room;
    }
    map->hits[map->hit_count++] = chunk;
    key->hit_count++;
    return 0;
}

/* The chunks that overlap the place where the key's was. */
static int match_place(struct profile_map *map, struct profile_key *key,
                       const struct stored_index *index, uint8_t page_data[DLF_INDEX_PAGE_SIZE],
                       struct dlf_err *err)
{
    const struct dlf_index_head *head = &index->head;
    uint64_t end = key->touch.offset + key->touch.length;
    uint32_t page = head->page_count ? dlf_index_page_find(head, key->touch.offset) : 0;
    for (; page < head->page_count && head->pages[page].first_offset < end; page++) {
        int rc = stored_index_page(index, page, page_data, err);
        for (uint32_t i = 0; rc == 0 && i < dlf_index_page_records(head, page); i++) {
            struct dlf_record r;
            dlf_record_read(&r, page_data + (size_t)i * DLF_RECORD_SIZE);
            if (r.offset < end && r.offset + r.length > key->touch.offset &&
                add_hit(map, key, page * DLF_INDEX_PAGE_RECORDS + i) < 0)
                rc = dlf_fail(err, ENOMEM, "out of memory for the profile's chunks");
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void count(struct profile_map *map, const struct profile_key *key)
{
    struct profile_tally *tally = key->chunk != PROFILE_NOT_FOUND ? &map->counts.content
                                  : key->hit_count                ? &map->counts.position
                                                                  : &map->counts.lost;
    if (!key->boot)
        return;
    tally->chunks++;
    tally->bytes += key->touch.length;
}

static int collect_hits(struct profile_map *map, const struct stored_index *index,
                        struct dlf_err *err)
{
    uint8_t page_data[DLF_INDEX_PAGE_SIZE];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < map->key_count; i++) {
        struct profile_key *key = &map->keys[i];
        key->hit_first = map->hit_count;
        if (key->chunk != PROFILE_NOT_FOUND) {
            if (add_hit(map, key, key->chunk) < 0)
                rc = dlf_fail(err, ENOMEM, "out of memory for the profile's chunks");
        } else if (key->by_place) {
            rc = match_place(map, key, index, page_data, err);
        }
        count(map, key);
    }
    return rc;
}

int profile_map_make(struct profile_map *map, const struct profile *profile,
                     const struct stored_index *index, struct dlf_err *err)
{
    memset(map, 0, sizeof(*map));
    int rc = make_keys(map, profile, err);
    if (rc == 0)
        rc = match_contents(map, index, err);
    if (rc == 0)
        rc = collect_hits(map, index, err);
    if (rc < 0)
        profile_map_free(map);
    return rc;
}

void profile_map_free(struct profile_map *map)
{
    free(map->keys);
    free(map->hits);
    memset(map, 0, sizeof(*map));
}

const struct profile_key *profile_map_find(const struct profile_map *map,
                                           const struct profile_touch *touch)
{
    const struct profile_key key = {.touch = *touch};
    return bsearch(&key, map->keys, map->key_count, sizeof(key), compare_keys);
}
