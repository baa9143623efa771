/* What a program that reaches the mount may say; its bytes may be anything. Pure. */
#include "fuse/control.h"

#include <errno.h>
#include <string.h>

enum dlf_command dlf_control_command(const char *bytes, size_t size, uint64_t offset)
{
    static const char ready[] = DLF_CONTROL_READY;
    size_t length = size && bytes[size - 1] == '\n' ? size - 1 : size;
    if (offset != 0 || length != strlen(ready) || memcmp(bytes, ready, length) != 0)
        return DLF_COMMAND_NONE;
    return DLF_COMMAND_READY;
}

int dlf_control_handover(struct dlf_handover_request *request, const void *data, size_t size)
{
    struct dlf_handover_request read;
    if (size < sizeof(read))
        return -ENOTTY;
    memcpy(&read, data, sizeof(read));
    if (!read.path[0] || !memchr(read.path, 0, sizeof(read.path)))
        return -EINVAL;
    *request = read;
    return 0;
}
