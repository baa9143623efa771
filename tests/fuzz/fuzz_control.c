/*
 * Any bytes as what a program says to a mount: a write to the control file, and the argument of the
 * hand-over's ioctl. Byte 0 is the write's offset.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_control(const char *bytes, size_t size, uint64_t offset)
{
    static const struct {
        const char *word;
        enum dlf_command command;
    } known[] = {
        {"ready", DLF_COMMAND_READY},       {"ready\n", DLF_COMMAND_READY},
        {"poweroff", DLF_COMMAND_POWEROFF}, {"poweroff\n", DLF_COMMAND_POWEROFF},
        {"reboot", DLF_COMMAND_REBOOT},     {"reboot\n", DLF_COMMAND_REBOOT},
    };
    enum dlf_command expected = DLF_COMMAND_NONE;
    for (size_t i = 0; offset == 0 && i < sizeof(known) / sizeof(known[0]); i++)
        if (size == strlen(known[i].word) && memcmp(bytes, known[i].word, size) == 0)
            expected = known[i].command;
    if (dlf_control_command(bytes, size, offset) != expected)
        abort();
}

static void arm(const uint8_t *data, size_t size)
{
    struct dlf_handover_request request;
    memset(&request, 0x55, sizeof(request));
    struct dlf_handover_request untouched = request;
    int rc = dlf_control_handover(&request, data, size);
    if (rc > 0 || (rc < 0 && memcmp(&request, &untouched, sizeof(request)) != 0))
        abort();
    if (rc == 0 && (strnlen(request.path, sizeof(request.path)) - 1 >= sizeof(request.path) - 1 ||
                    memcmp(&request, data, sizeof(request)) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    /* An exact allocation, so that a read past the message is seen. */
    size_t length = size - 1;
    uint8_t *message = malloc(length ? length : 1);
    if (!message)
        abort();
    memcpy(message, data + 1, length);
    write_control((const char *)message, length, data[0]);
    arm(message, length);
    free(message);
    return 0;
}
