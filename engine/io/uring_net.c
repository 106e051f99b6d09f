/* engine/io/uring_net.c - listeners and connections.
 *
 * A connection has at most one receive (multishot, into the shard's provided buffers), one send
 * and one cancellation in flight, and its memory stays until all of them have ended:
 *
 *     accepted --start--> open --close--> closing --nothing in flight--> on_closed, freed
 *                          |                ^
 *                          +--on_end--> ended (no more data; sends go on unless it failed)
 *
 * `wants_recv` is what the owner wants, `has_recv` what the kernel has; whenever a receive ends,
 * the two are compared. on_closed is called by the poll after the last completion, never inside
 * io_conn_close. */
#include "engine/io/uring_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/log.h"

#include "engine/base/poison.h"

enum { RECV_GROUP = 0 };

_Static_assert((URING_RECV_BUFFERS & (URING_RECV_BUFFERS - 1)) == 0, "the kernel wants a power");

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct uring_conn {
    struct io_conn conn; /* First. */
    struct list link;    /* In conns or conns_closed. */
    struct io_conn_handlers handlers;
    void *owner;
    const uint8_t *send_data;
    size_t send_size;
    size_t send_done;
    bool is_started;
    bool wants_recv;
    bool has_recv;
    bool has_cancel;
    bool has_ended;  /* on_end was called. */
    bool has_failed; /* With an error: no callback follows but on_closed. */
    bool is_closing;
};

struct uring_listener {
    struct io_listener listener; /* First. */
    struct list link;            /* In listeners or listeners_closed. */
    void (*on_accept)(void *owner, struct io_conn *conn);
    void *owner;
    struct __kernel_timespec pause;
    bool has_accept;
    bool has_timer;
    bool has_cancel;
    bool is_closing;
    bool warned; /* Of running out of descriptors; said once an episode. */
};

static struct uring *
uring_of_conn(const struct uring_conn *conn)
{
    return uring_of(conn->conn.io);
}

/* ---- Receiving. ---- */

static void
recv_arm(struct uring_conn *conn)
{
    struct io_uring_sqe *sqe = uring_sqe(uring_of_conn(conn));

    ASSERT(!conn->has_recv);
    io_uring_prep_recv_multishot(sqe, conn->conn.fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = RECV_GROUP;
    uring_sqe_tag(sqe, conn, URING_KIND_RECV);
    conn->has_recv = true;
}

static void
recv_cancel(struct uring_conn *conn)
{
    struct io_uring_sqe *sqe;

    if (!conn->has_recv || conn->has_cancel) {
        return;
    }
    sqe = uring_sqe(uring_of_conn(conn));
    io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)conn | URING_KIND_RECV, 0);
    uring_sqe_tag(sqe, conn, URING_KIND_CONN_CANCEL);
    conn->has_cancel = true;
}

static void
recv_buffer_return(struct uring *uring, uint32_t id)
{
    io_uring_buf_ring_add(
        uring->recv_ring, uring->recv_buffers + (size_t)id * URING_RECV_BUFFER_BYTES,
        URING_RECV_BUFFER_BYTES, (uint16_t)id, io_uring_buf_ring_mask(URING_RECV_BUFFERS), 0);
    io_uring_buf_ring_advance(uring->recv_ring, 1);
}

static void
conn_end(struct uring_conn *conn, int result)
{
    if (conn->has_ended || conn->is_closing) {
        return;
    }
    conn->has_ended = true;
    conn->has_failed = result < 0;
    conn->wants_recv = false;
    conn->handlers.on_end(conn->owner, result);
}

static void
recv_completed(struct uring *uring, struct uring_conn *conn, const struct io_uring_cqe *cqe)
{
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        conn->has_recv = false;
    }
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        uint32_t id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

        ASSERT(id < URING_RECV_BUFFERS);
        if (cqe->res > 0 && !conn->is_closing && !conn->has_ended) {
            conn->handlers.on_data(conn->owner,
                                   uring->recv_buffers + (size_t)id * URING_RECV_BUFFER_BYTES,
                                   (size_t)cqe->res);
        }
        recv_buffer_return(uring, id);
    }
    if (conn->has_recv) {
        return;
    }
    if (cqe->res == 0) {
        conn_end(conn, 0);
    } else if (cqe->res == -ENOBUFS) {
        uring->stats.recv_starved++;
    } else if (cqe->res < 0 && cqe->res != -ECANCELED && cqe->res != -EINTR &&
               cqe->res != -EAGAIN) {
        conn_end(conn, cqe->res);
    }
    if (conn->wants_recv && !conn->has_recv) {
        recv_arm(conn);
    }
}

/* ---- Closing. ---- */

static void
conn_maybe_closed(struct uring_conn *conn)
{
    struct uring *uring = uring_of_conn(conn);

    if (conn->is_closing && !conn->has_recv && !conn->has_cancel && !conn->conn.is_sending &&
        conn->conn.fd >= 0) {
        uring_close_fd(uring, conn->conn.fd, false);
        conn->conn.fd = -1;
        list_remove(&conn->link);
        list_push_back(&uring->conns_closed, &conn->link);
    }
}

/* Everything of this descriptor; the cancelled operations still complete. */
static void
conn_cancel_all(struct uring_conn *conn)
{
    struct io_uring_sqe *sqe;

    if (!conn->has_recv && !conn->conn.is_sending) {
        return;
    }
    sqe = uring_sqe(uring_of_conn(conn));
    io_uring_prep_cancel_fd(sqe, conn->conn.fd, IORING_ASYNC_CANCEL_ALL);
    uring_sqe_tag(sqe, conn, URING_KIND_CONN_CANCEL);
    conn->has_cancel = true;
}

static void
cancel_completed(struct uring_conn *conn)
{
    conn->has_cancel = false;
    if (conn->is_closing) {
        /* It ran before something else was submitted, or came at a bad moment: again. */
        conn_cancel_all(conn);
    } else if (!conn->wants_recv) {
        recv_cancel(conn);
    }
}

void
uring_conn_close(struct io_conn *io_conn)
{
    struct uring_conn *conn = (struct uring_conn *)io_conn;

    if (conn->is_closing) {
        return;
    }
    conn->is_closing = true;
    conn->wants_recv = false;
    if (!conn->has_cancel) {
        conn_cancel_all(conn);
    }
    conn_maybe_closed(conn);
}

bool
uring_net_has_closed(const struct uring *uring)
{
    return !list_is_empty(&uring->conns_closed) || !list_is_empty(&uring->listeners_closed);
}

uint32_t
uring_net_reap_closed(struct uring *uring)
{
    struct list *node;
    uint32_t count = 0;

    while ((node = list_pop_front(&uring->conns_closed)) != NULL) {
        struct uring_conn *conn = LIST_ENTRY(node, struct uring_conn, link);

        if (conn->is_started) {
            conn->handlers.on_closed(conn->owner);
        }
        uring->stats.connections--;
        MEM_FREE(MEM_SESSIONS, conn);
        count++;
    }
    while ((node = list_pop_front(&uring->listeners_closed)) != NULL) {
        struct uring_listener *listener = LIST_ENTRY(node, struct uring_listener, link);

        MEM_FREE(MEM_SESSIONS, listener);
    }
    return count;
}

/* ---- Sending. ---- */

static void
send_issue(struct uring_conn *conn)
{
    struct io_uring_sqe *sqe = uring_sqe(uring_of_conn(conn));
    size_t size = MIN(conn->send_size - conn->send_done, (size_t)URING_SEND_BYTES_MAX);

    /* With MSG_WAITALL the kernel waits for room and goes on by itself. */
    io_uring_prep_send(sqe, conn->conn.fd, conn->send_data + conn->send_done, size,
                       MSG_NOSIGNAL | MSG_WAITALL);
    uring_sqe_tag(sqe, conn, URING_KIND_SEND);
    conn->conn.is_sending = true;
}

void
uring_conn_send(struct io_conn *io_conn, const void *data, size_t size)
{
    struct uring_conn *conn = (struct uring_conn *)io_conn;

    ASSERT(conn->is_started);
    ASSERT(!conn->is_closing);
    ASSERT(!io_conn->is_sending);
    ASSERT(size > 0);
    conn->send_data = data;
    conn->send_size = size;
    conn->send_done = 0;
    send_issue(conn);
}

static void
send_completed(struct uring *uring, struct uring_conn *conn, int result)
{
    conn->conn.is_sending = false;
    if (result > 0) {
        conn->send_done += (size_t)result;
    }
    if (conn->is_closing || conn->has_failed) {
        return;
    }
    if (result > 0 && conn->send_done == conn->send_size) {
        conn->handlers.on_sent(conn->owner, 0);
    } else if (result > 0 || result == -EINTR || result == -EAGAIN) {
        uring->stats.short_transfers++;
        send_issue(conn);
    } else {
        conn->handlers.on_sent(conn->owner, result == 0 ? -EPIPE : result);
    }
}

/* ---- Starting, pausing. ---- */

void
uring_conn_start(struct io_conn *io_conn, const struct io_conn_handlers *handlers, void *owner)
{
    struct uring_conn *conn = (struct uring_conn *)io_conn;

    ASSERT(!conn->is_started);
    ASSERT(!conn->is_closing);
    conn->handlers = *handlers;
    conn->owner = owner;
    conn->is_started = true;
    conn->wants_recv = true;
    recv_arm(conn);
}

void
uring_conn_pause(struct io_conn *io_conn)
{
    struct uring_conn *conn = (struct uring_conn *)io_conn;

    if (conn->wants_recv) {
        conn->wants_recv = false;
        recv_cancel(conn);
    }
}

void
uring_conn_resume(struct io_conn *io_conn)
{
    struct uring_conn *conn = (struct uring_conn *)io_conn;

    if (!conn->is_started || conn->is_closing || conn->has_ended || conn->wants_recv) {
        return;
    }
    conn->wants_recv = true;
    /* A receive that is being cancelled is armed again when it has ended. */
    if (!conn->has_recv) {
        recv_arm(conn);
    }
}

/* ---- Listening. ---- */

static bool
address_parse(const char *text, uint16_t port, union address *address, socklen_t *size)
{
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons(port);
        *size = sizeof(address->v4);
        return true;
    }
    if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons(port);
        *size = sizeof(address->v6);
        return true;
    }
    return false;
}

static uint16_t
address_port(const union address *address)
{
    return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
}

static void
address_print(const union address *address, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN] = "?";
    bool is_v6 = address->any.sa_family == AF_INET6;

    inet_ntop(address->any.sa_family,
              is_v6 ? (const void *)&address->v6.sin6_addr : (const void *)&address->v4.sin_addr,
              text, sizeof(text));
    snprintf(out, size, is_v6 ? "[%s]:%u" : "%s:%u", text, address_port(address));
}

/* A bound socket, or a negative errno. */
static int
socket_bind(const char *text, uint16_t port, bool shares_port)
{
    union address address;
    socklen_t size;
    int on = 1;
    int fd;

    if (!address_parse(text, port, &address, &size)) {
        return -EINVAL;
    }
    fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0) {
        return -errno;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (shares_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        (address.any.sa_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
        /* Inherited by the accepted ones. */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        bind(fd, &address.any, size) != 0) {
        int result = -errno;

        close(fd);
        return result;
    }
    return fd;
}

err_t
uring_port_check(const char *address, uint16_t port)
{
    int fd = socket_bind(address, port, false);
    int result = MIN(fd, 0);

    if (fd >= 0) {
        result = listen(fd, 1) == 0 ? 0 : -errno;
        close(fd);
    }
    switch (-result) {
    case 0:
        return ERR_OK;
    case EADDRINUSE:
        return err_set(ERR_BUSY, "%s port %u is in use by another process", address, port);
    case EINVAL:
        return err_set(ERR_INVALID, "'%s' is not a numeric IPv4 or IPv6 address", address);
    case EACCES:
        return err_set(ERR_DENIED,
                       "%s port %u: permission denied (ports below 1024 need a "
                       "privilege)",
                       address, port);
    default:
        return err_set(ERR_IO, "cannot listen on %s port %u: %s", address, port, strerror(-result));
    }
}

static void
accept_arm(struct uring *uring, struct uring_listener *listener)
{
    struct io_uring_sqe *sqe = uring_sqe(uring);

    io_uring_prep_multishot_accept(sqe, listener->listener.fd, NULL, NULL, SOCK_CLOEXEC);
    uring_sqe_tag(sqe, listener, URING_KIND_ACCEPT);
    listener->has_accept = true;
}

static void
accept_pause(struct uring *uring, struct uring_listener *listener, int result)
{
    struct io_uring_sqe *sqe = uring_sqe(uring);

    if (!listener->warned) {
        listener->warned = true;
        LOG_W("port %u: cannot accept connections: %s; trying again every %d ms",
              listener->listener.port, strerror(-result), URING_ACCEPT_PAUSE_US / 1000);
    }
    listener->pause.tv_sec = 0;
    listener->pause.tv_nsec = URING_ACCEPT_PAUSE_US * 1000;
    io_uring_prep_timeout(sqe, &listener->pause, 0, 0);
    uring_sqe_tag(sqe, listener, URING_KIND_LISTENER_TIMER);
    listener->has_timer = true;
}

static void
listener_maybe_closed(struct uring *uring, struct uring_listener *listener)
{
    if (listener->is_closing && !listener->has_accept && !listener->has_timer &&
        !listener->has_cancel && listener->listener.fd >= 0) {
        uring_close_fd(uring, listener->listener.fd, false);
        listener->listener.fd = -1;
        list_remove(&listener->link);
        list_push_back(&uring->listeners_closed, &listener->link);
    }
}

int
uring_listen(struct io *io, const char *address, uint16_t port, int backlog,
             void (*on_accept)(void *owner, struct io_conn *conn), void *owner,
             struct io_listener **listener_out)
{
    struct uring *uring = uring_of(io);
    struct uring_listener *listener;
    union address bound;
    socklen_t size = sizeof(bound);
    int fd = socket_bind(address, port, true);

    if (fd < 0) {
        return fd;
    }
    if (listen(fd, backlog) != 0 || getsockname(fd, &bound.any, &size) != 0) {
        int result = -errno;

        close(fd);
        return result;
    }
    listener = MEM_NEW(MEM_SESSIONS, struct uring_listener);
    listener->listener.io = io;
    listener->listener.fd = fd;
    listener->listener.port = address_port(&bound);
    listener->on_accept = on_accept;
    listener->owner = owner;
    list_push_back(&uring->listeners, &listener->link);
    accept_arm(uring, listener);
    *listener_out = &listener->listener;
    return 0;
}

static void
listener_cancel(struct uring *uring, struct uring_listener *listener)
{
    struct io_uring_sqe *sqe;

    if (!listener->has_accept && !listener->has_timer) {
        return;
    }
    sqe = uring_sqe(uring);
    io_uring_prep_cancel64(
        sqe,
        (uint64_t)(uintptr_t)listener |
            (listener->has_accept ? URING_KIND_ACCEPT : URING_KIND_LISTENER_TIMER),
        0);
    uring_sqe_tag(sqe, listener, URING_KIND_LISTENER_CANCEL);
    listener->has_cancel = true;
}

void
uring_listener_close(struct io *io, struct io_listener *io_listener)
{
    struct uring *uring = uring_of(io);
    struct uring_listener *listener = (struct uring_listener *)io_listener;

    listener->is_closing = true;
    listener_cancel(uring, listener);
    listener_maybe_closed(uring, listener);
}

static void
accepted(struct uring *uring, struct uring_listener *listener, int fd)
{
    struct uring_conn *conn;
    union address address;
    socklen_t size = sizeof(address);

    if (listener->is_closing || uring->stats.connections >= URING_CONNS_MAX) {
        if (!listener->is_closing && !uring->warned_conns) {
            uring->warned_conns = true;
            LOG_W("shard %u has %d connections: further ones are closed", uring->id,
                  URING_CONNS_MAX);
        }
        uring_close_fd(uring, fd, false);
        return;
    }
    conn = MEM_NEW(MEM_SESSIONS, struct uring_conn);
    conn->conn.io = &uring->io;
    conn->conn.fd = fd;
    memset(&address, 0, sizeof(address));
    /* A peer that has gone already is found by the first receive. */
    if (getpeername(fd, &address.any, &size) == 0) {
        address_print(&address, conn->conn.peer, sizeof(conn->conn.peer));
    }
    size = sizeof(address);
    if (getsockname(fd, &address.any, &size) == 0) {
        address_print(&address, conn->conn.local, sizeof(conn->conn.local));
    }
    list_push_back(&uring->conns, &conn->link);
    uring->stats.connections++;
    listener->warned = false;
    listener->on_accept(listener->owner, &conn->conn);
}

static void
accept_completed(struct uring *uring, struct uring_listener *listener,
                 const struct io_uring_cqe *cqe)
{
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        listener->has_accept = false;
    }
    if (cqe->res >= 0) {
        accepted(uring, listener, cqe->res);
    }
    if (listener->has_accept || listener->is_closing) {
        return;
    }
    if (cqe->res == -EMFILE || cqe->res == -ENFILE || cqe->res == -ENOBUFS || cqe->res == -ENOMEM) {
        accept_pause(uring, listener, cqe->res);
    } else if (cqe->res == -EBADF || cqe->res == -EINVAL || cqe->res == -ENOTSOCK) {
        fatal("shard %u: accept on port %u: %s", uring->id, listener->listener.port,
              strerror(-cqe->res));
    } else {
        accept_arm(uring, listener);
    }
}

static void
listener_completed(struct uring *uring, struct uring_listener *listener,
                   const struct io_uring_cqe *cqe)
{
    switch ((enum uring_kind)(cqe->user_data & URING_KIND_MASK)) {
    case URING_KIND_ACCEPT:
        accept_completed(uring, listener, cqe);
        break;
    case URING_KIND_LISTENER_TIMER:
        listener->has_timer = false;
        if (!listener->is_closing) {
            accept_arm(uring, listener);
        }
        break;
    default:
        listener->has_cancel = false;
        listener_cancel(uring, listener);
        break;
    }
    listener_maybe_closed(uring, listener);
}

void
uring_net_completed(struct uring *uring, const struct io_uring_cqe *cqe)
{
    void *object = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)URING_KIND_MASK);

    switch ((enum uring_kind)(cqe->user_data & URING_KIND_MASK)) {
    case URING_KIND_RECV:
        recv_completed(uring, object, cqe);
        break;
    case URING_KIND_SEND:
        send_completed(uring, object, cqe->res);
        break;
    case URING_KIND_CONN_CANCEL:
        cancel_completed(object);
        break;
    case URING_KIND_ACCEPT:
    case URING_KIND_LISTENER_TIMER:
    case URING_KIND_LISTENER_CANCEL:
        listener_completed(uring, object, cqe);
        return;
    default:
        UNREACHABLE();
    }
    conn_maybe_closed(object);
}

/* ---- Start and end. ---- */

err_t
uring_net_setup(struct uring *uring)
{
    struct io_uring_buf_reg registration = {
        .ring_entries = URING_RECV_BUFFERS,
        .bgid = RECV_GROUP,
    };
    int result;

    list_init(&uring->conns);
    list_init(&uring->conns_closed);
    list_init(&uring->listeners);
    list_init(&uring->listeners_closed);
    uring->recv_ring =
        mem_alloc_aligned(MEM_RUNTIME, URING_RECV_BUFFERS * sizeof(struct io_uring_buf));
    uring->recv_buffers =
        mem_alloc_aligned(MEM_RUNTIME, (size_t)URING_RECV_BUFFERS * URING_RECV_BUFFER_BYTES);
    if (uring->recv_buffers == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for the receive buffers");
    }
    memset(uring->recv_ring, 0, URING_RECV_BUFFERS * sizeof(struct io_uring_buf));
    registration.ring_addr = (uint64_t)(uintptr_t)uring->recv_ring;
    result = io_uring_register_buf_ring(&uring->ring, &registration, 0);
    if (result < 0) {
        return uring_kernel_refusal("io_uring_register of the receive buffers", result);
    }
    for (uint32_t id = 0; id < URING_RECV_BUFFERS; id++) {
        recv_buffer_return(uring, id);
    }
    return ERR_OK;
}

bool
uring_net_is_idle(const struct uring *uring)
{
    return list_is_empty(&uring->conns) && list_is_empty(&uring->listeners) &&
           !uring_net_has_closed(uring);
}

void
uring_net_shutdown(struct uring *uring)
{
    LIST_FOR_EACH_SAFE(node, &uring->listeners) {
        struct uring_listener *listener = LIST_ENTRY(node, struct uring_listener, link);

        if (!listener->is_closing) {
            uring_listener_close(&uring->io, &listener->listener);
        }
    }
    LIST_FOR_EACH_SAFE(node, &uring->conns) {
        struct uring_conn *conn = LIST_ENTRY(node, struct uring_conn, link);

        conn->is_started = false;
        uring_conn_close(&conn->conn);
    }
}

void
uring_net_teardown(struct uring *uring)
{
    if (uring->recv_ring != NULL) {
        mem_free_aligned(MEM_RUNTIME, uring->recv_ring,
                         URING_RECV_BUFFERS * sizeof(struct io_uring_buf));
    }
    if (uring->recv_buffers != NULL) {
        mem_free_aligned(MEM_RUNTIME, uring->recv_buffers,
                         (size_t)URING_RECV_BUFFERS * URING_RECV_BUFFER_BYTES);
    }
}
