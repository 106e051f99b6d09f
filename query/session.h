/* query/session.h - SQL as a client's session speaks it, without a protocol: statements, prepared
 * ones, transactions, settings. One fiber at a time uses a session. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"
#include "models/types/type.h"

struct batch;
struct sql_report;
struct sql_session;
struct sql_prepared;
struct session_sequences;
struct foreign_session;

enum sql_state { SQL_IDLE, SQL_IN_TRANSACTION, SQL_FAILED };

struct sql_column {
    struct slice name;
    const struct type *type;
    int32_t typmod;
    bool is_binary; /* Of a binary cursor, whatever format the client asked for. */
};

/* Where results go. The functions may suspend. */
struct sql_sink {
    /* Before the first row of a statement that gives rows. */
    YIELDS err_t (*describe)(void *arg, const struct sql_column *columns, uint32_t count);
    YIELDS err_t (*rows)(void *arg, const struct batch *batch);
    /* The end of a statement: "SELECT 3". */
    YIELDS err_t (*complete)(void *arg, const char *tag);
    /* In place of all of it: the text holds no statement. */
    void (*empty)(void *arg);
    /* severity: "NOTICE", "WARNING", ... */
    void (*notice)(void *arg, const char *severity, const struct sql_report *report);
    /* COPY to the client and from it; NULL: the protocol has none. A row is borrowed for the call.
     * copy_in appends what the client has sent, nothing at the end. */
    YIELDS err_t (*copy_out_begin)(void *arg, bool is_binary, uint32_t columns);
    YIELDS err_t (*copy_out)(void *arg, struct slice row);
    YIELDS err_t (*copy_out_end)(void *arg);
    YIELDS err_t (*copy_in_begin)(void *arg, bool is_binary, uint32_t columns);
    YIELDS err_t (*copy_in)(void *arg, struct buf *out);
    void *arg;
};

/* client: whose waits for locks a cancel ends; unique in the process, as txn_origin.client. */
struct sql_session *sql_session_new(struct slice user, uint64_t client);
/* Rolls back what is open. Accepts NULL; clears the pointer. */
YIELDS void sql_session_free(struct sql_session **session);
/* What pg_backend_pid() answers. */
uint32_t sql_session_number(const struct sql_session *session);
enum sql_state sql_session_state(const struct sql_session *session);
const struct type_settings *sql_session_settings(const struct sql_session *session);
/* NULL: no such parameter. */
const char *sql_session_parameter(const struct sql_session *session, const char *name);
/* The statement that runs has begun another one of the transaction (txn_statement): it is not run
 * again by itself within a block. */
void sql_session_parts_note(struct sql_session *session);
/* What waits for the transaction's end: query/exec/foreign.h. */
struct foreign_session *sql_session_foreign(struct sql_session *session);
struct spill_budget;
/* What its statements may use, as it is set now: query/exec/spill.h. */
struct spill_budget *sql_session_budget(struct sql_session *session);
/* What it has drawn from sequences: query/sequences.h. */
struct session_sequences *sql_session_sequences(struct sql_session *session);
/* SET or, for the value NULL, RESET, to the end of the transaction or of the session. */
YIELDS err_t sql_session_change(struct sql_session *session, const char *name, const char *value,
                                bool is_local);
/* The parameters that clients are told of, by place; NULL: there are no more. */
enum { SESSION_REPORTED = 13 };
const char *sql_session_reported(uint32_t index);
/* Another one whenever a parameter may have changed. */
uint64_t sql_session_parameters_version(const struct sql_session *session);
/* Startup parameters: unknown ones are refused. */
err_t sql_session_set(struct sql_session *session, const char *name, const char *value);
/* All of them have come: RESET goes back to what holds now. */
void sql_session_started(struct sql_session *session);
/* The folder where COPY may read and write files, borrowed; NULL, as at first: nowhere. */
void sql_session_copy_folder_set(struct sql_session *session, const char *folder);
/* May the principal run the command of Redis? Otherwise why not, and false. */
enum { SQL_GUARD_TEXT_BYTES = 512 };
struct command;
typedef bool (*sql_guard)(struct slice principal, const struct command *command,
                          const struct slice *argv, uint32_t argc, char why[SQL_GUARD_TEXT_BYTES]);
/* Asked for each redis.call; NULL, as at first: everything is allowed. */
void sql_session_guard_set(struct sql_session *session, sql_guard guard);
/* Another session's: what runs ends with 57014 soon. */
void sql_session_cancel(struct sql_session *session);
/* The same, for its time is up. */
void sql_session_time_out(struct sql_session *session);
struct sql_timeouts;
/* As they are set now. */
const struct sql_timeouts *sql_session_timeouts(const struct sql_session *session);
bool sql_session_is_cancelled(const struct sql_session *session);
/* Does a statement run that is to end? Then its waits for locks are ended, on every shard; one may
 * begin after it was looked for, so that the caller repeats it as long as the answer is true. */
YIELDS bool sql_session_cancel_waits(struct sql_session *session);

/* All statements of a text, as a simple query runs them: together one transaction, unless they say
 * otherwise. On an error the rest is not run; *position_out counts characters from 1, 0: none. */
YIELDS err_t sql_execute(struct sql_session *session, const char *text, const struct sql_sink *sink,
                         uint32_t *position_out);

/* ---- Prepared statements, of PREPARE and of the protocol: at most one statement each. They belong
 * to their session, by name; "" is one that the next takes the place of. ---- */

enum { SESSION_STATEMENTS_MAX = 10000 }; /* And portals: 54000. */

/* Types of parameters may be 0. Errors: 42P05, 54000, and those of the statement. */
YIELDS err_t sql_prepare(struct sql_session *session, const char *name, const char *text,
                         const oid_t *types, uint32_t type_count, uint32_t *position_out);
/* NULL: there is none. */
struct sql_prepared *sql_prepared_find(const struct sql_session *session, const char *name);
void sql_prepared_drop(struct sql_session *session, const char *name); /* If it is there. */
uint32_t sql_prepared_params(const struct sql_prepared *prepared, const struct type *const **types);
/* column count 0: it gives no rows. */
uint32_t sql_prepared_columns(const struct sql_prepared *prepared,
                              const struct sql_column **columns);
bool sql_prepared_is_empty(const struct sql_prepared *prepared); /* The text holds no statement. */

/* What pg_prepared_statements shows, in no order. */
struct sql_prepared_view {
    const char *name, *text;
    int64_t prepared_us; /* Since 1970. */
    uint32_t param_count;
    const struct type *const *param_types;
    bool is_from_sql;
    uint64_t runs;
};
/* The one behind `place`; place starts as NULL. False: there is no other. */
bool sql_prepared_next(const struct sql_session *session, const void **place,
                       struct sql_prepared_view *view_out);

/* ---- Portals: prepared statements with parameters, which give their rows in parts; and cursors,
 * which DECLARE makes. They end with the transaction, WITH HOLD with the session. ---- */

struct sql_portal;

/* A new one of the statement, which has no parameters yet. Errors: 42P03, 54000. */
err_t sql_portal_open(struct sql_session *session, const char *name, struct sql_prepared *prepared,
                      struct sql_portal **portal_out);
struct sql_portal *sql_portal_find(const struct sql_session *session, const char *name);
void sql_portal_close(struct sql_session *session, struct sql_portal *portal); /* Accepts NULL. */
/* Memory that ends with the portal. */
struct arena *sql_portal_arena(struct sql_portal *portal);
/* Borrowed until it ends. */
void sql_portal_params_set(struct sql_portal *portal, const struct datum *params,
                           const uint8_t *nulls, uint32_t count);
/* Of its results: 0 text, 1 binary; one for all, or one a column. Kept for the protocol. */
void sql_portal_formats_set(struct sql_portal *portal, const uint16_t *formats, uint32_t count);
uint32_t sql_portal_formats(const struct sql_portal *portal, const uint16_t **formats);
uint32_t sql_portal_columns(const struct sql_portal *portal, const struct sql_column **columns);
/* The next `most` rows, 0: all. *is_suspended_out: there may be more, and no end was told. Outside
 * of a transaction block it is one of its own. */
YIELDS err_t sql_portal_run(struct sql_session *session, struct sql_portal *portal, uint32_t most,
                            const struct sql_sink *sink, bool *is_suspended_out);

/* What pg_cursors shows. */
struct sql_portal_view {
    const char *name, *text;
    bool is_holdable, is_binary, is_scrollable;
    int64_t created_us;
};
bool sql_portal_next(const struct sql_session *session, const void **place,
                     struct sql_portal_view *view_out);

/* A command of Redis in the session's transaction, as a part of the statement that runs; the reply
 * is RESP2. ERR_SQL with the error of Redis as its message; errors of the transaction. */
struct reply;
YIELDS err_t sql_session_redis(struct sql_session *session, const struct slice *argv, uint32_t argc,
                               struct arena *arena, struct reply *reply);
/* The same for one that reads, and sees nothing that the statement has written. *is_other_out: the
 * key holds another type, which is no error. */
YIELDS err_t sql_session_redis_read(struct sql_session *session, const struct slice *argv,
                                    uint32_t argc, struct arena *arena, struct reply *reply,
                                    bool *is_other_out);
/* Hand-over (txn/txn.h): the token of the open transaction block, and taking part in another's. */
YIELDS err_t sql_session_token(struct sql_session *session, char token_out[33]);
YIELDS err_t sql_session_join(struct sql_session *session, struct slice token);
/* The role that a user of Redis is. */
struct slice sql_user_of(struct slice redis_user);
/* The session's statements are parts of a transaction that the caller drives, from now on and until
 * sql_session_without, which gives the error, or that of what was deferred. What a failed statement
 * has written is taken back; *is_lost_out: that cannot be done, and the caller aborts it. */
struct txn;
void sql_session_within(struct sql_session *session, struct txn *txn);
YIELDS err_t sql_session_without(struct sql_session *session, struct txn *txn, err_t err,
                                 bool *is_lost_out);
/* Microseconds since 1970 of the session's last commit that wrote something; 0: none yet. */
uint64_t sql_session_commit_us(const struct sql_session *session);
/* The end of a series of messages (Sync): ends the implicit transaction. */
YIELDS err_t sql_sync(struct sql_session *session);
