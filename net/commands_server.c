/* net/commands_server.c - TIME, WAIT, WAITAOF, SHUTDOWN, LOLWUT, FUNCTION FLUSH. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/commit.h"
#include "engine/base/log.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "net/dispatch.h"

#include "engine/base/poison.h"

enum { WAIT_DURABLE_LOOK_US = 1000 };

static YIELDS void
run_time(struct session *session, struct kv_request *request)
{
    uint64_t now_us = io_wall_us();

    (void)session;
    reply_array(request->reply, 2);
    reply_bulk_int(request->reply, (int64_t)(now_us / 1000000));
    reply_bulk_int(request->reply, (int64_t)(now_us % 1000000));
}

/* ---- WAIT, WAITAOF ---- */

/* Milliseconds; 0 means without end. Replies and returns false when it is none. */
static bool
deadline_parse(struct kv_request *request, struct slice text, uint64_t *deadline_out)
{
    int64_t ms;

    if (!reply_parse_int(text, &ms) || ms > INT64_MAX / 1000000) {
        reply_error(request->reply, "ERR timeout is not an integer or out of range");
        return false;
    }
    if (ms < 0) {
        reply_error(request->reply, "ERR timeout is negative");
        return false;
    }
    *deadline_out = ms == 0 ? DEADLINE_NONE : shard_now_us() + (uint64_t)ms * 1000;
    return true;
}

/* No replica is attached to this version, so none ever acknowledges: a call that asks for some
 * waits its time out. */
static YIELDS void
run_wait(struct session *session, struct kv_request *request)
{
    uint64_t deadline_us;
    int64_t replicas;

    if (!reply_parse_int(request->argv[1], &replicas)) {
        reply_error(request->reply, "ERR value is not an integer or out of range");
        return;
    }
    if (!deadline_parse(request, request->argv[2], &deadline_us)) {
        return;
    }
    if (replicas > 0) {
        (void)net_sleep_until(session, deadline_us);
    }
    reply_int(request->reply, 0);
}

struct durable_call {
    lsn_t durable; /* Out. */
};

static YIELDS void
durable_here(void *arg)
{
    struct durable_call *call = arg;

    call->durable = store_durable(net_self()->store);
}

/* Is the session's last write durable? */
static YIELDS bool
is_written(const struct session *session)
{
    struct durable_call call = {0};

    if (!session->has_written) {
        return true;
    }
    msg_call(session->written_shard, MSG_FIBER, durable_here, &call);
    return call.durable >= session->written_lsn;
}

static YIELDS void
run_waitaof(struct session *session, struct kv_request *request)
{
    int64_t local, replicas;
    uint64_t deadline_us;
    bool is_durable;

    if (!reply_parse_int(request->argv[1], &local) || local < 0 || local > 1) {
        reply_error(request->reply, "ERR value is out of range, must be between 0 and 1");
        return;
    }
    if (!reply_parse_int(request->argv[2], &replicas) || replicas < 0) {
        reply_error(request->reply, "ERR value is out of range, must be positive");
        return;
    }
    if (!deadline_parse(request, request->argv[3], &deadline_us)) {
        return;
    }
    is_durable = is_written(session);
    while (local > 0 && !is_durable && shard_now_us() < deadline_us) {
        if (!net_sleep_until(session, MIN(deadline_us, shard_now_us() + WAIT_DURABLE_LOOK_US))) {
            break;
        }
        is_durable = is_written(session);
    }
    if (replicas > 0) {
        (void)net_sleep_until(session, deadline_us);
        is_durable = is_written(session);
    }
    reply_array(request->reply, 2);
    reply_int(request->reply, is_durable);
    reply_int(request->reply, 0);
}

/* ---- SHUTDOWN ---- */

/* All that was acknowledged is in the log, so SAVE and NOSAVE are the same; nothing holds a
 * shutdown up, so NOW and FORCE change nothing and there is never one to abort. */
static YIELDS void
run_shutdown(struct session *session, struct kv_request *request)
{
    bool should_save = false;
    bool should_not_save = false;
    bool should_abort = false;

    for (uint32_t i = 1; i < request->argc; i++) {
        if (command_word_is(request->argv[i], "SAVE")) {
            should_save = true;
        } else if (command_word_is(request->argv[i], "NOSAVE")) {
            should_not_save = true;
        } else if (command_word_is(request->argv[i], "ABORT")) {
            should_abort = true;
        } else if (!command_word_is(request->argv[i], "NOW") &&
                   !command_word_is(request->argv[i], "FORCE")) {
            should_save = should_not_save = true;
        }
    }
    if ((should_save && should_not_save) || (should_abort && request->argc != 2)) {
        reply_error(request->reply, "ERR syntax error");
    } else if (should_abort) {
        reply_error(request->reply, "ERR No shutdown in progress.");
    } else {
        LOG_I("SHUTDOWN from %s", session->peer);
        (void)kill(getpid(), SIGTERM);
    }
}

/* ---- The rest ---- */

static YIELDS void
run_lolwut(struct session *session, struct kv_request *request)
{
    char text[160];
    int size =
        snprintf(text, sizeof(text), "   .--.\n  ( o  )   Orbit %s (%s), Redis ver. %s\n   '--'\n",
                 PACKAGE_VERSION, orbit_commit(), REDIS_VERSION);

    (void)session;
    reply_verbatim(request->reply, "txt", slice_of(text, (size_t)size));
}

const struct net_command net_commands_server[] = {
    {"time", run_time},         {"wait", run_wait},     {"waitaof", run_waitaof},
    {"shutdown", run_shutdown}, {"lolwut", run_lolwut}, {NULL, NULL},
};
