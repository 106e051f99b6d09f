#include "tests/unit/engine/test_uring_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

static struct uring_world world;

static void
init(void)
{
    uring_world_open(&world);
}

static void
fini(void)
{
    uring_world_close(&world);
}

TestSuite(uring_net, .init = init, .fini = fini, .timeout = 60);

/* ---- An echo server with a bounded output. ---- */

enum { OUTPUT_PAUSE_BYTES = 256 * 1024, CLOSE_BYTE = 0xff };

struct echo_server {
    struct io_listener *listener;
    uint32_t accepted;
    uint32_t ended;
    uint32_t failed;
    uint32_t closed;
    uint32_t pauses;
    size_t output_max;
    char peer[64];
    char local[64];
};

struct echo_conn {
    struct echo_server *server;
    struct io_conn *conn;
    struct buf sending;
    struct buf waiting;
    bool is_paused;
    bool has_ended; /* Closes when all is sent. */
    bool is_closing;
};

static void
echo_close(struct echo_conn *echo)
{
    if (!echo->is_closing) {
        echo->is_closing = true;
        io_conn_close(echo->conn);
    }
}

static void
echo_send(struct echo_conn *echo)
{
    struct buf sent = echo->sending;

    if (io_conn_is_sending(echo->conn) || echo->waiting.size == 0) {
        return;
    }
    echo->sending = echo->waiting;
    echo->waiting = sent;
    buf_clear(&echo->waiting);
    io_conn_send(echo->conn, echo->sending.data, echo->sending.size);
}

static void
echo_on_data(void *owner, const uint8_t *data, size_t size)
{
    struct echo_conn *echo = owner;

    cr_assert(!echo->is_closing, "no data after close");
    if (data[0] == CLOSE_BYTE) {
        echo_close(echo);
        return;
    }
    buf_append(&echo->waiting, data, size);
    echo->server->output_max = MAX(echo->server->output_max, echo->waiting.size);
    if (echo->waiting.size > OUTPUT_PAUSE_BYTES && !echo->is_paused) {
        echo->is_paused = true;
        echo->server->pauses++;
        io_conn_pause(echo->conn);
    }
    echo_send(echo);
}

static void
echo_on_sent(void *owner, int result)
{
    struct echo_conn *echo = owner;

    cr_assert(!echo->is_closing, "no callback after close");
    if (result < 0) {
        echo->server->failed++;
        echo_close(echo);
        return;
    }
    echo_send(echo);
    if (echo->has_ended && !io_conn_is_sending(echo->conn)) {
        echo_close(echo);
    } else if (echo->is_paused && echo->waiting.size < OUTPUT_PAUSE_BYTES) {
        echo->is_paused = false;
        io_conn_resume(echo->conn);
    }
}

static void
echo_on_end(void *owner, int result)
{
    struct echo_conn *echo = owner;

    cr_assert(!echo->is_closing, "no callback after close");
    echo->server->ended++;
    echo->server->failed += result < 0;
    echo->has_ended = true;
    if (result < 0 || !io_conn_is_sending(echo->conn)) {
        echo_close(echo);
    }
}

static void
echo_on_closed(void *owner)
{
    struct echo_conn *echo = owner;

    cr_assert(echo->is_closing);
    echo->server->closed++;
    buf_fini(&echo->sending);
    buf_fini(&echo->waiting);
    MEM_FREE(MEM_SESSIONS, echo);
}

static const struct io_conn_handlers echo_handlers = {
    .on_data = echo_on_data,
    .on_sent = echo_on_sent,
    .on_end = echo_on_end,
    .on_closed = echo_on_closed,
};

static void
echo_on_accept(void *owner, struct io_conn *conn)
{
    struct echo_server *server = owner;
    struct echo_conn *echo = MEM_NEW(MEM_SESSIONS, struct echo_conn);

    server->accepted++;
    snprintf(server->peer, sizeof(server->peer), "%s", io_conn_peer(conn));
    snprintf(server->local, sizeof(server->local), "%s", io_conn_local(conn));
    echo->server = server;
    echo->conn = conn;
    buf_init(&echo->sending, MEM_SESSIONS);
    buf_init(&echo->waiting, MEM_SESSIONS);
    io_conn_start(conn, &echo_handlers, echo);
}

/* ---- A client thread beside it. ---- */

struct client {
    struct echo_server server;
    const char *address;
    uint16_t port;
    void (*fn)(struct client *client);
    atomic_bool is_done;
    char failure[128]; /* Checked by the test's thread. */
};

#define CLIENT_CHECK(client, condition)                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            snprintf((client)->failure, sizeof((client)->failure), "line %d: %s, errno %d",        \
                     __LINE__, #condition, errno);                                                 \
            return;                                                                                \
        }                                                                                          \
    } while (0)

static int
client_connect(const struct client *client)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(client->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(client->port)};
    bool is_v6 = strchr(client->address, ':') != NULL;
    struct timeval limit = {.tv_sec = 30};
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, client->address, &v4.sin_addr);
    inet_pton(AF_INET6, client->address, &v6.sin6_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
                is_v6 ? sizeof(v6) : sizeof(v4)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void *
client_main(void *arg)
{
    struct client *client = arg;

    client->fn(client);
    atomic_store(&client->is_done, true);
    return NULL;
}

static bool
all_closed(const struct client *client)
{
    return client->server.closed == client->server.accepted;
}

/* Serves until the client thread has ended and every connection is closed. */
static void
serve(void *arg)
{
    struct client *client = arg;
    pthread_t thread;

    cr_assert_eq(io_listen(client->address, 0, 128, echo_on_accept, &client->server,
                           &client->server.listener),
                 ERR_OK, "%s", err_message(ERR_IO));
    client->port = io_listener_port(client->server.listener);
    cr_assert_gt(client->port, 0);
    cr_assert_eq(pthread_create(&thread, NULL, client_main, client), 0);
    for (uint32_t i = 0; i < 50000 && !(atomic_load(&client->is_done) && all_closed(client)); i++) {
        cr_assert_eq(fiber_sleep_us(1000), ERR_OK);
    }
    io_listener_close(&client->server.listener);
    cr_assert_null(client->server.listener);
    pthread_join(thread, NULL);
    cr_assert_str_empty(client->failure, "%s", client->failure);
}

static void
serve_client(struct client *client, void (*fn)(struct client *client))
{
    if (client->address == NULL) {
        client->address = "127.0.0.1";
    }
    client->fn = fn;
    uring_world_run(&world, serve, client);
    cr_assert(all_closed(client), "%u of %u closed", client->server.closed,
              client->server.accepted);
}

/* ---- Tests. ---- */

enum { CLIENTS = 100, ROUNDS = 200 };

static void
many_small(struct client *client)
{
    int fds[CLIENTS];
    char out[64];
    char in[64];

    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_connect(client);
        CLIENT_CHECK(client, fds[i] >= 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            int size = snprintf(out, sizeof(out), "client %d round %d", i, round);

            CLIENT_CHECK(client, send(fds[i], out, (size_t)size, 0) == size);
        }
        for (int i = 0; i < CLIENTS; i++) {
            int size = snprintf(out, sizeof(out), "client %d round %d", i, round);

            CLIENT_CHECK(client, recv(fds[i], in, (size_t)size, MSG_WAITALL) == size);
            CLIENT_CHECK(client, memcmp(in, out, (size_t)size) == 0);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
}

Test(uring_net, a_hundred_connections_get_their_own_bytes_back)
{
    struct client client = {0};
    struct uring_stats stats;

    serve_client(&client, many_small);
    cr_assert_eq(client.server.accepted, CLIENTS);
    cr_assert_eq(client.server.ended, CLIENTS);
    uring_stats_get(world.io, &stats);
    cr_assert_eq(stats.connections, 0);
}

enum { LARGE_BYTES = 64 << 20 };

static uint8_t
large_byte(size_t at)
{
    return (uint8_t)((at * 7 + (at >> 16)) % 251); /* Never CLOSE_BYTE. */
}

/* Writes without reading until nothing more goes, so that the server has to hold back. */
static void
large_both_ways(struct client *client)
{
    static uint8_t chunk[65536];
    int fd = client_connect(client);
    size_t sent = 0;
    size_t received = 0;
    bool may_read = false;

    CLIENT_CHECK(client, fd >= 0);
    while (received < LARGE_BYTES) {
        struct pollfd events = {.fd = fd, .events = may_read ? POLLIN : 0};
        ssize_t size;

        events.events = (short)(events.events | (sent < LARGE_BYTES ? POLLOUT : 0));
        if (poll(&events, 1, may_read ? 30000 : 200) == 0) {
            CLIENT_CHECK(client, !may_read);
            may_read = true;
        }
        may_read = may_read || sent == LARGE_BYTES;
        if ((events.revents & POLLOUT) != 0) {
            for (size_t i = 0; i < sizeof(chunk); i++) {
                chunk[i] = large_byte(sent + i);
            }
            size = send(fd, chunk, MIN(sizeof(chunk), LARGE_BYTES - sent), MSG_DONTWAIT);
            CLIENT_CHECK(client, size > 0 || errno == EAGAIN);
            sent += size > 0 ? (size_t)size : 0;
        }
        if ((events.revents & POLLIN) != 0) {
            size = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
            CLIENT_CHECK(client, size > 0);
            for (ssize_t i = 0; i < size; i++) {
                CLIENT_CHECK(client, chunk[i] == large_byte(received + (size_t)i));
            }
            received += (size_t)size;
        }
    }
    close(fd);
}

Test(uring_net, a_reader_that_is_slow_makes_the_server_pause_and_loses_nothing)
{
    struct client client = {0};

    serve_client(&client, large_both_ways);
    cr_assert_gt(client.server.pauses, 0);
    /* What one poll's provided buffers may still deliver after the pause. */
    cr_assert_lt(client.server.output_max,
                 OUTPUT_PAUSE_BYTES + 2 * URING_RECV_BUFFERS * URING_RECV_BUFFER_BYTES);
}

/* As `printf ... | nc` does. */
static void
close_one_side(struct client *client)
{
    static uint8_t bytes[1 << 20];
    int fd = client_connect(client);
    size_t received = 0;
    size_t sent = 0;
    ssize_t size = 1;

    CLIENT_CHECK(client, fd >= 0);
    /* More than the server's socket takes, so that a send is in flight when the end comes. */
    while (size > 0) {
        struct pollfd events = {.fd = fd, .events = POLLOUT};

        size = poll(&events, 1, 200) == 0 ? 0 : send(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        sent += size > 0 ? (size_t)size : 0;
    }
    CLIENT_CHECK(client, shutdown(fd, SHUT_WR) == 0);
    while ((size = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        received += (size_t)size;
    }
    CLIENT_CHECK(client, size == 0);
    CLIENT_CHECK(client, received == sent);
    close(fd);
}

Test(uring_net, a_peer_that_closes_its_side_still_gets_all_answers)
{
    struct client client = {0};

    serve_client(&client, close_one_side);
    cr_assert_eq(client.server.ended, 1);
    cr_assert_eq(client.server.failed, 0);
}

static void
leave_abruptly(struct client *client)
{
    static const uint8_t bytes[1 << 20];
    struct linger reset = {.l_onoff = 1, .l_linger = 0};

    for (int i = 0; i < 50; i++) {
        int fd = client_connect(client);

        CLIENT_CHECK(client, fd >= 0);
        (void)!send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (i % 2 == 0) {
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        }
        close(fd);
    }
}

Test(uring_net, a_peer_that_leaves_in_the_middle_ends_its_connection)
{
    struct client client = {0};

    serve_client(&client, leave_abruptly);
    cr_assert_eq(client.server.accepted, 50);
    cr_assert_gt(client.server.failed, 0, "some must have been seen as resets");
}

static void
be_closed(struct client *client)
{
    uint8_t byte = CLOSE_BYTE;
    char in[16];

    for (int i = 0; i < 20; i++) {
        int fd = client_connect(client);

        CLIENT_CHECK(client, fd >= 0);
        CLIENT_CHECK(client, send(fd, "hello", 5, 0) == 5);
        CLIENT_CHECK(client, recv(fd, in, 5, MSG_WAITALL) == 5);
        CLIENT_CHECK(client, send(fd, &byte, 1, 0) == 1);
        CLIENT_CHECK(client, recv(fd, in, sizeof(in), 0) <= 0);
        close(fd);
    }
}

Test(uring_net, the_server_may_close_inside_a_callback)
{
    struct client client = {0};

    serve_client(&client, be_closed);
    cr_assert_eq(client.server.accepted, 20);
    cr_assert_eq(client.server.ended, 0, "no callback follows a close but on_closed");
}

static void
say_hello(struct client *client)
{
    char in[8];
    int fd = client_connect(client);

    CLIENT_CHECK(client, fd >= 0);
    CLIENT_CHECK(client, send(fd, "hello", 5, 0) == 5);
    CLIENT_CHECK(client, recv(fd, in, 5, MSG_WAITALL) == 5);
    close(fd);
}

Test(uring_net, addresses_of_both_ends_are_known)
{
    struct client client = {0};
    char expected[64];

    serve_client(&client, say_hello);
    snprintf(expected, sizeof(expected), "127.0.0.1:%u", client.port);
    cr_assert_str_eq(client.server.local, expected);
    cr_assert_eq(strncmp(client.server.peer, "127.0.0.1:", 10), 0);
}

Test(uring_net, ipv6_works_like_ipv4)
{
    struct client client = {.address = "::1"};
    char expected[64];

    if (uring_port_check("::1", 0) != ERR_OK) {
        cr_skip_test("no IPv6 here");
    }
    serve_client(&client, say_hello);
    snprintf(expected, sizeof(expected), "[::1]:%u", client.port);
    cr_assert_str_eq(client.server.local, expected);
}

static void
listen_errors(void *arg)
{
    struct echo_server *server = arg;
    struct io_listener *second = NULL;
    uint16_t port;

    cr_assert_eq(io_listen("127.0.0.1", 0, 16, echo_on_accept, server, &server->listener), ERR_OK);
    port = io_listener_port(server->listener);
    cr_assert_eq(uring_port_check("127.0.0.1", port), ERR_BUSY);
    cr_assert(strstr(err_message(ERR_BUSY), "127.0.0.1") != NULL);
    /* Another shard of the same process. */
    cr_assert_eq(io_listen("127.0.0.1", port, 16, echo_on_accept, server, &second), ERR_OK);
    io_listener_close(&second);
    io_listener_close(&server->listener);
    cr_assert_neq(io_listen("localhost", 0, 16, echo_on_accept, server, &second), ERR_OK);
    cr_assert_eq(uring_port_check("localhost", 0), ERR_INVALID);
    cr_assert_eq(uring_port_check("192.0.2.1", 0), ERR_IO, "an address of somebody else");
    cr_assert_null(second);
}

Test(uring_net, a_port_in_use_is_told_apart_from_one_shared_by_shards)
{
    struct echo_server server = {0};

    uring_world_run(&world, listen_errors, &server);
}

/* ---- Running out of descriptors. ---- */

enum { CROWD = 40 };

static uint32_t
descriptors_open(void)
{
    uint32_t count = 0;

    for (int fd = 0; fd < 1024; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void
descriptors_run_out(void *arg)
{
    struct echo_server *server = arg;
    struct client client = {.address = "127.0.0.1"};
    struct rlimit limit;
    struct rlimit low;
    int fds[CROWD];

    cr_assert_eq(io_listen("127.0.0.1", 0, 128, echo_on_accept, server, &server->listener), ERR_OK);
    client.port = io_listener_port(server->listener);
    for (int i = 0; i < CROWD; i++) {
        fds[i] = client_connect(&client);
        cr_assert_geq(fds[i], 0);
    }
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = descriptors_open() + 10;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    cr_assert_eq(fiber_sleep_us(30000), ERR_OK);
    cr_assert_lt(server->accepted, CROWD);
    cr_assert_gt(server->accepted, 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 0; i < 5000 && server->accepted < CROWD; i++) {
        cr_assert_eq(fiber_sleep_us(1000), ERR_OK);
    }
    cr_assert_eq(server->accepted, CROWD, "accepting goes on when there is room again");
    for (int i = 0; i < CROWD; i++) {
        close(fds[i]);
    }
    for (int i = 0; i < 5000 && server->closed < CROWD; i++) {
        cr_assert_eq(fiber_sleep_us(1000), ERR_OK);
    }
    cr_assert_eq(server->closed, CROWD);
    io_listener_close(&server->listener);
}

Test(uring_net, accepting_pauses_without_descriptors_and_goes_on_later)
{
    struct echo_server server = {0};

    uring_world_run(&world, descriptors_run_out, &server);
}

/* ---- Leaving with everything open. ---- */

static void
leave_open(void *arg)
{
    struct echo_server *server = arg;
    struct client client = {.address = "127.0.0.1"};
    int fd;

    cr_assert_eq(io_listen("127.0.0.1", 0, 128, echo_on_accept, server, &server->listener), ERR_OK);
    client.port = io_listener_port(server->listener);
    fd = client_connect(&client);
    cr_assert_geq(fd, 0);
    for (int i = 0; i < 5000 && server->accepted == 0; i++) {
        cr_assert_eq(fiber_sleep_us(1000), ERR_OK);
    }
    cr_assert_eq(server->accepted, 1);
    close(fd);
}

static void
ignore_accept(void *owner, struct io_conn *conn)
{
    struct echo_server *server = owner;

    (void)conn;
    server->accepted++;
}

static void
leave_unstarted(void *arg)
{
    struct echo_server *server = arg;
    struct client client = {.address = "127.0.0.1"};

    cr_assert_eq(io_listen("127.0.0.1", 0, 128, ignore_accept, server, &server->listener), ERR_OK);
    client.port = io_listener_port(server->listener);
    close(client_connect(&client));
    for (int i = 0; i < 5000 && server->accepted == 0; i++) {
        cr_assert_eq(fiber_sleep_us(1000), ERR_OK);
    }
}

/* uring_disable, in fini, must bring all to an end; the account's check finds what is left. */
Test(uring_net, a_shard_can_leave_with_a_listener_and_a_new_connection_open)
{
    struct echo_server server = {0};

    uring_world_run(&world, leave_unstarted, &server);
    uring_world_run(&world, leave_open, &(struct echo_server){0});
    for (int i = 0; i < 100; i++) {
        shard_turn(world.shard);
        world.io->ops->wait(world.io, world.io->ops->monotonic_us(world.io) + 1000);
    }
}
