/* The node's state as text for programs: JSON, and Prometheus' format. */
#ifndef DLFUSE_FUSE_STATUS_H
#define DLFUSE_FUSE_STATUS_H

#include "fuse/image.h"

/* The text, ending in a newline; malloc. NULL when out of memory. handover: dlf_handover_state. */
char *dlf_status_json(struct dlf_image *image, const char *url, const char *handover);

/*
 * The same numbers in Prometheus' text format 0.0.4: "dlfuse_KEY", counters as "dlfuse_KEY_total"
 * where the key does not end so. malloc. NULL when out of memory.
 */
char *dlf_status_metrics(struct dlf_image *image, const char *handover);

#endif
