/* The limit of the image's memory when memory is short, and the thread that sets it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse/pressure.h"

#define MIB ((uint64_t)1 << 20)

/* ---- the image, as the thread sees it ---- */

static atomic_ullong held;
static atomic_ullong limit;
static atomic_bool complete;
static atomic_uint calls;

void dlf_image_stats(struct dlf_image *image, struct dlf_image_stats *stats)
{
    (void)image;
    memset(stats, 0, sizeof(*stats));
    stats->cache.held_bytes = held;
    stats->cache.limit_bytes = limit;
    stats->complete = complete;
}

bool dlf_image_set_limit(struct dlf_image *image, uint64_t bytes)
{
    (void)image;
    limit = bytes;
    if (held > bytes)
        held = bytes;
    calls++;
    return !complete;
}

/* ---- the policy ---- */

static uint64_t ask(uint64_t total, uint64_t available, uint64_t holds, uint64_t now, uint64_t most,
                    uint64_t data)
{
    struct dlf_memory m = {.total_bytes = total * MIB, .available_bytes = available * MIB};
    struct dlf_holding h = {
        .held_bytes = holds * MIB,
        .limit_bytes = now * MIB,
        .most_bytes = most * MIB,
        .data_bytes = data * MIB,
    };
    return dlf_pressure_limit(&m, &h) / MIB;
}

static void test_gives_back_what_is_missing(void **state)
{
    (void)state;
    assert_int_equal(ask(4096, 127, 700, 2048, 2048, 746), 699);
    assert_int_equal(ask(4096, 28, 700, 2048, 2048, 746), 600);
    assert_int_equal(ask(4096, 0, 700, 600, 2048, 746), 572);
    assert_int_equal(ask(4096, 0, 700, 300, 2048, 746), 300); /* never more than it was */
}

static void test_the_spare_has_bounds(void **state)
{
    (void)state;
    assert_int_equal(ask(512, 33, 200, 256, 256, 746), 256);
    assert_int_equal(ask(512, 31, 200, 256, 256, 746), 199);
    assert_int_equal(ask(262144, 257, 700, 4096, 4096, 746), 4096);
    assert_int_equal(ask(262144, 255, 700, 4096, 4096, 746), 699);
}

static void test_keeps_a_little(void **state)
{
    (void)state;
    assert_int_equal(ask(4096, 0, 100, 2048, 2048, 746), 16);
    assert_int_equal(ask(4096, 0, 17, 2048, 2048, 746), 16);
    assert_int_equal(ask(4096, 0, 0, 2048, 2048, 746), 16);
    assert_int_equal(ask(4096, 0, 4, 4, 4, 746), 4); /* cache=4M */
}

static void test_takes_it_again(void **state)
{
    (void)state;
    /* Between once and twice the spare nothing changes. */
    assert_int_equal(ask(4096, 128, 500, 500, 2048, 746), 500);
    assert_int_equal(ask(4096, 256, 500, 500, 2048, 746), 500);
    assert_int_equal(ask(4096, 260, 500, 500, 2048, 746), 500); /* not for so little */
    assert_int_equal(ask(4096, 356, 500, 500, 2048, 746), 600);
    /* All of it fits, and twice the spare is left. */
    assert_int_equal(ask(4096, 502, 500, 500, 2048, 746), 2048);
    assert_int_equal(ask(4096, 501, 500, 500, 2048, 746), 745);
    /* A cache smaller than the image grows to its own maximum. */
    assert_int_equal(ask(4096, 1000, 16, 16, 24, 746), 24);
    assert_int_equal(ask(4096, 1000, 24, 24, 24, 746), 24);
}

static void test_parse(void **state)
{
    struct dlf_memory m = {0};
    (void)state;
    assert_true(
        dlf_memory_parse(&m, "MemTotal:    4000 kB\nMemFree:  1 kB\nMemAvailable: 30 kB\n"));
    assert_int_equal(m.total_bytes, 4000 << 10);
    assert_int_equal(m.available_bytes, 30 << 10);
    assert_false(dlf_memory_parse(&m, ""));
    assert_false(dlf_memory_parse(&m, "MemTotal:    4000 kB\nMemFree:  1 kB\n")); /* before 3.14 */
    assert_false(dlf_memory_parse(&m, "MemTotal: x\nMemAvailable: 30 kB\n"));
    assert_false(dlf_memory_parse(&m, "MemTotal: 1 kB\nMemAvailable: 99999999999999999999 kB\n"));
}

/* ---- the thread ---- */

static int meminfo = -1;

static void set_available(const char *text)
{
    assert_int_equal(pwrite(meminfo, text, strlen(text), 0), strlen(text));
}

static void wait_for(atomic_ullong *what, uint64_t value)
{
    for (unsigned i = 0; *what != value && i < 1000; i++)
        usleep(10000);
    assert_int_equal(*what, value);
}

static void test_thread(void **state)
{
    char path[] = "/tmp/test-pressure-XXXXXX";
    (void)state;
    meminfo = mkstemp(path);
    assert_true(meminfo >= 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    held = 700 * MIB;
    limit = 2048 * MIB;
    set_available("MemTotal: 4194304 kB\nMemAvailable: 4194304 kB\n");
    struct dlf_pressure *p = dlf_pressure_new(fd, NULL, 2048 * MIB, 746 * MIB);
    assert_non_null(p);
    usleep(300000);
    assert_int_equal(calls, 0);
    set_available("MemTotal: 4194304 kB\nMemAvailable: 0131071 kB\n");
    for (unsigned i = 0; calls < 3 && i < 1000; i++) /* a KiB a time: nothing else changes */
        usleep(10000);
    assert_true(limit < 700 * MIB && limit > 699 * MIB);
    set_available("MemTotal: 4194304 kB\nMemAvailable: 4194304 kB\n");
    wait_for(&limit, 2048 * MIB);
    complete = true;
    set_available("MemTotal: 4194304 kB\nMemAvailable: 0000000 kB\n");
    unsigned before = calls;
    usleep(500000);
    assert_int_equal(calls, before);
    dlf_pressure_free(p);
    close(meminfo);
}

static void test_no_memory_file(void **state)
{
    (void)state;
    assert_null(dlf_pressure_new(-1, NULL, 1, 1));
    assert_null(dlf_pressure_new(open("/dev/null", O_RDONLY | O_CLOEXEC), NULL, 1, 1));
    dlf_pressure_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_back_what_is_missing),
        cmocka_unit_test(test_the_spare_has_bounds),
        cmocka_unit_test(test_keeps_a_little),
        cmocka_unit_test(test_takes_it_again),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_thread),
        cmocka_unit_test(test_no_memory_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
