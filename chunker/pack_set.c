/* An array of packs and an open-addressing hash table into it, at most half full. */
#include "chunker/pack_set.h"

#include <stdlib.h>
#include <string.h>

#include "format/bytes.h"

static uint32_t *slot_of(const struct pack_set *set, const struct dlf_index_pack *pack)
{
    /* A digest is its own hash. */
    uint32_t at = dlf_get32(pack->sha256.bytes) & (set->slot_count - 1);
    for (;;) {
        uint32_t number = set->slots[at];
        if (number == PACK_NONE || (dlf_sha256_equal(&set->packs[number].sha256, &pack->sha256) &&
                                    set->packs[number].size == pack->size))
            return &set->slots[at];
        at = (at + 1) & (set->slot_count - 1);
    }
}

static int grow(struct pack_set *set)
{
    uint32_t room = set->room ? set->room * 2 : 64;
    struct dlf_index_pack *packs = realloc(set->packs, room * sizeof(*packs));
    if (!packs)
        return -1;
    set->packs = packs;
    uint32_t *slots = malloc((size_t)room * 2 * sizeof(*slots));
    if (!slots)
        return -1;
    memset(slots, 0xff, (size_t)room * 2 * sizeof(*slots));
    free(set->slots);
    set->slots = slots;
    set->slot_count = room * 2;
    set->room = room;
    for (uint32_t i = 0; i < set->count; i++)
        *slot_of(set, &set->packs[i]) = i;
    return 0;
}

uint32_t pack_set_add(struct pack_set *set, const struct dlf_index_pack *pack)
{
    if (set->count == set->room && grow(set) < 0)
        return PACK_NONE;
    uint32_t *slot = slot_of(set, pack);
    if (*slot == PACK_NONE) {
        set->packs[set->count] = *pack;
        *slot = set->count++;
    }
    return *slot;
}

uint32_t pack_set_find(const struct pack_set *set, const struct dlf_index_pack *pack)
{
    return set->count ? *slot_of(set, pack) : PACK_NONE;
}

void pack_set_free(struct pack_set *set)
{
    free(set->packs);
    free(set->slots);
    memset(set, 0, sizeof(*set));
}
