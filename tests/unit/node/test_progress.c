/* The messages about a boot, and their times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fuse/progress.h"

#define MB ((uint64_t)1000000)

struct boot {
    struct dlf_progress_watch watch;
    struct dlf_image_stats stats;
    struct dlf_err last;
    char line[DLF_PROGRESS_LINE];
};

static const char *look(struct boot *b, uint64_t now_ms)
{
    dlf_progress_look(&b->watch, &b->stats, 300 * MB, now_ms, &b->last, "http://m/", b->line);
    return b->line;
}

static void has(const char *line, const char *word)
{
    if (!strstr(line, word))
        fail_msg("'%s' does not say '%s'", line, word);
}

static void test_quiet(void **state)
{
    struct boot b = {.stats.waiting_reads = 0};
    (void)state;
    assert_string_equal(look(&b, 1000), "");
    /* Reads come and go: each look finds some, and they are others. */
    for (unsigned i = 0; i < 100; i++) {
        b.stats.waiting_reads = 3;
        b.stats.read_waits += 5;
        assert_string_equal(look(&b, 1500 + 500 * i), "");
    }
}

static void test_wait(void **state)
{
    struct boot b = {.stats.waiting_reads = 1};
    (void)state;
    b.stats.sched.fetched_bytes = 12345678;
    assert_string_equal(look(&b, 10000), "");
    assert_string_equal(look(&b, 11999), "");
    has(look(&b, 12000),
        "1 read is waiting, for 2 s now: 12.3 MB have come, the image has 300.0 MB");
    has(b.line, "; no answer yet from http://m/"); /* nothing has failed */
    assert_string_equal(look(&b, 12500), "");
    assert_string_equal(look(&b, 13999), "");
    b.stats.waiting_reads = 4;
    b.stats.sched.failed_attempts = 1;
    strcpy(b.last.msg, "http://m/pack/1: HTTP status 500");
    has(look(&b, 14000), "4 reads are waiting, for 4 s now");
    has(b.line, "; http://m/pack/1: HTTP status 500");
    assert_string_equal(look(&b, 17999), "");
    has(look(&b, 18000), "for 8 s now");
    b.stats.read_waits++;
    assert_string_equal(look(&b, 19000), "reads go on, after 9 s");
    /* The others wait from now on. */
    assert_string_equal(look(&b, 20999), "");
    has(look(&b, 21000), "for 2 s now");
    b.stats.waiting_reads = 0;
    has(look(&b, 22000), "reads go on");
    assert_string_equal(look(&b, 60000), "");
}

/* The start of a short wait was not reported, so its end is not either. */
static void test_short_wait(void **state)
{
    struct boot b = {.stats.waiting_reads = 1};
    (void)state;
    look(&b, 1000);
    assert_string_equal(look(&b, 2500), "");
    b.stats.waiting_reads = 0;
    assert_string_equal(look(&b, 3000), "");
    b.stats.waiting_reads = 1;
    assert_string_equal(look(&b, 3500), "");
    assert_string_equal(look(&b, 5000), "");
}

static void test_ready(void **state)
{
    struct boot b = {.stats.read_waits = 7, .stats.wait_ms_max = 41};
    (void)state;
    b.stats.sched.fetched_bytes = 11400000;
    b.stats.sched.requests = 2;
    look(&b, 1000);
    b.stats.ready = true;
    has(look(&b, 1500),
        "ready: 11.4 MB came in 2 requests, the image has 300.0 MB; 7 reads waited, 41 ms");
    assert_string_equal(look(&b, 2000), "");
}

static void test_status(void **state)
{
    struct boot b = {.stats.cache.present_bytes = 30 * MB};
    (void)state;
    look(&b, 1000);
    dlf_progress_status(&b.watch, &b.stats, 300 * MB, 600 * MB, b.line);
    has(b.line, "Booting: 5% of the image is here");
    b.stats.sched.fetched_bytes = 4 * MB;
    look(&b, 2000);
    b.stats.ready = true;
    dlf_progress_status(&b.watch, &b.stats, 300 * MB, 600 * MB, b.line);
    has(b.line, "Ready: ");
    has(b.line, "1000 kB/s"); /* 4 MB in a second, a quarter of which counts */
    b.stats.filling = true;
    dlf_progress_status(&b.watch, &b.stats, 300 * MB, 600 * MB, b.line);
    has(b.line, "Filling: ");
    b.stats.waiting_reads = 1;
    look(&b, 3000);
    look(&b, 9000);
    dlf_progress_status(&b.watch, &b.stats, 300 * MB, 600 * MB, b.line);
    has(b.line, "Waiting: nothing came for 6 s");
    b.stats.complete = true;
    dlf_progress_status(&b.watch, &b.stats, 300 * MB, 0, b.line);
    has(b.line, "Complete");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quiet),      cmocka_unit_test(test_wait),
        cmocka_unit_test(test_short_wait), cmocka_unit_test(test_ready),
        cmocka_unit_test(test_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
