/*
 * A line in a web server's log for each thing that becomes of this node, if somebody asked for it:
 * which host booted which version, and whether it still needs a server.
 *
 * One thread at a time. Best effort: a report that fails is a line in the log, and is not repeated.
 */
#ifndef DLFUSE_FUSE_REPORT_H
#define DLFUSE_FUSE_REPORT_H

#include <stdint.h>

#include "format/manifest.h"
#include "fuse/source.h"

struct dlf_report {
    struct dlf_source *source;
    char *path; /* the last part of the URL, and its query */
};

/* Milliseconds after which a report without an answer is given up. */
#define DLF_REPORT_MS 5000

/*
 * Prepares for reports to url, which every answer of a server is good for: what counts is its log.
 * proxy, ca: as in dlf_source_config. The image's header lines are not sent there. -EINVAL: url is
 * not http:// or https://HOST/..., or too long; -ENOMEM.
 */
int dlf_report_open(struct dlf_report *report, const char *url, const char *proxy, const char *ca,
                    size_t ca_size, struct dlf_err *err);

/* Also of one that was never opened but is all zeros. */
void dlf_report_close(struct dlf_report *report);

/*
 * Room for the request of a report: a URL and the query, whose values are of bounded length.
 */
#define DLF_REPORT_PATH_MAX (DLF_URL_MAX + 512)

/*
 * Writes PATH?dlfuse=1&host=…&image=NAME&serial=N&state=STATE&uptime=SECONDS, with & where path has
 * a query already. In host, whatever is not a letter, a digit, '.' or '-' becomes '_', and so does
 * an empty one. Pure.
 */
void dlf_report_path(char out[DLF_REPORT_PATH_MAX], const char *path, const char *host,
                     const struct dlf_manifest *manifest, const char *state, uint64_t uptime_s);

/*
 * GETs it with this machine's host name and uptime. state: "ready" (the boot is over), "detached"
 * (complete, the daemon stays) or "independent" (the loop device stands on RAM). Blocks for
 * DLF_REPORT_MS at most, and as long for names that nobody resolves.
 */
void dlf_report_send(struct dlf_report *report, const struct dlf_manifest *manifest,
                     const char *state);

#endif
