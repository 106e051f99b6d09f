/* net/commands_checkpoint.c - ORBIT.CHECKPOINT: named checkpoints of the whole store, and their
 * export into folders below the data folder. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "net/dispatch.h"
#include "txn/checkpoint.h"

#include "engine/base/poison.h"

static const char checkpoints_dir[] = "checkpoints";

/* False, with the reply: too long for a name. Everything else checkpoint_* checks. */
static bool
name_take(struct kv_request *request, char name[LSM_CHECKPOINT_NAME_BYTES_MAX + 1])
{
    struct slice text = request->argv[2];

    if (text.size > LSM_CHECKPOINT_NAME_BYTES_MAX || memchr(text.data, 0, text.size) != NULL) {
        reply_error(request->reply, "ERR a checkpoint's name has 1 to %d letters, digits, _ and -",
                    LSM_CHECKPOINT_NAME_BYTES_MAX);
        return false;
    }
    memcpy(name, text.data, text.size);
    name[text.size] = '\0';
    return true;
}

static YIELDS void
run_list(struct kv_request *request)
{
    size_t bytes = LSM_CHECKPOINTS_MAX * sizeof(struct checkpoint_info);
    struct checkpoint_info *infos = mem_alloc(MEM_SESSIONS, bytes);
    uint32_t count = 0;
    err_t err = checkpoint_list(infos, LSM_CHECKPOINTS_MAX, &count);

    if (err != ERR_OK) {
        reply_err(request->reply, err);
    } else {
        reply_array(request->reply, count);
        for (uint32_t i = 0; i < count; i++) {
            reply_map(request->reply, 4);
            reply_bulk_text(request->reply, "name");
            reply_bulk_text(request->reply, infos[i].name);
            reply_bulk_text(request->reply, "time_ms");
            reply_int(request->reply, (int64_t)((infos[i].ts >> 12) / 1000));
            reply_bulk_text(request->reply, "tables");
            reply_int(request->reply, (int64_t)infos[i].tables);
            reply_bulk_text(request->reply, "table_bytes");
            reply_int(request->reply, (int64_t)infos[i].table_bytes);
        }
    }
    mem_free(MEM_SESSIONS, infos, bytes);
}

static YIELDS void
run_export(struct kv_request *request, const char *name)
{
    char path[sizeof(checkpoints_dir) + LSM_CHECKPOINT_NAME_BYTES_MAX + 1];
    err_t err;

    snprintf(path, sizeof(path), "%s/%s", checkpoints_dir, name);
    err = checkpoint_export_named(name, path);
    if (err != ERR_OK) {
        reply_err(request->reply, err);
    } else {
        reply_bulk_text(request->reply, path);
    }
}

static YIELDS void
run_checkpoint(struct session *session, struct kv_request *request)
{
    char name[LSM_CHECKPOINT_NAME_BYTES_MAX + 1];
    struct slice verb = request->argv[1];
    err_t err;

    (void)session;
    if (request->argc == 2 && command_word_is(verb, "LIST")) {
        run_list(request);
        return;
    }
    if (request->argc != 3 || !(command_word_is(verb, "CREATE") || command_word_is(verb, "DROP") ||
                                command_word_is(verb, "EXPORT"))) {
        reply_error(request->reply, "ERR syntax: ORBIT.CHECKPOINT CREATE name | DROP name | "
                                    "EXPORT name | LIST");
        return;
    }
    if (!name_take(request, name)) {
        return;
    }
    if (command_word_is(verb, "EXPORT")) {
        run_export(request, name);
        return;
    }
    err = command_word_is(verb, "CREATE") ? checkpoint_create(name) : checkpoint_drop(name);
    if (err != ERR_OK) {
        reply_err(request->reply, err);
    } else {
        reply_ok(request->reply);
    }
}

const struct net_command net_commands_checkpoint[] = {
    {"orbit.checkpoint", run_checkpoint},
    {NULL, NULL},
};
