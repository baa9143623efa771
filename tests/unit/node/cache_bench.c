/* The bench: see cache_bench.h. The store has the image's layout, so a pack's offset is the
 * image's.
 */
#include "cache_bench.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/codec.h"
#include "fuse/log.h"

#define BOOT_EVERY 5u

atomic_uint cache_bench_lines;

/* ---- the image ---- */

uint32_t cache_bench_random(struct cache_bench *b, uint32_t below)
{
    b->seed = b->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(b->seed >> 33) % below;
}

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)((offset * UINT64_C(0x9e3779b97f4a7c15) >> 56) | 1);
}

static void bytes_at(uint8_t *out, uint64_t offset, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        out[i] = byte_at(offset + i);
}

bool cache_bench_right(const uint8_t *bytes, uint64_t offset, uint64_t size)
{
    uint64_t i = 0;
    while (i < size && bytes[i] == byte_at(offset + i))
        i++;
    return i == size;
}

static uint32_t some_length(struct cache_bench *b, enum bench_shape shape)
{
    uint32_t dice = cache_bench_random(b, 10);
    if (shape == BENCH_BLOCKS)
        return (1 + cache_bench_random(b, 8)) * 4096;
    if (shape == BENCH_ODD && dice < 3)
        return 1 + cache_bench_random(b, 200);
    return dice == 3 ? 4096 : 500 + cache_bench_random(b, 16000);
}

/* Bytes of a hole behind a chunk that ends there; mostly none. */
static uint64_t some_gap(struct cache_bench *b, enum bench_shape shape)
{
    uint32_t dice = cache_bench_random(b, 12);
    if (shape == BENCH_ODD && dice == 0)
        return 1 + cache_bench_random(b, 9000);
    return dice > 1 ? 0 : (uint64_t)(1 + cache_bench_random(b, 4)) * 4096;
}

static void make_image(struct cache_bench *b, enum bench_shape shape)
{
    uint64_t at = (uint64_t)cache_bench_random(b, 3) * 4096;
    b->records = calloc(b->count, sizeof(*b->records));
    for (uint32_t i = 0; i < b->count; i++) {
        uint32_t length = some_length(b, shape);
        uint64_t gap = i + 1 < b->count ? some_gap(b, shape) : 0;
        if (gap && shape == BENCH_BYTES) /* runs of data have whole blocks */
            length += (uint32_t)((4096 - (at + length) % 4096) % 4096);
        if (i + 1 == b->count && shape == BENCH_BYTES)
            length |= 1; /* the image ends within a page, but for luck */
        uint8_t *content = malloc(length);
        bytes_at(content, at, length);
        b->records[i] = (struct dlf_record){.offset = at,
                                            .length = length,
                                            .stored_length = length,
                                            .pack_offset = (uint32_t)at,
                                            .codec = DLF_CODEC_RAW,
                                            .xxh3 = dlf_xxh3(content, length)};
        free(content);
        b->data_size += length;
        if (length > b->max_length)
            b->max_length = length;
        at += length;
        b->image_size = at;
        at += gap;
    }
}

static void make_pages(struct cache_bench *b)
{
    b->page_count = (b->count + DLF_INDEX_PAGE_RECORDS - 1) / DLF_INDEX_PAGE_RECORDS;
    struct dlf_index_head head = {
        .image_size = b->image_size,
        .data_size = b->data_size,
        .record_count = b->count,
        .max_length = b->max_length,
        .page_count = b->page_count,
        .pack_count = 1,
    };
    head.pages = calloc(b->page_count, sizeof(*head.pages));
    head.packs = calloc(1, sizeof(*head.packs));
    for (uint32_t i = 0; i < b->page_count; i++)
        head.pages[i].first_offset = b->records[i * DLF_INDEX_PAGE_RECORDS].offset;
    b->pages = dlf_pages_new(&head);
}

static void make_table(struct cache_bench *b)
{
    struct dlf_boot_table *t = &b->table;
    t->records = calloc(b->count, sizeof(*t->records));
    for (uint32_t i = 0; i < b->count; i += BOOT_EVERY) {
        t->records[t->record_count] = b->records[i];
        t->records[t->record_count++].pack = i;
    }
}

void cache_bench_load_page(struct cache_bench *b, uint32_t page)
{
    uint32_t first = page * DLF_INDEX_PAGE_RECORDS;
    uint32_t count = dlf_index_page_records(dlf_pages_head(b->pages), page);
    if (dlf_pages_loaded(b->pages, page))
        return;
    uint8_t *data = malloc((size_t)count * DLF_RECORD_SIZE);
    for (uint32_t i = 0; i < count; i++)
        dlf_record_write(&b->records[first + i], data + (size_t)i * DLF_RECORD_SIZE);
    assert_true(dlf_pages_fit_boot(b->pages, page, data));
    dlf_pages_store(b->pages, page, data);
    dlf_cache_page_loaded(b->cache);
}

void cache_bench_load_pages(struct cache_bench *b)
{
    for (uint32_t page = 0; page < b->page_count; page++)
        cache_bench_load_page(b, page);
}

void cache_bench_use_boot(struct cache_bench *b)
{
    assert_int_equal(dlf_pages_add_boot(b->pages, &b->table), 0);
}

/* ---- the scheduler ---- */

static struct cache_bench *bench_of(const struct dlf_sched *sched)
{
    return (struct cache_bench *)(uintptr_t)sched;
}

int dlf_sched_submit(struct dlf_sched *sched, struct dlf_fetch *fetch)
{
    struct cache_bench *b = bench_of(sched);
    pthread_mutex_lock(&b->lock);
    fetch->next = b->queue;
    b->queue = fetch;
    b->queued++;
    pthread_mutex_unlock(&b->lock);
    return 0;
}

void dlf_sched_kick(struct dlf_sched *sched)
{
    (void)sched;
}

bool dlf_sched_expects_more(const struct dlf_sched *sched)
{
    return atomic_load(&bench_of(sched)->more);
}

static struct dlf_fetch *take_fetch(struct cache_bench *b, uint32_t turn)
{
    pthread_mutex_lock(&b->lock);
    struct dlf_fetch **link = &b->queue;
    for (uint32_t i = b->queued ? turn % b->queued : 0; i; i--)
        link = &(*link)->next;
    struct dlf_fetch *fetch = *link;
    if (fetch) {
        *link = fetch->next;
        b->queued--;
    }
    pthread_mutex_unlock(&b->lock);
    return fetch;
}

bool cache_bench_hand_over(struct cache_bench *b, uint32_t turn, int rc)
{
    struct dlf_err err = {.msg = "made to fail"};
    struct dlf_fetch *fetch = take_fetch(b, turn);
    if (!fetch)
        return false;
    uint8_t *bytes = malloc(fetch->length);
    bytes_at(bytes, fetch->offset, fetch->length);
    fetch->done(fetch, rc, rc == 0 ? bytes : NULL, &err);
    free(bytes);
    return true;
}

/* ---- the image above the cache ---- */

void dlf_log(enum dlf_log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
    atomic_fetch_add(&cache_bench_lines, 1);
}

struct asked {
    struct dlf_waiter waiter; /* first: callbacks get its address */
    struct cache_bench *bench;
    uint64_t offset;
    uint32_t length;
};

static void ready(struct dlf_waiter *waiter, int rc, const struct dlf_record *record,
                  const uint8_t *content)
{
    struct asked *a = (struct asked *)waiter;
    if (rc == 0 &&
        (record->offset != a->offset || !cache_bench_right(content, a->offset, a->length)))
        a->bench->wrong++;
    a->bench->waited++;
    free(a);
}

static void chunk_settled(void *cookie, const struct dlf_settled *what)
{
    struct cache_bench *b = cookie;
    (void)what;
    b->settled++;
}

static void boot_failed(void *cookie, const struct dlf_err *err)
{
    struct cache_bench *b = cookie;
    (void)err;
    b->boot_failed++;
    dlf_pages_drop_boot(b->pages);
}

bool cache_bench_ask(struct cache_bench *b, uint32_t chunk)
{
    const struct dlf_record *r = &b->records[chunk];
    struct dlf_spot spot;
    dlf_pages_at(b->pages, r->offset, &spot);
    if (spot.kind == DLF_SPOT_UNKNOWN)
        return false;
    assert_int_equal(spot.kind, DLF_SPOT_CHUNK);
    assert_int_equal(spot.chunk, chunk);
    struct asked *a = calloc(1, sizeof(*a));
    uint8_t *out = calloc(1, r->length);
    *a =
        (struct asked){.waiter.ready = ready, .bench = b, .offset = r->offset, .length = r->length};
    b->asked++;
    int rc = dlf_cache_get(b->cache, &spot, DLF_DEMAND, &a->waiter, out, r->offset, r->length);
    assert_true(rc > 0);
    if (rc == DLF_CACHE_PRESENT) {
        b->wrong += !cache_bench_right(out, r->offset, r->length);
        b->waited++;
        free(a);
    }
    free(out);
    return true;
}

void cache_bench_bring(struct cache_bench *b, uint32_t chunk)
{
    cache_bench_ask(b, chunk);
    while (cache_bench_hand_over(b, 0, 0))
        ;
}

/* ---- the model ---- */

uint64_t cache_bench_blocks(const struct cache_bench *b)
{
    struct stat st;
    assert_int_equal(fstat(b->fd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

uint64_t cache_bench_model(const struct cache_bench *b)
{
    uint64_t bytes = 0;
    uint64_t counted = 0; /* pages before it are counted or not held */
    for (uint32_t i = 0; i < b->count; i++) {
        const struct dlf_record *r = &b->records[i];
        uint64_t from = r->offset / b->page_bytes;
        uint64_t to = (r->offset + r->length - 1) / b->page_bytes + 1;
        if (!dlf_cache_present(b->cache, i))
            continue;
        if (from < counted)
            from = counted;
        if (from < to)
            bytes += (to - from) * b->page_bytes;
        counted = to;
    }
    return bytes;
}

uint64_t cache_bench_most(const struct cache_bench *b)
{
    return (b->max_length + 2 * b->page_bytes - 2) / b->page_bytes * b->page_bytes;
}

void cache_bench_check_content(struct cache_bench *b)
{
    uint8_t *content = malloc(b->max_length);
    for (uint32_t i = 0; i < b->count; i++) {
        const struct dlf_record *r = &b->records[i];
        if (!dlf_cache_present(b->cache, i))
            continue;
        assert_int_equal(pread(b->fd, content, r->length, (off_t)r->offset), r->length);
        assert_true(cache_bench_right(content, r->offset, r->length));
    }
    free(content);
}

/* ---- beginning and end ---- */

void cache_bench_begin(struct cache_bench *b, enum bench_shape shape, uint32_t count, uint64_t seed,
                       uint64_t limit_bytes)
{
    struct dlf_err err = {.msg = ""};
    memset(b, 0, sizeof(*b));
    b->seed = seed;
    b->count = count;
    b->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    pthread_mutex_init(&b->lock, NULL);
    make_image(b, shape);
    make_pages(b);
    make_table(b);
    b->fd = memfd_create("test-cache", MFD_CLOEXEC);
    assert_true(b->fd >= 0);
    struct dlf_cache_config config = {
        .fd = b->fd,
        .name = "the cache in RAM",
        .limit_bytes = limit_bytes,
        .pages = b->pages,
        .sched = (struct dlf_sched *)b,
        .settled = chunk_settled,
        .boot_failed = boot_failed,
        .cookie = b,
    };
    assert_int_equal(dlf_cache_new(&b->cache, &config, &err), 0);
}

void cache_bench_end(struct cache_bench *b)
{
    dlf_cache_stop(b->cache);
    while (cache_bench_hand_over(b, 0, -ESHUTDOWN))
        ;
    dlf_cache_free(b->cache);
    dlf_pages_free(b->pages);
    free(b->records);
    free(b->table.records);
    pthread_mutex_destroy(&b->lock);
    assert_int_equal(b->waited, b->asked);
    assert_int_equal(b->wrong, 0);
}
