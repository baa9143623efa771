/* GETs a whole object that is small, from one mirror, for a caller that can wait for it. */
#include <errno.h>
#include <string.h>

#include "fuse/source_private.h"
#include "fuse/util.h"

/* A dlf_get that collects the object in memory. */
struct whole_get {
    struct dlf_get get; /* first: callbacks get its address */
    uint8_t *out;
    size_t size;
    int rc;
    bool finished;
    struct dlf_err *err;
};

static bool whole_data(struct dlf_get *get, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct whole_get *w = (struct whole_get *)get;
    memcpy(w->out + offset, bytes, size); /* the source keeps to get->limit */
    w->size = (size_t)offset + size;
    return true;
}

static void whole_done(struct dlf_get *get, int rc, const struct dlf_err *err)
{
    struct whole_get *w = (struct whole_get *)get;
    w->rc = rc;
    w->finished = true;
    if (rc < 0)
        dlf_fail(w->err, -rc, "%s%.*s: %s", w->err->msg, (int)strcspn(get->path, "?"), get->path,
                 err->msg);
}

static int64_t get_whole_from(struct dlf_source *source, unsigned mirror, const char *path,
                              uint8_t *out, size_t room, struct dlf_err *err)
{
    struct dlf_err at = {{0}};
    struct whole_get w = {
        .get = {.path = path, .limit = room, .data = whole_data, .done = whole_done},
        .out = out,
        .err = &at,
    };
    dlf_fail(&at, EIO, "%s", source->places[mirror].base);
    int rc = dlf_source_start(source, &w.get, mirror);
    if (rc < 0)
        dlf_fail(&at, EIO, "%s%.*s: libcurl does not start a transfer", source->places[mirror].base,
                 (int)strcspn(path, "?"), path);
    while (rc == 0 && !w.finished)
        dlf_source_poll(source, 1000);
    rc = rc < 0 ? rc : w.rc;
    if (rc == 0)
        return (int64_t)w.size;
    *err = at;
    return rc;
}

/* The next mirror to try: also one that is down, unless it said for how long it wants to be left
 * alone. -1: none. */
static int next_untried(struct dlf_source *source, uint32_t tried)
{
    uint64_t when;
    uint64_t now = dlf_now_ms();
    int mirror = dlf_mirrors_choose(&source->mirrors, tried, now, &when);
    for (unsigned i = 0; mirror < 0 && i < source->mirrors.count; i++) {
        const struct dlf_mirror *m = &source->mirrors.at[i];
        if (!(tried >> i & 1) && !(m->told && m->not_before_ms > now))
            mirror = (int)i;
    }
    return mirror;
}

int64_t dlf_source_get_whole(struct dlf_source *source, const char *path, uint32_t *tried,
                             unsigned *mirror, uint8_t *out, size_t room, struct dlf_err *err)
{
    int next = next_untried(source, *tried);
    if (next < 0)
        return -EAGAIN;
    *tried |= (uint32_t)1 << next;
    *mirror = (unsigned)next;
    return get_whole_from(source, (unsigned)next, path, out, room, err);
}
