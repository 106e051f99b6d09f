/* net/blocking.c - see blocking.h. */
#include "net/blocking.h"

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "net/dispatch.h"
#include "net/net.h"
#include "net/session.h"

#include "engine/base/poison.h"

enum { TICKETS_MIN = 16, TICKET_INDEX_BITS = 32 };

/* ---- Tickets: what wakes a session names it so, as it may be gone ---- */

struct ticket {
    struct session_block *block; /* NULL: free. */
    uint32_t generation;         /* Of the present or the next use. */
    uint32_t next_free;          /* Index + 1; 0: none. */
};

struct blocking {
    struct net *net;
    struct ticket *tickets;
    uint32_t capacity;
    uint32_t first_free; /* Index + 1; 0: none. */
};

static uint64_t
ticket_of(const struct blocking *blocking, uint32_t index)
{
    return (uint64_t)blocking->tickets[index].generation << TICKET_INDEX_BITS | (index + 1);
}

static void
tickets_grow(struct blocking *blocking)
{
    uint32_t capacity = MAX(blocking->capacity * 2, (uint32_t)TICKETS_MIN);

    blocking->tickets = mem_realloc(MEM_SESSIONS, blocking->tickets,
                                    blocking->capacity * sizeof(*blocking->tickets),
                                    capacity * sizeof(*blocking->tickets));
    for (uint32_t i = capacity; i > blocking->capacity; i--) {
        blocking->tickets[i - 1] = (struct ticket){.next_free = blocking->first_free};
        blocking->first_free = i;
    }
    blocking->capacity = capacity;
}

/* Bounded by the number of sessions. */
static uint64_t
ticket_take(struct blocking *blocking, struct session_block *block)
{
    uint32_t index;

    if (blocking->first_free == 0) {
        tickets_grow(blocking);
    }
    index = blocking->first_free - 1;
    blocking->first_free = blocking->tickets[index].next_free;
    blocking->tickets[index].block = block;
    return ticket_of(blocking, index);
}

static struct session_block *
ticket_find(const struct blocking *blocking, uint64_t ticket)
{
    uint32_t index = (uint32_t)ticket - 1;

    if (index >= blocking->capacity || ticket_of(blocking, index) != ticket) {
        return NULL;
    }
    return blocking->tickets[index].block;
}

static void
ticket_give(struct blocking *blocking, uint64_t ticket)
{
    uint32_t index = (uint32_t)ticket - 1;

    ASSERT(ticket_find(blocking, ticket) != NULL);
    blocking->tickets[index].block = NULL;
    blocking->tickets[index].generation++;
    blocking->tickets[index].next_free = blocking->first_free;
    blocking->first_free = index + 1;
}

/* ---- Parked and woken ---- */

static void
unpark(struct session_block *block)
{
    if (block->is_parked) {
        block->is_parked = false;
        timer_stop(&block->timer);
        net_session_woken(block->session->net, block->session);
    }
}

static void
deadline_has_come(struct timer *timer)
{
    struct session_block *block = CONTAINER_OF(timer, struct session_block, timer);

    block->end = block->end == BLOCK_GOES_ON ? BLOCK_TIMED_OUT : block->end;
    unpark(block);
}

/* As kv_block_wake_fn. */
static void
wake_hear(void *arg, uint64_t ticket, uint32_t from)
{
    struct session_block *block = ticket_find(arg, ticket);

    if (block == NULL) {
        return; /* It has left, and says so to that shard. */
    }
    ASSERT(from < block->shards);
    block->at_shard[from] |= BLOCK_WOKEN;
    block->is_woken = true;
    unpark(block);
}

bool
blocking_unblock(struct session *session, enum block_end end)
{
    struct session_block *block = session->block;

    if (block == NULL || block->end != BLOCK_GOES_ON) {
        return false;
    }
    block->end = end;
    unpark(block);
    return true;
}

static void
park(struct session_block *block)
{
    block->is_parked = true;
    if (block->kv.wait.deadline_us != DEADLINE_NONE) {
        timer_start(&block->timer, block->kv.wait.deadline_us);
    }
}

/* ---- Held back by CLIENT PAUSE ---- */

void
blocking_postpone(struct session *session)
{
    struct net *net = session->net;

    session->is_postponed = true;
    net->blocked++;
    list_remove(&session->ready_link);
    list_push_back(&net->postponed, &session->ready_link);
}

void
blocking_postponed_leave(struct session *session)
{
    if (session->is_postponed) {
        session->is_postponed = false;
        session->net->blocked--;
        list_remove(&session->ready_link);
    }
}

void
blocking_postponed_go_on(struct net *net)
{
    while (!list_is_empty(&net->postponed)) {
        struct session *session = LIST_ENTRY(net->postponed.next, struct session, ready_link);

        blocking_postponed_leave(session);
        net_session_ready(net, session);
    }
}

/* ---- From the first run to the reply ---- */

static size_t
block_bytes(uint32_t shards)
{
    return sizeof(struct session_block) + shards;
}

/* Takes over what the first run has left. */
static void
block_begin(struct session *session, struct kv_block *first)
{
    struct net *net = session->net;
    struct session_block *block = mem_zalloc(MEM_SESSIONS, block_bytes(shard_count()));

    block->session = session;
    block->shards = shard_count();
    block->kv = *first;
    block->kv.shard = shard_id();
    block->kv.ticket = ticket_take(net->blocking, block);
    timer_init(&block->timer, deadline_has_come);
    session->block = block;
    net->blocked++;
}

static YIELDS err_t
block_register(struct session_block *block, struct kv_request *request)
{
    bool is_there[SHARDS_MAX] = {false};
    err_t err;

    block->epoch = txn_slots_epoch();
    err = kv_block_register(request, &block->kv, is_there);
    for (uint32_t shard = 0; shard < block->shards; shard++) {
        block->at_shard[shard] |= is_there[shard] ? BLOCK_REGISTERED : 0;
    }
    return err;
}

static void
registrations_leave(struct session_block *block)
{
    struct net *net = block->session->net;

    ticket_give(net->blocking, block->kv.ticket);
    for (uint32_t shard = 0; shard < block->shards; shard++) {
        if ((block->at_shard[shard] & BLOCK_REGISTERED) != 0) {
            kv_block_leave(net->kv, shard, block->kv.ticket);
        }
        block->at_shard[shard] = 0;
    }
}

/* Keys may have gone to other shards: registers there, and the command is to run once more. */
static YIELDS err_t
block_renew(struct session_block *block, struct kv_request *request)
{
    SOMETIMES("net: a blocked command followed its key to another shard");
    registrations_leave(block);
    block->kv.ticket = ticket_take(block->session->net->blocking, block);
    block->is_woken = true;
    return block_register(block, request);
}

void
blocking_leave(struct session *session)
{
    struct session_block *block = session->block;

    if (block == NULL) {
        return;
    }
    session->block = NULL;
    timer_stop(&block->timer);
    registrations_leave(block);
    session->net->blocked--;
    buf_fini(&block->kv.state);
    mem_free(MEM_SESSIONS, block, block_bytes(block->shards));
}

/* A run begins: what changes from now on it may not see. */
static void
run_begin(struct session_block *block)
{
    block->is_woken = false;
    block->kv.is_asked = false;
    for (uint32_t shard = 0; shard < block->shards; shard++) {
        if ((block->at_shard[shard] & BLOCK_WOKEN) != 0) {
            block->at_shard[shard] &= (uint8_t)~BLOCK_WOKEN;
            block->at_shard[shard] |= BLOCK_ANSWERING;
        }
    }
}

/* It has found nothing: the next waiter's turn. */
static void
run_answer(struct session_block *block)
{
    for (uint32_t shard = 0; shard < block->shards; shard++) {
        if ((block->at_shard[shard] & BLOCK_ANSWERING) != 0) {
            block->at_shard[shard] &= (uint8_t)~BLOCK_ANSWERING;
            kv_block_done(block->session->net->kv, shard, block->kv.ticket);
        }
    }
}

static void
end_reply(struct session *session, struct kv_request *request)
{
    uint64_t reply_start = session_output_end(session);

    if (session->block->end == BLOCK_REFUSED) {
        reply_error(request->reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    } else {
        kv_block_reply_nothing(request, session->block->kv.wait.reply);
    }
    dispatch_answered(session, request, reply_start);
}

static bool
has_ended(struct session_block *block)
{
    if (block->end == BLOCK_GOES_ON && shard_now_us() >= block->kv.wait.deadline_us) {
        block->end = BLOCK_TIMED_OUT;
    }
    return block->end != BLOCK_GOES_ON;
}

static void
refuse(struct session *session, struct kv_request *request, err_t err)
{
    uint64_t reply_start = session_output_end(session);

    reply_err(request->reply, err);
    dispatch_answered(session, request, reply_start);
}

/* Runs the command again until it replies or no key has changed since its last run began. */
static YIELDS bool
block_go_on(struct session *session, struct kv_request *request, struct slice input,
            uint64_t consumed, bool *is_used_out)
{
    struct session_block *block = session->block;

    for (uint32_t round = 0;; round++) {
        struct kv_request again = *request;

        if (session->is_closing) {
            return false;
        }
        if (round > 0 && has_ended(block)) {
            end_reply(session, request);
            break;
        }
        if (round > 0 && !block->is_woken) {
            park(block);
            return false;
        }
        run_begin(block);
        again.block = &block->kv;
        again.now_ms = io_wall_us() / 1000;
        *is_used_out = dispatch_route(session, &again, input, consumed);
        if (!block->kv.is_asked) {
            break;
        }
        *is_used_out = false; /* Nothing was replied: its bytes are the input's still. */
        run_answer(block);
        if (block->epoch != txn_slots_epoch()) {
            err_t err = block_renew(block, request);

            if (err != ERR_OK) {
                refuse(session, request, err);
                break;
            }
        }
    }
    blocking_leave(session);
    return true;
}

static bool
may_block(const struct session *session)
{
    return session->txn == 0; /* A statement of ORBIT.BEGIN holds locks that others wait for. */
}

bool
blocking_request(struct session *session, struct kv_request *request, struct slice input,
                 uint64_t consumed, bool *is_used_out)
{
    struct kv_block first = {.wait = {.deadline_us = DEADLINE_NONE}};
    err_t err;

    *is_used_out = false;
    if (session->block != NULL && has_ended(session->block)) {
        end_reply(session, request);
        blocking_leave(session);
        return true;
    }
    if (session->block == NULL) {
        struct kv_request run = *request;

        buf_init(&first.state, MEM_SESSIONS);
        run.block = may_block(session) ? &first : NULL;
        *is_used_out = dispatch_route(session, &run, input, consumed);
        if (!first.is_asked) {
            buf_fini(&first.state);
            return true;
        }
        *is_used_out = false;
        SOMETIMES("net: a command blocked");
        block_begin(session, &first);
        err = block_register(session->block, request);
        if (err != ERR_OK) {
            refuse(session, request, err);
            blocking_leave(session);
            return true;
        }
    }
    return block_go_on(session, request, input, consumed, is_used_out);
}

/* ---- Life ---- */

struct blocking *
blocking_new(struct net *net)
{
    struct blocking *blocking = MEM_NEW(MEM_RUNTIME, struct blocking);

    blocking->net = net;
    kv_block_on_wake(net->kv, wake_hear, blocking);
    return blocking;
}

void
blocking_free(struct blocking **blocking)
{
    if (*blocking == NULL) {
        return;
    }
    kv_block_on_wake((*blocking)->net->kv, NULL, NULL);
    mem_free(MEM_SESSIONS, (*blocking)->tickets,
             (*blocking)->capacity * sizeof(*(*blocking)->tickets));
    MEM_FREE(MEM_RUNTIME, *blocking);
}
