/*
 * A line in a web server's log for each state that this node reaches, if reports were asked for:
 * which host booted which version, and whether it still needs a server.
 *
 * Best effort, in a thread of its own: nothing waits for a report but dlf_report_close, and that
 * for a bounded time. A report that fails is a line in the log, and is not repeated.
 */
#ifndef DLFUSE_FUSE_REPORT_H
#define DLFUSE_FUSE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "format/manifest.h"
#include "fuse/source.h"

/* In the order in which a node comes to them. */
enum dlf_report_state {
    DLF_REPORT_READY,       /* the boot is over */
    DLF_REPORT_DETACHED,    /* complete, the daemon stays */
    DLF_REPORT_INDEPENDENT, /* the loop device stands on RAM */
};

struct dlf_report;

/* Milliseconds after which a server that sends nothing is given up, and for which close waits. */
#define DLF_REPORT_MS 5000

/*
 * Prepares for reports to url. Any answer of the server will do: only its log counts. proxy, ca: as
 * in dlf_source_config. The image's header lines are not sent there. Copies the parts of manifest
 * that it needs. -EINVAL: url is not http:// or https://HOST/..., or too long; -ENOMEM; another
 * negative errno when no thread can be made.
 */
int dlf_report_open(struct dlf_report **report, const char *url, const char *proxy, const char *ca,
                    size_t ca_size, const struct dlf_manifest *manifest, struct dlf_err *err);

/* Reports a state, with host name and uptime, some time soon; each once. Any thread; does not
 * block. NULL: no reports were asked for. */
void dlf_report_say(struct dlf_report *report, enum dlf_report_state state);

/*
 * Waits until all states said are reported, for DLF_REPORT_MS at most. False: the thread still
 * hangs, in a look-up of a name for example, and keeps its memory. The process must then end by
 * _exit, because exit takes down state that the thread uses.
 */
bool dlf_report_close(struct dlf_report *report);

/* Room for the request of a report: a URL and the query, with values of bounded length. */
#define DLF_REPORT_PATH_MAX (DLF_URL_MAX + 512)

/* Room for the kernel's id of this boot (/proc/sys/kernel/random/boot_id), a UUID. */
#define DLF_BOOT_ID_MAX 37

/* The content of a report. boot tells machines apart that have the same name and place; "":
 * unknown. */
struct dlf_report_words {
    const char *host;
    const char *image;
    const char *boot;
    uint64_t serial;
    uint64_t uptime_s;
    enum dlf_report_state state;
};

/*
 * Writes PATH?dlfuse=1&host=…&image=NAME&serial=N&state=STATE&uptime=SECONDS&boot=ID, with & where
 * path has a query already. In host, every character but letters, digits, '.' and '-' becomes '_',
 * and so does an empty host. Pure.
 */
void dlf_report_path(char out[DLF_REPORT_PATH_MAX], const char *path,
                     const struct dlf_report_words *words);

#endif
