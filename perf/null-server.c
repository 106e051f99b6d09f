/* perf/null-server.c - a RESP server that stores nothing: the ceiling of a comparison.
 *
 * usage: null-server PORT [LOG-FILE]
 *
 * It parses each command, forgets it, and answers what a client waits for. What it reaches is the
 * cost of the socket, the client and the kernel; the distance of a real server to it is the
 * server's own work. With LOG-FILE it writes one block durably (O_DIRECT, O_DSYNC) before the
 * answers of each turn of its loop that carried a write, as group commit does.
 *
 * One thread, epoll, 127.0.0.1. Commands are RESP arrays that fit the connection's buffer; a
 * connection that sends anything else, or does not take its answers, is closed. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX   256
#define INPUT_BYTES  (256 * 1024)
#define OUTPUT_BYTES (256 * 1024)
#define VALUE_BYTES  100
#define BLOCK_BYTES  4096
#define CHUNK_BYTES  (1l << 20)
#define LOG_BYTES    (64 * CHUNK_BYTES) /* Written round and round. */

struct connection {
    int fd;
    bool is_broken;
    size_t input_size;  /* Bytes in input that are not parsed yet. */
    size_t output_size; /* Bytes in output that are not sent yet. */
    char input[INPUT_BYTES];
    char output[OUTPUT_BYTES];
};

/* What is known about a command when its answer is chosen. */
struct command {
    const char *name;
    size_t name_size;
};

static char value_reply[VALUE_BYTES + 16];
static size_t value_reply_size;

static void
die(const char *what)
{
    perror(what);
    exit(1);
}

/* Parses "*N\r\n" or "$N\r\n" at *at. Returns 1 and moves *at behind it, 0 when more bytes are
 * needed, -1 when it is something else. */
static int
parse_count(const char *input, size_t size, size_t *at, char kind, size_t *count)
{
    size_t i = *at;
    size_t number = 0;

    if (i >= size)
        return 0;
    if (input[i] != kind)
        return -1;
    for (i++; i < size && input[i] >= '0' && input[i] <= '9'; i++) {
        number = number * 10 + (size_t)(input[i] - '0');
        if (number > INPUT_BYTES)
            return -1;
    }
    if (i + 2 > size)
        return 0;
    if (input[i] != '\r' || input[i + 1] != '\n')
        return -1;
    *at = i + 2;
    *count = number;
    return 1;
}

/* Finds the end of the command at *at; the same three answers. */
static int
parse_command(const char *input, size_t size, size_t *at, struct command *command)
{
    size_t i = *at;
    size_t arguments;
    size_t bytes;
    int found = parse_count(input, size, &i, '*', &arguments);

    command->name_size = 0;
    for (size_t n = 0; found == 1 && n < arguments; n++) {
        found = parse_count(input, size, &i, '$', &bytes);
        if (found != 1)
            break;
        if (i + bytes + 2 > size)
            return 0;
        if (n == 0) {
            command->name = input + i;
            command->name_size = bytes;
        }
        i += bytes + 2;
    }
    if (found == 1)
        *at = i;
    return found;
}

/* Appends the answer to the command; false when there is no room. */
static bool
answer(struct connection *connection, const struct command *command)
{
    const char *reply = "+OK\r\n";
    size_t size = 5;

    if (command->name_size == 3 && strncasecmp(command->name, "GET", 3) == 0) {
        reply = value_reply;
        size = value_reply_size;
    } else if (command->name_size == 4 && strncasecmp(command->name, "PING", 4) == 0) {
        reply = "+PONG\r\n";
        size = 7;
    } else if (command->name_size == 6 && strncasecmp(command->name, "CONFIG", 6) == 0) {
        reply = "*2\r\n$4\r\nsave\r\n$0\r\n\r\n";
        size = 20;
    }
    if (connection->output_size + size > OUTPUT_BYTES)
        return false;
    memcpy(connection->output + connection->output_size, reply, size);
    connection->output_size += size;
    return true;
}

/* Reads what is there and queues the answers. Returns whether a command was a write. */
static bool
serve(struct connection *connection)
{
    struct command command = {0};
    bool is_write = false;
    size_t at = 0;
    int found;
    ssize_t count = read(connection->fd, connection->input + connection->input_size,
                         INPUT_BYTES - connection->input_size);

    if (count <= 0) {
        connection->is_broken = count == 0 || (errno != EAGAIN && errno != EINTR);
        return false;
    }
    connection->input_size += (size_t)count;
    while ((found = parse_command(connection->input, connection->input_size, &at, &command)) == 1) {
        if (!answer(connection, &command))
            connection->is_broken = true;
        if (command.name_size != 3 || strncasecmp(command.name, "GET", 3) != 0)
            is_write = true;
    }
    if (found < 0 || (at == 0 && connection->input_size == INPUT_BYTES))
        connection->is_broken = true;
    connection->input_size -= at;
    memmove(connection->input, connection->input + at, connection->input_size);
    return is_write;
}

static void
send_answers(struct connection *connection)
{
    size_t sent = 0;

    while (!connection->is_broken && sent < connection->output_size) {
        ssize_t count = send(connection->fd, connection->output + sent,
                             connection->output_size - sent, MSG_NOSIGNAL);

        if (count < 0)
            connection->is_broken = true;
        else
            sent += (size_t)count;
    }
    connection->output_size = 0;
}

static void
accept_all(int listener, int epoll)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        int on = 1;

        if (connection == NULL)
            die("calloc");
        connection->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            die("epoll_ctl");
    }
}

static int
listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        die("socket");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1024) != 0)
        die("listen");
    return fd;
}

/* The log lies on the disk in full before the first write: extending it would cost more. */
static int
open_log(const char *path, void **block)
{
    int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_DSYNC, 0600);

    if (fd < 0)
        die(path);
    if (posix_memalign(block, BLOCK_BYTES, CHUNK_BYTES) != 0)
        die("posix_memalign");
    memset(*block, 0, CHUNK_BYTES);
    for (long at = 0; at < LOG_BYTES; at += CHUNK_BYTES)
        if (pwrite(fd, *block, CHUNK_BYTES, at) != CHUNK_BYTES)
            die("pwrite");
    return fd;
}

static void
write_block(int fd, const void *block)
{
    static long at;

    if (pwrite(fd, block, BLOCK_BYTES, at) != BLOCK_BYTES)
        die("pwrite");
    at = (at + BLOCK_BYTES) % LOG_BYTES;
}

/* One turn of the loop: read from all that are ready, make it durable, answer all. */
static void
turn(int epoll, int listener, int log, const void *block)
{
    struct epoll_event events[EVENTS_MAX];
    bool is_write = false;
    int count = epoll_wait(epoll, events, EVENTS_MAX, -1);

    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == NULL)
            accept_all(listener, epoll);
        else if (serve(events[i].data.ptr))
            is_write = true;
    }
    if (is_write && log >= 0)
        write_block(log, block);
    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;

        if (connection == NULL)
            continue;
        send_answers(connection);
        if (connection->is_broken) {
            close(connection->fd);
            free(connection);
        }
    }
}

int
main(int argc, char **argv)
{
    struct epoll_event event = {.events = EPOLLIN}; /* data.ptr == NULL: the listener. */
    void *block = NULL;
    int log = -1;
    int listener;
    int epoll;

    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: null-server PORT [LOG-FILE]\n");
        return 2;
    }
    value_reply_size = (size_t)sprintf(value_reply, "$%d\r\n%0*d\r\n", VALUE_BYTES, VALUE_BYTES, 7);
    if (argc == 3)
        log = open_log(argv[2], &block);
    listener = listen_on(atoi(argv[1]));
    epoll = epoll_create1(0);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
        die("epoll");
    for (;;)
        turn(epoll, listener, log, block);
}
