/* net/session.h - one Redis connection.
 *
 *     socket -> incoming -> input -> parser -> command -> output -> sending -> socket
 *
 * Bytes received while a fiber works on the session go to `incoming`, because the arguments that
 * the fiber uses lie in `input`. Replies go to `output`; a mark says from which byte on they wait
 * for a log position. A connection that waits for input holds no fiber. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/list.h"
#include "engine/base/mem.h"
#include "engine/io/io.h"
#include "models/kv/kv.h"
#include "net/pubsub.h"
#include "net/resp.h"

enum {
    SESSION_MARKS_MAX = 16,
    SESSION_NAME_BYTES_MAX = 1024,
    SESSION_OUTPUT_BYTES_HIGH = 1 << 20, /* No further command is run until it was sent. */
    SESSION_INPUT_BYTES_HIGH = 1 << 20,  /* Receiving pauses until it was used. */
    SESSION_BUFFER_BYTES_KEPT = 64 << 10,
    SESSION_PUSHED_BYTES_MAX = 256 << 20, /* Unsent, with whatever limits are configured. */
    SESSION_RUN_COMMANDS_MAX = 256, /* Commands for another shard that travel as one message. */
};

/* Replies from `offset` of the session's output on wait until `lsn` is durable at `shard`. */
struct session_mark {
    uint64_t offset;
    lsn_t lsn;
    uint64_t made_us; /* Marks of one loop turn are one: their records share a batch. */
    uint32_t shard;
};

enum session_reply_mode {
    SESSION_REPLY_ON,
    SESSION_REPLY_OFF,
    SESSION_REPLY_SKIP_NEXT,
    SESSION_REPLY_SKIP_THIS
};

/* Of one kind: pubsub.c. */
struct session_subscriptions {
    struct subscription *first, *last;
    uint32_t count;
};

struct session {
    uint64_t magic; /* SESSION_MAGIC */
    uint64_t id;
    struct net *net;
    struct io_conn *conn; /* NULL once it is closed. */
    char peer[64], local[64];
    struct list link;       /* net->sessions */
    struct list ready_link; /* net->ready, or itself */
    struct list dirty_link; /* net->dirty, or itself */
    struct list wait_link;  /* net->peers[].waiting, or itself */

    struct buf input, incoming;
    size_t input_used; /* Bytes of `input` whose requests were run. */
    struct resp_parser parser;
    struct arena arena;  /* Of the request or run. */
    struct kv_host host; /* What scripts see of the session. */

    struct reply output; /* .buf: from stream offset .gone on. */
    uint64_t held_from;  /* The running command's reply starts here... */
    bool is_held;        /* ... and may not leave before its marks are made. */
    struct buf pushes;   /* Messages that came meanwhile: they follow the reply. */
    struct buf sending;  /* In flight. */
    struct session_mark marks[SESSION_MARKS_MAX]; /* Ring. */
    uint32_t mark_first, mark_count;

    bool is_running;             /* A fiber works on it. */
    struct session_block *block; /* Its command waits for a key: blocking.h. NULL: none does. */
    bool is_postponed;   /* CLIENT PAUSE holds its request back: ready_link is in net->postponed. */
    bool is_paused;      /* Receiving is paused. */
    bool is_ended;       /* The connection failed: nothing can be sent. */
    bool is_half_closed; /* The peer sends no more, but may read: run what came, then close. */
    bool close_after_reply;
    bool is_closing;   /* io_conn_close was called. */
    bool is_closed;    /* on_closed came; freed when no fiber works on it. */
    bool is_canceling; /* A fiber ends what its command waits for. */

    /* What commands change. */
    uint32_t db;
    bool is_authenticated;
    bool is_cluster; /* Of a cluster port: cluster.h. */
    bool no_evict, no_touch;
    bool is_over_memory; /* There was no room under maxmemory when the last script began. */
    enum wal_durability durability;
    enum session_reply_mode reply_mode;
    char *name, *lib_name, *lib_version; /* NUL-terminated; NULL when unset; session_text_set. */
    const char *user;                    /* Its name; acl_session_set. */
    struct acl_user *acl_user;           /* Pinned. */

    /* Transactions: net/transaction.h. */
    struct session_multi *multi; /* Between MULTI and EXEC; otherwise NULL. */
    struct kv_watch *watches;
    struct txn_origin origin; /* Of what it writes: in every commit record. */
    uint64_t txn;  /* Id of the interactive transaction that commands belong to; 0: none. */
    bool is_as_of; /* It only reads at a time in the past: ORBIT.ASOF. */

    struct session_subscriptions subscriptions[PUBSUB_KINDS];
    bool is_observer;                  /* MONITOR */
    struct list observer_link;         /* net->observers, while it is. */
    struct session_tracking *tracking; /* NULL: CLIENT TRACKING is off. */
    uint64_t soft_since_us; /* Its output has been above the soft limit since then; 0: it is not. */
    bool is_too_slow;       /* Above a limit: it will be closed. */

    /* For CLIENT LIST, WAITAOF and timeouts. */
    uint64_t created_us, active_us; /* shard_now_us */
    const struct command *last_command;
    size_t request_bytes; /* Of the command that runs now, as received. */
    size_t argv_bytes;
    lsn_t written_lsn; /* Of its last write, at written_shard. */
    uint32_t written_shard;
    bool has_written;
    uint64_t commands, input_bytes_total, output_bytes_total;
};
#define SESSION_MAGIC UINT64_C(0x6f72626974005e55)

/* Takes the connection. */
struct session *session_new(struct net *net, struct io_conn *conn);
/* On a fiber of the net's executors: run the requests that the input holds. */
YIELDS void session_run(struct session *session);
/* Send what may be sent. Does not suspend. */
void session_flush(struct session *session);
/* Pop the marks that are satisfied; queue the session for the first that is not. */
void session_marks_check(struct session *session);
/* Output from `offset` on waits for lsn at shard. Suspends only when too many marks are open. */
YIELDS void session_mark(struct session *session, uint64_t offset, uint32_t shard, lsn_t lsn);
/* Stream offset of the next reply byte. */
static inline uint64_t
session_output_end(const struct session *session)
{
    return session->output.gone + session->output.buf.size;
}
/* Nothing that is replied from here on leaves before session_release: a command may suspend
 * between its reply and the marks for it. */
void session_hold(struct session *session);
void session_release(struct session *session);
/* Something that answers no request: prefix and rest, copied. Does not suspend. Between replies,
 * never within one. A session that does not keep up (client-output-buffer-limit) is closed soon. */
void session_push(struct session *session, struct slice prefix, struct slice rest);
/* Once a second: has its output been above the soft limit for too long? */
void session_limit_check(struct session *session);
/* At once (CLIENT KILL, timeouts) or when the replies were sent. */
void session_close(struct session *session);
void session_close_after_reply(struct session *session);
/* Free when nothing refers to it any more. */
void session_maybe_free(struct session *session);
/* Set or clear (NULL or empty) one of the session's texts. */
void session_text_set(char **text, struct slice value);
/* Checks the name; replies to the session itself and returns false when it may not be used. */
bool session_name_set(struct session *session, struct slice name);
/* The line of CLIENT LIST, with its line end. */
void session_describe(const struct session *session, struct buf *out);
/* As at connect (RESET). */
void session_reset(struct session *session);
