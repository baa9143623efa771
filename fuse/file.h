/*
 * Small files that configure the node, read whole.
 */
#ifndef DLFUSE_FUSE_FILE_H
#define DLFUSE_FUSE_FILE_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Reads the regular file name below dir_fd (or AT_FDCWD) into text, at most room bytes, so give one
 * byte more than is allowed. Returns their number, or a negative errno; -EINVAL: not a regular
 * file. mode, if not NULL, is that of the file that was read.
 */
ssize_t dlf_file_read(int dir_fd, const char *name, char *text, size_t room, mode_t *mode);

#endif
