/* net/net.h - the protocols of one shard: its listener, its sessions, their commands.
 *
 * Each shard accepts its own connections (SO_REUSEPORT) and runs their sessions. Theory, and how
 * a reply waits for durability: net/README.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/hist.h"
#include "engine/base/list.h"
#include "engine/rt/fiber.h"
#include "engine/rt/shard.h"
#include "models/kv/kv.h"
#include "net/stopwatch.h"
#include "txn/store.h"

/* The level of compatibility that clients are told. */
#define REDIS_VERSION "7.2.0"

struct blocking;
struct acl;
struct config;
struct latency;
struct net;
struct news;
struct pubsub;
struct session;
struct tracking;
struct slowlog;

enum {
    NET_MAXCLIENTS_DEFAULT = 10000,
    NET_EXECUTORS_MAX = 1024, /* Fibers of a shard that run commands at the same time. */
    NET_EXECUTORS_IDLE = 16,  /* Kept for the next request. */
    NET_DRAIN_US_MAX = 4000000,
    NET_WAITING_MAX = 512, /* Commands of a shard that wait for a time: WAIT, DEBUG SLEEP. */
};

/* Of the process; written before the shards start and not changed while they run. */
struct server_options {
    const char *bind_address;
    uint16_t redis_port;     /* 0: no Redis protocol. */
    uint16_t postgres_port;  /* 0: no PostgreSQL protocol. */
    const char *copy_folder; /* Of COPY's files on the server; "": none. */
    uint16_t cluster_port;   /* Of shard 0; the others' follow it. 0: none. */
    uint32_t shards;         /* That run: as many as have data, and no fewer than */
    uint32_t shards_wanted;  /* those that share the slots, and listen. */
    uint64_t memory_bytes;
    const char *data_dir;
    const char *config_file; /* Absolute; "" when there is none. */
    const char *executable;
    enum wal_durability durability;
    uint64_t interval_us;
    uint64_t retention_us, retention_bytes; /* Of all shards together; 0: none, no limit. */
    bool dev_mode;
    const char *password; /* "" for none: the start of `requirepass`. */
    uint64_t start_wall_us;
    uint64_t start_monotonic_us;
    char run_id[41];
    uint8_t login_secret[32]; /* pgwire_options.login_secret */
    uint32_t maxclients;
    uint32_t databases;
};

/* What the commands of one kind cost on this shard. */
struct command_stats {
    uint64_t calls, rejected, failed;
    uint64_t usec;
    uint64_t nsec_rest;   /* Below a microsecond, carried. */
    struct hist *latency; /* Nanoseconds; made at the first call. */
};

struct net_counters {
    uint64_t connections, rejected_connections, commands, input_bytes, output_bytes;
    uint64_t error_replies, unexpected_errors, timeouts, auth_failures;
    uint64_t reads, writes;                        /* Of sockets. */
    uint64_t acl_commands, acl_keys, acl_channels; /* Refused. */
    uint64_t output_limit_disconnections;
    uint64_t input_bytes_max, output_bytes_max; /* Largest buffers seen. */
};

/* errorstats: replies by their first word. */
enum { NET_ERROR_KINDS_MAX = 128, NET_ERROR_NAME_BYTES = 32 };
struct error_stat {
    char name[NET_ERROR_NAME_BYTES];
    uint64_t count;
};

/* SAVE and its like: commands_save.c. On shard 0. */
struct net_save {
    bool is_running, is_rewrite, has_failed;
    uint64_t begun_us; /* shard_now_us */
    uint64_t last_wall_us, last_seconds;
    uint64_t saves, rewrites;
};

/* A second's worth, taken once a second. */
struct net_rates {
    uint64_t commands, input_bytes, output_bytes;
    struct net_counters before; /* At the last look. */
    uint64_t before_us;
};

/* Sessions here that wait until something is durable on another (or this) shard. */
struct net_peer {
    struct list waiting; /* By the position of their first mark, ascending. */
    lsn_t durable;       /* Known to be durable there. */
    struct cond wanted;  /* The watcher fiber waits here for sessions to wait for. */
};

struct net {
    uint64_t magic; /* NET_MAGIC */
    const struct server_options *options;
    struct kv *kv;
    struct store *store;
    struct config *config;
    struct acl *acl;
    struct net_save save;
    struct slowlog *slowlog;
    struct latency *latency;
    struct news *news;
    struct pubsub *pubsub;
    struct tracking *tracking;
    struct list observers;   /* Sessions of this shard that MONITOR, */
    uint32_t observer_total; /* and how many there are on all. */
    struct io_listener *listener;
    struct io_listener *cluster_listener;
    struct list sessions;
    uint32_t session_count;   /* Open. */
    uint32_t session_objects; /* Open, or closed and not yet freed. */
    uint64_t next_session;
    struct list ready; /* Sessions with input that no fiber works on. */
    struct list woken; /* Those among them whose blocked command may run again: they go first. */
    struct blocking *blocking;
    uint32_t blocked;  /* Sessions that have a session_block. */
    struct list dirty; /* Sessions with output to send. */
    struct cond executor_cond, stop_cond;
    uint32_t executors, executors_idle;
    struct fiber_group fibers;
    struct net_peer *peers; /* By shard. */
    struct command_stats *command_stats;
    struct net_counters counters;
    struct error_stat errors[NET_ERROR_KINDS_MAX];
    uint32_t error_kinds;
    struct stopwatch stopwatch;
    uint32_t executing;      /* Commands that run now. */
    uint64_t pause_until_us; /* CLIENT PAUSE; in the past: none. */
    bool pause_writes_only;
    struct list postponed;    /* Sessions whose request it holds back. */
    struct timer pause_timer; /* Its end. */
    struct net_rates rates;
    uint64_t memory_peak; /* Of this shard's account, looked at once a second. */
    uint32_t waiting;     /* Commands in net_sleep_until. */
    bool is_draining;     /* No command should wait any longer. */
    bool is_stopping;
};
#define NET_MAGIC UINT64_C(0x6f7262697420006e)

/* Opens on the current shard; the store and the model must be open. Does not listen yet. */
YIELDS err_t net_open(const struct server_options *options, struct kv *kv, struct net **net_out);
/* Begin to listen; called on every shard when all are ready to serve. */
YIELDS err_t net_listen(struct net *net);
/* Refuse new connections, finish what runs, send what is durable (within NET_DRAIN_US_MAX), close
 * the sessions. On every shard before net_free on any: sessions call other shards. */
YIELDS void net_stop(struct net *net);
void net_free(struct net **net);
struct net *net_self(void);

/* Hold back commands (or only those that write) until then; a time in the past ends a pause. */
void net_pause(struct net *net, uint64_t until_us, bool only_writes);
/* Wait inside a command until a moment of shard_now_us. True when it has come; false at once or
 * earlier when the session or the server ends, or too many commands wait already
 * (NET_WAITING_MAX). */
YIELDS bool net_sleep_until(struct session *session, uint64_t until_us);
/* The open session of this shard with that id, or NULL. */
struct session *net_session_find(struct net *net, uint64_t id);
void net_error_count(struct net *net, struct slice reply);
void net_stats_reset(struct net *net);
struct command_stats *net_command_stats(struct net *net, const struct command *command);

/* ---- For session.c and dispatch.c ---- */
/* Until lsn is durable at the shard. */
YIELDS void net_wait_durable(uint32_t shard, lsn_t lsn);
void net_session_ready(struct net *net, struct session *session);
void net_session_woken(struct net *net, struct session *session);
void net_session_dirty(struct net *net, struct session *session);
