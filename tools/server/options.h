/* tools/server/options.h - flags and orbit.conf of orbit-server: one table for both. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/log.h"
#include "net/net.h"

/* Exit statuses, after sysexits(3) where one fits; 70 is a failed invariant or log write. */
enum exit_status {
    EXIT_OK = 0,
    EXIT_USAGE_ = 64,       /* A wrong flag or key. */
    EXIT_DATA_ = 65,        /* The data are damaged, of another version or of other shards. */
    EXIT_NO_INPUT_ = 66,    /* The file of --config or --password-file cannot be read. */
    EXIT_UNAVAILABLE_ = 69, /* A port is taken or the address is not this machine's. */
    EXIT_KERNEL_ = 71,      /* The kernel refuses io_uring, memory, threads. */
    EXIT_CANT_CREATE_ = 73, /* The data folder cannot be made. */
    EXIT_IO_ = 74,          /* Reading or writing the data failed; no space. */
    EXIT_LOCKED_ = 75,      /* Another server uses the data folder. */
    EXIT_REFUSED_ = 77,     /* Would be unsafe: a bind beyond loopback without a password. */
};

enum { SERVER_CPUS_MAX = 1024, SERVER_MEMORY_MIN = 64 << 20 };
#define SERVER_MEMORY_DEFAULT ((uint64_t)1 << 30)

struct options {
    struct server_options server;
    enum log_level log_level;
    int cpus[SERVER_CPUS_MAX];
    uint32_t cpu_count;
    bool cluster_is_auto;
    char bind_address[64];
    char data_dir[4096];
    char config_file[4096];
    char executable[4096];
    char password_file[4096];
    char copy_dir[4096]; /* "": none. */
    char password[512];
};

/* Flags go before the file of --config, which goes before the defaults. Prints --help and
 * --version itself and exits with 0. Errors: ERR_INVALID (flag, key, value or a combination),
 * ERR_NOT_FOUND and ERR_IO (a file); the message names file and line. */
err_t options_parse(int argc, char **argv, struct options *options_out);

/* "512M", "2G", "1048576": bytes. */
err_t options_parse_size(const char *text, uint64_t *bytes_out);
