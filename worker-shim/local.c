/* SPDX-License-Identifier: MPL-2.0 */
#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include "bus/base.h"
#include "bus/proc.h"

enum { MAX_QUEUED = 64, READS_A_TURN = 16, MAX_PEERS = 4096, BACKLOG = 1024 };

struct packet {
    struct packet *next;
    size_t size;
    uint8_t data[];
};

struct peer {
    struct local *local;
    uint64_t number;
    int fd;
    struct who who;
    struct packet *first, **last; // not yet written
    unsigned queued;
    bool ending; // close when written
    bool dead;   // freed at the end of its handler
};

struct local {
    struct reactor *reactor;
    char *path;
    struct stat file; // what was bound there
    int fd;
    int spare; // given up to turn somebody away when descriptors run out
    local_packet_fn *packet;
    local_gone_fn *gone;
    void *arg;
    struct peer **peers;
    size_t count, room, most;
    uint64_t numbers;
    struct peer *current; // whose handler runs
    uint8_t buffer[LOCAL_PACKET_BYTES + 1];
};

static int address_of (const char *path, struct sockaddr_un *ret_address)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen (path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy (address.sun_path, path);
    *ret_address = address;
    return 0;
}

static struct peer *find (const struct local *l, uint64_t number)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->peers[i]->number == number)
            return l->peers[i];
    return NULL;
}

static void forget (struct local *l, const struct peer *p)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->peers[i] == p) {
            l->peers[i] = l->peers[--l->count];
            return;
        }
}

static void free_peer (struct peer *p)
{
    while (p->first) {
        struct packet *next = p->first->next;

        free (p->first);
        p->first = next;
    }
    free (p);
}

/* Ends it. Its handler may be running: then that frees it. */
static void drop (struct peer *p, bool tell)
{
    struct local *l = p->local;
    uint64_t number = p->number;

    if (p->dead)
        return;
    p->dead = true;
    reactor_remove_fd (l->reactor, p->fd);
    close (p->fd);
    forget (l, p);
    if (p != l->current)
        free_peer (p);
    if (tell)
        l->gone (l->arg, number);
}

/* ---- writing ---- */

/* 0 written, 1 would block, -1 broken. */
static int put (int fd, const void *data, size_t size)
{
    ssize_t n;

    do
        n = send (fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return 0;
    return errno == EAGAIN || errno == ENOBUFS ? 1 : -1;
}

static void enqueue (struct peer *p, const void *data, size_t size)
{
    struct packet *packet = xmalloc (sizeof *packet + size);

    packet->next = NULL;
    packet->size = size;
    memcpy (packet->data, data, size);
    *p->last = packet;
    p->last = &packet->next;
    p->queued++;
    reactor_change_fd (p->local->reactor, p->fd, ZMQ_POLLIN | ZMQ_POLLOUT);
}

static int write_queue (struct peer *p)
{
    while (p->first) {
        struct packet *packet = p->first;
        int rc = put (p->fd, packet->data, packet->size);

        if (rc)
            return rc;
        p->first = packet->next;
        if (!p->first)
            p->last = &p->first;
        p->queued--;
        free (packet);
    }
    reactor_change_fd (p->local->reactor, p->fd, ZMQ_POLLIN);
    return 0;
}

/* A broken stream is not dropped here: the caller may be in the middle of
 * something. Its end is read in the next turn. */
void local_send (struct local *l, uint64_t peer, const void *data, size_t size,
                 bool news)
{
    struct peer *p = find (l, peer);
    int rc;

    if (!p || p->ending)
        return;
    rc = p->first ? 1 : put (p->fd, data, size);
    if (rc <= 0 || (news && p->queued > 0))
        return;
    if (p->queued < MAX_QUEUED)
        enqueue (p, data, size);
    else
        shutdown (p->fd, SHUT_RDWR);
}

void local_hang_up (struct local *l, uint64_t peer)
{
    struct peer *p = find (l, peer);

    if (p && p->first)
        p->ending = true;
    else if (p)
        drop (p, false);
}

/* ---- reading ---- */

/* 1 one packet, 0 nothing now, -1 it is to be ended. */
static int read_packet (struct peer *p)
{
    struct local *l = p->local;
    ssize_t n = recv (p->fd, l->buffer, sizeof l->buffer, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0 || n > LOCAL_PACKET_BYTES)
        return -1;
    if (p->ending)
        return 1;
    return l->packet (l->arg, p->number, p->who, l->buffer, (size_t) n) ? -1
                                                                        : 1;
}

static int serve (struct peer *p, short events)
{
    int rc = 1;

    if ((events & ZMQ_POLLOUT) && write_queue (p) < 0)
        return -1;
    if (p->ending && !p->first)
        return -1;
    if (!(events & (ZMQ_POLLIN | ZMQ_POLLERR)))
        return 0;
    for (int i = 0; i < READS_A_TURN && rc > 0 && !p->dead; i++)
        rc = read_packet (p);
    return rc < 0 ? -1 : 0;
}

static void on_peer (void *arg, short events)
{
    struct peer *p = arg;
    struct local *l = p->local;

    l->current = p;
    if (serve (p, events) < 0)
        drop (p, !p->ending);
    l->current = NULL;
    if (p->dead)
        free_peer (p);
}

/* ---- who comes in ---- */

static int identify (int fd, struct who *ret_who)
{
    struct ucred cred;
    socklen_t size = sizeof cred;
    int64_t start;

    if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &cred, &size))
        return -1;
    if (cred.uid != geteuid ())
        return -1;
    // 0: of another pid namespace; gone already: the stream's end says so
    start = cred.pid > 0 ? proc_start (cred.pid) : 0;
    *ret_who = (struct who){cred.pid, start < 0 ? 0 : start};
    return 0;
}

static void add_peer (struct local *l, int fd, struct who who)
{
    struct peer *p = xcalloc (1, sizeof *p);

    p->local = l;
    p->number = ++l->numbers;
    p->fd = fd;
    p->who = who;
    p->last = &p->first;
    if (l->count == l->room) {
        l->room = l->room ? 2 * l->room : 16;
        l->peers = xrealloc (l->peers, l->room * sizeof *l->peers);
    }
    l->peers[l->count++] = p;
    reactor_add_fd (l->reactor, fd, ZMQ_POLLIN, on_peer, p);
}

/* No descriptor is left: the one who waits would wait, and we would spin. */
static void turn_away (struct local *l)
{
    int fd;

    close (l->spare);
    fd = accept4 (l->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close (fd);
    l->spare = open ("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_listener (void *arg, short events)
{
    struct local *l = arg;
    struct who who;
    int fd = accept4 (l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void) events;
    if (fd < 0 && (errno == EMFILE || errno == ENFILE))
        turn_away (l);
    if (fd < 0)
        return;
    if (l->count >= l->most || identify (fd, &who))
        close (fd);
    else
        add_peer (l, fd, who);
}

/* A third of the descriptors is for commands, one for keepers, and one for
 * what a shim cannot do without: without it, it would have to end. */
static size_t most_peers (void)
{
    struct rlimit limit;

    if (getrlimit (RLIMIT_NOFILE, &limit) || limit.rlim_cur / 3 > MAX_PEERS)
        return MAX_PEERS;
    return limit.rlim_cur / 3;
}

static int open_listener (const char *path)
{
    struct sockaddr_un address;
    mode_t mask;
    int fd, rc;

    if (address_of (path, &address))
        return -1;
    fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    unlink (path);
    mask = umask (0177);
    rc = bind (fd, (struct sockaddr *) &address, sizeof address);
    umask (mask);
    if (rc == 0 && listen (fd, BACKLOG) == 0)
        return fd;
    rc = errno;
    close (fd);
    errno = rc;
    return -1;
}

struct local *local_listen (struct reactor *r, const char *path,
                            local_packet_fn *packet, local_gone_fn *gone,
                            void *arg)
{
    int fd = open_listener (path);
    struct local *l;

    if (fd < 0)
        return NULL;
    l = xcalloc (1, sizeof *l);
    l->reactor = r;
    l->path = xstrdup (path);
    l->fd = fd;
    l->most = most_peers ();
    (void) !stat (path, &l->file);
    l->spare = open ("/dev/null", O_RDONLY | O_CLOEXEC);
    l->packet = packet;
    l->gone = gone;
    l->arg = arg;
    reactor_add_fd (r, fd, ZMQ_POLLIN, on_listener, l);
    return l;
}

/* Where the folder was removed it may be a successor's by now. */
static void remove_file (const struct local *l)
{
    struct stat now;

    if (stat (l->path, &now) == 0 && now.st_dev == l->file.st_dev &&
        now.st_ino == l->file.st_ino)
        unlink (l->path);
}

void local_destroy (struct local *l)
{
    int error = errno;

    if (!l)
        return;
    while (l->count > 0)
        drop (l->peers[0], false);
    reactor_remove_fd (l->reactor, l->fd);
    remove_file (l);
    close (l->fd);
    if (l->spare >= 0)
        close (l->spare);
    free (l->peers);
    free (l->path);
    free (l);
    errno = error;
}

struct who local_who (const struct local *l, uint64_t peer)
{
    const struct peer *p = find (l, peer);

    return p ? p->who : (struct who){0};
}

size_t local_count (const struct local *l)
{
    return l->count;
}

/* ---- messages ---- */

size_t local_pack (enum verb verb, const void *fields,
                   uint8_t ret_packet[LOCAL_PACKET_BYTES])
{
    size_t size = codec_encode (verb, fields, ret_packet + 4, MAX_BODY_BYTES);

    if (size == 0)
        return 0;
    memcpy (ret_packet, PROTOCOL_MAGIC, 4);
    return size + 4;
}

int local_unpack (const void *packet, size_t size, struct msg *ret_msg,
                  struct codec_error *ret_error)
{
    const uint8_t *bytes = packet;

    memset (ret_error, 0, sizeof *ret_error);
    if (size < 4 || memcmp (bytes, PROTOCOL_MAGIC, 4) != 0)
        return -1;
    return codec_decode (bytes + 4, size - 4, ret_msg, ret_error) ? -1 : 0;
}

/* ---- a command's side ---- */

int local_connect (const char *path)
{
    struct sockaddr_un address;
    int fd, rc;

    if (address_of (path, &address))
        return -1;
    fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    do
        rc = connect (fd, (struct sockaddr *) &address, sizeof address);
    while (rc < 0 && errno == EINTR);
    if (rc == 0)
        return fd;
    rc = errno;
    close (fd);
    errno = rc;
    return -1;
}

static uint8_t packet[LOCAL_PACKET_BYTES + 1]; // a command has one thread

int local_tell (int fd, enum verb verb, const void *fields)
{
    size_t size = local_pack (verb, fields, packet);
    ssize_t n;

    if (size == 0) {
        errno = EMSGSIZE;
        return -1;
    }
    do
        n = send (fd, packet, size, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : 0;
}

static int wait_readable (int fd, int64_t deadline)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = deadline < 0 ? -1 : deadline - clock_monotonic_ms ();
        int rc;

        if (deadline >= 0 && left < 0)
            left = 0;
        rc = poll (&p, 1, left > 3600000 ? 3600000 : (int) left);
        if (rc > 0)
            return 1;
        if (rc < 0 && errno != EINTR)
            return -1;
        if (rc == 0 && deadline >= 0 && clock_monotonic_ms () >= deadline) {
            errno = ETIMEDOUT;
            return 0;
        }
    }
}

int local_hear (int fd, int64_t deadline, struct msg *ret_msg)
{
    struct codec_error error;
    int rc = wait_readable (fd, deadline);
    ssize_t n;

    if (rc <= 0)
        return rc;
    do
        n = recv (fd, packet, sizeof packet, 0);
    while (n < 0 && errno == EINTR);
    if (n == 0 || (n < 0 && errno == ECONNRESET)) {
        errno = 0;
        return 0;
    }
    if (n < 0)
        return -1;
    if (local_unpack (packet, (size_t) n, ret_msg, &error)) {
        errno = EPROTO;
        return -1;
    }
    return 1;
}
