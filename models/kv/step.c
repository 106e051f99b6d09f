/* models/kv/step.c - what one shard does for a command over the whole keyspace. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

void
kv_step_fail(struct kv_step *step, err_t err)
{
    step->err = err;
    step->message[0] = '\0';
    if (err != ERR_OK) {
        /* The diagnostic is this fiber's; the asking one has its own. */
        snprintf(step->message, sizeof(step->message), "%s", err_message(err));
    }
}

void
kv_step_end(struct kv *kv, struct kv_step *step, err_t err)
{
    kv_step_fail(step, err);
    step->lsn = 0;
    if (err != ERR_OK) {
        return;
    }
    if (step->session_shard == shard_id()) {
        step->lsn = store_appended(kv->store);
    } else if (store_durability(kv->store) == WAL_SYNC) {
        store_wait_durable(kv->store, store_appended(kv->store));
    }
}

bool
kv_step_accept(struct kv_request *request, const struct kv_step *step)
{
    request->lsn = MAX(request->lsn, step->lsn);
    if (step->err != ERR_OK) {
        request->err = step->err;
        reply_error(request->reply, "%s %s", err_resp(step->err), step->message);
        return false;
    }
    return true;
}
