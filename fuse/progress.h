/*
 * Reports a machine's boot while it happens: on the console when reads have to wait, to systemd,
 * and to a web server's log if reports were asked for.
 *
 * A thread of its own looks at the image's counters twice a second, until the node needs no server
 * any more. It holds no lock while it reports, and only dlf_progress_stop waits for it.
 */
#ifndef DLFUSE_FUSE_PROGRESS_H
#define DLFUSE_FUSE_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#include "format/err.h"
#include "fuse/image.h"
#include "fuse/report.h"

/* Milliseconds without bytes for any waiting read, after which the wait is reported. */
#define DLF_PROGRESS_WAIT_MS 2000

/* Bytes of a line, NUL included. */
#define DLF_PROGRESS_LINE 512

/* The result of the looks so far. All zeros before the first one. */
struct dlf_progress_watch {
    uint64_t since_ms;   /* when the wait began that goes on; 0: none */
    uint64_t said_ms;    /* how old it was when that was said; 0: not said */
    uint64_t read_waits; /* reads that had waited and got their bytes */
    uint64_t failed;     /* failed attempts when the wait began */
    uint64_t bytes;      /* fetched, at the look before */
    uint64_t at_ms;      /* of the look before */
    uint64_t bytes_per_s;
    bool ready;
};

/*
 * One look: writes a line for the log, "" when there is nothing to say: that a read has waited for
 * 2 s, and again each time that the wait has doubled; that it went on; how the boot went, at ready.
 * last: the cause of the last failed attempt, used when attempts have failed during the wait.
 * Otherwise asked is used: the URL of the mirror that has the question. Pure.
 */
void dlf_progress_look(struct dlf_progress_watch *watch, const struct dlf_image_stats *stats,
                       uint64_t stored_bytes, uint64_t now_ms, const struct dlf_err *last,
                       const char *asked, char line[DLF_PROGRESS_LINE]);

/* The one line of systemctl status. Pure. */
void dlf_progress_status(const struct dlf_progress_watch *watch,
                         const struct dlf_image_stats *stats, uint64_t stored_bytes,
                         uint64_t data_bytes, char line[DLF_PROGRESS_LINE]);

/*
 * The socket in NOTIFY_SOCKET (sd_notify(3)), connected, so that neither chroot nor switch_root
 * cuts it off; -1 without a usable one. The variable is removed.
 */
int dlf_progress_notify_open(void);

struct dlf_progress;

/*
 * notify: of dlf_progress_notify_open, taken over. report: opened, or NULL; both it and image must
 * live until stop. NULL when there is no memory or thread.
 */
struct dlf_progress *dlf_progress_start(struct dlf_image *image, int notify,
                                        struct dlf_report *report);

/* Waits for no report. NULL is nothing. */
void dlf_progress_stop(struct dlf_progress *progress);

#endif
