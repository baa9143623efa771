/* The parsed command line of `dlfuse mount`, `dlfuse download` and `dlfuse fetch`. */
#ifndef DLFUSE_FUSE_OPTIONS_H
#define DLFUSE_FUSE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "format/err.h"
#include "fuse/http.h"
#include "fuse/log.h"
#include "fuse/trust.h"

/* URLs: the first and its mirrors; the source's limit. */
#define DLF_OPTION_URLS_MAX 16

struct dlf_options {
    const char *urls[DLF_OPTION_URLS_MAX]; /* the URL, then mirrors in the order given */
    unsigned url_count;
    const char *target; /* mount point, or the file to download to */
    bool foreground;
    bool quiet;
    uint64_t cache_bytes; /* UINT64_MAX in download */
    bool fill;
    bool prefetch;
    bool hedge;             /* make silent requests a second time */
    bool boot;              /* use the boot pack */
    uint64_t fill_rate;     /* bytes a second; 0: no limit */
    uint32_t fill_delay_ms; /* at most, after ready */
    uint64_t timeout_ms;    /* 0: for ever */
    uint64_t ending_ms;     /* wait for a server while the machine goes down; 0: for ever */
    enum dlf_log_target log;
    bool log_given;
    bool debug;
    bool rootfs;
    bool allow_other;
    const char *chroot;     /* NULL: none */
    struct dlf_trust trust; /* as given; its keys are not read yet */
    struct dlf_http http;   /* the same; its files are not read yet */
    const char *report;     /* URL for dlf_report_open; NULL: none */
    const char *trouble;    /* the file for dlf_trouble, below chroot; NULL: none */
    uint64_t room_bytes;    /* the longest file that fetch takes; 0: no limit */
};

/*
 * Reads arguments after the command's name: -f, -q, --keys DIR, -o OPTS, URL and the target, in
 * any order.
 * Keeps pointers into argv and writes into it. -EINVAL with a line that names the argument.
 */
int dlf_options_parse(struct dlf_options *options, int argc, char **argv, struct dlf_err *err);

/* "24M", "1G", "4096", "50%" (of RAM); false when it is no size or out of range. */
bool dlf_parse_size(const char *text, uint64_t *bytes);

#endif
