/* net/pgwire/timer.c - what takes too long: statements, sessions that do nothing, logins.
 *
 * One fiber a shard sleeps to the next deadline. A connection whose deadline may have come nearer
 * wakes it. */
#include "models/types/sql_error.h"
#include "net/pgwire/internal.h"
#include "query/parameter.h"

#include "engine/base/poison.h"

enum { TIMER_PAUSE_US_MAX = 60000000 };

/* 0: it has none. */
static uint64_t
deadline_of(const struct pg_conn *conn)
{
    const struct sql_timeouts *timeouts;
    uint64_t most;

    if (conn->is_ended || conn->is_closing) {
        return 0;
    }
    if (!conn->has_started || conn->login != NULL) {
        return conn->accepted_us + PG_LOGIN_US_MAX;
    }
    if (conn->session == NULL) {
        return 0;
    }
    timeouts = sql_session_timeouts(conn->session);
    most = conn->is_running                               ? timeouts->statement_us
           : sql_session_state(conn->session) == SQL_IDLE ? timeouts->idle_us
                                                          : timeouts->idle_in_transaction_us;
    return most == 0 ? 0 : conn->since_us + most;
}

static void
terminate(struct pg_conn *conn)
{
    err_t err = ERR_OK;

    if (!conn->has_started || conn->login != NULL) {
        err = sql_error("57P01", "canceling authentication due to timeout");
    } else if (sql_session_state(conn->session) == SQL_IDLE) {
        err = sql_error("57P05", "terminating connection due to idle-session timeout");
    } else {
        err = sql_error("25P03", "terminating connection due to idle-in-transaction timeout");
    }
    pg_error(conn, err, 0, "FATAL");
    pg_send_start(conn);
    pg_conn_end(conn);
}

static void
deadline_passed(struct pg_conn *conn)
{
    if (conn->session != NULL && conn->is_running) {
        sql_session_time_out(conn->session);
        pg_conn_cancel(conn);
        conn->since_us = shard_now_us(); /* Once is enough, until it has ended. */
        return;
    }
    terminate(conn);
}

static YIELDS void
timer_run(void *arg)
{
    struct pgwire *pgwire = arg;

    while (!pgwire->is_stopping) {
        uint64_t now = shard_now_us();
        uint64_t next = now + TIMER_PAUSE_US_MAX;

        LIST_FOR_EACH_SAFE(node, &pgwire->conns) {
            struct pg_conn *conn = LIST_ENTRY(node, struct pg_conn, link);
            uint64_t deadline = deadline_of(conn);

            if (deadline != 0 && deadline <= now) {
                deadline_passed(conn);
            } else if (deadline != 0) {
                next = MIN(next, deadline);
            }
        }
        pgwire->timer_next_us = next;
        (void)cond_wait_until(&pgwire->timer, next);
    }
}

void
pg_timer_start(struct pgwire *pgwire)
{
    cond_init(&pgwire->timer);
    pgwire->timer_next_us = 0;
    (void)fiber_group_spawn(&pgwire->fibers, "pgwire timer", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                            timer_run, pgwire);
}

void
pg_timer_note(struct pg_conn *conn)
{
    uint64_t deadline;

    conn->since_us = shard_now_us();
    deadline = deadline_of(conn);
    if (deadline != 0 && deadline < conn->pgwire->timer_next_us) {
        cond_broadcast(&conn->pgwire->timer);
    }
}
