/* Requests of programs that reach the mount; their bytes may be anything. Pure. */
#include "fuse/control.h"

#include <errno.h>
#include <string.h>

enum dlf_command dlf_control_command(const char *bytes, size_t size, uint64_t offset)
{
    static const struct {
        const char *word;
        enum dlf_command command;
    } known[] = {
        {DLF_CONTROL_READY, DLF_COMMAND_READY},
        {DLF_CONTROL_POWEROFF, DLF_COMMAND_POWEROFF},
        {DLF_CONTROL_REBOOT, DLF_COMMAND_REBOOT},
    };
    size_t length = size && bytes[size - 1] == '\n' ? size - 1 : size;
    for (size_t i = 0; offset == 0 && i < sizeof(known) / sizeof(known[0]); i++)
        if (length == strlen(known[i].word) && memcmp(bytes, known[i].word, length) == 0)
            return known[i].command;
    return DLF_COMMAND_NONE;
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
