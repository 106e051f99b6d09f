/* engine/rt/msg.c - messages between shards.
 *
 *     sender: credit -> io post ......> receiver: msg_deliver -> fn -> io post
 *     sender: msg_deliver (reply) -> credit back -> done <......./
 *
 * A credit stands for a place in the ring there and one in the ring back, so neither a request nor
 * a reply ever finds its ring full. */
#include "engine/rt/msg.h"

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "engine/rt/internal.h"

#include "engine/base/poison.h"

/* ---- Queues. ---- */

static void
msg_queue_init(struct msg_queue *queue)
{
    queue->first = NULL;
    queue->last_next = &queue->first;
}

static void
msg_queue_push(struct msg_queue *queue, struct msg *msg)
{
    msg->next = NULL;
    *queue->last_next = msg;
    queue->last_next = &msg->next;
}

/* The messages, linked by `next`; the queue is empty afterwards. */
static struct msg *
msg_queue_take(struct msg_queue *queue)
{
    struct msg *first = queue->first;

    msg_queue_init(queue);
    return first;
}

void
msg_init(struct shard *shard)
{
    shard->peers = mem_zalloc(MEM_RUNTIME, shard->count * sizeof(struct msg_peer));
    for (uint32_t i = 0; i < shard->count; i++) {
        cond_init(&shard->peers[i].credit_cond);
    }
    msg_queue_init(&shard->local);
    msg_queue_init(&shard->backlog);
    msg_queue_init(&shard->foreign);
    pthread_mutex_init(&shard->foreign_lock, NULL);
}

void
msg_fini(struct shard *shard)
{
    mem_free(MEM_RUNTIME, shard->peers, shard->count * sizeof(struct msg_peer));
    shard->peers = NULL;
    pthread_mutex_destroy(&shard->foreign_lock);
}

/* ---- Receiving. ---- */

/* fn has ended here: back to the sender. */
static void
msg_reply(struct shard *shard, struct msg *msg)
{
    if (msg->from == MSG_FROM_FOREIGN) {
        if (msg->done != NULL) {
            NO_YIELD {
                msg->done(msg);
            }
        }
        return;
    }
    msg->is_reply = true;
    if (msg->from == shard->id) {
        msg_queue_push(&shard->local, msg);
    } else {
        shard->io->ops->post(shard->io, msg);
    }
}

static void
msg_fiber(void *arg)
{
    struct msg *msg = arg;

    msg->fn(msg->arg);
    msg_reply(shard_current(), msg);
}

static bool
msg_spawn(struct msg *msg)
{
    struct fiber *fiber = fiber_spawn("msg", FIBER_FOREGROUND, FIBER_STACK_SMALL, msg_fiber, msg);

    if (fiber == NULL) {
        return false;
    }
    fiber_start_in_order(fiber);
    return true;
}

static void
msg_handle_request(struct shard *shard, struct msg *msg)
{
    ASSERT(msg->to == shard->id);
    if (msg->kind == MSG_INLINE) {
        NO_YIELD {
            msg->fn(msg->arg);
        }
        msg_reply(shard, msg);
    } else if (shard->backlog.first != NULL || !msg_spawn(msg)) {
        msg_queue_push(&shard->backlog, msg);
    }
}

static void
msg_handle_reply(struct shard *shard, struct msg *msg)
{
    struct msg_peer *peer = &shard->peers[msg->to];

    ASSERT(msg->from == shard->id);
    ASSERT(peer->in_flight > 0);
    if (cond_has_waiters(&peer->credit_cond)) {
        cond_signal(&peer->credit_cond); /* The credit passes on. */
    } else {
        peer->in_flight--;
    }
    msg->is_reply = false;
    NO_YIELD {
        msg->done(msg);
    }
}

void
msg_deliver(struct msg *msg)
{
    struct shard *shard = shard_current();

    shard->stats.messages_received++;
    shard->message_us = shard_now_us();
    if (msg->is_reply) {
        msg_handle_reply(shard, msg);
    } else {
        msg_handle_request(shard, msg);
    }
}

static bool
msg_deliver_all(struct msg *first)
{
    bool any = first != NULL;

    while (first != NULL) {
        struct msg *next = first->next; /* The message may be sent again or freed. */

        msg_deliver(first);
        first = next;
    }
    return any;
}

static struct msg *
msg_take_foreign(struct shard *shard)
{
    struct msg *first;

    pthread_mutex_lock(&shard->foreign_lock);
    first = msg_queue_take(&shard->foreign);
    __atomic_store_n(&shard->has_foreign, false, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&shard->foreign_lock);
    return first;
}

/* Fibers for what came when there were none. */
static void
msg_retry_backlog(struct shard *shard)
{
    struct msg *next;

    for (struct msg *msg = msg_queue_take(&shard->backlog); msg != NULL; msg = next) {
        next = msg->next;
        if (shard->backlog.first != NULL || !msg_spawn(msg)) {
            msg_queue_push(&shard->backlog, msg);
        }
    }
}

bool
msg_turn(struct shard *shard)
{
    bool any;

    if (shard->backlog.first != NULL) {
        msg_retry_backlog(shard);
    }
    any = msg_deliver_all(msg_queue_take(&shard->local));
    if (__atomic_load_n(&shard->has_foreign, __ATOMIC_ACQUIRE)) {
        any = msg_deliver_all(msg_take_foreign(shard)) || any;
    }
    return any;
}

bool
msg_is_pending(const struct shard *shard)
{
    return shard->local.first != NULL || __atomic_load_n(&shard->has_foreign, __ATOMIC_ACQUIRE);
}

/* ---- Sending. ---- */

static void
msg_send_with_credit(struct shard *shard, struct msg *msg)
{
    ASSERT(msg->fn != NULL);
    ASSERT(msg->done != NULL);
    msg->from = shard->id;
    msg->is_reply = false;
    shard->stats.messages_sent++;
    shard->message_us = shard_now_us();
    if (msg->to == shard->id) {
        msg_queue_push(&shard->local, msg);
    } else {
        shard->io->ops->post(shard->io, msg);
    }
}

bool
msg_try_send(struct msg *msg)
{
    struct shard *shard = shard_current();
    struct msg_peer *peer;

    ASSERT(msg->to < shard->count);
    peer = &shard->peers[msg->to];
    if (peer->in_flight >= MSG_CREDITS || cond_has_waiters(&peer->credit_cond)) {
        return false;
    }
    peer->in_flight++;
    msg_send_with_credit(shard, msg);
    return true;
}

void
msg_send(struct msg *msg)
{
    if (!msg_try_send(msg)) {
        struct shard *shard = shard_current();

        cond_wait_uncancelable(&shard->peers[msg->to].credit_cond);
        msg_send_with_credit(shard, msg);
    }
}

/* Waiting for a number of replies. */
struct msg_wait {
    struct fiber *fiber;
    uint32_t in_flight;
};

struct msg_waited {
    struct msg msg;
    struct msg_wait *wait;
};

static void
msg_waited_done(struct msg *msg)
{
    struct msg_wait *wait = CONTAINER_OF(msg, struct msg_waited, msg)->wait;

    wait->in_flight--;
    if (wait->in_flight == 0) {
        fiber_wake(wait->fiber);
    }
}

static void
msg_waited_send(struct msg_waited *waited, struct msg_wait *wait, uint32_t to, enum msg_kind kind,
                msg_fn fn, void *arg)
{
    waited->msg = (struct msg){.to = to, .kind = kind, .fn = fn, .arg = arg};
    waited->msg.done = msg_waited_done;
    waited->wait = wait;
    wait->in_flight++;
    msg_send(&waited->msg);
}

static void
msg_wait_for_all(struct msg_wait *wait)
{
    while (wait->in_flight > 0) {
        fiber_suspend();
    }
}

void
msg_call(uint32_t to, enum msg_kind kind, msg_fn fn, void *arg)
{
    struct msg_wait wait = {.fiber = fiber_self()};
    struct msg_waited waited;

    ASSERT(wait.fiber != NULL);
    if (to == shard_id()) {
        fn(arg);
        return;
    }
    msg_waited_send(&waited, &wait, to, kind, fn, arg);
    msg_wait_for_all(&wait);
}

void
msg_call_all(enum msg_kind kind, msg_fn fn, void *args, size_t arg_size)
{
    struct msg_wait wait = {.fiber = fiber_self()};
    uint32_t count = shard_count();
    uint32_t self = shard_id();
    struct msg_waited *waited;

    ASSERT(wait.fiber != NULL);
    waited = mem_alloc(MEM_RUNTIME, count * sizeof(*waited));
    for (uint32_t i = 0; i < count; i++) {
        if (i != self) {
            msg_waited_send(&waited[i], &wait, i, kind, fn, (uint8_t *)args + i * arg_size);
        }
    }
    fn((uint8_t *)args + self * arg_size);
    msg_wait_for_all(&wait);
    mem_free(MEM_RUNTIME, waited, count * sizeof(*waited));
}

void
msg_post_foreign(struct shard *shard, struct msg *msg)
{
    struct io *io = shard->io;

    msg->from = MSG_FROM_FOREIGN;
    msg->to = shard->id;
    msg->is_reply = false;
    pthread_mutex_lock(&shard->foreign_lock);
    msg_queue_push(&shard->foreign, msg);
    __atomic_store_n(&shard->has_foreign, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&shard->foreign_lock);
    io->ops->wake(io);
}
