/* Sorts votes by chunk, then chunks by rank. Integers only: the result is the same on every
 * machine. */
#include "chunker/profile_merge.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* One trace read a chunk. */
struct vote {
    uint32_t chunk;
    uint32_t trace;
    bool later;
    uint64_t rank; /* of 2^32: where in the part before ready, or behind it */
};

struct place {
    uint32_t chunk;
    bool later;
    uint64_t rank; /* twice the median */
};

static int compare_votes(const void *a, const void *b)
{
    const struct vote *x = a;
    const struct vote *y = b;
    if (x->chunk != y->chunk)
        return x->chunk < y->chunk ? -1 : 1;
    if (x->trace != y->trace)
        return x->trace < y->trace ? -1 : 1;
    if (x->later != y->later)
        return x->later ? 1 : -1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;
    if (x->later != y->later)
        return x->later ? 1 : -1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return (x->chunk > y->chunk) - (x->chunk < y->chunk);
}

static int compare_ranks(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Writes a vote for each chunk that a touch of the trace stands for. Returns their number; only
 * counts when votes is NULL. */
static size_t vote(const struct profile_trace *trace, uint32_t number,
                   const struct profile_map *map, struct vote *votes)
{
    size_t count = 0;
    for (size_t i = 0; i < trace->count; i++) {
        const struct profile_key *key = profile_map_find(map, &trace->touches[i]);
        bool later = i >= trace->boot_count;
        uint64_t at = later ? i - trace->boot_count : i;
        uint64_t total = later ? trace->count - trace->boot_count : trace->boot_count;
        for (size_t h = 0; h < key->hit_count; h++, count++) {
            if (votes)
                votes[count] = (struct vote){.chunk = map->hits[key->hit_first + h],
                                             .trace = number,
                                             .later = later,
                                             .rank = (at << 32) / total};
        }
    }
    return count;
}

/* Only a trace's first vote for a chunk counts. */
static size_t drop_repeated(struct vote *votes, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || votes[i].chunk != votes[kept - 1].chunk ||
            votes[i].trace != votes[kept - 1].trace)
            votes[kept++] = votes[i];
    }
    return kept;
}

/* Finds the place of the chunk of these votes. False: too few votes. ranks has room for count. */
static bool find_place(const struct vote *votes, size_t count, size_t traces, uint64_t *ranks,
                       struct place *place)
{
    size_t boots = 0;
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        boots += !votes[i].later;
    if (count * 2 < traces)
        return false;
    place->chunk = votes[0].chunk;
    place->later = boots * 2 < traces;
    for (size_t i = 0; i < count; i++) {
        if (place->later)
            ranks[n++] = votes[i].later ? votes[i].rank : 0;
        else if (!votes[i].later)
            ranks[n++] = votes[i].rank;
    }
    qsort(ranks, n, sizeof(*ranks), compare_ranks);
    place->rank = ranks[(n - 1) / 2] + ranks[n / 2];
    return true;
}

static size_t find_places(const struct vote *votes, size_t count, size_t traces, uint64_t *ranks,
                          struct place *places)
{
    size_t found = 0;
    for (size_t i = 0; i < count;) {
        size_t n = 1;
        while (i + n < count && votes[i + n].chunk == votes[i].chunk)
            n++;
        found += find_place(&votes[i], n, traces, ranks, &places[found]);
        i += n;
    }
    return found;
}

static int fill_order(struct profile_order *order, struct place *places, size_t count)
{
    qsort(places, count, sizeof(*places), compare_places);
    order->boot = malloc((count + 1) * sizeof(*order->boot));
    order->later = malloc((count + 1) * sizeof(*order->later));
    if (!order->boot || !order->later)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (places[i].later)
            order->later[order->later_count++] = places[i].chunk;
        else
            order->boot[order->boot_count++] = places[i].chunk;
    }
    return 0;
}

int profile_merge(struct profile_order *order, const struct profile *profile,
                  const struct profile_map *map, struct dlf_err *err)
{
    size_t count = 0;
    memset(order, 0, sizeof(*order));
    for (size_t i = 0; i < profile->count; i++)
        count += vote(&profile->traces[i], (uint32_t)i, map, NULL);
    struct vote *votes = malloc((count + 1) * sizeof(*votes));
    struct place *places = malloc((count + 1) * sizeof(*places));
    uint64_t *ranks = malloc((count + 1) * sizeof(*ranks));
    int rc = votes && places && ranks ? 0 : -ENOMEM;
    if (rc == 0) {
        size_t n = 0;
        for (size_t i = 0; i < profile->count; i++)
            n += vote(&profile->traces[i], (uint32_t)i, map, votes + n);
        qsort(votes, n, sizeof(*votes), compare_votes);
        n = drop_repeated(votes, n);
        rc = fill_order(order, places, find_places(votes, n, profile->count, ranks, places));
    }
    free(votes);
    free(places);
    free(ranks);
    if (rc < 0) {
        profile_order_free(order);
        return dlf_fail(err, -rc, "out of memory for merging traces");
    }
    return 0;
}

void profile_order_free(struct profile_order *order)
{
    free(order->boot);
    free(order->later);
    memset(order, 0, sizeof(*order));
}
