/* Workers: each work done once, at a place of its own, and none lost at the end. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse/workers.h"

#define WORKS 2000

struct counted {
    struct dlf_work work; /* first: run gets its address */
    atomic_uint done;
};

static struct counted works[WORKS];
static atomic_uint busy[16]; /* by place */
static atomic_bool collided;
static atomic_bool held;

static void count_work(struct dlf_work *work, unsigned place)
{
    struct counted *c = (struct counted *)work;
    if (atomic_fetch_add(&busy[place], 1) != 0)
        atomic_store(&collided, true);
    while (atomic_load(&held))
        usleep(100);
    atomic_fetch_sub(&busy[place], 1);
    atomic_fetch_add(&c->done, 1);
}

static void reset(void)
{
    for (unsigned i = 0; i < WORKS; i++) {
        works[i].work.run = count_work;
        atomic_store(&works[i].done, 0);
    }
    atomic_store(&held, false);
}

static void test_each_once(void **state)
{
    unsigned own = 0;
    (void)state;
    reset();
    struct dlf_workers *w = dlf_workers_new(3);
    assert_non_null(w);
    for (unsigned i = 0; i < WORKS; i++)
        if (!dlf_workers_give(w, &works[i].work)) {
            count_work(&works[i].work, 0);
            own++;
        }
    dlf_workers_free(w);
    for (unsigned i = 0; i < WORKS; i++)
        assert_int_equal(atomic_load(&works[i].done), 1);
    assert_false(atomic_load(&collided));
    assert_true(own < WORKS);
}

/* The queue is short, and all work in it is finished at the end. */
static void test_line_is_bounded(void **state)
{
    unsigned given = 0;
    (void)state;
    reset();
    struct dlf_workers *w = dlf_workers_new(1);
    assert_true(dlf_workers_have_room(w));
    atomic_store(&held, true);
    while (given < WORKS && dlf_workers_give(w, &works[given].work))
        given++;
    assert_in_range(given, 1, 8);
    assert_int_equal(atomic_load(&works[0].done), 0);
    atomic_store(&held, false);
    dlf_workers_free(w);
    for (unsigned i = 0; i < WORKS; i++)
        assert_int_equal(atomic_load(&works[i].done), i < given);
}

static void test_none(void **state)
{
    (void)state;
    reset();
    struct dlf_workers *w = dlf_workers_new(0);
    assert_non_null(w);
    assert_false(dlf_workers_have_room(w));
    assert_false(dlf_workers_give(w, &works[0].work));
    dlf_workers_free(w);
    dlf_workers_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_once),
        cmocka_unit_test(test_line_is_bounded),
        cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
