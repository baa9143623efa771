/* Profiles: chunks are found by content and by place, as in a simple search; merging. */
#include "check.h"

#include <errno.h>

#include "chunker/index_writer.h"
#include "chunker/profile_map.h"
#include "chunker/profile_merge.h"
#include "chunker/stored_index.h"
#include "format/codec.h"

#define RECORDS 700 /* three pages */
#define CONTENTS 300
#define TOUCHES 400

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

struct fixture {
    char *directory;
    char path[256];
    struct store store;
    struct dlf_record records[RECORDS];
    struct stored_index index;
};

/* Content number n: its length and hash go together, as with real content. */
static uint32_t length_of(uint64_t n)
{
    return (uint32_t)(100 + n % 7 * 50);
}

static uint64_t hash_of(uint64_t n)
{
    return n / 2 + 1; /* two lengths for one hash, at times */
}

static void write_index(struct fixture *f, uint64_t seed)
{
    struct index_writer writer;
    struct dlf_index_pack pack = {.size = 1000};
    struct dlf_index_head head = {.pack_count = 1, .packs = &pack, .stored_size = 1000};
    struct dlf_manifest manifest = {0};
    struct dlf_err err;
    uint64_t at = 0;
    assert_works(index_writer_init(&writer, &f->store, &err), err);
    for (uint32_t i = 0; i < RECORDS; i++) {
        uint64_t content = next_random(&seed) % CONTENTS;
        at += next_random(&seed) % 4 == 0 ? next_random(&seed) % 1000 : 0;
        f->records[i] = (struct dlf_record){.offset = at,
                                            .length = length_of(content),
                                            .stored_length = 1,
                                            .codec = DLF_CODEC_LZ4,
                                            .xxh3 = hash_of(content)};
        at += f->records[i].length;
        assert_works(index_writer_add(&writer, &f->records[i], &err), err);
    }
    head.image_size = at;
    manifest.image_size = at;
    assert_works(index_writer_finish(&writer, &head, &manifest, &err), err);
    index_writer_free(&writer);
    assert_works(stored_index_open(&f->index, &f->store, &manifest, &err), err);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct dlf_err err;
    f->directory = make_directory();
    snprintf(f->path, sizeof(f->path), "%s/store", f->directory);
    assert_works(store_open(&f->store, f->path, true, &err), err);
    assert_works(store_lock(&f->store, &err), err);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    remove_directory(f->directory);
    free(f);
    return 0;
}

/* The nearest record with the touch's content, the lower one of two; or PROFILE_NOT_FOUND. */
static uint32_t nearest(const struct fixture *f, const struct profile_touch *touch)
{
    uint32_t best = PROFILE_NOT_FOUND;
    uint64_t best_distance = UINT64_MAX;
    for (uint32_t i = 0; i < RECORDS; i++) {
        const struct dlf_record *r = &f->records[i];
        uint64_t distance =
            r->offset > touch->offset ? r->offset - touch->offset : touch->offset - r->offset;
        if (r->xxh3 == touch->xxh3 && r->length == touch->length && distance < best_distance) {
            best = i;
            best_distance = distance;
        }
    }
    return best;
}

static void check_key(const struct fixture *f, const struct profile_map *map,
                      const struct profile_touch *touch, bool by_place)
{
    const struct profile_key *key = profile_map_find(map, touch);
    assert_non_null(key);
    uint32_t wanted = nearest(f, touch);
    assert_int_equal(key->chunk, wanted);
    if (wanted != PROFILE_NOT_FOUND) {
        assert_int_equal(key->hit_count, 1);
        assert_int_equal(map->hits[key->hit_first], wanted);
        return;
    }
    size_t found = 0;
    for (uint32_t i = 0; by_place && i < RECORDS; i++) {
        const struct dlf_record *r = &f->records[i];
        if (r->offset < touch->offset + touch->length && r->offset + r->length > touch->offset) {
            assert_true(found < key->hit_count);
            assert_int_equal(map->hits[key->hit_first + found], i);
            found++;
        }
    }
    assert_int_equal(key->hit_count, found);
}

/* Touches of contents that the image has once or more, and of some that it lacks. They lie
 * anywhere, also behind the image's end; some occur twice. */
static void make_touches(struct profile_touch *touches, uint64_t image_size, uint64_t seed)
{
    for (uint32_t i = 0; i < TOUCHES; i++) {
        uint64_t content = next_random(&seed) % (CONTENTS * 3 / 2);
        touches[i].offset = next_random(&seed) % (image_size + 500);
        touches[i].length = length_of(content);
        touches[i].xxh3 = hash_of(content);
        if (i % 10 == 9)
            touches[i] = touches[i - 7];
    }
}

static void test_map(void **state)
{
    struct fixture *f = *state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct profile_touch touches[TOUCHES];
        bool by_place = seed % 4 != 0;
        struct profile_trace trace = {
            .touches = touches, .count = TOUCHES, .boot_count = 100, .same_name = by_place};
        struct profile profile = {.traces = &trace, .count = 1};
        struct profile_map map;
        struct dlf_err err;
        write_index(f, seed);
        make_touches(touches, f->index.head.image_size, seed + 1000);
        assert_works(profile_map_make(&map, &profile, &f->index, &err), err);
        for (uint32_t i = 0; i < TOUCHES; i++)
            check_key(f, &map, &touches[i], by_place);
        const struct profile_counts *n = &map.counts;
        /* Each tenth touch is there twice; those before ready are counted. */
        assert_int_equal(n->content.chunks + n->position.chunks + n->lost.chunks, 90);
        assert_true(n->content.chunks > 30 && n->lost.chunks > 1);
        assert_int_equal(n->position.chunks > 0, by_place);
        profile_map_free(&map);
        stored_index_close(&f->index);
    }
}

/* A trace of the image's own chunks: every one is found at its place. */
static struct profile_trace trace_of(const struct fixture *f, struct profile_touch *touches,
                                     const uint32_t *numbers, size_t count, size_t boot_count)
{
    for (size_t i = 0; i < count; i++) {
        const struct dlf_record *r = &f->records[numbers[i]];
        touches[i] =
            (struct profile_touch){.offset = r->offset, .xxh3 = r->xxh3, .length = r->length};
    }
    return (struct profile_trace){
        .touches = touches, .count = count, .boot_count = boot_count, .same_name = true};
}

static void check_order(const struct fixture *f, struct profile_trace *traces, size_t count,
                        const uint32_t *boot, size_t boot_count, const uint32_t *later,
                        size_t later_count)
{
    struct profile profile = {.traces = traces, .count = count};
    struct profile_map map;
    struct profile_order order;
    struct dlf_err err;
    assert_works(profile_map_make(&map, &profile, &f->index, &err), err);
    assert_works(profile_merge(&order, &profile, &map, &err), err);
    assert_int_equal(order.boot_count, boot_count);
    assert_int_equal(order.later_count, later_count);
    assert_memory_equal(order.boot, boot, boot_count * sizeof(*boot));
    if (later_count)
        assert_memory_equal(order.later, later, later_count * sizeof(*later));
    profile_order_free(&order);
    profile_map_free(&map);
}

static void test_merge(void **state)
{
    struct fixture *f = *state;
    struct profile_touch touches[4][8];
    struct profile_trace traces[4];
    write_index(f, 5);
    static const uint32_t a[] = {600, 2, 300, 10, 7};
    traces[0] = trace_of(f, touches[0], a, 5, 4);
    check_order(f, traces, 1, a, 4, a + 4, 1);
    /* Half as many chunks in the same order: a place is relative. */
    static const uint32_t b[] = {2, 10, 400};
    traces[1] = trace_of(f, touches[1], b, 3, 2);
    /* 600: 0; 2: (1/4 + 0)/2; 300: 1/2; 10: (3/4 + 1/2)/2. Later: 7 and 400 first in theirs. */
    static const uint32_t ab_boot[] = {600, 2, 300, 10};
    static const uint32_t ab_later[] = {7, 400};
    check_order(f, traces, 2, ab_boot, 4, ab_later, 2);
    /* Three: 300 is in one only; 400 in two, but in one before ready. 2: 1/8; 600: 1/6; 10: 1/2. */
    static const uint32_t c[] = {10, 600, 400, 7};
    traces[2] = trace_of(f, touches[2], c, 4, 3);
    static const uint32_t abc_boot[] = {2, 600, 10};
    static const uint32_t abc_later[] = {7, 400};
    check_order(f, traces, 3, abc_boot, 3, abc_later, 2);
    /* Four: half is enough. 300 comes back with the second trace that has it: 1/4. */
    static const uint32_t d[] = {300};
    traces[3] = trace_of(f, touches[3], d, 1, 1);
    static const uint32_t abcd_boot[] = {2, 600, 300, 10};
    check_order(f, traces, 4, abcd_boot, 4, abc_later, 2);
    stored_index_close(&f->index);
}

static void test_empty(void **state)
{
    struct fixture *f = *state;
    struct profile_trace trace = {.same_name = true};
    write_index(f, 9);
    check_order(f, &trace, 1, NULL, 0, NULL, 0);
    stored_index_close(&f->index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_map, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_merge, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_empty, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
