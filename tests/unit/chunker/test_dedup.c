/* The dedup table, the pack set, and the reference list: against simple models. */
#include "check.h"

#include <errno.h>

#include "chunker/dedup.h"
#include "chunker/pack_set.h"
#include "chunker/reference.h"
#include "format/digest.h"

static uint64_t hash_of(uint32_t i)
{
    return dlf_xxh3(&i, sizeof(i));
}

static void test_finds_all(void **state)
{
    struct dedup *dedup = calloc(1, sizeof(*dedup));
    struct dedup_walk walk;
    (void)state;
    for (uint32_t i = 0; i < 200000; i++)
        assert_int_equal(dedup_add(dedup, hash_of(i), i), 0);
    for (uint32_t i = 0; i < 200000; i++) {
        dedup_walk_start(&walk, dedup, hash_of(i));
        uint32_t found = dedup_walk_next(&walk);
        while (found != i && found != DEDUP_NONE)
            found = dedup_walk_next(&walk);
        assert_int_equal(found, i);
    }
    unsigned wrong = 0;
    for (uint32_t i = 200000; i < 400000; i++) {
        dedup_walk_start(&walk, dedup, hash_of(i));
        wrong += dedup_walk_next(&walk) != DEDUP_NONE;
    }
    assert_true(wrong < 5);
    dedup_free(dedup);
    free(dedup);
}

/* Equal hashes come back in the order in which they were added, also after growth; their number is
 * limited. */
static void test_order(void **state)
{
    struct dedup *dedup = calloc(1, sizeof(*dedup));
    struct dedup_walk walk;
    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        assert_int_equal(dedup_add(dedup, hash_of(i), 1000 + i), 0);
        if (i % 5000 == 0)
            assert_int_equal(dedup_add(dedup, hash_of(77777), i), 0);
    }
    dedup_walk_start(&walk, dedup, hash_of(77777));
    for (uint32_t i = 0; i < 20000; i += 5000)
        assert_int_equal(dedup_walk_next(&walk), i);
    assert_int_equal(dedup_walk_next(&walk), DEDUP_NONE);

    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(dedup_add(dedup, hash_of(88888), i), 0);
    dedup_walk_start(&walk, dedup, hash_of(88888));
    for (uint32_t i = 0; i < DEDUP_CANDIDATES_MAX; i++)
        assert_int_equal(dedup_walk_next(&walk), i);
    assert_int_equal(dedup_walk_next(&walk), DEDUP_NONE);
    dedup_free(dedup);
    free(dedup);
}

static void test_empty(void **state)
{
    struct dedup *dedup = calloc(1, sizeof(*dedup));
    struct dedup_walk walk;
    (void)state;
    dedup_walk_start(&walk, dedup, 1);
    assert_int_equal(dedup_walk_next(&walk), DEDUP_NONE);
    dedup_free(dedup);
    free(dedup);
}

/* A full table: no error, no growth. */
static void test_bound(void **state)
{
    struct dedup *dedup = calloc(1, sizeof(*dedup));
    (void)state;
    for (uint32_t i = 0; i < DEDUP_ENTRIES_MAX + 1000; i++)
        assert_int_equal(dedup_add(dedup, hash_of(i), i), 0);
    assert_int_equal(dedup->count, DEDUP_ENTRIES_MAX);
    size_t bytes = 0;
    for (int i = 0; i < 256; i++)
        bytes += dedup->shards[i].room * sizeof(struct dedup_entry);
    assert_true(bytes <= (size_t)96 << 20);
    dedup_free(dedup);
    free(dedup);
}

static void test_pack_set(void **state)
{
    struct pack_set set = {0};
    (void)state;
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 5000; i++) {
            struct dlf_index_pack pack = {.sha256 = dlf_sha256(&i, sizeof(i)), .size = i + 1};
            if (round == 0)
                assert_int_equal(pack_set_find(&set, &pack), PACK_NONE);
            assert_int_equal(pack_set_add(&set, &pack), i);
            assert_int_equal(pack_set_find(&set, &pack), i);
        }
    }
    assert_int_equal(set.count, 5000);
    pack_set_free(&set);
}

static void test_references(void **state)
{
    struct reference_list list = {0};
    size_t count;
    (void)state;
    /* The same 3,000 chunks from 40 indexes, and one that claims something else. */
    for (uint32_t source = 0; source < 40; source++) {
        for (uint32_t i = 0; i < 3000; i++) {
            struct dlf_record record = {.offset = (uint64_t)i * 7 + source,
                                        .length = 50,
                                        .stored_length = 10,
                                        .pack = source,
                                        .pack_offset = i / 3 * 10,
                                        .xxh3 = i};
            assert_int_equal(reference_add(&list, i % 3, source, i, &record), 0);
        }
    }
    struct dlf_record odd = {.length = 51, .stored_length = 10, .pack_offset = 10, .xxh3 = 3};
    assert_int_equal(reference_add(&list, 0, 41, 0, &odd), 0);
    reference_sort(&list);
    assert_int_equal(list.count, 3001);
    assert_true(list.room <= 16384);
    const struct reference *items = reference_of_pack(&list, 0, &count);
    assert_int_equal(count, 1001);
    assert_int_equal(items[0].pack_offset, 0);
    assert_int_equal(items[0].source, 0);
    items = reference_of_pack(&list, 2, &count);
    assert_int_equal(count, 1000);
    assert_int_equal(items[999].pack_offset, 9990);
    reference_of_pack(&list, 3, &count);
    assert_int_equal(count, 0);
    reference_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_all), cmocka_unit_test(test_order),
        cmocka_unit_test(test_empty),     cmocka_unit_test(test_bound),
        cmocka_unit_test(test_pack_set),  cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
