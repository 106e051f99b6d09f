/* net/config.h - the parameters of CONFIG GET and SET: one table for all of Redis 7.2's, with what
 * each does here.
 *
 * Each shard has its own copy of the values; CONFIG SET checks everything first, then changes
 * every shard by message, so all of a call takes effect or nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"

enum { CONFIG_RETENTION_S_MAX = 366 * 24 * 3600 };
#define CONFIG_RETENTION_BYTES_DEFAULT (UINT64_C(10) << 30)

struct net;
struct server_options;

enum config_effect {
    CONFIG_APPLIED, /* Does what it says. */
    CONFIG_KEPT,    /* Kept and returned; tunes an encoding or a mechanism Orbit does not have. */
    CONFIG_REFUSED, /* Only its present value is accepted: another would promise something that is
                       not so. */
};

/* The classes of clients in client-output-buffer-limit, in its order. */
enum output_class { OUTPUT_NORMAL, OUTPUT_REPLICA, OUTPUT_PUBSUB, OUTPUT_CLASSES };
struct output_limit {
    uint64_t hard_bytes, soft_bytes, soft_seconds; /* 0: none. */
};

/* The values that shard code reads, besides the text of each parameter. */
struct config_values {
    uint64_t maxclients;
    uint64_t timeout_s;       /* 0: never. */
    uint64_t tcp_keepalive_s; /* 0: off. */
    uint64_t bulk_bytes_max;  /* proto-max-bulk-len */
    uint64_t query_buffer_bytes_max;
    int64_t slowlog_slower_than_us; /* -1: off. */
    uint64_t slowlog_max_len;
    uint64_t latency_threshold_ms; /* 0: off. */
    bool latency_tracking;
    uint64_t retention_s; /* 0: no history is kept. */
    /* Of transactions of ORBIT.BEGIN. 0: none. */
    uint64_t lock_timeout_us, statement_timeout_us, txn_idle_timeout_us, txn_timeout_us;
    bool acl_all_channels; /* acl-pubsub-default */
    uint64_t acllog_max_len;
    uint64_t tracking_keys_max; /* 0: as many as there is room for. */
    struct output_limit output_limits[OUTPUT_CLASSES];
};

struct config;

/* The present shard's copy, from the options. */
err_t config_new(const struct server_options *options, struct config **config_out);
void config_free(struct config **config);
/* What is in force from the start and belongs to the store; when the net has both. */
void config_start(struct net *net);
const struct config_values *config_values(const struct config *config);
/* Writes the table of parameters in docs/protocol/resp.md to standard output. */
void config_document(void);

/* ---- Reading and changing parameters ---- */

enum { CONFIG_PARAMETERS_MAX = 256, CONFIG_TEXT_BYTES_MAX = 1024 };

/* Index of a parameter by name or alias, any case; -1 when there is none. */
int32_t config_find(struct slice name);
const char *config_text(const struct config *config, uint32_t index);

/* One change, checked: `text` is the value as it will be kept. */
struct config_change {
    uint32_t index;
    char text[CONFIG_TEXT_BYTES_MAX];
};
/* Would this value be accepted for the parameter? message_out (at least ERR_MESSAGE_BYTES_MAX)
 * says why not; change_out is filled if so. */
bool config_check(const struct config *config, uint32_t index, struct slice value,
                  struct config_change *change_out, char *message_out);
/* Take over checked changes on this shard, effects included. */
void config_apply(struct net *net, const struct config_change *changes, uint32_t count);
