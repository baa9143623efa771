/*
 * Deadlines of reads: with timeout_ms, a thread ends each read that was not answered so long after
 * it was made, whether it is in line or in work. The deadline is the read's alone: the chunks and
 * pages that it waited for are still fetched, and other readers' time is their own.
 *
 * All reads have the same time, so the first of each list is the next one due, and a read that
 * comes while the thread sleeps is due after it has woken up.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "fuse/image_read.h"
#include "fuse/log.h"
#include "fuse/util.h"

/* Milliseconds between two lines about late reads: a server that is gone makes many. */
#define SAY_AGAIN_MS 10000

static void say_late(struct dlf_image *im, uint64_t offset)
{
    uint64_t now = dlf_now_ms();
    struct dlf_err why;
    if (im->late_said_ms && now - im->late_said_ms < SAY_AGAIN_MS)
        return;
    im->late_said_ms = now;
    dlf_sched_last_failure(im->sched, &why);
    dlf_warn("a read at image offset %" PRIu64 " was not answered within %" PRIu64
             " s and has failed: %s",
             offset, im->timeout_ms / 1000, why.msg);
}

/* A read in line: it has no buffer, and nothing refers to it but the line. */
static void end_in_line(struct dlf_image *im, struct image_read *r)
{
    say_late(im, r->offset);
    r->done(r->cookie, -EIO, NULL, (uint32_t)(r->end - r->offset));
    pthread_mutex_destroy(&r->lock);
    free(r);
    dlf_read_admit(im); /* a shorter one behind it may find room */
}

/* Ends the first overdue read. False when there is none; then *until_ms is when to look again.
 * read_lock is held, and released meanwhile. */
static bool end_one_locked(struct dlf_image *im, uint64_t *until_ms)
{
    struct read_list *lists[] = {&im->working, &im->line};
    uint64_t now = dlf_now_ms();
    *until_ms = now + im->timeout_ms;
    for (unsigned i = 0; i < 2; i++) {
        struct image_read *r = TAILQ_FIRST(lists[i]);
        uint64_t due_ms = r ? r->begun_ms + im->timeout_ms : UINT64_MAX;
        if (due_ms > now) {
            if (due_ms < *until_ms)
                *until_ms = due_ms;
            continue;
        }
        uint64_t offset = r->offset;
        bool in_line = lists[i] == &im->line;
        TAILQ_REMOVE(lists[i], r, entry);
        bool ours = in_line || dlf_read_abandon(r, -ETIMEDOUT);
        r->listed = false;
        pthread_mutex_unlock(&im->read_lock);
        if (in_line) {
            end_in_line(im, r);
        } else {
            say_late(im, offset);
            if (ours)
                dlf_read_leave(r);
        }
        pthread_mutex_lock(&im->read_lock);
        return true;
    }
    return false;
}

static void *deadline_thread(void *cookie)
{
    struct dlf_image *im = cookie;
    uint64_t until_ms;
    pthread_mutex_lock(&im->read_lock);
    while (!im->deadlines_closing)
        if (!end_one_locked(im, &until_ms))
            dlf_cond_wait(&im->deadlines_changed, &im->read_lock, until_ms);
    pthread_mutex_unlock(&im->read_lock);
    return NULL;
}

int dlf_image_deadlines_begin(struct dlf_image *im, struct dlf_err *err)
{
    if (!im->timeout_ms)
        return 0;
    im->deadlines_run = pthread_create(&im->deadline_thread, NULL, deadline_thread, im) == 0;
    return im->deadlines_run ? 0 : dlf_fail(err, EAGAIN, "cannot start the thread for timeout=");
}

void dlf_image_deadlines_end(struct dlf_image *im)
{
    if (!im->deadlines_run)
        return;
    pthread_mutex_lock(&im->read_lock);
    im->deadlines_closing = true;
    pthread_cond_signal(&im->deadlines_changed);
    pthread_mutex_unlock(&im->read_lock);
    pthread_join(im->deadline_thread, NULL);
    im->deadlines_run = false;
}
