/* tools/ctl/main.c - orbitctl: ask, stop and check an Orbit server.
 *
 * What asks a running server speaks the Redis protocol; `verify` and `inspect` read the data folder
 * of a stopped one, on the same runtime as the server. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/commit.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/shards.h"
#include "tools/ctl/stats.h"
#include "tools/ctl/txns.h"

enum { REPLY_BYTES_MAX = 16 << 20, ANSWER_SECONDS_MAX = 10, STOP_SECONDS_MAX = 30 };
enum { STATS_HEADER_EVERY = 20 };

struct ctl_options {
    const char *host, *port, *password_file;
};

static const char usage[] =
    "Usage: orbitctl [--host ADDR] [--port N] [--password-file FILE] COMMAND\n\n"
    "  ping              is the server there?\n"
    "  info [SECTION]    what INFO says (orbit, server, memory, ...)\n"
    "  stats [SECONDS]   levels, caches, waits; with SECONDS what grew, again and again\n"
    "  txns [--json]     open transactions: age, snapshot, writes, locks; what holds old versions\n"
    "  shards [--json]   slots, sizes and load of the shards; how far a move of slots has come\n"
    "  stop              finish what was begun, write out, stop\n"
    "  checkpoint create|drop|export NAME, checkpoint list\n"
    "                    keep this moment of the whole store; export makes it a data folder\n"
    "  verify [--json] DIR   check all of a stopped server's data folder, writing nothing\n"
    "  inspect DIR       levels, sizes, key ranges, checkpoints, logs of a stopped server\n"
    "  inspect table|log|manifest|vlog FILE [--limit N] [--from KEY]\n"
    "                    the records of a file as text\n\n"
    "  --host ADDR       default 127.0.0.1\n"
    "  --port N          default 6379\n"
    "  --password-file FILE   first line: the password of the user default\n"
    "  --help, --version\n\n"
    "Exit status: 0 all is well, 1 the server or the data say no, 2 it could not be found out,\n"
    "64 wrong usage.\n";

/* ---- A running server ---- */

static int
server_connect(const struct ctl_options *options)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct timeval timeout = {.tv_sec = ANSWER_SECONDS_MAX};
    struct addrinfo *found = NULL;
    int fd = -1;
    int error = getaddrinfo(options->host, options->port, &hints, &found);

    if (error != 0) {
        fprintf(stderr, "orbitctl: %s: %s\n", options->host, gai_strerror(error));
        return -1;
    }
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    if (fd < 0) {
        fprintf(stderr, "orbitctl: no server at %s port %s: %s\n", options->host, options->port,
                strerror(errno));
    } else {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    }
    freeaddrinfo(found);
    return fd;
}

/* Sends words as one request. */
static bool
request_send(int fd, const char *const *words, int count)
{
    char request[1024];
    size_t used = (size_t)snprintf(request, sizeof(request), "*%d\r\n", count);

    for (int i = 0; i < count; i++) {
        used += (size_t)snprintf(request + used, sizeof(request) - MIN(used, sizeof(request)),
                                 "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
        if (used >= sizeof(request)) {
            fprintf(stderr, "orbitctl: the command is too long\n");
            return false;
        }
    }
    return send(fd, request, used, MSG_NOSIGNAL) == (ssize_t)used;
}

/* A whole simple, error or bulk reply, without its framing; NULL when the server hung up. The
 * caller frees it. */
static char *
reply_read(int fd, bool *is_error_out)
{
    size_t capacity = 4096, size = 0;
    char *bytes = malloc(capacity + 1);
    char *line_end;

    while (bytes != NULL && size < REPLY_BYTES_MAX) {
        ssize_t got = recv(fd, bytes + size, capacity - size, 0);

        if (got <= 0) {
            break;
        }
        size += (size_t)got;
        bytes[size] = '\0';
        line_end = memmem(bytes, size, "\r\n", 2);
        if (line_end != NULL) {
            size_t header = (size_t)(line_end - bytes) + 2;
            size_t body = bytes[0] == '$' ? (size_t)MAX(strtol(bytes + 1, NULL, 10), 0L) : 0;

            if (bytes[0] != '$') {
                *line_end = '\0';
                *is_error_out = bytes[0] == '-';
                memmove(bytes, bytes + 1, strlen(bytes));
                return bytes;
            }
            if (size >= header + body + 2) {
                memmove(bytes, bytes + header, body);
                bytes[body] = '\0';
                *is_error_out = false;
                return bytes;
            }
        }
        if (size == capacity) {
            char *more = realloc(bytes, capacity * 2 + 1);

            if (more == NULL) {
                break;
            }
            bytes = more;
            capacity *= 2;
        }
    }
    free(bytes);
    return NULL;
}

/* One request and its reply on standard output (unless quiet); the exit status. */
static int
server_ask(int fd, const char *const *words, int count, bool is_quiet)
{
    bool is_error = false;
    char *reply = request_send(fd, words, count) ? reply_read(fd, &is_error) : NULL;

    if (reply == NULL) {
        fprintf(stderr, "orbitctl: no answer within %d seconds\n", ANSWER_SECONDS_MAX);
        return 1;
    }
    if (is_error) {
        fprintf(stderr, "orbitctl: the server says: %s\n", reply);
    } else if (!is_quiet) {
        printf("%s\n", reply);
    }
    free(reply);
    return is_error ? 1 : 0;
}

static int
server_authenticate(int fd, const char *password_file)
{
    char password[512];
    const char *words[] = {"AUTH", password};
    FILE *file;
    bool is_read;

    if (password_file == NULL) {
        return 0;
    }
    file = fopen(password_file, "re");
    is_read = file != NULL && fgets(password, sizeof(password), file) != NULL;
    if (file != NULL) {
        fclose(file);
    }
    if (!is_read) {
        fprintf(stderr, "orbitctl: cannot read a password from %s\n", password_file);
        return 1;
    }
    password[strcspn(password, "\r\n")] = '\0';
    return server_ask(fd, words, 2, true);
}

/* SHUTDOWN answers nothing: the server is gone when it hangs up. */
static int
server_stop(int fd)
{
    const char *words[] = {"SHUTDOWN"};
    struct timeval timeout = {.tv_sec = STOP_SECONDS_MAX};
    bool is_error = false;
    char *reply;

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    if (!request_send(fd, words, 1)) {
        return 1;
    }
    errno = 0;
    reply = reply_read(fd, &is_error);
    if (reply != NULL && is_error) {
        fprintf(stderr, "orbitctl: the server says: %s\n", reply);
    } else if (reply == NULL && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        fprintf(stderr, "orbitctl: the server has not stopped within %d seconds\n",
                STOP_SECONDS_MAX);
        is_error = true;
    }
    free(reply);
    return is_error ? 1 : 0;
}

/* The section orbit of INFO: once as tables, or every so many seconds what grew. */
static int
server_stats(int fd, const char *seconds_text)
{
    const char *words[] = {"INFO", "orbit"};
    long seconds = seconds_text == NULL ? 0 : strtol(seconds_text, NULL, 10);
    bool is_error = false;
    char *before = request_send(fd, words, 2) ? reply_read(fd, &is_error) : NULL;
    unsigned lines = 0;

    if (before == NULL || is_error) {
        fprintf(stderr, "orbitctl: %s\n", before == NULL ? "no answer" : before);
        free(before);
        return 1;
    }
    if (seconds <= 0) {
        stats_print(before);
        free(before);
        return seconds_text == NULL ? 0 : 64;
    }
    for (;; lines++) { /* Until the server goes, or SIGINT comes. */
        char *now;

        sleep((unsigned)seconds);
        now = request_send(fd, words, 2) ? reply_read(fd, &is_error) : NULL;
        if (now == NULL || is_error) {
            fprintf(stderr, "orbitctl: the server has gone\n");
            free(now);
            free(before);
            return 1;
        }
        stats_rates_print(before, now, (double)seconds, lines % STATS_HEADER_EVERY == 0);
        free(before);
        before = now;
    }
}

static int
server_command(const struct ctl_options *options, const char *const *words, int count)
{
    int fd = server_connect(options);
    int status;

    if (fd < 0) {
        return 1;
    }
    status = server_authenticate(fd, options->password_file);
    if (status == 0 && strcmp(words[0], "stop") == 0) {
        status = server_stop(fd);
    } else if (status == 0 && strcmp(words[0], "stats") == 0) {
        status = server_stats(fd, count > 1 ? words[1] : NULL);
    } else if (status == 0) {
        status = server_ask(fd, words, count, false);
    }
    close(fd);
    return status;
}

/* ---- Checkpoints ---- */

enum { CHECKPOINT_FIELDS = 8 }; /* Four names, each followed by its value. */

/* One line a checkpoint out of an array of maps. No value has a line end in it. */
static void
checkpoints_print(char *reply)
{
    char *state = NULL;
    uint32_t field = 0;

    for (char *line = strtok_r(reply, "\r\n", &state); line != NULL;
         line = strtok_r(NULL, "\r\n", &state)) {
        if (line[0] == '*' || line[0] == '%' || line[0] == '$') {
            continue;
        }
        printf(field % 2 == 0 ? "%s=" : "%s", line[0] == ':' ? line + 1 : line);
        field++;
        if (field % 2 == 0) {
            putchar(field % CHECKPOINT_FIELDS == 0 ? '\n' : ' ');
        }
    }
}

/* The whole reply of any kind, with its framing; NULL, and a message, after an error. A PING behind
 * the question marks its end. The caller frees it. */
static char *
array_ask(int fd, const char *const *words, int count, size_t *size_out)
{
    static const char end[] = "+PONG\r\n";
    const char *ping[] = {"PING"};
    char *bytes = calloc(1, REPLY_BYTES_MAX + 1);
    bool is_whole = false;
    size_t size = 0;

    if (bytes != NULL && request_send(fd, words, count) && request_send(fd, ping, 1)) {
        while (size < REPLY_BYTES_MAX && !is_whole) {
            ssize_t got = recv(fd, bytes + size, REPLY_BYTES_MAX - size, 0);

            if (got <= 0) {
                break;
            }
            size += (size_t)got;
            is_whole = size >= sizeof(end) - 1 &&
                       memcmp(bytes + size - sizeof(end) + 1, end, sizeof(end) - 1) == 0;
        }
    }
    if (!is_whole || bytes[0] == '-') {
        fprintf(stderr, "orbitctl: %s\n", !is_whole ? "no answer" : strtok(bytes + 1, "\r\n"));
        free(bytes);
        return NULL;
    }
    *size_out = size - sizeof(end) + 1;
    return bytes;
}

static int
checkpoints_list(int fd)
{
    const char *words[] = {"ORBIT.CHECKPOINT", "LIST"};
    size_t size = 0;
    char *reply = array_ask(fd, words, 2, &size);

    if (reply == NULL) {
        return 1;
    }
    reply[size] = '\0';
    checkpoints_print(reply);
    free(reply);
    return 0;
}

static int
checkpoint_command(const struct ctl_options *options, int count, char **words)
{
    const char *request[] = {"ORBIT.CHECKPOINT", count > 1 ? words[1] : "",
                             count > 2 ? words[2] : ""};
    bool is_list = count == 2 && strcmp(words[1], "list") == 0;
    bool is_named =
        count == 3 && (strcmp(words[1], "create") == 0 || strcmp(words[1], "drop") == 0 ||
                       strcmp(words[1], "export") == 0);
    int status;
    int fd;

    if (!is_list && !is_named) {
        fputs(usage, stderr);
        return CTL_USAGE;
    }
    fd = server_connect(options);
    if (fd < 0) {
        return 1;
    }
    status = server_authenticate(fd, options->password_file);
    if (status == 0) {
        status = is_list ? checkpoints_list(fd) : server_ask(fd, request, 3, false);
    }
    close(fd);
    return status;
}

/* ---- Transactions and shards ---- */

struct table {
    const char *word, *command;
    bool (*print)(const char *reply, size_t size, bool is_json);
};
static const struct table tables[] = {
    {"txns", "ORBIT.TXNS", txns_print},
    {"shards", "ORBIT.SHARDS", shards_print},
};

static int
table_show(int fd, const struct table *table, bool is_json)
{
    const char *words[] = {table->command};
    size_t size = 0;
    char *reply = array_ask(fd, words, 1, &size);
    bool is_fine;

    if (reply == NULL) {
        return 1;
    }
    is_fine = table->print(reply, size, is_json);
    if (!is_fine) {
        fprintf(stderr, "orbitctl: an answer that is no list of %s\n", table->word);
    }
    free(reply);
    return is_fine ? 0 : 1;
}

static int
table_command(const struct ctl_options *options, const struct table *table, int count, char **words)
{
    bool is_json = count == 2 && strcmp(words[1], "--json") == 0;
    int status;
    int fd;

    if (count != 1 && !is_json) {
        fputs(usage, stderr);
        return CTL_USAGE;
    }
    fd = server_connect(options);
    if (fd < 0) {
        return 1;
    }
    status = server_authenticate(fd, options->password_file);
    status = status == 0 ? table_show(fd, table, is_json) : status;
    close(fd);
    return status;
}

/* ---- A stopped server's folder ---- */

static int
verify_command(int count, char **words)
{
    bool is_json = count == 3 && strcmp(words[1], "--json") == 0;

    if (count != (is_json ? 3 : 2) || words[count - 1][0] == '-') {
        fputs(usage, stderr);
        return CTL_USAGE;
    }
    return ctl_verify(words[count - 1], is_json);
}

static bool
is_file_kind(const char *word)
{
    return strcmp(word, "table") == 0 || strcmp(word, "log") == 0 ||
           strcmp(word, "manifest") == 0 || strcmp(word, "vlog") == 0;
}

static int
inspect_command(int count, char **words)
{
    struct inspect_options options = {.limit = UINT64_MAX};
    int at = 1;
    char *end = NULL;

    if (count > 2 && is_file_kind(words[1])) {
        options.what = words[at++];
    }
    options.path = at < count ? words[at++] : NULL;
    for (; at + 1 < count && options.what != NULL; at += 2) {
        if (strcmp(words[at], "--limit") == 0) {
            options.limit = strtoull(words[at + 1], &end, 10);
            if (*end != '\0') {
                break;
            }
        } else if (strcmp(words[at], "--from") == 0) {
            options.from = words[at + 1];
        } else {
            break;
        }
    }
    if (options.path == NULL || at != count) {
        fputs(usage, stderr);
        return CTL_USAGE;
    }
    return ctl_inspect(&options);
}

int
main(int argc, char **argv)
{
    struct ctl_options options = {.host = "127.0.0.1", .port = "6379"};
    const char *words[2] = {NULL, NULL};
    int i = 1;

    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        if (strcmp(argv[i], "--host") == 0) {
            options.host = argv[i + 1];
        } else if (strcmp(argv[i], "--port") == 0) {
            options.port = argv[i + 1];
        } else if (strcmp(argv[i], "--password-file") == 0) {
            options.password_file = argv[i + 1];
        } else {
            break;
        }
    }
    if (i < argc && strcmp(argv[i], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (i < argc && strcmp(argv[i], "--version") == 0) {
        printf("orbitctl %s (%s)\n", PACKAGE_VERSION, orbit_commit());
        return 0;
    }
    if (i < argc && strcmp(argv[i], "checkpoint") == 0) {
        return checkpoint_command(&options, argc - i, argv + i);
    }
    for (size_t t = 0; i < argc && t < ARRAY_COUNT(tables); t++) {
        if (strcmp(argv[i], tables[t].word) == 0) {
            return table_command(&options, &tables[t], argc - i, argv + i);
        }
    }
    if (i < argc && strcmp(argv[i], "verify") == 0) {
        return verify_command(argc - i, argv + i);
    }
    if (i < argc && strcmp(argv[i], "inspect") == 0) {
        return inspect_command(argc - i, argv + i);
    }
    words[0] = i < argc ? argv[i] : "";
    words[1] = i + 1 < argc ? argv[i + 1] : NULL;
    if (argc - i > 2) {
        words[0] = "";
    }
    if ((strcmp(words[0], "ping") == 0 || strcmp(words[0], "stop") == 0) && words[1] == NULL) {
        return server_command(&options, words, 1);
    }
    if (strcmp(words[0], "info") == 0 || strcmp(words[0], "stats") == 0) {
        return server_command(&options, words, words[1] != NULL ? 2 : 1);
    }
    fputs(usage, stderr);
    return 64;
}
