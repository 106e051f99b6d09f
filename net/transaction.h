/* net/transaction.h - what a session keeps of transactions: MULTI's queue, watched keys, and the
 * interactive transaction that its commands belong to. */
#pragma once

#include "net/net.h"
#include "net/session.h"

enum {
    SESSION_MULTI_COMMANDS_MAX = 1 << 20,
    SESSION_MULTI_BYTES_MAX = 512 << 20, /* Of their words. */
};

/* ---- MULTI: commands_transaction.c ---- */

struct multi_entry {
    const struct command *command;
    uint32_t argc;
    size_t words; /* Where they begin in `bytes`: a length (8) and bytes, each. */
};

struct session_multi {
    struct buf entries; /* Of struct multi_entry. */
    struct buf bytes;
    uint32_t count;
    bool is_failed;  /* A command was refused: EXEC discards. */
    bool needs_room; /* There is one that maxmemory may refuse. */
};

/* Between MULTI and EXEC: queues the command (true), or leaves it to be run (false). */
bool multi_queue(struct session *session, const struct command *command, const struct slice *argv,
                 uint32_t argc);
/* The flags of all commands of the queue together. */
uint32_t multi_flags(const struct session_multi *multi);
/* A request was refused before it became a command. */
void multi_note_error(struct session *session);
/* EXEC itself was refused, for these reasons: replaces the error that was replied since mark. */
void multi_exec_refused(struct session *session, struct reply_mark mark);
/* Forgets queue and watched keys; harmless without. */
void multi_discard(struct session *session);

/* ---- Interactive transactions: commands_txn.c ---- */

enum {
    TXN_HOME_SHIFT = 48, /* Of a transaction's id: its home shard. */
};

/* Run the command as a statement of the session's transaction. */
YIELDS void txn_execute(struct session *session, struct kv_request *request);
/* The session goes, or is reset: its transaction is rolled back, unless other sessions drive it.
 * Does it in a fiber of its own. */
void txn_leave(struct session *session);
/* The client has gone: if a command of it runs and waits for a lock, on any shard, the wait ends.
 * Does it in a fiber of its own, which keeps the session object. Harmless when repeated. */
void txn_waits_leave(struct session *session);
