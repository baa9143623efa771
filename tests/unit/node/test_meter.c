/* The network meter: events that change it, and events that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "fuse/meter.h"
#include "fuse/util.h"

static void test_round_trip(void **state)
{
    struct dlf_meter m = {0};
    (void)state;
    dlf_meter_round_trip(&m, 20000);
    assert_int_equal(m.rtt_us, 20000);
    assert_int_equal(m.answer_us, 20000);
    dlf_meter_round_trip(&m, 90000); /* a slow answer is not a longer round trip */
    assert_true(m.rtt_us > 20000 && m.rtt_us < 22000);
    assert_true(m.answer_us > 30000); /* but it shows that requests wait in line */
    dlf_meter_round_trip(&m, 300);
    assert_int_equal(m.rtt_us, 300);
    for (unsigned i = 0; i < 100; i++) /* but one that stays slow is */
        dlf_meter_round_trip(&m, 5000);
    assert_int_equal(m.rtt_us, 5000);
}

/* Feeds portions of bytes every every_us for for_us. Returns their rate. */
static uint64_t flow(struct dlf_meter *m, size_t portion, uint64_t every_us, uint64_t for_us)
{
    uint64_t begun = dlf_now_us();
    uint64_t next = begun;
    uint64_t bytes = 0;
    while (dlf_now_us() - begun < for_us) {
        while (dlf_now_us() < next)
            ;
        next = dlf_now_us() + every_us; /* missed portions are not made up for */
        dlf_meter_bytes(m, portion);
        bytes += portion;
    }
    return bytes * 1000000 / (dlf_now_us() - begun);
}

/* Tries in which a busy machine does not let the bytes flow as they should. */
#define TRIES 50

static void test_bandwidth(void **state)
{
    bool right = false;
    (void)state;
    for (unsigned i = 0; i < TRIES && !right; i++) {
        struct dlf_meter m = {0};
        dlf_meter_bytes(&m, 100000); /* one burst says nothing: it was in a buffer */
        assert_int_equal(m.bytes_per_s, 0);
        uint64_t rate = flow(&m, 16384, 500, 60000);
        right = m.bytes_per_s > rate / 2 && m.bytes_per_s < rate * 4;
    }
    assert_true(right);
}

static void test_pauses_do_not_count(void **state)
{
    struct timespec pause = {.tv_nsec = 20000000};
    struct dlf_meter m = {0};
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        nanosleep(&pause, NULL);
        dlf_meter_bytes(&m, 65536);
        dlf_meter_bytes(&m, 65536);
    }
    /* 5 MB/s over all of it, but the network was never seen full. */
    assert_int_equal(m.bytes_per_s, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bandwidth),
        cmocka_unit_test(test_pauses_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
