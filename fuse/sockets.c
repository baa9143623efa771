/* A list of file descriptors and one socket option. */
#include "fuse/sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

void dlf_sockets_add(struct dlf_sockets *sockets, int fd)
{
    if (sockets->count < DLF_SOCKETS_MAX)
        sockets->fds[sockets->count++] = fd;
}

void dlf_sockets_remove(struct dlf_sockets *sockets, int fd)
{
    for (unsigned i = 0; i < sockets->count; i++)
        if (sockets->fds[i] == fd) {
            sockets->fds[i] = sockets->fds[--sockets->count];
            return;
        }
}

void dlf_sockets_acknowledge(const struct dlf_sockets *sockets)
{
    int yes = 1;
    for (unsigned i = 0; i < sockets->count; i++)
        setsockopt(sockets->fds[i], IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof(yes));
}
