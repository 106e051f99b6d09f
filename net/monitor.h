/* net/monitor.h - SLOWLOG and LATENCY: what took long on this shard. The commands of the same
 * names gather over all shards. */
#pragma once

#include <stdint.h>

#include "net/net.h"
#include "net/session.h"

struct slowlog *slowlog_new(void);
void slowlog_free(struct slowlog **slowlog);
/* After each command that may be logged; looks at the configured bound first. Copies at most 32
 * arguments of 128 bytes. */
void slowlog_note(struct net *net, struct session *session, const struct kv_request *request,
                  uint64_t usec);

struct latency *latency_new(void);
void latency_free(struct latency **latency);
/* An event ("command", "fast-command", "expire-cycle") of so many milliseconds. */
void latency_note(struct net *net, const char *event, uint64_t ms);
