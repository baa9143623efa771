/* The choice of a mirror, and the time when a failed one is asked again, on the test's own clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fuse/mirrors.h"

static void fail_at(struct dlf_mirrors *ms, unsigned i, uint64_t begun_ms, uint64_t now_ms)
{
    struct dlf_attempt_failure f = {.begun_ms = begun_ms, .now_ms = now_ms};
    dlf_mirrors_failed(ms, i, &f);
}

/* A right answer to a real request. */
static void answer(struct dlf_mirrors *ms, unsigned i, uint64_t begun_ms, uint64_t rtt_us)
{
    dlf_mirrors_answered(ms, i, begun_ms, rtt_us);
    dlf_mirrors_succeeded(ms, i, begun_ms);
}

/* Milliseconds from now_ms until mirror i may be asked again. */
static uint64_t wait_of(const struct dlf_mirrors *ms, unsigned i, uint64_t now_ms)
{
    return ms->at[i].not_before_ms - now_ms;
}

static void test_first_in_the_list(void **state)
{
    struct dlf_mirrors ms = {.count = 3};
    uint64_t when = 0;
    (void)state;
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 1000, &when), 0);
    assert_int_equal(dlf_mirrors_choose(&ms, 1, 1000, &when), 1);
    assert_int_equal(dlf_mirrors_choose(&ms, 3, 1000, &when), 2);
    fail_at(&ms, 0, 1000, 1100);
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 1100, &when), 1);
    assert_int_equal(dlf_mirrors_down(&ms), 1);
    assert_true(dlf_mirrors_other_up(&ms, 0));
    assert_int_equal(ms.at[0].failovers, 1);
}

static void test_backoff_doubles(void **state)
{
    static const uint64_t most[] = {250, 500, 1000, 2000, 4000, 5000, 5000};
    struct dlf_mirrors ms = {.count = 1};
    uint64_t now = 1000;
    uint64_t when = 0;
    (void)state;
    for (unsigned i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
        assert_int_equal(dlf_mirrors_choose(&ms, 0, now, &when), 0);
        fail_at(&ms, 0, now, now + 1);
        assert_in_range(wait_of(&ms, 0, now + 1), most[i] / 2, most[i]);
        assert_int_equal(dlf_mirrors_choose(&ms, 0, now + 2, &when), -1);
        assert_int_equal(when, ms.at[0].not_before_ms);
        now = when + 1;
    }
    assert_int_equal(ms.at[0].failures, 7);
    assert_int_equal(ms.at[0].failovers, 0);
    dlf_mirrors_choose(&ms, 0, now, &when);
    assert_true(dlf_mirrors_answered(&ms, 0, now, 300));
    assert_int_equal(ms.at[0].recoveries, 1);
    dlf_mirrors_succeeded(&ms, 0, now);
    fail_at(&ms, 0, now + 10, now + 11); /* from the beginning */
    assert_in_range(wait_of(&ms, 0, now + 11), 125, 250);
}

static void test_long_down_beside_one_that_is_up(void **state)
{
    struct dlf_mirrors ms = {.count = 2};
    uint64_t now = 1000;
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        fail_at(&ms, 0, now, now + 1);
        assert_in_range(wait_of(&ms, 0, now + 1), 125, 30000);
        now = ms.at[0].not_before_ms + 1;
    }
    fail_at(&ms, 0, now, now + 1);
    assert_in_range(wait_of(&ms, 0, now + 1), 20000, 30000);
}

static void test_failures_together_are_one(void **state)
{
    struct dlf_mirrors ms = {.count = 1};
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        fail_at(&ms, 0, 1000 + i, 1100);
    assert_int_equal(ms.at[0].failures, 8);
    assert_int_equal(ms.at[0].failures_in_a_row, 1);
    assert_in_range(wait_of(&ms, 0, 1100), 125, 250);
    /* An answer to a request that began before the failure does not count. */
    assert_false(dlf_mirrors_answered(&ms, 0, 1050, 100));
    assert_int_equal(dlf_mirrors_down(&ms), 1);
}

static void test_one_trial_at_a_time(void **state)
{
    struct dlf_mirrors ms = {.count = 1};
    uint64_t when = 0;
    (void)state;
    assert_false(dlf_mirrors_began(&ms, 0));
    fail_at(&ms, 0, 1000, 1100);
    dlf_mirrors_ended(&ms, 0, false);
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 2000, &when), 0);
    assert_true(dlf_mirrors_began(&ms, 0));
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 2000, &when), -1);
    assert_true(when == UINT64_MAX);
    assert_true(dlf_mirrors_answered(&ms, 0, 2000, 100));
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 2001, &when), 0);
    dlf_mirrors_ended(&ms, 0, true);
    /* It answered but did not get through: the next wait is longer. */
    fail_at(&ms, 0, 2000, 2100);
    assert_in_range(wait_of(&ms, 0, 2100), 250, 500);
}

static void test_much_before_it_broke(void **state)
{
    struct dlf_mirrors ms = {.count = 1};
    uint64_t now = 1000;
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        struct dlf_attempt_failure f = {.begun_ms = now, .now_ms = now + 1, .bytes = 1 << 20};
        dlf_mirrors_answered(&ms, 0, now, 100);
        dlf_mirrors_failed(&ms, 0, &f);
        assert_in_range(wait_of(&ms, 0, now + 1), 125, 250);
        now += 1000;
    }
}

static void test_retry_after(void **state)
{
    struct dlf_mirrors ms = {.count = 2};
    struct dlf_attempt_failure f = {.begun_ms = 1000, .now_ms = 1001, .retry_after_ms = 20000};
    uint64_t when = 0;
    (void)state;
    dlf_mirrors_failed(&ms, 0, &f);
    assert_in_range(wait_of(&ms, 0, 1001), 20000, 26000);
    assert_int_equal(ms.at[0].told_waits, 1);
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 2000, &when), 1);
    assert_int_equal(dlf_mirrors_probe(&ms, 20000), -1);
    f.retry_after_ms = 3600000; /* an hour is too long to wait */
    dlf_mirrors_failed(&ms, 1, &f);
    assert_in_range(wait_of(&ms, 1, 1001), 60000, 76000);
    /* Both asked for a wait: the first that may be asked again. */
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 2000, &when), -1);
    assert_int_equal(when, ms.at[0].not_before_ms);
    /* After a plain failure, a second one that was under way with it still brings its wait. */
    ms = (struct dlf_mirrors){.count = 1};
    fail_at(&ms, 0, 1000, 1001);
    f = (struct dlf_attempt_failure){.begun_ms = 1000, .now_ms = 1002, .retry_after_ms = 5000};
    dlf_mirrors_failed(&ms, 0, &f);
    assert_in_range(wait_of(&ms, 0, 1002), 5000, 7250);
}

/* Milliseconds for which mirror 0 is left alone after a silence at now_ms. */
static uint64_t silence(struct dlf_mirrors *ms, uint64_t now_ms)
{
    struct dlf_attempt_failure silent = {.begun_ms = now_ms - 1, .now_ms = now_ms, .silent = true};
    dlf_mirrors_failed(ms, 0, &silent);
    assert_int_equal(dlf_mirrors_down(ms), 1);
    return atomic_load(&ms->at[0].not_before_ms) - now_ms;
}

/* Pauses are mostly short: a mirror that answers again gets its place back soon. */
static void test_silences(void **state)
{
    struct dlf_mirrors ms = {.count = 2};
    static const uint64_t most_ms[] = {1000, 4000, 16000, 30000, 30000};
    uint64_t now = 100000;
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        uint64_t wait = silence(&ms, now);
        assert_in_range(wait, most_ms[i] / 4 * 3, most_ms[i]);
        now += wait;
        assert_true(dlf_mirrors_answered(&ms, 0, now, 1000)); /* a probe: it says little */
        now++;
    }
    dlf_mirrors_succeeded(&ms, 0, now);
    assert_in_range(silence(&ms, now + 10), 750, 1000);
}

/* Requests from before may hang for longer: they do not take the mirror down again. */
static void test_old_failures_of_one_that_is_up_again(void **state)
{
    struct dlf_mirrors ms = {.count = 2};
    struct dlf_attempt_failure old = {.begun_ms = 99000, .now_ms = 103000, .slow = true};
    (void)state;
    silence(&ms, 100000);
    assert_true(dlf_mirrors_answered(&ms, 0, 101500, 1000));
    dlf_mirrors_failed(&ms, 0, &old);
    old.retry_after_ms = 20000;
    dlf_mirrors_failed(&ms, 0, &old);
    assert_int_equal(dlf_mirrors_down(&ms), 0);
    assert_int_equal(ms.at[0].failures, 3);
    fail_at(&ms, 0, 101500, 104000);
    assert_int_equal(dlf_mirrors_down(&ms), 1);
}

static void test_too_slow(void **state)
{
    struct dlf_attempt_failure slow = {.begun_ms = 1000, .now_ms = 5000, .slow = true};
    struct dlf_mirrors ms = {.count = 2};
    uint64_t when = 0;
    (void)state;
    dlf_mirrors_failed(&ms, 0, &slow);
    assert_in_range(wait_of(&ms, 0, 5000), 22500, 30000);
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 5000, &when), 1);
    /* The other mirror fails too: then neither can rest for so long. */
    fail_at(&ms, 1, 5000, 6000);
    assert_in_range(wait_of(&ms, 0, 6000), 1, 500);
    assert_in_range(wait_of(&ms, 1, 6000), 1, 250);
    /* A wait that the mirror asked for is kept. */
    struct dlf_attempt_failure told = {.begun_ms = 7000, .now_ms = 7000, .retry_after_ms = 20000};
    answer(&ms, 1, 6500, 1000);
    dlf_mirrors_failed(&ms, 0, &told);
    fail_at(&ms, 1, 7000, 7001);
    assert_true(wait_of(&ms, 0, 7000) >= 20000);
    /* With one mirror, slow counts as any other failure. */
    ms = (struct dlf_mirrors){.count = 1};
    dlf_mirrors_failed(&ms, 0, &slow);
    assert_in_range(wait_of(&ms, 0, 5000), 1, 250);
}

static void test_nearer_one(void **state)
{
    struct dlf_mirrors ms = {.count = 2};
    uint64_t when = 0;
    (void)state;
    answer(&ms, 0, 1000, 100000);
    answer(&ms, 1, 1000, 60000); /* nearer, but not clearly */
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 1000, &when), 0);
    for (unsigned i = 0; i < 20; i++)
        answer(&ms, 1, 1000, 30000);
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 1000, &when), 1);
    for (unsigned i = 0; i < 20; i++) /* it stays until the difference is small */
        answer(&ms, 1, 1000, 70000);
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 1000, &when), 1);
    for (unsigned i = 0; i < 40; i++)
        answer(&ms, 1, 1000, 90000);
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 1000, &when), 0);
}

static void test_local_network_has_an_order(void **state)
{
    struct dlf_mirrors ms = {.count = 2};
    uint64_t when = 0;
    (void)state;
    answer(&ms, 0, 1000, 4000);
    answer(&ms, 1, 1000, 100);
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 1000, &when), 0);
    assert_int_equal(dlf_mirrors_probe(&ms, 1000), -1);
}

static void test_probes(void **state)
{
    struct dlf_mirrors ms = {.count = 3};
    (void)state;
    assert_int_equal(dlf_mirrors_probe(&ms, 1000), -1); /* nothing is known: nothing is amiss */
    answer(&ms, 0, 1000, 80000);                        /* far: is another one nearer? */
    assert_int_equal(dlf_mirrors_probe(&ms, 1000), 1);
    assert_int_equal(dlf_mirrors_probe(&ms, 1000), 2);
    assert_int_equal(dlf_mirrors_probe(&ms, 1000), -1);
    dlf_mirrors_answered(&ms, 1, 1000, 70000);
    fail_at(&ms, 2, 1000, 1010);
    assert_int_equal(dlf_mirrors_probe(&ms, 1020), -1); /* too soon for either */
    assert_int_equal(dlf_mirrors_probe(&ms, 1400), 2);  /* is it back? */
    assert_int_equal(dlf_mirrors_probe(&ms, 1400), -1);
    assert_true(dlf_mirrors_answered(&ms, 2, 1400, 90000));
    assert_int_equal(dlf_mirrors_probe(&ms, 70000), 1);
}

/* A busy machine makes one answer late. A mirror that lost its place that way gets it back in
 * seconds. */
static void test_one_late_answer(void **state)
{
    struct dlf_mirrors ms = {.count = 2};
    uint64_t when = 0;
    uint64_t now = 1000;
    (void)state;
    answer(&ms, 0, now, 400);
    fail_at(&ms, 0, now, now + 1);
    assert_int_equal(dlf_mirrors_choose(&ms, 0, now + 1, &when), 1);
    answer(&ms, 1, now + 1, 400);
    now = ms.at[0].not_before_ms;
    assert_int_equal(dlf_mirrors_probe(&ms, now), 0);
    assert_true(dlf_mirrors_answered(&ms, 0, now, 40000)); /* up, and it looks far away */
    assert_int_equal(dlf_mirrors_choose(&ms, 0, now, &when), 1);
    /* Measured again: after one second, two more, four more... */
    uint64_t up = now;
    for (uint64_t after = 1000; after <= 32000; after *= 2) {
        assert_int_equal(dlf_mirrors_probe(&ms, up + after - 1), -1);
        assert_int_equal(dlf_mirrors_probe(&ms, up + after), 0);
        dlf_mirrors_answered(&ms, 0, up + after, 40000);
    }
    assert_int_equal(dlf_mirrors_choose(&ms, 0, up + 40000, &when), 1);
    assert_int_equal(dlf_mirrors_probe(&ms, up + 64000), 0);
    dlf_mirrors_answered(&ms, 0, up + 64000, 500);
    assert_int_equal(dlf_mirrors_choose(&ms, 0, up + 64000, &when), 0);
    /* Losing the place without having been down begins anew as well. */
    for (unsigned i = 0; i < 20; i++)
        answer(&ms, 0, up + 130000, 40000);
    assert_int_equal(dlf_mirrors_choose(&ms, 0, up + 130000, &when), 1);
    assert_int_equal(dlf_mirrors_probe(&ms, up + 130999), -1);
    assert_int_equal(dlf_mirrors_probe(&ms, up + 131000), 0);
}

/* Its probes are fast and its objects are late: it moves back and forth, more and more seldom. */
static void test_fast_probes_late_objects(void **state)
{
    struct dlf_mirrors ms = {.count = 2};
    uint64_t when = 0;
    unsigned moves = 0;
    (void)state;
    answer(&ms, 1, 1000, 400);
    for (uint64_t now = 1000; now < 601000; now += 100) {
        if (dlf_mirrors_choose(&ms, 0, now, &when) == 0) {
            moves++;
            for (unsigned i = 0; i < 20; i++)
                answer(&ms, 0, now, 40000);
        } else if (dlf_mirrors_probe(&ms, now) == 0) {
            dlf_mirrors_answered(&ms, 0, now, 400);
        }
    }
    assert_in_range(moves, 2, 20);
}

static void test_no_probe_when_all_are_down(void **state)
{
    struct dlf_mirrors ms = {.count = 2};
    uint64_t when = 0;
    (void)state;
    fail_at(&ms, 0, 1000, 1001);
    fail_at(&ms, 1, 1000, 1001);
    assert_int_equal(dlf_mirrors_probe(&ms, 9000), -1);
    assert_int_equal(dlf_mirrors_choose(&ms, 0, 9000, &when), 0);
}

/* Avoided mirrors are up, the rest is due: the piece itself goes there. */
static void test_trial_for_a_piece_that_failed_elsewhere(void **state)
{
    struct dlf_mirrors ms = {.count = 2};
    uint64_t when = 0;
    (void)state;
    fail_at(&ms, 1, 1000, 1001);
    assert_int_equal(dlf_mirrors_choose(&ms, 1, 1002, &when), -1);
    assert_int_equal(dlf_mirrors_choose(&ms, 1, 9000, &when), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_in_the_list),
        cmocka_unit_test(test_backoff_doubles),
        cmocka_unit_test(test_long_down_beside_one_that_is_up),
        cmocka_unit_test(test_failures_together_are_one),
        cmocka_unit_test(test_one_trial_at_a_time),
        cmocka_unit_test(test_much_before_it_broke),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_silences),
        cmocka_unit_test(test_old_failures_of_one_that_is_up_again),
        cmocka_unit_test(test_too_slow),
        cmocka_unit_test(test_nearer_one),
        cmocka_unit_test(test_local_network_has_an_order),
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_one_late_answer),
        cmocka_unit_test(test_fast_probes_late_objects),
        cmocka_unit_test(test_no_probe_when_all_are_down),
        cmocka_unit_test(test_trial_for_a_piece_that_failed_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
