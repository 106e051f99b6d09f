/* net/pgwire/internal.h - a shard's listener and one connection. */
#pragma once

#include "engine/base/list.h"
#include "engine/io/io.h"
#include "engine/rt/shard.h"
#include "models/types/datum.h"
#include "net/pgwire/message.h"
#include "net/pgwire/pgwire.h"
#include "query/session.h"

enum {
    PG_MESSAGE_BYTES_MAX = (16 << 20) + (64 << 10), /* 08P01 above. */
    PG_STARTUP_BYTES_MAX = 10000,
    PG_OUTPUT_BYTES_FLUSH = 64 << 10,
    PG_OUTPUT_BYTES_HIGH = 1 << 20, /* Above, a statement waits for the client to read. */
    PG_INPUT_BYTES_HIGH = 1 << 20,  /* Beyond a message: receiving pauses. */
    PG_INPUT_BYTES_COMPACT = 64 << 10,
    PG_LOGIN_US_MAX = 60000000, /* From the first byte to the end of the exchange. */
    PG_LOGIN_BYTES_MAX = 4096,  /* Of a message before that. */
    PG_STARTING_MAX = 64, /* Connections beyond the most, to be told that they are too many. */
};

struct pg_login;

struct pg_conn {
    struct pgwire *pgwire;
    struct io_conn *conn; /* NULL once it is closed. */
    struct list link;
    uint32_t pid, key; /* For a cancel request. */
    struct buf input;
    size_t input_used;
    struct buf output, sending;
    bool is_running; /* A fiber works on it. */
    bool is_ended;   /* Nothing can be sent, or nothing more will come. */
    bool is_closing, is_closed, is_paused;
    bool has_started;       /* The startup message was accepted. */
    struct pg_login *login; /* Its password is still asked for; NULL: it is not. */
    struct slice user;      /* The principal's name, its own copy. */
    uint64_t accepted_us;
    bool is_canceling; /* A fiber ends the waits of what runs. */
    bool skips_to_sync;
    uint64_t since_us;   /* When it began what it does, or to do nothing. */
    bool has_copy_ended; /* The client has sent all rows of a COPY. */
    struct cond sent;
    struct cond arrived; /* More input, or a reason not to wait for it. */
    struct sql_session *session;
    char *told[SESSION_REPORTED]; /* Values of parameters as the client knows them. */
    uint64_t told_version;        /* Of the parameters then. */

    /* Of the statement that sends rows now. */
    const uint16_t *formats;
    uint32_t format_count;
    const struct sql_column *columns;
    uint32_t column_count;
    bool sends_description;
};

struct pgwire {
    struct pgwire_options options;
    struct io_listener *listener;
    struct list conns;
    uint32_t conn_count;
    uint32_t pid_next;
    struct cond timer;
    uint64_t timer_next_us; /* When it looks again. */
    struct fiber_group fibers;
    bool is_stopping;
};

/* ---- conn.c ---- */
/* Sends what is in the output; waits when there is much of it. False: the client has gone. */
YIELDS bool pg_flush(struct pg_conn *conn);
void pg_send_start(struct pg_conn *conn);
/* Gives the kernel all of the output, behind which the connection ends. */
YIELDS void pg_farewell(struct pg_conn *conn);

/* What runs is to end, also where it waits. Does not suspend. */
void pg_conn_cancel(struct pg_conn *conn);

/* Messages that a running statement reads itself: is a whole one there? */
bool pg_message_is_there(const struct pg_conn *conn);
/* Waits for one. Errors: ERR_CLOSED, 57014, ERR_PROTOCOL (its length). */
YIELDS err_t pg_message_wait(struct pg_conn *conn);
/* Its type; the body is borrowed until pg_message_skip. */
char pg_message_peek(const struct pg_conn *conn, struct slice *body_out);
void pg_message_skip(struct pg_conn *conn);

/* It is closed when what is on its way has been sent. */
void pg_conn_end(struct pg_conn *conn);

/* ---- timer.c ---- */
void pg_timer_start(struct pgwire *pgwire);
/* The connection begins something, or has ended it. */
void pg_timer_note(struct pg_conn *conn);

/* ---- copy.c: for struct sql_sink. ---- */
err_t pg_copy_out_begin(void *arg, bool is_binary, uint32_t columns);
YIELDS err_t pg_copy_out(void *arg, struct slice row);
err_t pg_copy_out_end(void *arg);
err_t pg_copy_in_begin(void *arg, bool is_binary, uint32_t columns);
YIELDS err_t pg_copy_in(void *arg, struct buf *out);

/* ---- login.c ---- */
/* Who says to be the role is trusted, refused or asked for the password. The session starts then.
 * False: the connection is to be closed. */
YIELDS bool pg_login_begin(struct pg_conn *conn, struct slice startup);
/* A message of the exchange. */
YIELDS void pg_login_message(struct pg_conn *conn, char type, struct slice body);
void pg_login_free(struct pg_conn *conn); /* If there is one. */

/* ---- protocol.c ---- */
/* One message. */
YIELDS void pg_message(struct pg_conn *conn, char type, struct slice body);
/* The first ones, without a type. False: the connection is to be closed. */
YIELDS bool pg_startup(struct pg_conn *conn, struct slice body);
/* The session of the role, with the parameters of the startup message. False: an error was told,
 * and the connection is to be closed. */
YIELDS bool pg_session_start(struct pg_conn *conn, struct slice startup, const char *role);
void pg_error(struct pg_conn *conn, err_t err, uint32_t position, const char *severity);
void pg_session_end(struct pg_conn *conn);
/* Cancels what the session with this pid and key runs, on its shard. */
YIELDS void pg_cancel(uint32_t pid, uint32_t key);
struct pgwire *pgwire_self(void);
enum { PG_PID_SHARD_SHIFT = 20 };
/* Clients of sessions by other protocols have no such bit. */
#define PG_CLIENT_BIT (UINT64_C(1) << 63)
