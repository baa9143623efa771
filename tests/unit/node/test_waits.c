/* The 99th percentile, against sorting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fuse/waits.h"

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void test_nothing_is_said_too_early(void **state)
{
    struct dlf_waits w = {0};
    (void)state;
    for (unsigned i = 1; i < DLF_WAITS_ENOUGH; i++) {
        dlf_waits_note(&w, 1000);
        assert_int_equal(dlf_waits_p99(&w), 0);
    }
    dlf_waits_note(&w, 1000);
    assert_in_range(dlf_waits_p99(&w), 1001, 1250);
}

static void test_one_of_a_hundred_is_beyond(void **state)
{
    struct dlf_waits w = {0};
    (void)state;
    for (unsigned i = 0; i < 99; i++)
        dlf_waits_note(&w, 1000);
    dlf_waits_note(&w, 3000000);
    assert_in_range(dlf_waits_p99(&w), 1001, 1250);
    dlf_waits_note(&w, 3000000);
    assert_in_range(dlf_waits_p99(&w), 3000001, 3750000);
}

/* For any spread: never below the result of sorting, and at most a quarter above it. */
static void test_agrees_with_sorting(void **state)
{
    static const uint64_t widths[] = {3, 7, 8, 100, 5000, 1000000, 4000000000};
    uint64_t x = 1;
    (void)state;
    for (unsigned k = 0; k < sizeof(widths) / sizeof(widths[0]); k++) {
        struct dlf_waits w = {0};
        uint64_t values[900];
        for (unsigned i = 0; i < 900; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            values[i] = x % widths[k];
            dlf_waits_note(&w, values[i]);
        }
        qsort(values, 900, sizeof(values[0]), by_value);
        /* Nine may be beyond. */
        assert_in_range(dlf_waits_p99(&w), values[890] + 1, values[890] + values[890] / 4 + 1);
    }
}

static void test_old_times_fade(void **state)
{
    struct dlf_waits w = {0};
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        dlf_waits_note(&w, 1000000);
    for (unsigned i = 0; i < 10000; i++)
        dlf_waits_note(&w, 1000);
    assert_in_range(dlf_waits_p99(&w), 1001, 1250);
}

static void test_hours_are_counted(void **state)
{
    struct dlf_waits w = {0};
    (void)state;
    for (unsigned i = 0; i < 200; i++)
        dlf_waits_note(&w, UINT64_MAX);
    assert_true(dlf_waits_p99(&w) >= (uint64_t)1 << 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_said_too_early),
        cmocka_unit_test(test_one_of_a_hundred_is_beyond),
        cmocka_unit_test(test_agrees_with_sorting),
        cmocka_unit_test(test_old_times_fade),
        cmocka_unit_test(test_hours_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
