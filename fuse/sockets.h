/*
 * The open sockets of a source, so that the receipt of bytes can be acknowledged at once.
 *
 * Servers that send full segments only (nginx with tcp_nopush, as Debian configures it) hold the
 * end of an answer back until the bytes before it are acknowledged, and the kernel tends to delay
 * that by 40 ms. It forgets TCP_QUICKACK with each answer, so it is set again and again.
 *
 * One thread.
 */
#ifndef DLFUSE_FUSE_SOCKETS_H
#define DLFUSE_FUSE_SOCKETS_H

/* More than libcurl keeps for so few transfers; a socket over that is not hurried, nothing worse.
 */
#define DLF_SOCKETS_MAX 64

struct dlf_sockets {
    int fds[DLF_SOCKETS_MAX];
    unsigned count;
};

void dlf_sockets_add(struct dlf_sockets *sockets, int fd);

/* Nothing when it is not among them. */
void dlf_sockets_remove(struct dlf_sockets *sockets, int fd);

/* After bytes were read. */
void dlf_sockets_acknowledge(const struct dlf_sockets *sockets);

#endif
