/* The recorder: the events that it keeps, its text, its cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fuse/trace.h"
#include "fuse/util.h"

#define CHUNKS 200u

static struct dlf_pages *new_pages(void)
{
    struct dlf_index_head head = {.image_size = (uint64_t)CHUNKS * 4096,
                                  .record_count = CHUNKS,
                                  .max_length = 4096,
                                  .page_count = 1};
    head.pages = calloc(1, sizeof(*head.pages));
    uint8_t *data = malloc((size_t)CHUNKS * DLF_RECORD_SIZE);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        struct dlf_record r = {
            .offset = (uint64_t)i * 4096, .length = 4096, .stored_length = i + 1, .xxh3 = i * 31};
        dlf_record_write(&r, data + (size_t)i * DLF_RECORD_SIZE);
    }
    struct dlf_pages *pages = dlf_pages_new(&head);
    dlf_pages_store(pages, 0, data);
    return pages;
}

/* Parses the text; returns the number of events. */
static unsigned parse(char *text, struct dlf_trace_event *events, unsigned room)
{
    struct dlf_trace_head head = {.serial = 0};
    struct dlf_err err;
    unsigned line = 0;
    unsigned count = 0;
    for (char *at = strtok(text, "\n"); at; at = strtok(NULL, "\n")) {
        line++;
        if (line <= 2) {
            assert_int_equal(dlf_trace_parse_head(&head, line, at, &err), 0);
        } else {
            assert_true(count < room);
            assert_int_equal(dlf_trace_parse_event(&events[count++], line, at, &err), 0);
        }
    }
    assert_string_equal(head.name, "unit");
    assert_int_equal(head.serial, 5);
    return count;
}

static void test_text(void **state)
{
    struct dlf_manifest manifest = {.name = "unit", .serial = 5};
    struct dlf_pages *pages = new_pages();
    uint64_t now = dlf_now_us();
    struct dlf_trace *trace = dlf_trace_new(CHUNKS, now);
    struct dlf_trace_event e[16] = {{0}};
    (void)state;
    dlf_trace_touch(trace, 7);
    while (dlf_now_us() < now + 2000)
        ;
    dlf_trace_fetch(trace, 7, DLF_TRACE_DEMAND, now);
    dlf_trace_fetch(trace, 9, DLF_TRACE_BOOT, now);
    dlf_trace_touch(trace, 9);
    dlf_trace_touch(trace, 7); /* not the first time */
    dlf_trace_fetch(trace, 9, DLF_TRACE_DEMAND, now);
    dlf_trace_fill(trace, 5000);
    dlf_trace_mark(trace, DLF_TRACE_READY);
    dlf_trace_mark(trace, DLF_TRACE_READY);
    char *text = dlf_trace_text(trace, &manifest, pages);
    assert_non_null(text);
    assert_int_equal(parse(text, e, 16), 7);
    free(text);
    assert_int_equal(e[0].kind, DLF_TRACE_TOUCH);
    assert_int_equal(e[0].offset, 7 * 4096);
    assert_int_equal(e[0].xxh3, 7 * 31);
    assert_true(e[0].wait_us > 0 && e[0].wait_us == e[1].us - e[0].us);
    assert_int_equal(e[1].kind, DLF_TRACE_FETCH);
    assert_int_equal(e[1].class, DLF_TRACE_DEMAND);
    assert_int_equal(e[1].stored_length, 8);
    assert_true(e[1].asked_us <= e[1].us && e[1].us >= 2000);
    assert_int_equal(e[2].class, DLF_TRACE_BOOT);
    assert_int_equal(e[3].kind, DLF_TRACE_TOUCH);
    assert_int_equal(e[3].wait_us, 0); /* it was there */
    assert_int_equal(e[4].kind, DLF_TRACE_FILL);
    assert_int_equal(e[4].bytes, 5000);
    assert_int_equal(e[5].kind, DLF_TRACE_READY);
    assert_int_equal(e[6].kind, DLF_TRACE_END);
    dlf_trace_free(trace);
    dlf_pages_free(pages);
}

/* More chunks than the log takes: the recorder stops; it does not grow or fail. */
static void test_full(void **state)
{
    enum { MANY = 300000 };
    struct dlf_trace *trace = dlf_trace_new(MANY, dlf_now_us());
    uint64_t begun = dlf_now_us();
    (void)state;
    for (uint64_t i = 0; i < MANY; i++)
        dlf_trace_touch(trace, i);
    uint64_t first = dlf_now_us();
    for (uint64_t i = 0; i < MANY; i++)
        dlf_trace_touch(trace, i);
    uint64_t again = dlf_now_us();
    print_message("# a chunk's first read: %llu ns, a later one: %llu ns\n",
                  (unsigned long long)((first - begun) * 1000 / MANY),
                  (unsigned long long)((again - first) * 1000 / MANY));
    dlf_trace_free(trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
