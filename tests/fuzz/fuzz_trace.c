/* Any bytes as a trace, line by line: refused with a word, or written again as the same line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void refused(const struct dlf_err *err)
{
    if (!err->msg[0])
        abort();
}

static void take_head(unsigned number, const char *line)
{
    struct dlf_trace_head head;
    struct dlf_err err = {""};
    char again[2 * DLF_TRACE_LINE_MAX];
    if (dlf_trace_parse_head(&head, number, line, &err) < 0) {
        refused(&err);
        return;
    }
    if (number == 1)
        return;
    int n = dlf_trace_format_head(&head, again);
    const char *second = strchr(again, '\n') + 1;
    if (n < 0 || strncmp(second, line, strlen(line)) != 0 || strlen(second) != strlen(line) + 1)
        abort();
}

static void take_event(unsigned number, const char *line)
{
    struct dlf_trace_event event;
    struct dlf_err err = {""};
    char again[DLF_TRACE_LINE_MAX];
    if (dlf_trace_parse_event(&event, number, line, &err) < 0) {
        refused(&err);
        return;
    }
    int n = dlf_trace_format_event(&event, again);
    if (n < 1 || (size_t)n != strlen(line) + 1 || strncmp(again, line, strlen(line)) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned number = 1;
    while (size) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end ? (size_t)(end - data) : size;
        /* An exact allocation, so that a read past the line is seen. */
        char *line = malloc(length + 1);
        if (!line)
            abort();
        memcpy(line, data, length);
        line[length] = 0;
        if (number <= 2)
            take_head(number, line);
        take_event(number, line);
        free(line);
        data += length + (end ? 1 : 0);
        size -= length + (end ? 1 : 0);
        number++;
    }
    return 0;
}
