/* Reads and writes the lines of a trace. Owns nothing; pure, any thread. */
#include "format/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "format/manifest.h"
#include "format/text.h"

#define XXH3_DIGITS 16
#define MAGIC "dlfuse-trace "

static const char *const kind_names[] = {
    [DLF_TRACE_TOUCH] = "touch", [DLF_TRACE_FETCH] = "fetch",       [DLF_TRACE_FILL] = "fill",
    [DLF_TRACE_READY] = "ready", [DLF_TRACE_COMPLETE] = "complete", [DLF_TRACE_END] = "end",
};

static const char *const class_names[] = {
    [DLF_TRACE_DEMAND] = "demand",
    [DLF_TRACE_PREFETCH] = "prefetch",
    [DLF_TRACE_BOOT] = "boot",
    [DLF_TRACE_FILLED] = "fill",
};

#define COUNT(names) (sizeof(names) / sizeof(*(names)))

int dlf_trace_format_head(const struct dlf_trace_head *head, char out[2 * DLF_TRACE_LINE_MAX])
{
    char index[DLF_SHA256_HEX + 1];
    dlf_sha256_hex(&head->index, index);
    return snprintf(out, (size_t)2 * DLF_TRACE_LINE_MAX, MAGIC "%d\nimage %s %" PRIu64 " %s\n",
                    DLF_TRACE_VERSION, head->name, head->serial, index);
}

int dlf_trace_format_event(const struct dlf_trace_event *e, char out[DLF_TRACE_LINE_MAX])
{
    const char *kind = kind_names[e->kind];
    switch (e->kind) {
    case DLF_TRACE_TOUCH:
        return snprintf(out, DLF_TRACE_LINE_MAX,
                        "%s %" PRIu64 " %" PRIu64 " %" PRIu32 " %016" PRIx64 " %" PRIu64 "\n", kind,
                        e->us, e->offset, e->length, e->xxh3, e->wait_us);
    case DLF_TRACE_FETCH:
        return snprintf(out, DLF_TRACE_LINE_MAX,
                        "%s %" PRIu64 " %" PRIu64 " %" PRIu32 " %" PRIu32 " %s %" PRIu64 "\n", kind,
                        e->us, e->offset, e->length, e->stored_length, class_names[e->class],
                        e->asked_us);
    case DLF_TRACE_FILL:
        return snprintf(out, DLF_TRACE_LINE_MAX, "%s %" PRIu64 " %" PRIu64 "\n", kind, e->us,
                        e->bytes);
    default:
        return snprintf(out, DLF_TRACE_LINE_MAX, "%s %" PRIu64 "\n", kind, e->us);
    }
}

int dlf_trace_parse_head(struct dlf_trace_head *head, unsigned line, const char *text,
                         struct dlf_err *err)
{
    char word[DLF_TRACE_LINE_MAX];
    struct dlf_trace_head h = {0};
    const char *end;
    if (line == 1) {
        if (strncmp(text, MAGIC, sizeof(MAGIC) - 1) != 0)
            return dlf_fail(err, EBADMSG, "line 1: not a dlfuse trace");
        if (strcmp(text + sizeof(MAGIC) - 1, "1") != 0)
            return dlf_fail(err, ENOTSUP,
                            "trace version \"%.16s\" is not known to this build, which reads %d",
                            text + sizeof(MAGIC) - 1, DLF_TRACE_VERSION);
        return 0;
    }
    if (strnlen(text, sizeof(word)) == sizeof(word) || strncmp(text, "image ", 6) != 0)
        return dlf_fail(err, EBADMSG, "line %u: \"image NAME SERIAL SHA256\" expected", line);
    memcpy(word, text + 6, strlen(text + 6) + 1);
    char *serial = strchr(word, ' ');
    if (serial)
        *serial++ = 0;
    if (!serial || !dlf_name_valid(word) || !dlf_text_number(serial, UINT64_MAX, &h.serial, &end) ||
        h.serial == 0 || *end != ' ' || !dlf_sha256_parse(&h.index, end + 1))
        return dlf_fail(err, EBADMSG, "line %u: \"image NAME SERIAL SHA256\" expected", line);
    memcpy(h.name, word, strlen(word) + 1);
    *head = h;
    return 0;
}

/* Each takes a space and then its word; false for anything else. */

static bool next_number(const char **p, uint64_t min, uint64_t max, uint64_t *number)
{
    return *(*p)++ == ' ' && dlf_text_number(*p, max, number, p) && *number >= min;
}

static bool next_u32(const char **p, uint32_t min, uint32_t max, uint32_t *number)
{
    uint64_t n;
    if (!next_number(p, min, max, &n))
        return false;
    *number = (uint32_t)n;
    return true;
}

static bool next_xxh3(const char **p, uint64_t *xxh3)
{
    uint64_t n = 0;
    const char *digit = *p;
    if (*digit++ != ' ')
        return false;
    for (unsigned i = 0; i < XXH3_DIGITS; i++, digit++) {
        if (*digit >= '0' && *digit <= '9')
            n = n << 4 | (uint64_t)(*digit - '0');
        else if (*digit >= 'a' && *digit <= 'f')
            n = n << 4 | (uint64_t)(*digit - 'a' + 10);
        else
            return false;
    }
    *xxh3 = n;
    *p = digit;
    return true;
}

/* The number of the name that *p begins with and that ends there or at a space. */
static bool next_name(const char **p, const char *const *names, size_t count, unsigned *number)
{
    size_t length = strcspn(*p, " ");
    for (unsigned i = 0; i < count; i++) {
        if (strlen(names[i]) == length && memcmp(*p, names[i], length) == 0) {
            *number = i;
            *p += length;
            return true;
        }
    }
    return false;
}

static bool next_class(const char **p, enum dlf_trace_class *class)
{
    unsigned number;
    if (*(*p)++ != ' ' || !next_name(p, class_names, COUNT(class_names), &number))
        return false;
    *class = (enum dlf_trace_class)number;
    return true;
}

static bool next_range(const char **p, struct dlf_trace_event *e)
{
    return next_number(p, 0, DLF_IMAGE_MAX, &e->offset) &&
           next_u32(p, 1, DLF_CHUNK_MAX, &e->length) && e->length <= DLF_IMAGE_MAX - e->offset;
}

/* Reads the words behind the time. */
static bool next_values(const char **p, struct dlf_trace_event *e)
{
    switch (e->kind) {
    case DLF_TRACE_TOUCH:
        return next_range(p, e) && next_xxh3(p, &e->xxh3) &&
               next_number(p, 0, UINT64_MAX, &e->wait_us);
    case DLF_TRACE_FETCH:
        return next_range(p, e) && next_u32(p, 1, e->length, &e->stored_length) &&
               next_class(p, &e->class) && next_number(p, 0, e->us, &e->asked_us);
    case DLF_TRACE_FILL:
        return next_number(p, 1, DLF_IMAGE_MAX, &e->bytes);
    default:
        return true;
    }
}

int dlf_trace_parse_event(struct dlf_trace_event *event, unsigned line, const char *text,
                          struct dlf_err *err)
{
    struct dlf_trace_event e = {0};
    const char *p = text;
    unsigned kind;
    if (!next_name(&p, kind_names, COUNT(kind_names), &kind))
        return dlf_fail(err, EBADMSG, "line %u: unknown event", line);
    e.kind = (enum dlf_trace_kind)kind;
    if (!next_number(&p, 0, UINT64_MAX, &e.us) || !next_values(&p, &e) || *p)
        return dlf_fail(err, EBADMSG, "line %u: a value of \"%s\" is missing, wrong or too much",
                        line, kind_names[kind]);
    *event = e;
    return 0;
}
