/* Reads traces and boot packs. format/trace.h checks single lines; this file checks the whole
 * trace. */
#include "chunker/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chunker/index_lookup.h"
#include "chunker/io.h"
#include "chunker/log.h"
#include "chunker/stored_boot.h"
#include "format/trace.h"

/* While a file is read. */
struct reading {
    struct profile_trace trace;
    struct dlf_trace_head head;
    size_t room; /* touches */
    uint64_t last_us;
    bool ready;
    bool ended;
};

static int add_touch(struct reading *in, const struct profile_touch *touch)
{
    struct profile_trace *t = &in->trace;
    if (t->count == in->room) {
        size_t room = in->room ? in->room * 2 : 1024;
        struct profile_touch *touches = realloc(t->touches, room * sizeof(*touches));
        if (!touches)
            return -ENOMEM;
        t->touches = touches;
        in->room = room;
    }
    t->touches[t->count++] = *touch;
    if (!in->ready)
        t->boot_count = t->count;
    return 0;
}

static int take_event(struct reading *in, const struct dlf_trace_event *event, unsigned line,
                      struct dlf_err *err)
{
    const struct profile_touch touch = {
        .offset = event->offset, .xxh3 = event->xxh3, .length = event->length};
    if (event->us < in->last_us)
        return dlf_fail(err, EBADMSG, "line %u: earlier than the line before it", line);
    in->last_us = event->us;
    switch (event->kind) {
    case DLF_TRACE_TOUCH:
        return add_touch(in, &touch) < 0 ? dlf_fail(err, ENOMEM, "out of memory") : 0;
    case DLF_TRACE_READY:
        in->ready = true;
        return 0;
    case DLF_TRACE_END:
        in->ended = true;
        return 0;
    default:
        return 0;
    }
}

/* Line number line, without its newline. */
static int take_line(struct reading *in, unsigned line, const char *text, struct dlf_err *err)
{
    struct dlf_trace_event event;
    if (line <= 2)
        return dlf_trace_parse_head(&in->head, line, text, err);
    if (in->ended)
        return dlf_fail(err, EBADMSG, "line %u: something behind \"end\"", line);
    int rc = dlf_trace_parse_event(&event, line, text, err);
    return rc < 0 ? rc : take_event(in, &event, line, err);
}

static int parse(struct reading *in, const char *text, size_t size, struct dlf_err *err)
{
    char copy[DLF_TRACE_LINE_MAX];
    unsigned line = 1;
    int rc = 0;
    for (const char *at = text; rc == 0 && at < text + size; line++) {
        const char *end = memchr(at, '\n', size - (size_t)(at - text));
        size_t length = end ? (size_t)(end - at) : 0;
        if (!end || length >= sizeof(copy) - 1 || memchr(at, 0, length))
            return dlf_fail(err, EBADMSG, "line %u: cut short, too long, or not text", line);
        memcpy(copy, at, length);
        copy[length] = 0;
        rc = take_line(in, line, copy, err);
        at = end + 1;
    }
    if (rc == 0 && !in->ended)
        rc = dlf_fail(err, EBADMSG, "line %u: the trace stops without \"end\"", line);
    return rc;
}

static int read_open_file(int fd, char **text, size_t *size, struct dlf_err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return dlf_fail(err, errno, "%s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return dlf_fail(err, EINVAL, "a trace is a file");
    if ((uint64_t)st.st_size > PROFILE_TRACE_MAX)
        return dlf_fail(err, EFBIG, "a trace has at most %zu bytes, this has %" PRIu64,
                        PROFILE_TRACE_MAX, (uint64_t)st.st_size);
    char *data = malloc((size_t)st.st_size + 1);
    ssize_t got = data ? io_read(fd, data, (size_t)st.st_size) : -ENOMEM;
    if (got < 0) {
        free(data);
        return dlf_fail(err, (int)-got, "%s", strerror((int)-got));
    }
    *text = data;
    *size = (size_t)got;
    return 0;
}

/* Reads the whole file; the caller frees it. */
static int read_file(const char *path, char **text, size_t *size, struct dlf_err *err)
{
    struct dlf_err why;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dlf_fail(err, errno, "cannot open the trace %s: %s", path, strerror(errno));
    int rc = read_open_file(fd, text, size, &why);
    close(fd);
    return rc < 0 ? dlf_fail(err, -rc, "cannot read the trace %s: %s", path, why.msg) : 0;
}

/* Keeps the trace that was read, or drops it when rc is an error. Returns rc or -ENOMEM. */
static int keep_trace(struct profile *profile, struct reading *in, int rc, struct dlf_err *err)
{
    if (rc == 0) {
        struct profile_trace *traces =
            realloc(profile->traces, (profile->count + 1) * sizeof(*profile->traces));
        if (traces) {
            profile->traces = traces;
            traces[profile->count++] = in->trace;
            return 0;
        }
        rc = dlf_fail(err, ENOMEM, "out of memory for the profile");
    }
    free(in->trace.touches);
    in->trace.touches = NULL;
    return rc;
}

int profile_add_file(struct profile *profile, const char *path, const char *name,
                     struct dlf_err *err)
{
    struct reading in = {0};
    struct dlf_err why;
    size_t size = 0;
    char *text = NULL;
    int rc = read_file(path, &text, &size, err);
    if (rc < 0)
        return rc;
    rc = parse(&in, text, size, &why);
    free(text);
    in.trace.same_name = rc == 0 && strcmp(in.head.name, name) == 0;
    if (rc == 0 && !in.trace.same_name)
        log_warning("%s is a trace of %s, not of %s: chunks are looked for by content only", path,
                    in.head.name, name);
    rc = keep_trace(profile, &in, rc, &why);
    return rc < 0 ? dlf_fail(err, -rc, "%s: %s", path, why.msg) : 0;
}

/* Adds the table's chunks as touches; its later chunks are looked up in the index. */
static int take_table(struct reading *in, const struct dlf_boot_table *table,
                      struct index_lookup *lookup, struct dlf_err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < table->record_count + table->later_count; i++) {
        struct dlf_record record;
        in->ready = i >= table->record_count;
        if (in->ready)
            rc = index_lookup_get(lookup, table->later[i - table->record_count], &record, err);
        else
            record = table->records[i];
        const struct profile_touch touch = {
            .offset = record.offset, .xxh3 = record.xxh3, .length = record.length};
        if (rc == 0 && add_touch(in, &touch) < 0)
            rc = dlf_fail(err, ENOMEM, "out of memory for the profile");
    }
    return rc;
}

int profile_add_boot_pack(struct profile *profile, const struct store *store,
                          const struct dlf_manifest *manifest, struct dlf_err *err)
{
    struct reading in = {.trace.same_name = true};
    struct stored_boot boot;
    struct stored_index index;
    struct index_lookup lookup;
    int rc = stored_boot_open(&boot, store, manifest, err);
    if (rc < 0)
        return rc;
    rc = stored_index_open(&index, store, manifest, err);
    if (rc == 0) {
        rc = index_lookup_init(&lookup, &index, err);
        if (rc == 0)
            rc = take_table(&in, &boot.table, &lookup, err);
        index_lookup_free(&lookup);
        stored_index_close(&index);
    }
    stored_boot_close(&boot);
    return keep_trace(profile, &in, rc, err);
}

void profile_free(struct profile *profile)
{
    for (size_t i = 0; i < profile->count; i++)
        free(profile->traces[i].touches);
    free(profile->traces);
    memset(profile, 0, sizeof(*profile));
}
