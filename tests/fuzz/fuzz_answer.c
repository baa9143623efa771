/*
 * Any bytes as an HTTP answer's head: byte 0 and 1 choose the status, 2 to 9 are the offset and the
 * length that were asked for, the rest are header lines, each with its end. Refused with a word, or
 * it is the answer to the question.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/bytes.h"
#include "fuse/answer.h"

#define QUESTION_BYTES 10

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_lines(struct dlf_answer *answer, const uint8_t *data, size_t size)
{
    while (size) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end ? (size_t)(end - data) + 1 : size;
        /* An exact allocation without a NUL, as libcurl hands lines over. */
        char *line = malloc(length);
        if (!line)
            abort();
        memcpy(line, data, length);
        dlf_answer_line(answer, line, length);
        free(line);
        data += length;
        size -= length;
    }
}

static void check(const struct dlf_answer *answer, long status, const struct dlf_question *question)
{
    uint64_t position = 77;
    bool whole = false;
    struct dlf_err err = {""};
    int rc = dlf_answer_check(answer, status, question, &position, &whole, &err);
    if (rc < 0) {
        if (!err.msg[0])
            abort();
        return;
    }
    if (answer->coding[0] || (status != 200 && status != 206))
        abort();
    if (status == 200 ? position != 0 || whole != (question->length != 0)
                      : position != question->offset || whole || question->length == 0 ||
                            !answer->has_range || answer->range_from != question->offset ||
                            answer->range_to - answer->range_from + 1 != question->length)
        abort();
}

static void check_plain(const struct dlf_answer *answer, long status, uint64_t offset)
{
    uint64_t position = 77;
    struct dlf_plain_file file = {.size = 77};
    struct dlf_err err = {""};
    int rc = dlf_answer_check_plain(answer, status, "root.img.gz", offset, &position, &file, &err);
    if (rc < 0) {
        if (!err.msg[0] || position != 77 || file.size != 77)
            abort();
        return;
    }
    if (answer->coding[0] && strcmp(answer->coding, "gzip") != 0 &&
        strcmp(answer->coding, "x-gzip") != 0)
        abort();
    /* It goes into a header line of the next request. */
    for (const char *c = file.validator; *c; c++)
        if (*c < ' ' || *c > '~')
            abort();
    if (position != (status == 206 ? offset : 0) || (status == 206 && position >= file.size))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlf_answer answer = {0};
    if (size < QUESTION_BYTES)
        return 0;
    const struct dlf_question question = {.offset = dlf_get32(data + 2),
                                          .length = dlf_get32(data + 6)};
    take_lines(&answer, data + QUESTION_BYTES, size - QUESTION_BYTES);
    check(&answer, data[0] | data[1] << 8, &question);
    check(&answer, 200, &question);
    check(&answer, 206, &question);
    check_plain(&answer, data[0] | data[1] << 8, question.offset);
    check_plain(&answer, 200, question.offset);
    check_plain(&answer, 206, question.offset);
    dlf_answer_retry_after_ms(&answer);
    return 0;
}
