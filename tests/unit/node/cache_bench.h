/*
 * The cache on a bench: an image made up from a seed, a memfd, and a scheduler that hands over
 * chunks at the test's command. Beside it stands a model of the pages that the file may have.
 */
#ifndef DLFUSE_TESTS_CACHE_BENCH_H
#define DLFUSE_TESTS_CACHE_BENCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fuse/cache.h"

/* The number of logged lines; they are not shown. */
extern atomic_uint cache_bench_lines;

enum bench_shape {
    BENCH_BLOCKS, /* chunks and holes begin and end at 4096 bytes */
    BENCH_BYTES,  /* chunks end anywhere, holes at 4096: as from create --cut bytes */
    BENCH_ODD,    /* chunks of a byte and more, holes too: all that the format allows */
};

struct cache_bench {
    uint64_t seed;
    uint32_t count; /* chunks */
    struct dlf_record *records;
    uint64_t image_size;
    uint64_t data_size;
    uint32_t max_length;
    uint32_t page_count;         /* of the index */
    struct dlf_boot_table table; /* of every fifth chunk */
    struct dlf_pages *pages;
    int fd;
    uint64_t page_bytes; /* of the machine */
    struct dlf_cache *cache;

    pthread_mutex_t lock;
    struct dlf_fetch *queue; /* the scheduler's */
    unsigned queued;
    atomic_bool more; /* the result of dlf_sched_expects_more */

    atomic_uint settled;
    atomic_uint boot_failed;
    atomic_uint wrong; /* times that a waiter or a read got wrong bytes */
    atomic_uint asked;
    atomic_uint waited; /* waiters called */
};

/* Set fake_kernel before. The cache has the limit, and no index page yet. */
void cache_bench_begin(struct cache_bench *b, enum bench_shape shape, uint32_t count, uint64_t seed,
                       uint64_t limit_bytes);

/* Ends the cache as the image does; fails the test when a waiter was forgotten or got wrong bytes.
 */
void cache_bench_end(struct cache_bench *b);

/* A number from 0 to below - 1, from the seed. One thread. */
uint32_t cache_bench_random(struct cache_bench *b, uint32_t below);

void cache_bench_load_page(struct cache_bench *b, uint32_t page);
void cache_bench_load_pages(struct cache_bench *b);
void cache_bench_use_boot(struct cache_bench *b);

/* Asks for a chunk as the image does: by the result of dlf_pages_at for its offset. Checks the
 * bytes. False when its index page is not there. Any thread. */
bool cache_bench_ask(struct cache_bench *b, uint32_t chunk);

/* The scheduler hands over one of its fetches, the turn-th modulo their number. False when it has
 * none. With rc not 0 the fetch fails. One thread. */
bool cache_bench_hand_over(struct cache_bench *b, uint32_t turn, int rc);

/* Asks for the chunk and hands everything over. */
void cache_bench_bring(struct cache_bench *b, uint32_t chunk);

/* Bytes of the file's pages, by the kernel. */
uint64_t cache_bench_blocks(const struct cache_bench *b);

/* Bytes of the pages on which present chunks lie. */
uint64_t cache_bench_model(const struct cache_bench *b);

/* Bytes of pages that one chunk takes at most. */
uint64_t cache_bench_most(const struct cache_bench *b);

/* Every present chunk's content, in the file. */
void cache_bench_check_content(struct cache_bench *b);

/* Are these the image's bytes at the offset? */
bool cache_bench_right(const uint8_t *bytes, uint64_t offset, uint64_t size);

#endif
