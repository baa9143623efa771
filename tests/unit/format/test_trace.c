/* Trace lines: each is read and written again as the same text; each refusal with its words. */
#include "check.h"

#include <errno.h>

#include "format/trace.h"

#define INDEX "1111111111111111111111111111111111111111111111111111111111111111"

static void head_is_read_back(void **state)
{
    (void)state;
    struct dlf_trace_head h;
    struct dlf_err err;
    char text[2 * DLF_TRACE_LINE_MAX];
    assert_works(dlf_trace_parse_head(&h, 1, "dlfuse-trace 1", &err), err);
    assert_works(dlf_trace_parse_head(&h, 2, "image debian-12 7 " INDEX, &err), err);
    assert_string_equal(h.name, "debian-12");
    assert_int_equal(h.serial, 7);
    assert_int_equal(h.index.bytes[31], 0x11);
    int n = dlf_trace_format_head(&h, text);
    assert_string_equal(text, "dlfuse-trace 1\nimage debian-12 7 " INDEX "\n");
    assert_int_equal(n, strlen(text));
}

static void the_longest_head_fits(void **state)
{
    (void)state;
    struct dlf_trace_head h = {.serial = UINT64_MAX};
    struct dlf_trace_head back;
    struct dlf_err err;
    char text[2 * DLF_TRACE_LINE_MAX];
    memset(h.name, 'x', DLF_NAME_MAX);
    int n = dlf_trace_format_head(&h, text);
    assert_int_equal(n, strlen(text));
    text[n - 1] = 0;
    assert_works(dlf_trace_parse_head(&back, 2, strchr(text, '\n') + 1, &err), err);
    assert_memory_equal(&back, &h, sizeof(h));
}

static void heads_are_refused(void **state)
{
    (void)state;
    static const struct {
        unsigned line;
        const char *text;
        int code;
        const char *says;
    } cases[] = {
        {1, "", EBADMSG, "line 1: not a dlfuse trace"},
        {1, "dlfuse-trace", EBADMSG, "line 1: not a dlfuse trace"},
        {1, "dlfuse-manifest 1", EBADMSG, "line 1: not a dlfuse trace"},
        {1, "dlfuse-trace 2", ENOTSUP,
         "trace version \"2\" is not known to this build, which reads 1"},
        {1, "dlfuse-trace 1 ", ENOTSUP,
         "trace version \"1 \" is not known to this build, which reads 1"},
        {2, "", EBADMSG, "line 2: \"image NAME SERIAL SHA256\" expected"},
        {2, "image", EBADMSG, "line 2: \"image NAME SERIAL SHA256\" expected"},
        {2, "image a", EBADMSG, "line 2: \"image NAME SERIAL SHA256\" expected"},
        {2, "image a 1", EBADMSG, "line 2: \"image NAME SERIAL SHA256\" expected"},
        {2, "image a 1 1111", EBADMSG, "line 2: \"image NAME SERIAL SHA256\" expected"},
        {2, "image a 1 " INDEX " ", EBADMSG, "line 2: \"image NAME SERIAL SHA256\" expected"},
        {2, "image a 0 " INDEX, EBADMSG, "line 2: \"image NAME SERIAL SHA256\" expected"},
        {2, "image .a 1 " INDEX, EBADMSG, "line 2: \"image NAME SERIAL SHA256\" expected"},
        {2, "image a  1 " INDEX, EBADMSG, "line 2: \"image NAME SERIAL SHA256\" expected"},
        {2, "image a 01 " INDEX, EBADMSG, "line 2: \"image NAME SERIAL SHA256\" expected"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct dlf_trace_head h;
        struct dlf_trace_head before;
        struct dlf_err err;
        memset(&h, 0xa5, sizeof(h));
        before = h;
        assert_refused(dlf_trace_parse_head(&h, cases[i].line, cases[i].text, &err), cases[i].code,
                       err, cases[i].says);
        assert_memory_equal(&h, &before, sizeof(h));
    }
    /* A line longer than any: nothing of it is copied. */
    char line[2 * DLF_TRACE_LINE_MAX];
    struct dlf_trace_head h;
    struct dlf_err err;
    memset(line, 'x', sizeof(line));
    memcpy(line, "image ", 6);
    line[sizeof(line) - 1] = 0;
    assert_refused(dlf_trace_parse_head(&h, 2, line, &err), EBADMSG, err,
                   "line 2: \"image NAME SERIAL SHA256\" expected");
}

static void events_are_written_again_as_they_were(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "touch 0 0 1 0000000000000000 0",
        "touch 123456 65536 65536 0123456789abcdef 250",
        "touch 18446744073709551615 8796092972632 49576 ffffffffffffffff 18446744073709551615",
        "fetch 200 65536 65536 31000 demand 100",
        "fetch 200 65536 65536 65536 prefetch 200",
        "fetch 200 0 1048576 1 boot 0",
        "fetch 18446744073709551615 8796092972632 49576 49576 fill 18446744073709551615",
        "fill 300 1",
        "fill 300 8796093022208",
        "ready 5000000",
        "complete 7000000",
        "end 18446744073709551615",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        struct dlf_trace_event e;
        struct dlf_err err;
        char text[DLF_TRACE_LINE_MAX];
        assert_works(dlf_trace_parse_event(&e, 3, lines[i], &err), err);
        int n = dlf_trace_format_event(&e, text);
        assert_int_equal(n, strlen(text));
        assert_int_equal(text[n - 1], '\n');
        text[n - 1] = 0;
        assert_string_equal(text, lines[i]);
    }
}

static void values_go_where_they_belong(void **state)
{
    (void)state;
    struct dlf_trace_event e;
    struct dlf_err err;
    assert_works(dlf_trace_parse_event(&e, 3, "touch 1 2 3 000000000000000f 5", &err), err);
    assert_int_equal(e.kind, DLF_TRACE_TOUCH);
    assert_int_equal(e.us, 1);
    assert_int_equal(e.offset, 2);
    assert_int_equal(e.length, 3);
    assert_int_equal(e.xxh3, 15);
    assert_int_equal(e.wait_us, 5);
    assert_works(dlf_trace_parse_event(&e, 3, "fetch 9 2 30 4 prefetch 8", &err), err);
    assert_int_equal(e.kind, DLF_TRACE_FETCH);
    assert_int_equal(e.length, 30);
    assert_int_equal(e.stored_length, 4);
    assert_int_equal(e.class, DLF_TRACE_PREFETCH);
    assert_int_equal(e.asked_us, 8);
    assert_works(dlf_trace_parse_event(&e, 3, "fill 9 77", &err), err);
    assert_int_equal(e.bytes, 77);
}

static void events_are_refused(void **state)
{
    (void)state;
    static const char *const unknown[] = {"", " ", "touched 1", "Touch 1", "image a 1", "# touch"};
    static const char *const wrong[] = {
        "touch",
        "touch ",
        "touch 1",
        "touch 1 2 3 0000000000000000",
        "touch 1 2 3 0000000000000000 ",
        "touch 1 2 3 0000000000000000 5 ",
        "touch 1 2 3 0000000000000000 5 6",
        "touch 1 2 3 000000000000000 5",
        "touch 1 2 3 00000000000000000 5",
        "touch 1 2 3 000000000000000F 5",
        "touch 1 2 3 000000000000000g 5",
        "touch -1 2 3 0000000000000000 5",
        "touch 01 2 3 0000000000000000 5",
        "touch  1 2 3 0000000000000000 5",
        "touch\t1 2 3 0000000000000000 5",
        "touch 18446744073709551616 2 3 0000000000000000 5",
        "touch 1 2 0 0000000000000000 5",
        "touch 1 2 1048577 0000000000000000 5",
        "touch 1 8796093022208 1 0000000000000000 5",
        "touch 1 8796093022205 4 0000000000000000 5",
        "fetch 9 2 30 31 demand 8",
        "fetch 9 2 30 0 demand 8",
        "fetch 9 2 30 4 demand 10",
        "fetch 9 2 30 4 deman 8",
        "fetch 9 2 30 4 demands 8",
        "fetch 9 2 30 4  8",
        "fetch 9 2 30 4 demand",
        "fill 9",
        "fill 9 0",
        "fill 9 8796093022209",
        "ready",
        "ready 1 2",
        "end 1\r",
    };
    struct dlf_trace_event e;
    struct dlf_trace_event before;
    struct dlf_err err;
    memset(&e, 0xa5, sizeof(e));
    before = e;
    for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
        assert_refused(dlf_trace_parse_event(&e, 17, unknown[i], &err), EBADMSG, err,
                       "line 17: unknown event");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        char says[128];
        snprintf(says, sizeof(says), "line 17: a value of \"%.*s\" is missing, wrong or too much",
                 (int)strcspn(wrong[i], " \t"), wrong[i]);
        if (strncmp(wrong[i], "touch\t", 6) == 0)
            strcpy(says, "line 17: unknown event");
        assert_refused(dlf_trace_parse_event(&e, 17, wrong[i], &err), EBADMSG, err, says);
    }
    assert_memory_equal(&e, &before, sizeof(e));
    assert_int_equal(dlf_trace_parse_event(&e, 3, "x", NULL), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_is_read_back),
        cmocka_unit_test(the_longest_head_fits),
        cmocka_unit_test(heads_are_refused),
        cmocka_unit_test(events_are_written_again_as_they_were),
        cmocka_unit_test(values_go_where_they_belong),
        cmocka_unit_test(events_are_refused),
    };
    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
