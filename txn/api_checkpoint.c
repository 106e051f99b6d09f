/* txn/api_checkpoint.c - checkpoints, from outside. No poison.h for the same reason as api.c. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "txn/api.h"
#include "txn/checkpoint.h"

#include "engine/base/poison.h"

struct checkpoint_request {
    const char *name;
    const char *path;
};

/* The shards know paths from their folder on, the program from where it stands: the folder's
 * parent is made absolute. */
static err_t
path_resolve(const char *path, char out[PATH_MAX])
{
    char parent[PATH_MAX];
    char resolved[PATH_MAX];
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;

    if (path == NULL || name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return err_set(ERR_INVALID, "a checkpoint needs the name of a folder that can be made");
    }
    if (slash == NULL) {
        snprintf(parent, sizeof(parent), ".");
    } else if (snprintf(parent, sizeof(parent), "%.*s", (int)MAX(slash - path, 1), path) >=
               (int)sizeof(parent)) {
        return err_set(ERR_LIMIT, "the folder's name is too long");
    }
    if (realpath(parent, resolved) == NULL) {
        return err_set(errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", parent, strerror(errno));
    }
    if (snprintf(out, PATH_MAX, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved, name) >=
        PATH_MAX) {
        return err_set(ERR_LIMIT, "the folder's name is too long");
    }
    return ERR_OK;
}

static YIELDS err_t
export_here(void *arg)
{
    const struct checkpoint_request *request = arg;

    return request->name == NULL ? checkpoint_export(request->path)
                                 : checkpoint_export_named(request->name, request->path);
}

static int
export_to(struct orbit *db, const char *name, const char *path)
{
    char absolute[PATH_MAX];
    struct checkpoint_request request = {.name = name, .path = absolute};
    err_t err;

    TRY(path_resolve(path, absolute));
    err = api_call(db, 0, export_here, &request);
out:
    return api_result(err);
}

int
orbit_checkpoint(struct orbit *db, const char *path)
{
    return export_to(db, NULL, path);
}

int
orbit_checkpoint_export(struct orbit *db, const char *name, const char *path)
{
    if (name == NULL) {
        return api_result(err_set(ERR_INVALID, "a checkpoint's name is missing"));
    }
    return export_to(db, name, path);
}

static YIELDS err_t
create_here(void *arg)
{
    return checkpoint_create(((const struct checkpoint_request *)arg)->name);
}

static YIELDS err_t
drop_here(void *arg)
{
    return checkpoint_drop(((const struct checkpoint_request *)arg)->name);
}

static int
name_call(struct orbit *db, const char *name, api_fn fn)
{
    struct checkpoint_request request = {.name = name};

    if (name == NULL) {
        return api_result(err_set(ERR_INVALID, "a checkpoint's name is missing"));
    }
    return api_result(api_call(db, 0, fn, &request));
}

int
orbit_checkpoint_create(struct orbit *db, const char *name)
{
    return name_call(db, name, create_here);
}

int
orbit_checkpoint_drop(struct orbit *db, const char *name)
{
    return name_call(db, name, drop_here);
}

struct list_request {
    uint32_t count;
    struct checkpoint_info infos[LSM_CHECKPOINTS_MAX];
};

static YIELDS err_t
list_here(void *arg)
{
    struct list_request *request = arg;

    return checkpoint_list(request->infos, LSM_CHECKPOINTS_MAX, &request->count);
}

int
orbit_checkpoint_list(struct orbit *db,
                      void (*visit)(void *arg, const struct orbit_checkpoint_info *info), void *arg)
{
    struct mem_account *account = api_outside_enter();
    struct list_request *request = MEM_NEW(MEM_SESSIONS, struct list_request);
    err_t err;

    api_outside_leave(account);
    err = api_call(db, 0, list_here, request);
    for (uint32_t i = 0; i < request->count && err == ERR_OK; i++) {
        struct orbit_checkpoint_info info = {
            .name = request->infos[i].name,
            .time_ms = (request->infos[i].ts >> 12) / 1000,
            .tables = request->infos[i].tables,
            .table_bytes = request->infos[i].table_bytes,
        };

        visit(arg, &info);
    }
    account = api_outside_enter();
    MEM_FREE(MEM_SESSIONS, request);
    api_outside_leave(account);
    return api_result(err);
}
