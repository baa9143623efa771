/* Commands to a mount: accepted and refused ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fuse/control.h"

static void test_ready(void **state)
{
    (void)state;
    assert_int_equal(dlf_control_command("ready", 5, 0), DLF_COMMAND_READY);
    assert_int_equal(dlf_control_command("ready\n", 6, 0), DLF_COMMAND_READY);
}

static void test_ending(void **state)
{
    (void)state;
    assert_int_equal(dlf_control_command("poweroff", 8, 0), DLF_COMMAND_POWEROFF);
    assert_int_equal(dlf_control_command("poweroff\n", 9, 0), DLF_COMMAND_POWEROFF);
    assert_int_equal(dlf_control_command("reboot\n", 7, 0), DLF_COMMAND_REBOOT);
    assert_int_equal(dlf_control_command("reboot", 6, 1), DLF_COMMAND_NONE);
    assert_int_equal(dlf_control_command("power", 5, 0), DLF_COMMAND_NONE);
    assert_int_equal(dlf_control_command("poweroff now", 12, 0), DLF_COMMAND_NONE);
}

static void test_no_command(void **state)
{
    (void)state;
    assert_int_equal(dlf_control_command("", 0, 0), DLF_COMMAND_NONE);
    assert_int_equal(dlf_control_command("\n", 1, 0), DLF_COMMAND_NONE);
    assert_int_equal(dlf_control_command("read", 4, 0), DLF_COMMAND_NONE);
    assert_int_equal(dlf_control_command("ready\n\n", 7, 0), DLF_COMMAND_NONE);
    assert_int_equal(dlf_control_command("ready", 6, 0), DLF_COMMAND_NONE); /* a NUL behind it */
    assert_int_equal(dlf_control_command("READY", 5, 0), DLF_COMMAND_NONE);
    assert_int_equal(dlf_control_command("ready", 5, 1), DLF_COMMAND_NONE);
    assert_int_equal(dlf_control_command("ready", 5, UINT64_MAX), DLF_COMMAND_NONE);
}

static void test_handover(void **state)
{
    struct dlf_handover_request sent = {.path = "/dev/loop0", .device_major = 7};
    struct dlf_handover_request got;
    (void)state;
    memset(&got, 0x55, sizeof(got));
    struct dlf_handover_request untouched = got;
    assert_int_equal(dlf_control_handover(&got, &sent, sizeof(sent) - 1), -ENOTTY);
    assert_int_equal(dlf_control_handover(&got, NULL, 0), -ENOTTY);
    sent.path[0] = 0;
    assert_int_equal(dlf_control_handover(&got, &sent, sizeof(sent)), -EINVAL);
    memset(sent.path, 'x', sizeof(sent.path));
    assert_int_equal(dlf_control_handover(&got, &sent, sizeof(sent)), -EINVAL);
    assert_memory_equal(&got, &untouched, sizeof(got));
    sent.path[sizeof(sent.path) - 1] = 0;
    assert_int_equal(dlf_control_handover(&got, &sent, sizeof(sent)), 0);
    assert_memory_equal(&got, &sent, sizeof(got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready),
        cmocka_unit_test(test_ending),
        cmocka_unit_test(test_no_command),
        cmocka_unit_test(test_handover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
