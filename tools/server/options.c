/* tools/server/options.c - one table says of each key how it is written, read and explained. */
#include "tools/server/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/commit.h"
#include "engine/io/runtime.h"
#include "net/config.h"

#define ORBIT_VERSION_TEXT PACKAGE_VERSION

#define SHARD_MEMORY_MIN (UINT64_C(64) << 20)

struct option_row {
    const char *key;
    const char *argument; /* NULL: a switch. */
    const char *help;
    err_t (*set)(struct options *options, const char *value);
};

static err_t
number_set(const char *value, uint64_t min, uint64_t max, const char *what, uint64_t *out)
{
    char *end = NULL;
    unsigned long long number;

    errno = 0;
    number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || number < min ||
        number > max) {
        return err_set(ERR_INVALID, "%s must be a number from %llu to %llu, not \"%s\"", what,
                       (unsigned long long)min, (unsigned long long)max, value);
    }
    *out = number;
    return ERR_OK;
}

static err_t
text_set(char *out, size_t size, const char *value, const char *what)
{
    if (value[0] == '\0' || strlen(value) >= size) {
        return err_set(ERR_INVALID, "%s must have 1 to %zu characters", what, size - 1);
    }
    memcpy(out, value, strlen(value) + 1);
    return ERR_OK;
}

err_t
options_parse_size(const char *text, uint64_t *bytes_out)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    unsigned long long number;
    const char *unit;
    uint64_t bytes;

    errno = 0;
    number = strtoull(text, &end, 10);
    bytes = number;
    if (text[0] < '0' || text[0] > '9' || errno != 0) {
        return err_set(ERR_INVALID, "a size is a number with K, M, G or T, not \"%s\"", text);
    }
    if (*end != '\0') {
        unit = strchr(units, *end & ~0x20);
        if (unit == NULL ||
            (end[1] != '\0' && strcasecmp(end + 1, "b") != 0 && strcasecmp(end + 1, "ib") != 0)) {
            return err_set(ERR_INVALID, "a size is a number with K, M, G or T, not \"%s\"", text);
        }
        if (__builtin_mul_overflow(bytes, UINT64_C(1) << (10 * (unit - units + 1)), &bytes)) {
            return err_set(ERR_INVALID, "the size \"%s\" is too large", text);
        }
    }
    *bytes_out = bytes;
    return ERR_OK;
}

static err_t
set_config(struct options *options, const char *value)
{
    return text_set(options->config_file, sizeof(options->config_file), value, "config");
}

static err_t
set_data_dir(struct options *options, const char *value)
{
    return text_set(options->data_dir, sizeof(options->data_dir), value, "data-dir");
}

static err_t
set_shards(struct options *options, const char *value)
{
    uint64_t shards;
    err_t err = number_set(value, 1, SHARDS_MAX, "shards", &shards);

    if (err == ERR_OK) {
        options->server.shards = (uint32_t)shards;
    }
    return err;
}

static err_t
set_bind(struct options *options, const char *value)
{
    struct in6_addr address;

    if (inet_pton(AF_INET, value, &address) != 1 && inet_pton(AF_INET6, value, &address) != 1) {
        return err_set(ERR_INVALID, "bind takes a numeric IPv4 or IPv6 address, not \"%s\"", value);
    }
    return text_set(options->bind_address, sizeof(options->bind_address), value, "bind");
}

static err_t
set_redis_port(struct options *options, const char *value)
{
    uint64_t port;
    err_t err = number_set(value, 0, UINT16_MAX, "redis-port", &port);

    if (err == ERR_OK) {
        options->server.redis_port = (uint16_t)port;
    }
    return err;
}

/* The port of shard 0; "auto": the ports behind that of the Redis protocol. */
static err_t
set_cluster_ports(struct options *options, const char *value)
{
    uint64_t port = 0;
    err_t err = ERR_OK;

    options->cluster_is_auto = strcmp(value, "auto") == 0;
    if (!options->cluster_is_auto) {
        err = number_set(value, 1, UINT16_MAX, "cluster-ports", &port);
    }
    if (err == ERR_OK) {
        options->server.cluster_port = (uint16_t)port;
    }
    return err;
}

static err_t
set_postgres_port(struct options *options, const char *value)
{
    uint64_t port;
    err_t err = number_set(value, 0, UINT16_MAX, "postgres-port", &port);

    if (err == ERR_OK) {
        options->server.postgres_port = (uint16_t)port;
    }
    return err;
}

static err_t
set_memory(struct options *options, const char *value)
{
    uint64_t bytes;
    err_t err = options_parse_size(value, &bytes);

    if (err != ERR_OK) {
        return err_context(err, "memory");
    }
    if (bytes < SERVER_MEMORY_MIN) {
        return err_set(ERR_INVALID, "memory must be at least %d MiB", SERVER_MEMORY_MIN >> 20);
    }
    options->server.memory_bytes = bytes;
    return ERR_OK;
}

static err_t
set_durability(struct options *options, const char *value)
{
    uint64_t interval_ms = 0;
    err_t err = ERR_OK;

    if (strcmp(value, "sync") == 0) {
        options->server.durability = WAL_SYNC;
    } else if (strcmp(value, "none") == 0) {
        options->server.durability = WAL_NONE;
    } else if (strncmp(value, "interval:", 9) == 0) {
        err = number_set(value + 9, 1, 60000, "the milliseconds of durability interval",
                         &interval_ms);
        options->server.durability = WAL_INTERVAL;
    } else {
        err = err_set(ERR_INVALID, "durability is sync, interval:MS or none, not \"%s\"", value);
    }
    options->server.interval_us = interval_ms * 1000;
    return err;
}

static err_t
set_retention(struct options *options, const char *value)
{
    uint64_t seconds = 0;
    err_t err = number_set(value, 0, CONFIG_RETENTION_S_MAX, "retention", &seconds);

    options->server.retention_us = seconds * 1000000;
    return err;
}

static err_t
set_retention_bytes(struct options *options, const char *value)
{
    err_t err = options_parse_size(value, &options->server.retention_bytes);

    return err == ERR_OK ? ERR_OK : err_context(err, "retention-bytes");
}

static err_t
set_log_level(struct options *options, const char *value)
{
    if (!log_level_parse(value, &options->log_level)) {
        return err_set(ERR_INVALID, "log-level is debug, info, warning, error or off, not \"%s\"",
                       value);
    }
    return ERR_OK;
}

static err_t
set_dev_mode(struct options *options, const char *value)
{
    if (value == NULL || strcmp(value, "yes") == 0) {
        options->server.dev_mode = true;
    } else if (strcmp(value, "no") == 0) {
        options->server.dev_mode = false;
    } else {
        return err_set(ERR_INVALID, "dev-mode is yes or no, not \"%s\"", value);
    }
    return ERR_OK;
}

static err_t
set_cpus(struct options *options, const char *value)
{
    return runtime_cpus_parse(value, options->cpus, SERVER_CPUS_MAX, &options->cpu_count);
}

static err_t
set_copy_dir(struct options *options, const char *value)
{
    if (value[0] != '/') {
        return err_set(ERR_INVALID, "copy-dir: \"%s\" is not an absolute path", value);
    }
    return text_set(options->copy_dir, sizeof(options->copy_dir), value, "copy-dir");
}

static err_t
set_password_file(struct options *options, const char *value)
{
    return text_set(options->password_file, sizeof(options->password_file), value, "password-file");
}

static const struct option_row option_rows[] = {
    {"config", "FILE", "read FILE first: \"key = value\" lines with the names of these flags",
     set_config},
    {"copy-dir", "DIR", "folder of files that COPY of superusers may read and write (none)",
     set_copy_dir},
    {"data-dir", "DIR", "folder of the data, made if missing (./orbit-data)", set_data_dir},
    {"shards", "N", "shards, each with a thread and a log of its own (one a processor)",
     set_shards},
    {"bind", "ADDR", "numeric address to listen on (127.0.0.1)", set_bind},
    {"postgres-port", "N", "port of the PostgreSQL protocol; 0, the default, turns it off",
     set_postgres_port},
    {"redis-port", "N", "port of the Redis protocol (6379); 0 turns it off", set_redis_port},
    {"cluster-ports", "N|auto",
     "a port for each shard from N on (auto: behind redis-port), for cluster clients",
     set_cluster_ports},
    {"memory", "SIZE", "memory for memtables, caches and sessions, as 512M or 8G (1G)", set_memory},
    {"durability", "LEVEL", "when writes are answered: sync, interval:MS or none (sync)",
     set_durability},
    {"retention", "SECONDS", "history kept for reads in the past and change feeds (0)",
     set_retention},
    {"retention-bytes", "SIZE", "of the logs together; beyond it the oldest history goes (10G)",
     set_retention_bytes},
    {"log-level", "L", "debug, info, warning, error or off (info)", set_log_level},
    {"cpus", "LIST", "pin shards to processors, as 0-3,6; all or none (all)", set_cpus},
    {"password-file", "FILE",
     "first line: the password of the user default; needed to bind "
     "beyond loopback",
     set_password_file},
    {"dev-mode", NULL, "for development: no password, DEBUG allowed, loopback only", set_dev_mode},
};

static const struct option_row *
row_find(const char *key, size_t size)
{
    for (size_t i = 0; i < ARRAY_COUNT(option_rows); i++) {
        if (strlen(option_rows[i].key) == size && strncmp(option_rows[i].key, key, size) == 0) {
            return &option_rows[i];
        }
    }
    return NULL;
}

static _Noreturn void
help_print(void)
{
    printf("Usage: orbit-server [--FLAG VALUE ...]\n\n"
           "A database server: Redis protocol, durable, sharded.\n\n");
    for (size_t i = 0; i < ARRAY_COUNT(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        char flag[64];

        snprintf(flag, sizeof(flag), "--%s %s", row->key, row->argument ? row->argument : "");
        printf("  %-24s %s\n", flag, row->help);
    }
    printf("  %-24s %s\n  %-24s %s\n\n", "--help", "print this", "--version",
           "print version and commit");
    printf("In the file of --config the same keys stand without dashes; flags win over it.\n"
           "SIGTERM and SIGINT: finish what was begun, write out, exit with 0.\n"
           "Exit status: 64 wrong flag or key, 65 damaged or foreign data, 66 unreadable file,\n"
           "69 port taken, 71 the kernel refuses, 73 no data folder, 74 I/O error, 75 data folder\n"
           "in use, 77 unsafe bind. Manual: orbit-server(1).\n");
    exit(EXIT_OK);
}

static _Noreturn void
version_print(void)
{
    printf("orbit-server %s (%s)\n", ORBIT_VERSION_TEXT, orbit_commit());
    exit(EXIT_OK);
}

/* Takes --key value, --key=value and switches; only_config: nothing but --config is applied, so
 * that the file can be read before the other flags override it. */
static err_t
flags_parse(int argc, char **argv, bool only_config, struct options *options)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        const char *equals = strchr(word, '=');
        size_t size = equals != NULL ? (size_t)(equals - word) : strlen(word);
        const struct option_row *row;
        const char *value = equals != NULL ? equals + 1 : NULL;
        err_t err;

        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            help_print();
        }
        if (strcmp(word, "--version") == 0) {
            version_print();
        }
        row = size > 2 && strncmp(word, "--", 2) == 0 ? row_find(word + 2, size - 2) : NULL;
        if (row == NULL) {
            return err_set(ERR_INVALID, "unknown flag \"%s\"; --help lists them", word);
        }
        if (row->argument != NULL && value == NULL) {
            if (i + 1 == argc) {
                return err_set(ERR_INVALID, "--%s needs a value: %s", row->key, row->argument);
            }
            value = argv[++i];
        }
        if (only_config != (row->set == set_config)) {
            continue;
        }
        err = row->set(options, value);
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

struct file_parse {
    struct options *options;
    err_t err;
};

static int
file_line(void *user, const char *section, const char *name, const char *value)
{
    struct file_parse *parse = user;
    const struct option_row *row = row_find(name, strlen(name));

    if (parse->err != ERR_OK) {
        return 0;
    }
    if (section[0] != '\0') {
        parse->err = err_set(ERR_INVALID, "there are no sections in orbit.conf: [%s]", section);
    } else if (row == NULL || row->set == set_config) {
        parse->err = err_set(ERR_INVALID, "unknown key \"%s\"", name);
    } else {
        parse->err = row->set(parse->options, value);
    }
    return parse->err == ERR_OK;
}

static err_t
file_read(const char *path, struct options *options)
{
    struct file_parse parse = {.options = options, .err = ERR_OK};
    int line = ini_parse(path, file_line, &parse);

    if (line < 0) {
        return err_set(ERR_NOT_FOUND, "cannot read the configuration file %s: %s", path,
                       strerror(errno));
    }
    if (parse.err != ERR_OK) {
        return line > 0 ? err_context(parse.err, "%s, line %d", path, line) : parse.err;
    }
    if (line > 0) {
        return err_set(ERR_INVALID, "%s, line %d: not of the form key = value", path, line);
    }
    return ERR_OK;
}

static err_t
password_read(struct options *options)
{
    FILE *file;
    size_t size;

    if (options->password_file[0] == '\0') {
        return ERR_OK;
    }
    file = fopen(options->password_file, "re");
    if (file == NULL || fgets(options->password, sizeof(options->password), file) == NULL) {
        int error = errno;

        if (file != NULL) {
            fclose(file);
        }
        return err_set(ERR_NOT_FOUND, "cannot read a password from %s: %s", options->password_file,
                       file != NULL ? "it is empty" : strerror(error));
    }
    fclose(file);
    size = strcspn(options->password, "\r\n");
    options->password[size] = '\0';
    if (size == 0) {
        return err_set(ERR_INVALID, "the first line of %s is empty", options->password_file);
    }
    return ERR_OK;
}

static bool
is_loopback(const char *address)
{
    struct in_addr four;
    struct in6_addr six;

    if (inet_pton(AF_INET, address, &four) == 1) {
        return (ntohl(four.s_addr) >> 24) == 127;
    }
    return inet_pton(AF_INET6, address, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static err_t
combination_check(const struct options *options)
{
    bool local = is_loopback(options->bind_address);

    if (options->server.dev_mode && !local) {
        return err_set(ERR_DENIED, "--dev-mode serves loopback addresses only, not %s",
                       options->bind_address);
    }
    if (options->server.dev_mode && options->password[0] != '\0') {
        return err_set(ERR_INVALID, "--dev-mode has no passwords: leave out --password-file");
    }
    if (!local && options->password[0] == '\0' && options->server.redis_port != 0) {
        return err_set(ERR_DENIED,
                       "listening on %s without a password would let everybody in: give "
                       "--password-file, or bind to 127.0.0.1",
                       options->bind_address);
    }
    return ERR_OK;
}

/* Texts that the server keeps by pointer. */
static void
pointers_set(struct options *options)
{
    char absolute[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", options->executable, sizeof(options->executable) - 1);

    options->executable[size > 0 ? size : 0] = '\0';
    if (options->config_file[0] != '\0' && realpath(options->config_file, absolute) != NULL) {
        snprintf(options->config_file, sizeof(options->config_file), "%.*s",
                 (int)sizeof(options->config_file) - 1, absolute);
    }
    options->server.bind_address = options->bind_address;
    options->server.data_dir = options->data_dir;
    options->server.copy_folder = options->copy_dir;
    options->server.config_file = options->config_file;
    options->server.executable = options->executable;
    options->server.password = options->password;
}

/* As many as the data folder has; a new one gets one a processor, as long as each has memory enough
 * to work with. */
static uint32_t
shards_default(const struct options *options)
{
    uint64_t most = MAX(options->server.memory_bytes / SHARD_MEMORY_MIN, UINT64_C(1));
    long cores = options->cpu_count > 0 ? (long)options->cpu_count : sysconf(_SC_NPROCESSORS_ONLN);
    char path[PATH_MAX];
    uint32_t there = 0;

    for (; there < SHARDS_MAX; there++) {
        int size = snprintf(path, sizeof(path), "%s/shard-%u", options->data_dir, there);

        if (size >= (int)sizeof(path) - (int)sizeof("/RETIRED") || access(path, F_OK) != 0) {
            break;
        }
        memcpy(path + size, "/RETIRED", sizeof("/RETIRED"));
        if (access(path, F_OK) == 0) {
            break; /* It was given up, and its folder goes at this start. */
        }
    }
    if (there > 0) {
        return there;
    }
    return (uint32_t)MIN(MIN(MAX((uint64_t)cores, UINT64_C(1)), most), (uint64_t)SHARDS_MAX);
}

/* When the number of shards is known. */
static err_t
cluster_check_ports(struct options *options)
{
    uint32_t first, last;

    if (options->cluster_is_auto) {
        options->server.cluster_port = (uint16_t)(options->server.redis_port + 1);
    }
    if (options->server.cluster_port == 0) {
        return options->cluster_is_auto
                   ? err_set(ERR_INVALID, "cluster-ports find no port behind redis-port")
                   : ERR_OK;
    }
    first = options->server.cluster_port;
    last = first + options->server.shards - 1;
    if (options->server.redis_port == 0) {
        return err_set(ERR_INVALID, "cluster-ports need a redis-port");
    }
    if (last > UINT16_MAX ||
        (options->server.redis_port >= first && options->server.redis_port <= last)) {
        return err_set(ERR_INVALID, "cluster-ports from %u to %u go beyond %u, or hold redis-port",
                       first, last, UINT16_MAX);
    }
    return ERR_OK;
}

err_t
options_parse(int argc, char **argv, struct options *options)
{
    err_t err;

    memset(options, 0, sizeof(*options));
    options->server.redis_port = 6379;
    options->server.memory_bytes = SERVER_MEMORY_DEFAULT;
    options->server.durability = WAL_SYNC;
    options->server.retention_bytes = CONFIG_RETENTION_BYTES_DEFAULT;
    options->server.maxclients = NET_MAXCLIENTS_DEFAULT;
    options->server.databases = KV_DATABASES_DEFAULT;
    options->log_level = LOG_INFO;
    snprintf(options->bind_address, sizeof(options->bind_address), "127.0.0.1");
    snprintf(options->data_dir, sizeof(options->data_dir), "./orbit-data");
    TRY(set_cpus(options, "all"));
    TRY(flags_parse(argc, argv, true, options));
    if (options->config_file[0] != '\0') {
        TRY(file_read(options->config_file, options));
    }
    TRY(flags_parse(argc, argv, false, options));
    TRY(password_read(options));
    TRY(combination_check(options));
    if (options->server.shards == 0) {
        options->server.shards = shards_default(options);
    }
    TRY(cluster_check_ports(options));
    options->server.shards_wanted = options->server.shards;
    pointers_set(options);
    err = ERR_OK;
out:
    return err;
}
