/* The node's state as JSON text, and its reading by `dlfuse status`. */
#ifndef DLFUSE_FUSE_STATUS_H
#define DLFUSE_FUSE_STATUS_H

#include "fuse/image.h"

/* The text, ending in a newline; malloc. NULL when out of memory. handover: dlf_handover_state. */
char *dlf_status_json(struct dlf_image *image, const char *url, const char *handover);

#endif
