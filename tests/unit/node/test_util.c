/* Waiting, and random waits. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fuse/util.h"

struct door {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
};

static void make_door(struct door *d)
{
    pthread_mutex_init(&d->lock, NULL);
    dlf_cond_init(&d->changed);
    d->open = false;
}

/* A wait by another clock than its condition's would be over at once, or never. */
static void test_wait_ends_in_time(void **state)
{
    struct door d;
    uint64_t begun_ms = dlf_now_ms();
    (void)state;
    make_door(&d);
    pthread_mutex_lock(&d.lock);
    while (dlf_cond_wait(&d.changed, &d.lock, begun_ms + 50))
        continue;
    assert_in_range(dlf_now_ms() - begun_ms, 50, 10000);
    assert_false(dlf_cond_wait(&d.changed, &d.lock, begun_ms));
    pthread_mutex_unlock(&d.lock);
}

static void *open_door(void *cookie)
{
    struct door *d = cookie;
    pthread_mutex_lock(&d->lock);
    d->open = true;
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

static void test_wait_ends_when_told(void **state)
{
    struct door d;
    pthread_t thread;
    bool in_time = true;
    uint64_t begun_ms = dlf_now_ms();
    (void)state;
    make_door(&d);
    pthread_mutex_lock(&d.lock);
    assert_int_equal(pthread_create(&thread, NULL, open_door, &d), 0);
    while (!d.open && in_time)
        in_time = dlf_cond_wait(&d.changed, &d.lock, begun_ms + 20000);
    pthread_mutex_unlock(&d.lock);
    pthread_join(thread, NULL);
    assert_true(d.open && in_time);
}

static void test_backoff(void **state)
{
    static const uint64_t most_ms[] = {250, 500, 1000, 2000, 4000, 5000, 5000};
    (void)state;
    for (unsigned round = 0; round < sizeof(most_ms) / sizeof(most_ms[0]); round++)
        for (unsigned i = 0; i < 100; i++)
            assert_in_range(dlf_backoff_ms(round), most_ms[round] / 2, most_ms[round]);
    /* Waits are random, so that nodes that failed together do not come back together. 100 of 2500
     * values hardly ever have fewer than 50 different ones. */
    uint64_t seen[100];
    unsigned different = 0;
    for (unsigned i = 0; i < 100; i++) {
        seen[i] = dlf_backoff_ms(5);
        bool is_new = true;
        for (unsigned k = 0; k < i; k++)
            is_new = is_new && seen[k] != seen[i];
        different += is_new;
    }
    assert_in_range(different, 50, 100);
    assert_in_range(dlf_backoff_ms(UINT32_MAX), 2500, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_ends_in_time),
        cmocka_unit_test(test_wait_ends_when_told),
        cmocka_unit_test(test_backoff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
