/* When a machine counts as stuck on its way down, and the commands that begin its end. Nothing here
 * ends a machine. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse/ending.h"

static void test_init(void **state)
{
    (void)state;
    assert_true(dlf_ending_init_waits("1 (systemd) D 0 1 1 0"));
    assert_false(dlf_ending_init_waits("1 (systemd) S 0 1 1 0"));
    assert_false(dlf_ending_init_waits("1 (systemd) R 0 1 1 0"));
    assert_false(dlf_ending_init_waits("1 (init) S 0 1 1 0"));
    assert_true(dlf_ending_init_waits("1 (a) D b) D 0"));
    assert_false(dlf_ending_init_waits("1 (a) D b) S 0"));
    /* It sleeps while it waits for its children, and one of these may wait for the root. */
    assert_true(dlf_ending_init_waits("1 (systemd-shutdow) S 0 1 1 0"));
    assert_false(dlf_ending_init_waits("12 (systemd-shutdow) S 0 1 1 0"));
    assert_false(dlf_ending_init_waits("1 (systemd-shutdow"));
    assert_false(dlf_ending_init_waits("1 (systemd)"));
    assert_false(dlf_ending_init_waits("1 (systemd) "));
    assert_false(dlf_ending_init_waits(""));
}

static bool due(struct dlf_ending_watch *watch, uint64_t now_ms, uint64_t waiting,
                uint64_t progress, bool init_waits)
{
    const struct dlf_ending_look look = {
        .now_ms = now_ms, .waiting = waiting, .progress = progress, .init_waits = init_waits};
    return dlf_ending_is_due(watch, &look, 3000);
}

static void test_stuck(void **state)
{
    struct dlf_ending_watch watch = {.stuck = false};
    (void)state;
    assert_false(due(&watch, 10000, 1, 5, true)); /* long after nothing: it begins now */
    assert_false(due(&watch, 11000, 2, 5, true));
    assert_false(due(&watch, 12999, 1, 5, true));
    assert_true(due(&watch, 13000, 1, 5, true));
    assert_true(due(&watch, 14000, 1, 5, true));
}

static void test_not_stuck(void **state)
{
    struct dlf_ending_watch watch = {.stuck = false};
    (void)state;
    /* There was progress. */
    assert_false(due(&watch, 0, 1, 5, true));
    assert_false(due(&watch, 2900, 1, 6, true));
    assert_false(due(&watch, 5800, 1, 6, true));
    assert_true(due(&watch, 5900, 1, 6, true));
    /* init does something else: it deals with the waiting processes itself. */
    assert_false(due(&watch, 6000, 1, 6, false));
    assert_false(due(&watch, 20000, 1, 6, false));
    assert_false(due(&watch, 21000, 1, 6, true));
    assert_false(due(&watch, 23900, 1, 6, true));
    /* No read waits for the image, so init waits for something else. */
    assert_false(due(&watch, 24000, 0, 6, true));
    assert_false(due(&watch, 90000, 0, 6, true));
    assert_false(due(&watch, 91000, 1, 6, true));
}

static atomic_int hidden;
static atomic_int looks;

static void hide(void *cookie)
{
    (void)cookie;
    atomic_fetch_add(&hidden, 1);
}

static void look(void *cookie, struct dlf_ending_look *look)
{
    (void)cookie;
    look->waiting = 0;
    look->progress = 0;
    atomic_fetch_add(&looks, 1);
}

static void wait_for(atomic_int *number)
{
    for (int i = 0; i < 2000 && !atomic_load(number); i++)
        usleep(10000);
    assert_true(atomic_load(number) > 0);
}

static void test_begin(void **state)
{
    const struct dlf_ending_config config = {
        .init_stat = "/proc/self/stat", .patience_ms = 3600000, .hide = hide, .look = look};
    (void)state;
    struct dlf_ending *e = dlf_ending_new(&config);
    assert_non_null(e);
    assert_int_equal(dlf_ending_begin(e, DLF_COMMAND_REBOOT), 0);
    assert_int_equal(dlf_ending_begin(e, DLF_COMMAND_POWEROFF), -EALREADY);
    wait_for(&looks);
    dlf_ending_free(e);
    assert_int_equal(atomic_load(&hidden), 1);
}

/* Without patience, and without a PID 1 to look at, it only hides; unused, it does nothing. */
static void test_hide_only(void **state)
{
    struct dlf_ending_config config = {.init_stat = "/nowhere/stat", .hide = hide, .look = look};
    (void)state;
    atomic_store(&hidden, 0);
    atomic_store(&looks, 0);
    struct dlf_ending *e = dlf_ending_new(&config);
    assert_int_equal(dlf_ending_begin(e, DLF_COMMAND_POWEROFF), 0);
    wait_for(&hidden);
    dlf_ending_free(e);
    e = dlf_ending_new(&config);
    dlf_ending_free(e);
    dlf_ending_free(NULL);
    assert_int_equal(atomic_load(&hidden), 1);
    assert_int_equal(atomic_load(&looks), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init),      cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_not_stuck), cmocka_unit_test(test_begin),
        cmocka_unit_test(test_hide_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
