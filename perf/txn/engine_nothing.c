/* perf/txn/engine_nothing.c - does nothing at all: what the driver itself costs. */
#include <stdlib.h>

#include "perf/txn/txnbench.h"

static bool
database_open(const struct txn_engine_options *options, void **db_out)
{
    (void)options;
    *db_out = NULL;
    return true;
}

static void
database_close(void *db)
{
    (void)db;
}

static bool
session_open(void *db, void **session_out)
{
    (void)db;
    *session_out = calloc(1, sizeof(uint64_t));
    return *session_out != NULL;
}

static void
session_close(void *session)
{
    free(session);
}

static bool
session_load(void *session, const struct txn_access *keys, uint32_t count)
{
    (void)session;
    (void)keys;
    (void)count;
    return true;
}

/* Looks at the keys, so that they are made. */
static bool
session_run(void *session, const struct txn_work *work, uint64_t *conflicts)
{
    volatile uint64_t *sum = session;

    (void)conflicts;
    for (uint32_t i = 0; i < work->count; i++) {
        *sum += txn_number(work->accesses[i].key);
    }
    return true;
}

static bool
session_get(void *session, const char *key, uint64_t *number_out)
{
    (void)session;
    *number_out = txn_number(key);
    return true;
}

const struct txn_engine txn_nothing = {
    .name = "nothing",
    .open = database_open,
    .close = database_close,
    .session_open = session_open,
    .session_close = session_close,
    .load = session_load,
    .run = session_run,
    .get = session_get,
};
