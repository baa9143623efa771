/* Growing arrays, sorted once. */
#include "chunker/reach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/stored_index.h"

const char *const reach_kind_names[REACH_KINDS] = {"manifest", "index", "boot", "pack"};

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct dlf_sha256));
}

static int add(struct reach *reach, enum reach_kind kind, const struct dlf_sha256 *digest)
{
    struct reach_set *set = &reach->sets[kind];
    if (set->count == set->room) {
        size_t room = set->room ? set->room * 2 : 256;
        struct dlf_sha256 *items = realloc(set->items, room * sizeof(*items));
        if (!items)
            return -ENOMEM;
        set->items = items;
        set->room = room;
    }
    set->items[set->count++] = *digest;
    return 0;
}

static int add_packs(struct reach *reach, const struct store *store,
                     const struct dlf_manifest *manifest, struct dlf_err *err)
{
    struct stored_index index;
    int rc = stored_index_open(&index, store, manifest, err);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; rc == 0 && i < index.head.pack_count; i++)
        rc = add(reach, REACH_PACK, &index.head.packs[i].sha256);
    stored_index_close(&index);
    return rc < 0 ? dlf_fail(err, -rc, "out of memory for the packs of %s", manifest->name) : 0;
}

int reach_add(struct reach *reach, const struct store *store, const struct dlf_manifest *manifest,
              const struct dlf_sha256 *digest, struct dlf_err *err)
{
    int rc = add(reach, REACH_MANIFEST, digest);
    if (rc == 0)
        rc = add(reach, REACH_INDEX, &manifest->index);
    if (rc == 0 && manifest->boot_size)
        rc = add(reach, REACH_BOOT, &manifest->boot);
    if (rc < 0)
        return dlf_fail(err, -rc, "out of memory for the objects of %s", manifest->name);
    return add_packs(reach, store, manifest, err);
}

void reach_sort(struct reach *reach)
{
    for (size_t i = 0; i < REACH_KINDS; i++) {
        struct reach_set *set = &reach->sets[i];
        size_t kept = 0;
        if (set->count)
            qsort(set->items, set->count, sizeof(*set->items), compare);
        for (size_t j = 0; j < set->count; j++) {
            if (kept == 0 || !dlf_sha256_equal(&set->items[kept - 1], &set->items[j]))
                set->items[kept++] = set->items[j];
        }
        set->count = kept;
    }
}

bool reach_has(const struct reach *reach, enum reach_kind kind, const struct dlf_sha256 *digest)
{
    const struct reach_set *set = &reach->sets[kind];
    return set->count && bsearch(digest, set->items, set->count, sizeof(*digest), compare);
}

void reach_free(struct reach *reach)
{
    for (size_t i = 0; i < REACH_KINDS; i++)
        free(reach->sets[i].items);
    memset(reach, 0, sizeof(*reach));
}
