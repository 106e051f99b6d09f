/* tests/unit/net/net_fixture.c - see net_fixture.h. */
#include "tests/unit/net/net_fixture.h"

#include <stdio.h>
#include <string.h>

#include "engine/rt/msg.h"
#include "net/blocking.h"
#include "net/config.h"
#include "net/dispatch.h"

enum { REPLY_BYTES_MAX = 1 << 20, WAITS_MAX = 100000, WAIT_US = 1000 };

struct net_fixture fixture;

/* What one shard has. */
static struct shard_part {
    struct store *store;
    struct txns *txns;
    struct kv *kv;
    struct net *net;
    struct session *session;
} parts[SIM_SHARDS_MAX];
static char reply_text[REPLY_BYTES_MAX];

/* ---- Life ---- */

/* A session as session_new makes it, but for the connection: nothing is ever sent. */
static struct session *
session_make(struct net *net)
{
    struct session *session = MEM_NEW(MEM_SESSIONS, struct session);

    session->magic = SESSION_MAGIC;
    session->id = net->next_session++ * shard_count() + shard_id() + 1;
    session->net = net;
    session->is_running = true;
    snprintf(session->peer, sizeof(session->peer), "127.0.0.1:%llu",
             (unsigned long long)(1000 + session->id));
    snprintf(session->local, sizeof(session->local), "127.0.0.1:6379");
    session->host = (struct kv_host){.session = session->id,
                                     .shard = shard_id(),
                                     .execute = dispatch_host_execute,
                                     .is_allowed = dispatch_host_is_allowed};
    list_init(&session->ready_link);
    list_init(&session->dirty_link);
    list_init(&session->wait_link);
    buf_init(&session->input, MEM_SESSIONS);
    buf_init(&session->incoming, MEM_SESSIONS);
    buf_init(&session->sending, MEM_SESSIONS);
    reply_init(&session->output, 2);
    resp_parser_init(&session->parser);
    arena_init(&session->arena, MEM_SESSIONS);
    session->created_us = session->active_us = shard_now_us();
    session_reset(session);
    list_push_back(&net->sessions, &session->link);
    net->session_count++;
    net->session_objects++;
    return session;
}

static void
session_drop(struct session *session)
{
    list_remove(&session->link);
    session->net->session_count--;
    session->is_closing = true;
    session->is_closed = true;
    session->is_running = false;
    session_maybe_free(session);
}

static YIELDS void
store_step(void *arg)
{
    struct shard_part *part = arg;
    char dir[32];
    struct store_options options = {.dir = dir, .durability = WAL_SYNC};

    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    cr_assert_eq(store_open(&options, &part->store), ERR_OK);
}

static YIELDS void
txns_step(void *arg)
{
    struct shard_part *part = arg;

    cr_assert_eq(txns_open(&part->txns), ERR_OK);
}

static YIELDS void
kv_step(void *arg)
{
    struct shard_part *part = arg;
    struct kv_config config = {
        .databases = fixture.options.databases,
        .string_bytes_max = RESP_BULK_BYTES_MAX_DEFAULT,
        .hz = 10,
    };

    cr_assert_eq(kv_open(&config, &part->kv), ERR_OK);
}

static YIELDS void
net_step(void *arg)
{
    struct shard_part *part = arg;

    cr_assert_eq(net_open(&fixture.options, part->kv, &part->net), ERR_OK);
    part->session = session_make(part->net);
}

static YIELDS void
stop_step(void *arg)
{
    struct shard_part *part = arg;

    session_drop(part->session);
    net_stop(part->net);
}

static YIELDS void
free_step(void *arg)
{
    struct shard_part *part = arg;

    net_free(&part->net);
    kv_close(&part->kv);
}

static YIELDS void
txns_close_step(void *arg)
{
    struct shard_part *part = arg;

    txns_close(&part->txns);
}

static YIELDS void
close_step(void *arg)
{
    struct shard_part *part = arg;

    store_close(&part->store);
}

static YIELDS void
on_all(msg_fn fn)
{
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        msg_call(shard, MSG_FIBER, fn, &parts[shard]);
    }
}

void
net_fixture_options(void)
{
    fixture.options = (struct server_options){
        .bind_address = "127.0.0.1",
        .redis_port = 6379,
        .shards = shard_count(),
        .memory_bytes = 64 << 20,
        .data_dir = "data",
        .config_file = "",
        .executable = "orbit-server",
        .durability = WAL_SYNC,
        .dev_mode = true,
        .password = "",
        .run_id = "0123456789012345678901234567890123456789",
        .maxclients = NET_MAXCLIENTS_DEFAULT,
        .databases = KV_DATABASES_DEFAULT,
    };
}

void
net_fixture_open_with(void)
{
    static bool is_bound;

    command_table_init();
    if (!is_bound) {
        dispatch_init();
        is_bound = true;
    }
    msg_call_all(MSG_FIBER, store_step, parts, sizeof(parts[0])); /* They wait for each other. */
    on_all(txns_step);
    on_all(kv_step);
    on_all(net_step);
    fixture.session = parts[0].session;
}

void
net_fixture_open(void)
{
    net_fixture_options();
    net_fixture_open_with();
}

void
net_fixture_close(void)
{
    on_all(stop_step);
    on_all(free_step);
    on_all(txns_close_step);
    on_all(close_step);
}

/* ---- Requests ---- */

struct call {
    const struct slice *words;
    uint32_t count;
    struct session *session;
};

static YIELDS void
call_run(void *arg)
{
    struct call *call = arg;
    struct session *session = call->session;
    const struct resp_limits limits = {.bulk_bytes_max = RESP_BULK_BYTES_MAX_DEFAULT,
                                       .is_authenticated = true};
    const char *error = NULL;
    uint64_t consumed = 0;
    size_t size;

    buf_clear(&session->input);
    session->input_used = 0;
    buf_printf(&session->input, "*%u\r\n", call->count);
    for (uint32_t i = 0; i < call->count; i++) {
        buf_printf(&session->input, "$%zu\r\n", call->words[i].size);
        buf_append(&session->input, call->words[i].data, call->words[i].size);
        buf_append(&session->input, "\r\n", 2);
    }
    session->output.gone += session->output.buf.size;
    buf_clear(&session->output.buf);
    for (uint32_t waits = 0; session->input_used < session->input.size;) {
        if (session->is_postponed || blocking_is_parked(session->block)) {
            cr_assert_lt(waits++, WAITS_MAX);
            (void)fiber_sleep_us(WAIT_US);
            continue;
        }
        cr_assert_eq(
            resp_parse(&session->parser, buf_slice(&session->input), &limits, &consumed, &error),
            RESP_READY);
        dispatch_request(session, buf_slice(&session->input), consumed);
    }
    /* No connection takes part in the sending of what is ready. */
    list_remove(&session->dirty_link);
    session->mark_count = 0;
    size = MIN(session->output.buf.size, (size_t)REPLY_BYTES_MAX - 1);
    memcpy(reply_text, session->output.buf.data, size);
    reply_text[size] = '\0';
}

static YIELDS struct slice
call_on(uint32_t shard, const struct slice *words, uint32_t count)
{
    struct call call = {words, count, parts[shard].session};

    reply_text[0] = '\0';
    msg_call(shard, MSG_FIBER, call_run, &call);
    return slice_from_text(reply_text);
}

struct slice
net_call(const struct slice *words, uint32_t count)
{
    return call_on(0, words, count);
}

struct slice
net_call_on(uint32_t shard, const char *const *words)
{
    struct slice slices[64];
    uint32_t count = 0;

    for (; words[count] != NULL; count++) {
        cr_assert_lt(count, 64);
        slices[count] = slice_from_text(words[count]);
    }
    return call_on(shard, slices, count);
}

struct slice
net_call_texts(const char *const *words)
{
    return net_call_on(0, words);
}

void
net_expect(int line, const char *reply, const char *const *words)
{
    struct slice got = net_call_texts(words);

    cr_assert(slice_equal(got, slice_from_text(reply)), "line %d: %s answers \"%s\", not \"%s\"",
              line, words[0], reply_text, reply);
}

void
net_expect_part(int line, const char *part, bool is_wanted, const char *const *words)
{
    net_call_texts(words);
    cr_assert_eq(strstr(reply_text, part) != NULL, is_wanted,
                 "line %d: %s answers \"%.2000s\", where \"%s\" is%s wanted", line, words[0],
                 reply_text, part, is_wanted ? "" : " not");
}

int64_t
net_number(const char *const *words)
{
    struct slice got = net_call_texts(words);
    int64_t number = -1;

    cr_assert_gt(got.size, 3);
    cr_assert_eq(got.data[0], ':', "%s answers \"%s\"", words[0], reply_text);
    cr_assert(reply_parse_int(slice_of(got.data + 1, got.size - 3), &number));
    return number;
}
