/* tests/unit/txn/sessions.c - see sessions.h. */
#include "tests/unit/txn/sessions.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/io/sim.h"
#include "engine/rt/msg.h"
#include "tests/lib/fiber_test.h"

enum {
    WORDS_MAX = 4,
    RETENTION_US = 60 * 1000 * 1000, /* For as-of. */
    WAIT_US = 5000,                  /* A command that has not ended by then waits. */
    DRAIN_US = 200 * 1000, /* What waits at the end of a script has a cause that never ends. */
    FIRST_SLOT = 0,
    LAST_SLOT = 16383,
    SHARDS_OF_SHAPES = 2,
};

struct session {
    uint32_t number;
    struct txn *txn;
    uint64_t as_of;
    uint32_t savepoint;
    char command[SCRIPT_TEXT_BYTES];
    char outcome[SCRIPT_TEXT_BYTES];
    bool is_running, is_sleeping;
    struct msg msg;
};

static struct session sessions[SCRIPT_SESSIONS_MAX];
static enum txn_isolation level;
static struct store *stores[SIM_SHARDS_MAX];
static struct txns *all_txns[SIM_SHARDS_MAX];

/* ---- Shards. ---- */

static err_t
open_shard(void *arg)
{
    char dir[32];
    struct store_options options = {
        .dir = dir, .memory_bytes = 4 << 20, .retention_us = RETENTION_US};
    err_t err;

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    TRY(store_open(&options, &stores[shard_id()]));
    TRY(txns_open(&all_txns[shard_id()]));
out:
    return err;
}

static err_t
close_txns(void *arg)
{
    (void)arg;
    txns_close(&all_txns[shard_id()]);
    return ERR_OK;
}

static err_t
close_store(void *arg)
{
    (void)arg;
    store_close(&stores[shard_id()]);
    return ERR_OK;
}

/* ---- Keys and values. ---- */

static uint16_t
slot_of(const char *key)
{
    return key[0] == 'x' || key[0] == 'z' ? FIRST_SLOT : LAST_SLOT;
}

static void
put_number(struct txn *txn, const char *key, long number)
{
    char text[32];

    snprintf(text, sizeof(text), "%ld", number);
    txn_put(txn, slot_of(key), slice_from_text(key), slice_from_text(text), 0);
}

static long
number_of(struct slice value)
{
    char text[32];

    snprintf(text, sizeof(text), "%.*s", (int)value.size, (const char *)value.data);
    return strtol(text, NULL, 10);
}

static YIELDS err_t
get_number(struct txn *txn, const char *key, bool *is_found_out, long *number_out)
{
    struct lsm_value value = {0};
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    err = txn_get(txn, slot_of(key), slice_from_text(key), &arena, &value);
    *is_found_out = err == ERR_OK && value.is_found;
    *number_out = *is_found_out ? number_of(value.value) : 0;
    arena_fini(&arena);
    return err;
}

struct row {
    char key[8];
    long number;
};
enum { ROWS_MAX = 16 };

static YIELDS err_t
scan_rows(struct txn *txn, struct row *rows, uint32_t *count_out)
{
    struct txn_scan *scan = NULL;
    err_t err;

    *count_out = 0;
    TRY(txn_scan_open(txn, TXN_ALL_SHARDS, SLICE("a"), SLICE("zz"), &scan));
    TRY(txn_scan_first(scan));
    while (txn_scan_is_valid(scan) && *count_out < ROWS_MAX) {
        const struct lsm_entry *entry = txn_scan_entry(scan);
        struct row *row = &rows[(*count_out)++];

        snprintf(row->key, sizeof(row->key), "%.*s", (int)entry->key.size,
                 (const char *)entry->key.data);
        row->number = number_of(entry->value);
        TRY(txn_scan_next(scan));
    }
out:
    txn_scan_close(&scan);
    return err;
}

/* ---- Commands. ---- */

static YIELDS err_t
session_begin(struct session *session)
{
    struct txn_options options = {.isolation = level, .as_of = session->as_of};

    return txn_begin(&options, &session->txn);
}

static YIELDS err_t
command_get(struct session *session, char **words)
{
    bool is_found;
    long number;
    err_t err;

    TRY(get_number(session->txn, words[0], &is_found, &number));
    if (is_found) {
        snprintf(session->outcome, sizeof(session->outcome), "%ld", number);
    } else {
        snprintf(session->outcome, sizeof(session->outcome), "none");
    }
out:
    return err;
}

static bool
matches(const char *filter, long number)
{
    if (filter == NULL) {
        return true;
    }
    return filter[0] == '%' ? number % strtol(filter + 1, NULL, 10) == 0
                            : number == strtol(filter + 1, NULL, 10);
}

static YIELDS err_t
command_scan(struct session *session, char **words)
{
    struct row rows[ROWS_MAX];
    uint32_t count;
    size_t used = 0;
    err_t err;

    TRY(scan_rows(session->txn, rows, &count));
    snprintf(session->outcome, sizeof(session->outcome), "none");
    for (uint32_t i = 0; i < count; i++) {
        if (matches(words[0], rows[i].number)) {
            used += (size_t)snprintf(session->outcome + used, sizeof(session->outcome) - used,
                                     "%s%s=%ld", used > 0 ? " " : "", rows[i].key, rows[i].number);
        }
    }
out:
    return err;
}

static YIELDS err_t
lock_newest(struct txn *txn, const char *key, enum lock_wait wait)
{
    err_t err;

    TRY(txn_lock(txn, slot_of(key), slice_from_text(key), LOCK_UPDATE, wait));
    TRY(txn_statement(txn, false)); /* At READ COMMITTED: what is there now. */
out:
    return err;
}

static YIELDS err_t
add_to(struct txn *txn, const char *key, long number)
{
    bool is_found;
    long old;
    err_t err;

    TRY(lock_newest(txn, key, LOCK_WAIT));
    TRY(get_number(txn, key, &is_found, &old));
    if (is_found) {
        put_number(txn, key, old + number);
        TRY(txn_flush(txn));
    }
out:
    return err;
}

static YIELDS err_t
command_add_all(struct session *session, char **words)
{
    struct row rows[ROWS_MAX];
    uint32_t count;
    err_t err;

    TRY(scan_rows(session->txn, rows, &count));
    for (uint32_t i = 0; i < count; i++) {
        TRY(add_to(session->txn, rows[i].key, strtol(words[0], NULL, 10)));
    }
out:
    return err;
}

static YIELDS err_t
command_delete_where(struct session *session, char **words)
{
    long wanted = strtol(words[0], NULL, 10);
    struct row rows[ROWS_MAX];
    uint32_t count;
    err_t err;

    TRY(scan_rows(session->txn, rows, &count));
    for (uint32_t i = 0; i < count; i++) {
        bool is_found;
        long number;

        if (rows[i].number != wanted) {
            continue;
        }
        TRY(lock_newest(session->txn, rows[i].key, LOCK_WAIT));
        TRY(get_number(session->txn, rows[i].key, &is_found, &number));
        if (is_found && number == wanted) {
            txn_delete(session->txn, slot_of(rows[i].key), slice_from_text(rows[i].key));
            TRY(txn_flush(session->txn));
        }
    }
out:
    return err;
}

static YIELDS err_t
command_write(struct session *session, bool is_put, char **words)
{
    if (is_put) {
        put_number(session->txn, words[0], strtol(words[1], NULL, 10));
    } else {
        txn_delete(session->txn, slot_of(words[0]), slice_from_text(words[0]));
    }
    return txn_flush(session->txn);
}

static YIELDS err_t
command_end(struct session *session, bool is_commit)
{
    session->as_of = 0;
    if (is_commit) {
        return txn_commit(&session->txn, NULL);
    }
    txn_abort(&session->txn);
    return ERR_OK;
}

static YIELDS err_t
command_lock(struct session *session, char **words)
{
    return lock_newest(session->txn, words[0], words[1] != NULL ? LOCK_NOWAIT : LOCK_WAIT);
}

static YIELDS err_t
command_run(struct session *session, const char *verb, char **words)
{
    err_t err;

    if (strcmp(verb, "as-of") == 0) {
        session->as_of = txn_snapshot(sessions[strtol(words[0], NULL, 10)].txn);
        return ERR_OK;
    }
    if (strcmp(verb, "sleep") == 0) {
        return fiber_sleep_us((uint64_t)strtol(words[0], NULL, 10) * 1000);
    }
    if (session->txn == NULL) {
        TRY(session_begin(session));
    }
    if (strcmp(verb, "commit") == 0 || strcmp(verb, "abort") == 0) {
        return command_end(session, verb[0] == 'c');
    }
    if (strcmp(verb, "rollback") == 0) {
        return txn_rollback_to(session->txn, session->savepoint);
    }
    TRY(txn_statement(session->txn, false));
    if (strcmp(verb, "get") == 0) {
        err = command_get(session, words);
    } else if (strcmp(verb, "scan") == 0) {
        err = command_scan(session, words);
    } else if (strcmp(verb, "put") == 0 || strcmp(verb, "delete") == 0) {
        err = command_write(session, verb[0] == 'p', words);
    } else if (strcmp(verb, "lock") == 0) {
        err = command_lock(session, words);
    } else if (strcmp(verb, "add") == 0) {
        err = add_to(session->txn, words[0], strtol(words[1], NULL, 10));
    } else if (strcmp(verb, "add-all") == 0) {
        err = command_add_all(session, words);
    } else if (strcmp(verb, "delete-where") == 0) {
        err = command_delete_where(session, words);
    } else if (strcmp(verb, "savepoint") == 0) {
        err = txn_savepoint(session->txn, &session->savepoint);
    } else {
        cr_assert_fail("no command: %s", verb);
    }
out:
    return err;
}

static const char *
word_of(err_t err)
{
    switch (err) {
    case ERR_OK:
        return "ok";
    case ERR_SERIALIZATION:
        return "serialization";
    case ERR_DEADLOCK:
        return "deadlock";
    case ERR_LOCK_TIMEOUT:
        return "locked";
    case ERR_TXN_ABORTED:
        return "aborted";
    case ERR_READ_ONLY:
        return "read-only";
    default:
        return err_message(err);
    }
}

static YIELDS void
session_execute(void *arg)
{
    struct session *session = arg;
    char text[SCRIPT_TEXT_BYTES];
    char *words[WORDS_MAX + 1] = {NULL};
    char *rest = text;
    uint32_t count = 0;
    err_t err;

    snprintf(text, sizeof(text), "%s", session->command);
    while (count < WORDS_MAX && (words[count] = strtok_r(rest, " ", &rest)) != NULL) {
        count++;
    }
    session->outcome[0] = '\0';
    err = command_run(session, words[0], words + 1);
    if (err != ERR_OK || session->outcome[0] == '\0') {
        snprintf(session->outcome, sizeof(session->outcome), "%s", word_of(err));
    }
}

/* ---- The script. ---- */

static void
session_done(struct msg *msg)
{
    struct session *session = msg->arg;

    session->is_running = false;
}

static YIELDS void
session_start(struct session *session, const char *command)
{
    cr_assert(!session->is_running, "session %u still waits: %s", session->number,
              session->command);
    snprintf(session->command, sizeof(session->command), "%s", command);
    session->is_running = true;
    session->is_sleeping = strncmp(command, "sleep", 5) == 0;
    session->msg = (struct msg){.to = session->number % shard_count(),
                                .kind = MSG_FIBER,
                                .fn = session_execute,
                                .arg = session,
                                .done = session_done};
    msg_send(&session->msg);
}

/* What the command and those that had waited came to. */
static YIELDS void
settle(const struct session *asked, const bool *was_running, char *text, size_t size)
{
    size_t used;

    fiber_sleep_us(WAIT_US);
    while (asked->is_sleeping && asked->is_running) {
        fiber_sleep_us(WAIT_US);
    }
    used = (size_t)snprintf(text, size, "%s", asked->is_running ? "waits" : asked->outcome);
    for (uint32_t i = 0; i < SCRIPT_SESSIONS_MAX; i++) {
        if (was_running[i] && !sessions[i].is_running) {
            used += (size_t)snprintf(text + used, size - used, "; %u: %s", i, sessions[i].outcome);
        }
    }
}

static const char *
expected_of(const struct script_line *line)
{
    uint32_t at = (uint32_t)level;

    while (line->outcomes[at] == NULL) {
        at--;
    }
    return line->outcomes[at];
}

static YIELDS void
line_run(const struct script_line *line)
{
    struct session *session = &sessions[line->command[0] - '0'];
    bool was_running[SCRIPT_SESSIONS_MAX];
    char text[2 * SCRIPT_TEXT_BYTES];

    for (uint32_t i = 0; i < SCRIPT_SESSIONS_MAX; i++) {
        was_running[i] = sessions[i].is_running;
    }
    session_start(session, line->command + 2);
    settle(session, was_running, text, sizeof(text));
    cr_expect_str_eq(text, expected_of(line), "level %d, %u shards: %s: %s instead of %s",
                     (int)level, shard_count(), line->command, text, expected_of(line));
}

static YIELDS void
first_values(void)
{
    struct txn *txn = txn_begin_auto(false, NULL);

    put_number(txn, "x", 10);
    put_number(txn, "y", 20);
    cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
}

struct script {
    const struct script_line *lines;
    uint32_t count;
};

static YIELDS err_t
script_body(void *arg)
{
    const struct script *script = arg;

    first_values();
    memset(sessions, 0, sizeof(sessions));
    for (uint32_t i = 0; i < SCRIPT_SESSIONS_MAX; i++) {
        sessions[i].number = i;
    }
    for (uint32_t i = 0; i < script->count; i++) {
        line_run(&script->lines[i]);
    }
    for (uint32_t i = 0; i < SCRIPT_SESSIONS_MAX; i++) {
        if (sessions[i].txn != NULL && !sessions[i].is_running) {
            session_start(&sessions[i], "abort");
        }
    }
    fiber_sleep_us(DRAIN_US);
    for (uint32_t i = 0; i < SCRIPT_SESSIONS_MAX; i++) {
        cr_assert(!sessions[i].is_running, "session %u never ended: %s", i, sessions[i].command);
        if (sessions[i].txn != NULL) {
            session_start(&sessions[i], "abort");
        }
    }
    fiber_sleep_us(WAIT_US);
    return ERR_OK;
}

void
shards_run(uint32_t shards, err_t (*body)(void *arg), void *arg)
{
    struct sim_options options;
    struct sim_world *world;
    err_t err;

    sim_options_init(&options);
    world = sim_world_new(FIBER_TEST_SEED, &options);
    err = sim_world_start(world, shards, open_shard, NULL);
    cr_assert_eq(err, ERR_OK, "opening failed: %s", err_message(err));
    err = sim_world_call(world, 0, body, arg);
    cr_assert_eq(err, ERR_OK, "the body did not end: %s", err_message(err));
    sim_world_call_all(world, close_txns, NULL);
    sim_world_call_all(world, close_store, NULL);
    sim_world_stop(world);
    sim_world_free(&world);
    fiber_test_check_leaks();
}

void
script_run(const struct script_line *lines, uint32_t count)
{
    struct script script = {.lines = lines, .count = count};

    for (level = TXN_READ_COMMITTED; level <= TXN_SERIALIZABLE; level++) {
        for (uint32_t shards = 1; shards <= SHARDS_OF_SHAPES; shards++) {
            shards_run(shards, script_body, &script);
        }
    }
}
