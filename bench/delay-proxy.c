/*
 * A TCP proxy that is far away: each byte leaves a fixed time after it came.
 *
 *     delay-proxy --rtt MS LISTEN BACKEND
 *
 * Half of the round trip is spent in each direction, so a request costs one round trip. A new
 * connection costs one more, as TCP's handshake would: the kernel accepts it at once, but what the
 * client sends counts as sent one round trip after that at the earliest. The way between proxy and
 * backend costs nothing. There is no slow start and no loss: a stream flows at full speed one round
 * trip after it was asked for, which is what a server with a large initial window does at best.
 *
 * A direction holds at most --buffer bytes; then nothing more is read and TCP slows the sender
 * down. This bounds the bandwidth of a connection to the buffer in each half round trip.
 *
 * One thread, edge-triggered epoll, a heap of the times at which bytes are due.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "delay-flow.h"

#define EVENTS 256
#define RTT_MAX_MS 10000.0
#define BUFFER_DEFAULT (8u << 20)
#define BUFFER_MAX (1u << 30)
#define NOT_IN_HEAP SIZE_MAX

struct connection;

struct peer {
    struct connection *connection;
    int fd;
    bool readable, writable;
};

/* Bytes flow up from the client and down from the server. */
struct connection {
    struct peer client, server;
    struct flow up, down;
    uint64_t due_ns; /* of the flow that is due first */
    size_t heap_at;
    bool over;
    struct connection *next_over;
};

struct proxy {
    struct sockaddr_in listen, backend;
    uint64_t rtt_ns;
    size_t buffer_bytes;
    int epoll_fd, listen_fd;
    struct connection **heap; /* the one that is due first at 0 */
    size_t heap_count, heap_room;
    struct connection *over; /* freed when no event can name them any more */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the heap ---- */

static void heap_put(struct proxy *proxy, size_t at, struct connection *connection)
{
    proxy->heap[at] = connection;
    connection->heap_at = at;
}

static void heap_up(struct proxy *proxy, size_t at)
{
    struct connection *moved = proxy->heap[at];
    while (at > 0 && proxy->heap[(at - 1) / 2]->due_ns > moved->due_ns) {
        heap_put(proxy, at, proxy->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(proxy, at, moved);
}

static void heap_down(struct proxy *proxy, size_t at)
{
    struct connection *moved = proxy->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < proxy->heap_count &&
            proxy->heap[child + 1]->due_ns < proxy->heap[child]->due_ns)
            child++;
        if (child >= proxy->heap_count || proxy->heap[child]->due_ns >= moved->due_ns)
            break;
        heap_put(proxy, at, proxy->heap[child]);
        at = child;
    }
    heap_put(proxy, at, moved);
}

static void heap_remove(struct proxy *proxy, struct connection *connection)
{
    size_t at = connection->heap_at;
    if (at == NOT_IN_HEAP)
        return;
    connection->heap_at = NOT_IN_HEAP;
    struct connection *last = proxy->heap[--proxy->heap_count];
    if (last == connection)
        return;
    heap_put(proxy, at, last);
    heap_up(proxy, at);
    heap_down(proxy, last->heap_at);
}

/* Gives the connection its place by the time at which one of its flows is due. */
static void heap_update(struct proxy *proxy, struct connection *connection)
{
    uint64_t up_ns = flow_due_ns(&connection->up), down_ns = flow_due_ns(&connection->down);
    uint64_t due_ns = up_ns < down_ns ? up_ns : down_ns;

    if (due_ns == connection->due_ns)
        return;
    heap_remove(proxy, connection);
    connection->due_ns = due_ns;
    if (due_ns == UINT64_MAX)
        return;
    if (proxy->heap_count == proxy->heap_room) {
        size_t room = proxy->heap_room ? 2 * proxy->heap_room : 64;
        void *grown = realloc(proxy->heap, room * sizeof(proxy->heap[0]));
        if (!grown) {
            fprintf(stderr, "delay-proxy: no memory for %zu connections\n", room);
            exit(1);
        }
        proxy->heap = grown;
        proxy->heap_room = room;
    }
    heap_put(proxy, proxy->heap_count++, connection);
    heap_up(proxy, connection->heap_at);
}

/* ---- connections ---- */

static void end_connection(struct proxy *proxy, struct connection *connection)
{
    if (connection->over)
        return;
    heap_remove(proxy, connection);
    if (connection->client.fd >= 0)
        close(connection->client.fd);
    if (connection->server.fd >= 0)
        close(connection->server.fd);
    flow_close(&connection->up);
    flow_close(&connection->down);
    connection->over = true;
    connection->next_over = proxy->over;
    proxy->over = connection;
}

static void free_ended(struct proxy *proxy)
{
    while (proxy->over) {
        struct connection *connection = proxy->over;
        proxy->over = connection->next_over;
        free(connection);
    }
}

static bool pump(struct flow *flow, struct peer *from, struct peer *to, uint64_t now)
{
    bool read_more;
    do {
        if (flow_read(flow, from->fd, now, &from->readable) != FLOW_OK)
            return false;
        uint64_t out = flow->out;
        if (flow_write(flow, to->fd, now, &to->writable) != FLOW_OK)
            return false;
        /* What left made room for what the socket still has. */
        read_more = from->readable && !flow->ended && flow->out != out;
    } while (read_more);
    return true;
}

static void serve_connection(struct proxy *proxy, struct connection *connection, uint64_t now)
{
    if (connection->over)
        return;
    if (!pump(&connection->up, &connection->client, &connection->server, now) ||
        !pump(&connection->down, &connection->server, &connection->client, now) ||
        (connection->up.closed && connection->down.closed))
        end_connection(proxy, connection);
    else
        heap_update(proxy, connection);
}

static int watch(struct proxy *proxy, struct peer *peer)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = peer};
    int one = 1;
    if (setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0)
        return -errno;
    return epoll_ctl(proxy->epoll_fd, EPOLL_CTL_ADD, peer->fd, &event) == 0 ? 0 : -errno;
}

static int open_connection(struct proxy *proxy, struct connection *connection, int client_fd)
{
    uint64_t now = now_ns();
    int rc;

    connection->heap_at = NOT_IN_HEAP;
    connection->due_ns = UINT64_MAX;
    connection->client = (struct peer){.connection = connection, .fd = client_fd};
    connection->server = (struct peer){.connection = connection, .fd = -1};
    rc = flow_open(&connection->up, proxy->buffer_bytes, proxy->rtt_ns / 2, now + proxy->rtt_ns);
    if (rc == 0)
        rc = flow_open(&connection->down, proxy->buffer_bytes, proxy->rtt_ns / 2, 0);
    if (rc != 0)
        return rc;
    connection->server.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->server.fd < 0)
        return -errno;
    if (connect(connection->server.fd, (const struct sockaddr *)&proxy->backend,
                sizeof(proxy->backend)) != 0 &&
        errno != EINPROGRESS)
        return -errno;
    rc = watch(proxy, &connection->client);
    return rc == 0 ? watch(proxy, &connection->server) : rc;
}

static void accept_all(struct proxy *proxy)
{
    for (;;) {
        int fd = accept4(proxy->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED))
            return;
        struct connection *connection = fd < 0 ? NULL : calloc(1, sizeof(*connection));
        int rc = fd < 0 ? -errno : connection ? open_connection(proxy, connection, fd) : -ENOMEM;
        /* A lab that loses connections would measure something else. */
        if (rc != 0) {
            fprintf(stderr, "delay-proxy: cannot take a connection: %s\n", strerror(-rc));
            exit(1);
        }
    }
}

/* ---- the loop ---- */

static void on_event(struct proxy *proxy, const struct epoll_event *event)
{
    struct peer *peer = event->data.ptr;
    if (!peer) {
        accept_all(proxy);
        return;
    }
    /* A failed socket says so to whoever reads or writes it. */
    if (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        peer->readable = true;
    if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        peer->writable = true;
    serve_connection(proxy, peer->connection, now_ns());
}

static void serve_due(struct proxy *proxy)
{
    uint64_t now = now_ns();
    while (proxy->heap_count && proxy->heap[0]->due_ns <= now)
        serve_connection(proxy, proxy->heap[0], now);
}

static int wait_for_events(struct proxy *proxy, struct epoll_event *events)
{
    uint64_t now = now_ns();
    uint64_t due = proxy->heap_count ? proxy->heap[0]->due_ns : UINT64_MAX;
    uint64_t left = due > now ? due - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / 1000000000u),
                               .tv_nsec = (long)(left % 1000000000u)};
    return epoll_pwait2(proxy->epoll_fd, events, EVENTS, due == UINT64_MAX ? NULL : &timeout, NULL);
}

static int run(struct proxy *proxy)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int count = wait_for_events(proxy, events);
        if (count < 0 && errno != EINTR) {
            perror("delay-proxy: epoll_pwait2");
            return 1;
        }
        for (int i = 0; i < count; i++)
            on_event(proxy, &events[i]);
        serve_due(proxy);
        free_ended(proxy);
    }
}

static int start(struct proxy *proxy)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    struct rlimit files;
    int one = 1;

    /* The default slack of 50 us would be half of the way for a round trip of 0.2 ms. */
    prctl(PR_SET_TIMERSLACK, 1);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    proxy->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    proxy->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (proxy->epoll_fd < 0 || proxy->listen_fd < 0 ||
        setsockopt(proxy->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(proxy->listen_fd, (const struct sockaddr *)&proxy->listen, sizeof(proxy->listen)) !=
            0 ||
        listen(proxy->listen_fd, SOMAXCONN) != 0 ||
        epoll_ctl(proxy->epoll_fd, EPOLL_CTL_ADD, proxy->listen_fd, &event) != 0)
        return -errno;
    return 0;
}

/* ---- arguments ---- */

static const char help[] =
    "Usage: delay-proxy --rtt MS [--buffer BYTES] LISTEN BACKEND\n"
    "\n"
    "Forwards TCP connections from LISTEN to BACKEND (both ADDRESS:PORT, IPv4) so that the "
    "backend\n"
    "seems to be MS milliseconds of round trip away: each byte leaves half of that after it came, "
    "and\n"
    "what a client sends counts as sent one round trip after it connected at the earliest.\n"
    "There is no slow start, no loss and no limit of bandwidth.\n"
    "\n"
    "  --rtt MS         round trip in milliseconds, for example 20 or 0.2\n"
    "  --buffer BYTES   the most that each direction of a connection holds; default 8388608.\n"
    "                   It bounds a connection's bandwidth to BYTES in each half of the round "
    "trip\n"
    "  --help, --version\n"
    "\n"
    "Runs in the foreground until a signal ends it. Exit status 1 when it cannot go on, 2 for "
    "wrong\n"
    "arguments.\n";

static int parse_address(struct sockaddr_in *address, const char *text)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    char *end;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;

    if (!colon || (size_t)(colon - text) >= sizeof(host) || *end || port == 0 || port > 65535)
        return -EINVAL;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    memset(address, 0, sizeof(*address));
    address->sin_family = AF_INET;
    address->sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, host, &address->sin_addr) == 1 ? 0 : -EINVAL;
}

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "delay-proxy: %s%s; see delay-proxy --help\n", what, value);
    return 2;
}

/* -1 when all is set, else the exit status. */
static int parse(struct proxy *proxy, int argc, char **argv)
{
    static const struct option options[] = {{"rtt", required_argument, NULL, 'r'},
                                            {"buffer", required_argument, NULL, 'b'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {0}};
    double rtt_ms = -1;
    unsigned long long buffer = BUFFER_DEFAULT;
    char *end = NULL;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'r':
            rtt_ms = strtod(optarg, &end);
            if (end == optarg || *end || !(rtt_ms >= 0 && rtt_ms <= RTT_MAX_MS))
                return usage("not a round trip of 0 to 10000 ms: ", optarg);
            break;
        case 'b':
            buffer = strtoull(optarg, &end, 10);
            if (end == optarg || *end || buffer < 4096 || buffer > BUFFER_MAX)
                return usage("not a buffer of 4096 to 1073741824 bytes: ", optarg);
            break;
        case 'h':
            return fputs(help, stdout) < 0;
        case 'V':
            return puts("delay-proxy " DLFUSE_VERSION) < 0;
        default:
            return 2;
        }
    }
    if (rtt_ms < 0 || argc - optind != 2)
        return usage("it wants --rtt MS, LISTEN and BACKEND", "");
    for (int i = 0; i < 2; i++)
        if (parse_address(i ? &proxy->backend : &proxy->listen, argv[optind + i]) != 0)
            return usage("not an ADDRESS:PORT: ", argv[optind + i]);
    proxy->rtt_ns = (uint64_t)(rtt_ms * 1e6);
    proxy->buffer_bytes = buffer;
    return -1;
}

int main(int argc, char **argv)
{
    struct proxy proxy = {0};
    int rc = parse(&proxy, argc, argv);
    if (rc >= 0)
        return rc;
    rc = start(&proxy);
    if (rc != 0) {
        fprintf(stderr, "delay-proxy: %s: %s\n", argv[optind], strerror(-rc));
        return 1;
    }
    return run(&proxy);
}
