/* txn/api_run.c - transactions that the database runs: a function, near its data, again after a
 * conflict. */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "txn/api_txn.h"
#include "txn/clock.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

enum {
    TEXTS_BYTES_MAX = 1000,
    /* A conflict is tried again at once, then after a time drawn up to twice the one before. */
    BACK_OFF_US = 50,
    BACK_OFF_DOUBLINGS = 7,
};

static YIELDS void
back_off(uint32_t tries)
{
    uint32_t doublings = MIN(tries, (uint32_t)BACK_OFF_DOUBLINGS);

    if (tries == 1) {
        fiber_yield();
    } else {
        (void)fiber_sleep_us(prng_below(shard_prng(), (uint64_t)BACK_OFF_US << doublings));
    }
}

err_t
api_auto(bool read_only, const struct txn_origin *origin, uint64_t deadline_us, api_txn_fn fn,
         void *arg, struct txn_done *done_out)
{
    err_t err;

    for (uint32_t tries = 1;; tries++) {
        struct txn *txn = txn_begin_auto(read_only, origin);

        err = fn(txn, arg);
        if (err == ERR_OK) {
            err = txn_commit(&txn, done_out);
        } else {
            txn_abort(&txn);
        }
        if ((err != ERR_SERIALIZATION && err != ERR_DEADLOCK) || tries == ORBIT_RUN_TRIES_MAX ||
            shard_now_us() >= deadline_us) {
            return err;
        }
        back_off(tries);
    }
}

/* ---- A function of the application. ---- */

static YIELDS err_t
function_step(struct txn *txn, void *arg)
{
    struct api_run *run = arg;
    struct orbit_txn handle;
    int code;
    err_t err;

    api_txn_bind(&handle, run->db, txn);
    code = run->fn(&handle, run->arg);
    api_txn_unbind(&handle);
    err = api_error_of(code);
    run->code = code != ORBIT_OK && err == ERR_OK ? code : 0;
    if (run->code != 0) {
        err = err_set(ERR_CANCELED, "the function of the transaction returned %d", code);
    } else if (err != ERR_OK) {
        err = err_set(err, "%s", err_message(err)); /* The text, before a rollback changes it. */
    }
    return err;
}

err_t
api_run_main(struct api_run *run)
{
    const struct orbit_run_options *options = &run->options;
    struct txn_origin origin = {.protocol = slice_from_text("c")};
    uint64_t deadline_us = DEADLINE_NONE;

    if (options->principal != NULL) {
        origin.principal = slice_from_text(options->principal);
    }
    if (options->tag != NULL) {
        origin.tag = slice_from_text(options->tag);
    }
    if (options->timeout_ms != 0) {
        deadline_us = shard_now_us() + UINT64_C(1000) * options->timeout_ms;
    }
    return api_auto(options->read_only, &origin, deadline_us, function_step, run, &run->done);
}

err_t
api_run_init(struct api_run *run, struct orbit *db, const struct orbit_run_options *options,
             orbit_txn_fn fn, void *arg)
{
    *run = (struct api_run){.db = db, .fn = fn, .arg = arg};
    if (options != NULL) {
        run->options = *options;
    }
    if (fn == NULL) {
        return err_set(ERR_INVALID, "there is no function to run");
    }
    if ((run->options.principal != NULL ? strlen(run->options.principal) : 0) +
            (run->options.tag != NULL ? strlen(run->options.tag) : 0) >
        TEXTS_BYTES_MAX) {
        return err_set(ERR_LIMIT, "principal and tag have more than %d bytes", TEXTS_BYTES_MAX);
    }
    return run->options.key != NULL ? api_key_check(run->options.key, run->options.key_size)
                                    : ERR_OK;
}

int
api_run_result(const struct api_run *run, err_t err)
{
    int error = api_result(err);

    return err != ERR_OK && run->code != 0 ? run->code : error;
}

static YIELDS err_t
run_call(void *arg)
{
    struct api_run *run = arg;
    err_t err;

    TRY(api_run_main(run));
    api_wait(run->done.lsn);
out:
    return err;
}

int
orbit_txn_run(struct orbit *db, const struct orbit_run_options *options, orbit_txn_fn fn, void *arg,
              uint64_t *commit_us_out)
{
    struct api_run run;
    err_t err;

    TRY(api_run_init(&run, db, options, fn, arg));
    err = api_call(db,
                   run.options.key != NULL
                       ? api_shard_of(db, slice_of(run.options.key, run.options.key_size))
                       : api_any_shard(db),
                   run_call, &run);
    TRY(err);
    if (commit_us_out != NULL) {
        *commit_us_out = run.done.ts >> CLOCK_COUNTER_BITS;
    }
out:
    return api_run_result(&run, err);
}
