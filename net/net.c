/* net/net.c - a shard's listener, the fibers that run its sessions, the wait for durability. */
#include "net/net.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/io/io.h"
#include "engine/rt/msg.h"
#include "net/acl.h"
#include "net/blocking.h"
#include "net/cluster.h"
#include "net/config.h"
#include "net/monitor.h"
#include "net/news.h"
#include "net/pubsub.h"
#include "net/session.h"
#include "net/tracking.h"

#include "engine/base/poison.h"

enum { NET_BACKLOG = 511, NET_TICK_US = 1000000, NET_WAIT_LOOK_US = 100000 };

struct net *
net_self(void)
{
    return shard_slot_get(SHARD_SLOT_NET);
}

/* ---- Executors: fibers that take sessions with input ---- */

static YIELDS void
executor_run(void *arg)
{
    struct net *net = arg;

    for (;;) {
        struct list *node = list_pop_front(&net->woken);

        if (node == NULL) {
            node = list_pop_front(&net->ready);
        }
        if (node != NULL) {
            session_run(LIST_ENTRY(node, struct session, ready_link));
            continue;
        }
        if (net->executors_idle >= NET_EXECUTORS_IDLE || net->is_stopping) {
            break;
        }
        net->executors_idle++;
        cond_wait_uncancelable(&net->executor_cond);
        net->executors_idle--;
    }
    net->executors--;
}

/* At the end of a turn, and when input comes: is there a fiber for the sessions that wait? One
 * executor runs many sessions in a row; only when all are suspended inside commands is there work
 * for another. */
static void
executors_provide(struct net *net)
{
    if (list_is_empty(&net->ready) && list_is_empty(&net->woken)) {
        return;
    }
    if (net->executors_idle > 0) {
        cond_signal(&net->executor_cond);
    } else if (net->executors < NET_EXECUTORS_MAX &&
               fiber_group_spawn(&net->fibers, "executor", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                                 executor_run, net)) {
        net->executors++;
    }
}

void
net_session_ready(struct net *net, struct session *session)
{
    bool was_empty = list_is_empty(&net->ready);

    if (session->is_running || session->is_closing || blocking_is_parked(session->block) ||
        session->ready_link.next != &session->ready_link) {
        return;
    }
    list_push_back(&net->ready, &session->ready_link);
    if (was_empty) {
        executors_provide(net);
    }
}

void
net_session_woken(struct net *net, struct session *session)
{
    if (session->is_running || session->is_closing) {
        return;
    }
    list_remove(&session->ready_link);
    list_push_back(&net->woken, &session->ready_link);
    executors_provide(net);
}

void
net_session_dirty(struct net *net, struct session *session)
{
    if (session->dirty_link.next == &session->dirty_link) {
        list_push_back(&net->dirty, &session->dirty_link);
    }
}

static void
net_turn_hook(void *arg)
{
    struct net *net = arg;
    struct list *node;

    tracking_flush(net->tracking);
    while ((node = list_pop_front(&net->dirty)) != NULL) {
        session_flush(LIST_ENTRY(node, struct session, dirty_link));
    }
    executors_provide(net);
    news_flush(net->news);
}

/* ---- Durability ---- */

/* The position has grown: sessions whose first mark it covers may send. */
static void
peer_durable(struct net *net, struct net_peer *peer, lsn_t durable)
{
    ASSERT(durable >= peer->durable);
    peer->durable = durable;
    while (!list_is_empty(&peer->waiting)) {
        struct session *session = LIST_ENTRY(peer->waiting.next, struct session, wait_link);

        if (session->marks[session->mark_first].lsn > durable) {
            break;
        }
        session_marks_check(session);
        session_flush(session);
    }
    (void)net;
}

/* The log outlives net/: it is written once more when it closes. */
static void
own_log_durable(void *arg, lsn_t durable)
{
    struct net *net = net_self();

    (void)arg;
    if (net != NULL) {
        peer_durable(net, &net->peers[shard_id()], durable);
        pubsub_durable(net->pubsub, durable);
    }
}

struct durable_wait {
    lsn_t lsn;
};

static YIELDS void
durable_wait_there(void *arg)
{
    struct durable_wait *wait = arg;
    struct store *store = net_self()->store;

    store_wait_durable(store, wait->lsn);
    wait->lsn = MAX(wait->lsn, store_durable(store));
}

void
net_wait_durable(uint32_t shard, lsn_t lsn)
{
    struct durable_wait wait = {lsn};

    msg_call(shard, MSG_FIBER, durable_wait_there, &wait);
}

struct watcher {
    struct net *net;
    uint32_t shard;
};

/* One fiber a peer asks for the position that the first waiting session needs. */
static YIELDS void
watcher_run(void *arg)
{
    struct watcher *started = arg;
    struct watcher watcher = *started;
    struct net *net = watcher.net;
    struct net_peer *peer = &net->peers[watcher.shard];

    MEM_FREE(MEM_RUNTIME, started);
    while (!net->is_stopping || !list_is_empty(&peer->waiting)) {
        struct durable_wait wait;
        struct session *first;

        if (list_is_empty(&peer->waiting)) {
            cond_wait_uncancelable(&peer->wanted);
            continue;
        }
        first = LIST_ENTRY(peer->waiting.next, struct session, wait_link);
        wait.lsn = first->marks[first->mark_first].lsn;
        msg_call(watcher.shard, MSG_FIBER, durable_wait_there, &wait);
        peer_durable(net, peer, MAX(wait.lsn, peer->durable));
    }
}

static void
watchers_start(struct net *net)
{
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        struct watcher *watcher;

        if (shard == shard_id()) {
            continue;
        }
        watcher = MEM_NEW(MEM_RUNTIME, struct watcher);
        *watcher = (struct watcher){net, shard};
        ASSERT(fiber_group_spawn(&net->fibers, "durable watcher", FIBER_FOREGROUND,
                                 FIBER_STACK_SMALL, watcher_run, watcher));
    }
}

/* ---- Once a second: idle sessions, rates, the stopwatch's scale ---- */

static uint64_t
per_second(uint64_t now, uint64_t before, uint64_t elapsed_us)
{
    return now < before || elapsed_us == 0 ? 0 : (now - before) * 1000000 / elapsed_us;
}

static void
rates_take(struct net *net, uint64_t now_us)
{
    struct net_rates *rates = &net->rates;
    uint64_t elapsed_us = now_us - rates->before_us;
    const struct net_counters *now = &net->counters;

    rates->commands = per_second(now->commands, rates->before.commands, elapsed_us);
    rates->input_bytes = per_second(now->input_bytes, rates->before.input_bytes, elapsed_us);
    rates->output_bytes = per_second(now->output_bytes, rates->before.output_bytes, elapsed_us);
    rates->before = *now;
    rates->before_us = now_us;
    net->memory_peak = MAX(net->memory_peak, mem_used_total(mem_account_current()));
}

static YIELDS void
ticker_run(void *arg)
{
    struct net *net = arg;

    while (!net->is_stopping) {
        uint64_t timeout_s = config_values(net->config)->timeout_s;
        uint64_t now_us;

        (void)cond_wait_until(&net->stop_cond, shard_now_us() + NET_TICK_US);
        now_us = shard_now_us();
        stopwatch_calibrate(&net->stopwatch, now_us);
        rates_take(net, now_us);
        tracking_tell_emptied(net->tracking);
        LIST_FOR_EACH_SAFE(node, &net->sessions) {
            struct session *session = LIST_ENTRY(node, struct session, link);

            session_limit_check(session);
            if (timeout_s > 0 && !pubsub_is_subscriber(session) && !session->is_running &&
                session->block == NULL && now_us - session->active_us > timeout_s * 1000000) {
                net->counters.timeouts++;
                session_close(session);
            }
        }
    }
}

/* ---- Connections ---- */

static void
keepalive_set(int fd, uint64_t seconds)
{
    int on = 1;
    int idle = (int)seconds;
    int interval = MAX(idle / 3, 1);
    int count = 3;

    if (seconds == 0) {
        return;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

/* The shards share maxclients evenly: the kernel spreads connections over their listeners. */
static bool
has_room_for_client(const struct net *net)
{
    uint64_t share = (config_values(net->config)->maxclients + shard_count() - 1) / shard_count();

    return net->session_count < share;
}

/* NULL when it was refused. */
static struct session *
conn_take(struct net *net, struct io_conn *conn)
{
    static const char refusal[] = "-ERR max number of clients reached\r\n";

    if (net->is_stopping || !has_room_for_client(net)) {
        net->counters.rejected_connections++;
        /* A courtesy: nothing depends on whether these bytes fit the empty socket buffer. */
        (void)!send(io_conn_fd(conn), refusal, sizeof(refusal) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        io_conn_close(conn);
        return NULL;
    }
    keepalive_set(io_conn_fd(conn), config_values(net->config)->tcp_keepalive_s);
    return session_new(net, conn);
}

static void
net_on_accept(void *owner, struct io_conn *conn)
{
    (void)conn_take(owner, conn);
}

static void
net_on_accept_cluster(void *owner, struct io_conn *conn)
{
    struct session *session = conn_take(owner, conn);

    if (session != NULL) {
        session->is_cluster = true;
    }
}

static void
pause_has_ended(struct timer *timer)
{
    blocking_postponed_go_on(CONTAINER_OF(timer, struct net, pause_timer));
}

void
net_pause(struct net *net, uint64_t until_us, bool only_writes)
{
    net->pause_until_us = until_us;
    net->pause_writes_only = only_writes;
    kv_pause_expiry(net->kv, until_us);
    timer_stop(&net->pause_timer);
    if (until_us > shard_now_us()) {
        timer_start(&net->pause_timer, until_us);
    }
    blocking_postponed_go_on(net); /* Who is held back by the new pause, too, comes again. */
}

bool
net_sleep_until(struct session *session, uint64_t until_us)
{
    struct net *net = session->net;
    bool has_come = shard_now_us() >= until_us;
    bool is_forever = until_us == DEADLINE_NONE;

    if (!has_come && net->waiting >= NET_WAITING_MAX) {
        return false;
    }
    net->waiting++;
    while (!has_come && !session->is_closing && !session->is_ended && !net->is_draining &&
           !(is_forever && session->is_half_closed)) {
        (void)cond_wait_until(&net->stop_cond, MIN(until_us, shard_now_us() + NET_WAIT_LOOK_US));
        has_come = shard_now_us() >= until_us;
    }
    net->waiting--;
    return has_come;
}

struct session *
net_session_find(struct net *net, uint64_t id)
{
    LIST_FOR_EACH(node, &net->sessions) {
        struct session *session = LIST_ENTRY(node, struct session, link);

        if (session->id == id) {
            return session;
        }
    }
    return NULL;
}

/* ---- Statistics ---- */

struct command_stats *
net_command_stats(struct net *net, const struct command *command)
{
    return &net->command_stats[command_id(command)];
}

void
net_error_count(struct net *net, struct slice reply)
{
    char name[NET_ERROR_NAME_BYTES];
    size_t size = 0;

    net->counters.error_replies++;
    while (size + 1 < sizeof(name) && size + 1 < reply.size && reply.data[size + 1] > ' ') {
        name[size] = (char)reply.data[size + 1];
        size++;
    }
    name[size] = '\0';
    for (uint32_t i = 0; i < net->error_kinds; i++) {
        if (strcmp(net->errors[i].name, name) == 0) {
            net->errors[i].count++;
            return;
        }
    }
    if (net->error_kinds < NET_ERROR_KINDS_MAX) {
        struct error_stat *kind = &net->errors[net->error_kinds++];

        memcpy(kind->name, name, sizeof(name));
        kind->count = 1;
    }
}

void
net_stats_reset(struct net *net)
{
    memset(&net->counters, 0, sizeof(net->counters));
    net->error_kinds = 0;
    for (uint32_t id = 0; id < command_ids(); id++) {
        struct hist *latency = net->command_stats[id].latency;

        mem_free(MEM_RUNTIME, latency, latency != NULL ? sizeof(*latency) : 0);
        net->command_stats[id] = (struct command_stats){0};
    }
}

/* ---- Life ---- */

err_t
net_open(const struct server_options *options, struct kv *kv, struct net **net_out)
{
    struct net *net = MEM_NEW(MEM_RUNTIME, struct net);
    err_t err;

    net->magic = NET_MAGIC;
    net->options = options;
    net->kv = kv;
    net->store = store_self();
    list_init(&net->sessions);
    list_init(&net->ready);
    list_init(&net->woken);
    list_init(&net->dirty);
    list_init(&net->observers);
    cond_init(&net->executor_cond);
    cond_init(&net->stop_cond);
    list_init(&net->postponed);
    timer_init(&net->pause_timer, pause_has_ended);
    fiber_group_init(&net->fibers);
    net->peers = mem_zalloc(MEM_RUNTIME, shard_count() * sizeof(*net->peers));
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        list_init(&net->peers[shard].waiting);
        cond_init(&net->peers[shard].wanted);
    }
    net->command_stats = mem_zalloc(MEM_RUNTIME, command_ids() * sizeof(*net->command_stats));
    stopwatch_init(&net->stopwatch, shard_now_us());
    TRY(config_new(options, &net->config));
    config_start(net);
    TRY(acl_open(net));
    net->slowlog = slowlog_new();
    net->latency = latency_new();
    net->blocking = blocking_new(net);
    net->news = news_new(net);
    net->pubsub = pubsub_new(net);
    net->tracking = tracking_new(net);
    kv_config(kv)->publish = pubsub_publish_events;
    shard_slot_set(SHARD_SLOT_NET, net);
    net->peers[shard_id()].durable = store_durable(net->store);
    store_on_durable(net->store, own_log_durable, NULL);
    shard_turn_hook_add(net_turn_hook, net);
    watchers_start(net);
    ASSERT(fiber_group_spawn(&net->fibers, "net ticker", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                             ticker_run, net));
    *net_out = net;
    net = NULL;
    err = ERR_OK;
out:
    if (net != NULL) {
        config_free(&net->config);
        mem_free(MEM_RUNTIME, net->peers, shard_count() * sizeof(*net->peers));
        mem_free(MEM_RUNTIME, net->command_stats, command_ids() * sizeof(*net->command_stats));
        MEM_FREE(MEM_RUNTIME, net);
    }
    return err;
}

err_t
net_listen(struct net *net)
{
    err_t err;

    OBJ_CHECK(net, NET_MAGIC);
    if (net->options->redis_port == 0) {
        return ERR_OK;
    }
    TRY(io_listen(net->options->bind_address, net->options->redis_port, NET_BACKLOG, net_on_accept,
                  net, &net->listener));
    if (net->options->cluster_port != 0) {
        TRY(io_listen(net->options->bind_address, cluster_port(net, shard_id()), NET_BACKLOG,
                      net_on_accept_cluster, net, &net->cluster_listener));
    }
    err = ERR_OK;
out:
    return err;
}

/* Replies that wait for durability, and those on their way, leave before the sockets close. */
static bool
net_is_drained(const struct net *net)
{
    if (net->executing > 0 || !list_is_empty(&net->ready) || !list_is_empty(&net->woken)) {
        return false;
    }
    LIST_FOR_EACH(node, &net->sessions) {
        const struct session *session = LIST_ENTRY(node, struct session, link);

        if (session->is_running || session->output.buf.size > 0 || session->sending.size > 0) {
            return false;
        }
    }
    return true;
}

static YIELDS void
net_drain(struct net *net)
{
    uint64_t deadline_us = shard_now_us() + NET_DRAIN_US_MAX;

    while (!net_is_drained(net) && shard_now_us() < deadline_us) {
        (void)fiber_sleep_us(1000);
    }
    LIST_FOR_EACH_SAFE(node, &net->sessions) {
        session_close(LIST_ENTRY(node, struct session, link));
    }
}

void
net_stop(struct net *net)
{
    OBJ_CHECK(net, NET_MAGIC);
    if (net->listener != NULL) {
        io_listener_close(&net->listener);
    }
    if (net->cluster_listener != NULL) {
        io_listener_close(&net->cluster_listener);
    }
    net_pause(net, 0, false);
    net->is_draining = true;
    cond_broadcast(&net->stop_cond);
    net_drain(net);
    net->is_stopping = true;
    cond_broadcast(&net->executor_cond);
    cond_broadcast(&net->stop_cond);
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        cond_broadcast(&net->peers[shard].wanted);
    }
    fiber_group_wait(&net->fibers);
    while (net->session_objects > 0) {
        (void)fiber_sleep_us(1000);
    }
    news_stop(net->news);
}

void
net_free(struct net **net_in)
{
    struct net *net = *net_in;

    if (net == NULL) {
        return;
    }
    OBJ_CHECK(net, NET_MAGIC);
    ASSERT(net->session_objects == 0);
    shard_turn_hook_remove(net_turn_hook, net);
    shard_slot_set(SHARD_SLOT_NET, NULL);
    net_stats_reset(net);
    acl_close(net);
    config_free(&net->config);
    slowlog_free(&net->slowlog);
    latency_free(&net->latency);
    blocking_free(&net->blocking);
    kv_config(net->kv)->publish = NULL;
    pubsub_free(&net->pubsub);
    tracking_free(&net->tracking);
    news_free(&net->news);
    mem_free(MEM_RUNTIME, net->peers, shard_count() * sizeof(*net->peers));
    mem_free(MEM_RUNTIME, net->command_stats, command_ids() * sizeof(*net->command_stats));
    net->magic = 0;
    MEM_FREE(MEM_RUNTIME, *net_in);
}
