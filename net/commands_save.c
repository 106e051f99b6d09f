/* net/commands_save.c - SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF.
 *
 * The log is always on, so nothing is ever "not saved" that was answered at `sync`. SAVE makes all
 * durable that was written at any level, and writes what is in memory into tables, so that the log
 * is short and the next start fast: what Redis's snapshot and its rewritten AOF are for. One runs
 * at a time; shard 0 keeps the state. */
#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/io/io.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "net/dispatch.h"

#include "engine/base/poison.h"

/* ---- One save: from shard 0 ---- */

struct save_call {
    err_t err; /* Out. */
};

static YIELDS void
save_here(void *arg)
{
    struct save_call *call = arg;
    struct store *store = net_self()->store;

    call->err = store_flush(store);
    if (call->err == ERR_OK) {
        store_wait_durable(store, store_appended(store));
    }
}

static YIELDS void
save_all(struct net *net)
{
    struct net_save *save = &net->save;
    struct save_call calls[SHARDS_MAX];
    uint64_t start_us = shard_now_us();
    err_t err = ERR_OK;

    ASSERT(save->is_running);
    save->begun_us = start_us;
    memset(calls, 0, sizeof(calls));
    msg_call_all(MSG_FIBER, save_here, calls, sizeof(calls[0]));
    for (uint32_t i = 0; i < shard_count() && err == ERR_OK; i++) {
        err = calls[i].err;
    }
    if (err != ERR_OK) {
        LOG_W("net: a save failed: %s", err_name(err));
    } else {
        save->saves += !save->is_rewrite;
        save->rewrites += save->is_rewrite;
        save->last_wall_us = io_wall_us();
    }
    save->has_failed = err != ERR_OK;
    save->last_seconds = (shard_now_us() - start_us) / 1000000;
    save->is_running = false;
}

static YIELDS void
save_fiber(void *arg)
{
    save_all(arg);
}

/* ---- The commands ---- */

enum save_kind { SAVE_NOW, SAVE_BACKGROUND, SAVE_REWRITE };

struct save_ask {
    enum save_kind kind;
    const char *error; /* Out; NULL: done, or begun. */
};

static YIELDS void
ask_here(void *arg)
{
    struct save_ask *ask = arg;
    struct net *net = net_self();

    if (net->save.is_running) {
        ask->error = net->save.is_rewrite
                         ? "ERR Background append only file rewriting already in progress"
                         : "ERR Background save already in progress";
        return;
    }
    net->save.is_running = true;
    net->save.is_rewrite = ask->kind == SAVE_REWRITE;
    if (ask->kind == SAVE_NOW) {
        save_all(net);
        if (net->save.has_failed) {
            ask->error = "ERR the save failed: the server's log says why";
        }
    } else if (!fiber_group_spawn(&net->fibers, "save", FIBER_BACKGROUND, FIBER_STACK_SMALL,
                                  save_fiber, net)) {
        net->save.is_running = false;
        ask->error = "ERR no fiber for a background save";
    }
}

static YIELDS void
ask(struct kv_request *request, enum save_kind kind, const char *answer)
{
    struct save_ask ask = {.kind = kind};

    msg_call(0, MSG_FIBER, ask_here, &ask);
    if (ask.error != NULL) {
        reply_error(request->reply, "%s", ask.error);
    } else {
        reply_simple(request->reply, answer);
    }
}

static YIELDS void
run_save(struct session *session, struct kv_request *request)
{
    (void)session;
    ask(request, SAVE_NOW, "OK");
}

static YIELDS void
run_bgsave(struct session *session, struct kv_request *request)
{
    (void)session;
    if (request->argc > 2 ||
        (request->argc == 2 && !command_word_is(request->argv[1], "SCHEDULE"))) {
        reply_error(request->reply, "ERR syntax error");
        return;
    }
    ask(request, SAVE_BACKGROUND, "Background saving started");
}

static YIELDS void
run_bgrewriteaof(struct session *session, struct kv_request *request)
{
    (void)session;
    ask(request, SAVE_REWRITE, "Background append only file rewriting started");
}

struct last_read {
    uint64_t last_wall_us; /* Out. */
};

static YIELDS void
last_here(void *arg)
{
    struct last_read *last = arg;

    last->last_wall_us = net_self()->save.last_wall_us;
}

/* Before the first save the start of the server, which recovered all that was durable. */
static YIELDS void
run_lastsave(struct session *session, struct kv_request *request)
{
    struct last_read last = {0};

    msg_call(0, MSG_FIBER, last_here, &last);
    reply_int(request->reply,
              (int64_t)(MAX(last.last_wall_us, session->net->options->start_wall_us) / 1000000));
}

const struct net_command net_commands_save[] = {
    {"save", run_save},         {"bgsave", run_bgsave}, {"bgrewriteaof", run_bgrewriteaof},
    {"lastsave", run_lastsave}, {NULL, NULL},
};
