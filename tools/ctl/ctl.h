/* tools/ctl/ctl.h - what the files of orbitctl share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    CTL_OK = 0,
    CTL_DAMAGE = 1, /* The data or the server says no. */
    CTL_FAILED = 2, /* It could not be found out. */
    CTL_USAGE = 64,
};

/* How many folders shard-0, shard-1, ... there are in the data folder. */
uint32_t ctl_shards(const char *dir);
/* The lock that a server takes; -1, and a message, when it is taken or the folder is none. */
int ctl_folder_lock(const char *dir);

/* Checks everything in the folder of a stopped server. The exit status. */
int ctl_verify(const char *dir, bool is_json);

struct inspect_options {
    const char *what; /* "table", "log", "manifest", "vlog"; NULL: a data folder. */
    const char *path;
    const char *from; /* Tables: the first key, escaped as printed; NULL: the first. */
    uint64_t limit;   /* Records. */
};
int ctl_inspect(const struct inspect_options *options);
