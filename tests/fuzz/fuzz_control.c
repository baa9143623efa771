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
    static const char *const words[] = {"ready", "ready\n"};
    int is_word = 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        is_word |= size == strlen(words[i]) && memcmp(bytes, words[i], size) == 0;
    enum dlf_command command = dlf_control_command(bytes, size, offset);
    if ((command == DLF_COMMAND_READY) != (is_word && offset == 0))
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
