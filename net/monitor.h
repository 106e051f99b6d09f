/* net/monitor.h - SLOWLOG and LATENCY: what took long on this shard.
 *
 * Each shard notes what runs on it; the commands of these names gather over all shards
 * (net/commands_monitor.c). */
#pragma once

#include <stdint.h>

#include "engine/base/list.h"
#include "engine/base/mem.h"
#include "net/net.h"
#include "net/session.h"

enum {
    SLOWLOG_ENTRIES_MAX = 4096, /* Of a shard, whatever slowlog-max-len says. */
    SLOWLOG_ARGS_MAX = 32,
    SLOWLOG_ARG_BYTES_MAX = 128,
    LATENCY_EVENTS_MAX = 16, /* Kinds; further ones are not noted. */
    LATENCY_NAME_BYTES = 32,
    LATENCY_SAMPLES_MAX = 160,
};

/* ---- Slow log ---- */

struct slowlog_entry {
    struct list link; /* slowlog->entries */
    uint64_t id;      /* Differs between shards too. */
    uint64_t wall_us; /* When the command ended. */
    size_t reply_bytes;
    uint8_t reply[]; /* The entry as SLOWLOG GET gives it: the same bytes in RESP2 and RESP3. */
};

struct slowlog {
    struct list entries; /* Newest first. */
    uint64_t count;
    uint64_t next_id;
};

struct slowlog *slowlog_new(void);
void slowlog_free(struct slowlog **slowlog);
/* After a command that took `usec`. Notes nothing for commands that are never logged, and keeps
 * passwords out. Copies at most SLOWLOG_ARGS_MAX arguments of SLOWLOG_ARG_BYTES_MAX bytes. */
void slowlog_note(struct net *net, struct session *session, const struct kv_request *request,
                  uint64_t usec);
/* Drop the oldest entries beyond `max`. */
void slowlog_trim(struct slowlog *slowlog, uint64_t max);

/* ---- Latency ---- */

struct latency_sample {
    uint64_t wall_s;
    uint64_t ms; /* The worst of that second. */
};

struct latency_event {
    char name[LATENCY_NAME_BYTES];
    uint64_t max_ms; /* Since the last reset. */
    uint64_t seen;   /* Samples noted since then. */
    uint32_t first;  /* Of the ring: the oldest. */
    uint32_t count;
    struct latency_sample samples[LATENCY_SAMPLES_MAX];
};

struct latency {
    uint32_t event_count;
    struct latency_event events[LATENCY_EVENTS_MAX];
};

struct latency *latency_new(void);
void latency_free(struct latency **latency);
/* An event ("command", "fast-command") of so many milliseconds. */
void latency_note(struct net *net, const char *event, uint64_t ms);

/* NULL when nothing of that name (any case) was noted. */
const struct latency_event *latency_find(const struct latency *latency, struct slice name);
/* The index-th sample, oldest first. */
const struct latency_sample *latency_sample_at(const struct latency_event *event, uint32_t index);
/* Add the samples of `from`, by time; of one second the worst counts, and the newest are kept. */
void latency_merge(struct latency *into, const struct latency *from);
/* Forget one event, or with an empty name all. */
void latency_reset(struct latency *latency, struct slice name);
