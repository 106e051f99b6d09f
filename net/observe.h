/* net/observe.h - MONITOR: every command of every client, shown to who asks for it.
 *
 * A command is shown where it runs, and reaches observers of other shards by net/news.h. While
 * nobody observes it costs a branch. Commands of administrators are not shown, and passwords never
 * are. */
#pragma once

#include <stdbool.h>

#include "engine/base/slice.h"
#include "engine/rt/fiber.h"
#include "models/kv/kv.h"

struct net;
struct session;

/* MONITOR begins; the others know it after news_settle. Harmless when repeated. */
void observe_begin(struct session *session);
/* The session ends, or is reset. */
void observe_end(struct session *session);
/* On the shard where it runs. Suspends only when too much waits for other shards. */
YIELDS void observe_command(struct net *net, const struct session *session,
                            const struct kv_request *request);

/* For net/news.c */
void observe_take_count(struct net *net, struct slice body);
void observe_take_line(struct net *net, struct slice body);
