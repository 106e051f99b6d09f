/* engine/io/sim_names.c - the simulated disk's folders.
 *
 * Every folder has the names that are seen and the names that are durable; between them stands
 * one list of pending changes, oldest first. sync_dir applies those of one folder to the durable
 * names. A power cut keeps either all changes up to a drawn one (a journal) or any of them (what
 * io.h allows), and the durable names are then all there is. */
#include "engine/io/sim_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

/* ---- Sorted names. ---- */

/* The index of the name, or where it would be inserted. */
static uint32_t
names_search(const struct sim_names *names, const char *name, bool *found_out)
{
    uint32_t low = 0;
    uint32_t high = names->count;

    *found_out = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(names->entries[middle].name, name);

        if (order == 0) {
            *found_out = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct sim_inode *
names_get(const struct sim_names *names, const char *name)
{
    bool found;
    uint32_t at = names_search(names, name, &found);

    return found ? names->entries[at].inode : NULL;
}

static void
names_set(struct sim_world *world, struct sim_names *names, const char *name,
          struct sim_inode *inode)
{
    bool found;
    uint32_t at = names_search(names, name, &found);

    if (found) {
        names->entries[at].inode = inode;
        return;
    }
    if (names->count == names->capacity) {
        uint32_t capacity = MAX(8u, names->capacity * 2);

        names->entries =
            sim_realloc(world, names->entries, names->capacity * sizeof(*names->entries),
                        capacity * sizeof(*names->entries));
        names->capacity = capacity;
    }
    memmove(&names->entries[at + 1], &names->entries[at],
            (names->count - at) * sizeof(*names->entries));
    snprintf(names->entries[at].name, sizeof(names->entries[at].name), "%s", name);
    names->entries[at].inode = inode;
    names->count++;
}

static void
names_remove(struct sim_names *names, const char *name, const struct sim_inode *inode)
{
    bool found;
    uint32_t at = names_search(names, name, &found);

    if (!found || names->entries[at].inode != inode) {
        return;
    }
    names->count--;
    memmove(&names->entries[at], &names->entries[at + 1],
            (names->count - at) * sizeof(*names->entries));
}

void
sim_names_free(struct sim_world *world, struct sim_names *names)
{
    sim_free(world, names->entries, names->capacity * sizeof(*names->entries));
    memset(names, 0, sizeof(*names));
}

static void
names_copy(struct sim_world *world, struct sim_names *to, const struct sim_names *from)
{
    sim_names_free(world, to);
    if (from->count > 0) {
        to->entries = sim_alloc(world, from->count * sizeof(*to->entries));
        memcpy(to->entries, from->entries, from->count * sizeof(*to->entries));
        to->count = from->count;
        to->capacity = from->count;
    }
}

/* ---- Paths. ---- */

/* The folder that the path's last part is in; that part goes to name_out (IO_PATH_BYTES_MAX),
 * which is empty for the root itself. NULL when a folder on the way is missing. */
static struct sim_inode *
path_parent(const struct sim_world *world, const char *path, char *name_out)
{
    struct sim_inode *dir = world->root;
    const char *at = path;

    name_out[0] = '\0';
    for (uint32_t depth = 0; depth <= SIM_PATH_DEPTH_MAX; depth++) {
        size_t length;

        at += strspn(at, "/");
        length = strcspn(at, "/");
        if (length == 0) {
            return dir;
        }
        ASSERT(length < IO_PATH_BYTES_MAX);
        if (length == 1 && at[0] == '.') {
            at += length;
            continue;
        }
        if (name_out[0] != '\0') {
            dir = names_get(&dir->current, name_out);
            if (dir == NULL || !dir->is_dir) {
                return NULL;
            }
        }
        memcpy(name_out, at, length);
        name_out[length] = '\0';
        at += length;
    }
    return NULL;
}

struct sim_inode *
sim_disk_find(const struct sim_world *world, const char *path)
{
    char name[IO_PATH_BYTES_MAX];
    struct sim_inode *dir = path_parent(world, path, name);

    if (dir == NULL) {
        return NULL;
    }
    return name[0] == '\0' ? dir : names_get(&dir->current, name);
}

static bool
path_search(const struct sim_inode *dir, const struct sim_inode *wanted, char *path, size_t length)
{
    for (uint32_t i = 0; i < dir->current.count; i++) {
        const struct sim_entry *entry = &dir->current.entries[i];
        int more = snprintf(path + length, IO_PATH_BYTES_MAX - length, "%s%s",
                            length > 0 ? "/" : "", entry->name);

        if (more < 0 || (size_t)more >= IO_PATH_BYTES_MAX - length) {
            continue;
        }
        if (entry->inode == wanted ||
            (entry->inode->is_dir &&
             path_search(entry->inode, wanted, path, length + (size_t)more))) {
            return true;
        }
    }
    path[length] = '\0';
    return false;
}

void
sim_names_path(const struct sim_world *world, const struct sim_inode *inode, char *path_out)
{
    path_out[0] = '\0';
    path_search(world->root, inode, path_out, 0);
}

/* ---- Pending changes. ---- */

static struct sim_name_op *
name_op_add(struct sim_world *world, enum sim_name_change change, struct sim_inode *dir,
            const char *name, struct sim_inode *inode)
{
    struct sim_name_op *op = sim_alloc(world, sizeof(*op));

    op->change = change;
    op->seq = ++world->seq;
    op->dir = dir;
    op->inode = inode;
    snprintf(op->name, sizeof(op->name), "%s", name);
    if (world->name_ops_last == NULL) {
        world->name_ops = op;
    } else {
        world->name_ops_last->next = op;
    }
    world->name_ops_last = op;
    return op;
}

static void
name_op_apply(struct sim_world *world, const struct sim_name_op *op)
{
    switch (op->change) {
    case SIM_NAME_LINK:
        names_set(world, &op->dir->durable, op->name, op->inode);
        break;
    case SIM_NAME_UNLINK:
        names_remove(&op->dir->durable, op->name, op->inode);
        break;
    case SIM_NAME_MOVE:
        names_remove(&op->dir->durable, op->name, op->inode);
        names_set(world, &op->to_dir->durable, op->to_name, op->inode);
        break;
    }
}

void
sim_names_forget(struct sim_world *world)
{
    while (world->name_ops != NULL) {
        struct sim_name_op *op = world->name_ops;

        world->name_ops = op->next;
        sim_free(world, op, sizeof(*op));
    }
    world->name_ops_last = NULL;
}

int
sim_disk_sync_names(struct sim_world *world, const char *path, uint64_t seq)
{
    struct sim_inode *dir = sim_disk_find(world, path);
    struct sim_name_op **link = &world->name_ops;

    if (dir == NULL) {
        return -ENOENT;
    }
    if (!dir->is_dir) {
        return -ENOTDIR;
    }
    world->name_ops_last = NULL;
    while (*link != NULL) {
        struct sim_name_op *op = *link;

        if (op->seq <= seq && (op->dir == dir || op->to_dir == dir)) {
            name_op_apply(world, op);
            *link = op->next;
            sim_free(world, op, sizeof(*op));
        } else {
            world->name_ops_last = op;
            link = &op->next;
        }
    }
    sim_disk_collect(world);
    return 0;
}

static void
links_count(struct sim_inode *dir)
{
    for (uint32_t i = 0; i < dir->current.count; i++) {
        struct sim_inode *inode = dir->current.entries[i].inode;

        inode->links++;
        if (inode->is_dir) {
            links_count(inode);
        }
    }
}

void
sim_names_cut(struct sim_world *world, uint32_t kept_ppm)
{
    bool in_order = sim_prng_below(world, 3) > 0;
    bool is_kept = true;

    for (struct sim_name_op *op = world->name_ops; op != NULL; op = op->next) {
        if (is_kept || !in_order) {
            is_kept = sim_prng_chance(world, kept_ppm);
        }
        if (is_kept) {
            name_op_apply(world, op);
        } else {
            world->counters.faults[SIM_FAULT_CUT_NAME]++;
        }
    }
    sim_names_forget(world);
    for (struct sim_inode *inode = world->inodes; inode != NULL; inode = inode->next) {
        inode->links = 0;
        if (inode->is_dir) {
            names_copy(world, &inode->current, &inode->durable);
        }
    }
    links_count(world->root);
}

static void
mark_below(struct sim_inode *inode)
{
    const struct sim_names *names[2] = {&inode->current, &inode->durable};

    if (inode->is_marked) {
        return;
    }
    inode->is_marked = true;
    for (uint32_t side = 0; side < 2; side++) {
        for (uint32_t i = 0; i < names[side]->count; i++) {
            mark_below(names[side]->entries[i].inode);
        }
    }
}

void
sim_names_mark(struct sim_world *world)
{
    for (struct sim_inode *inode = world->inodes; inode != NULL; inode = inode->next) {
        inode->is_marked = false;
    }
    mark_below(world->root);
    for (struct sim_name_op *op = world->name_ops; op != NULL; op = op->next) {
        mark_below(op->inode);
        mark_below(op->dir);
        if (op->to_dir != NULL) {
            mark_below(op->to_dir);
        }
    }
    /* An open folderless file may be written on; what it is part of is not asked any more. */
    for (struct sim_inode *inode = world->inodes; inode != NULL; inode = inode->next) {
        if (inode->handles > 0 || inode->in_flight > 0) {
            mark_below(inode);
        }
    }
}

/* ---- Operations. ---- */

static struct sim_inode *
name_create(struct sim_world *world, struct sim_inode *dir, const char *name, bool is_dir)
{
    struct sim_inode *inode = sim_inode_new(world, is_dir);

    inode->links = 1;
    names_set(world, &dir->current, name, inode);
    name_op_add(world, SIM_NAME_LINK, dir, name, inode);
    return inode;
}

int
sim_disk_open(struct sim_world *world, const char *path, uint32_t flags,
              struct sim_inode **inode_out)
{
    char name[IO_PATH_BYTES_MAX];
    struct sim_inode *dir = path_parent(world, path, name);
    struct sim_inode *inode;

    if (dir == NULL) {
        return -ENOENT;
    }
    inode = name[0] == '\0' ? dir : names_get(&dir->current, name);
    if (inode == NULL) {
        if ((flags & IO_CREATE) == 0) {
            return -ENOENT;
        }
        inode = name_create(world, dir, name, false);
    } else if ((flags & IO_EXCLUSIVE) != 0) {
        return -EEXIST;
    } else if (inode->is_dir) {
        return -EISDIR;
    }
    *inode_out = inode;
    return 0;
}

int
sim_disk_mkdir(struct sim_world *world, const char *path)
{
    char name[IO_PATH_BYTES_MAX];
    struct sim_inode *dir = path_parent(world, path, name);

    if (dir == NULL) {
        return -ENOENT;
    }
    if (name[0] == '\0' || names_get(&dir->current, name) != NULL) {
        return -EEXIST;
    }
    name_create(world, dir, name, true);
    return 0;
}

int
sim_disk_unlink(struct sim_world *world, const char *path)
{
    char name[IO_PATH_BYTES_MAX];
    struct sim_inode *dir = path_parent(world, path, name);
    struct sim_inode *inode = dir == NULL ? NULL : names_get(&dir->current, name);

    if (inode == NULL) {
        return -ENOENT;
    }
    if (inode->is_dir) {
        return -EISDIR;
    }
    names_remove(&dir->current, name, inode);
    inode->links--;
    name_op_add(world, SIM_NAME_UNLINK, dir, name, inode);
    return 0;
}

int
sim_disk_link(struct sim_world *world, const char *from, const char *to)
{
    char name[IO_PATH_BYTES_MAX];
    char to_name[IO_PATH_BYTES_MAX];
    struct sim_inode *dir = path_parent(world, from, name);
    struct sim_inode *to_dir = path_parent(world, to, to_name);
    struct sim_inode *inode = dir == NULL ? NULL : names_get(&dir->current, name);

    if (inode == NULL || to_dir == NULL || to_name[0] == '\0') {
        return -ENOENT;
    }
    if (inode->is_dir) {
        return -EPERM;
    }
    if (names_get(&to_dir->current, to_name) != NULL) {
        return -EEXIST;
    }
    inode->links++;
    names_set(world, &to_dir->current, to_name, inode);
    name_op_add(world, SIM_NAME_LINK, to_dir, to_name, inode);
    return 0;
}

int
sim_disk_rmdir(struct sim_world *world, const char *path)
{
    char name[IO_PATH_BYTES_MAX];
    struct sim_inode *dir = path_parent(world, path, name);
    struct sim_inode *inode = dir == NULL ? NULL : names_get(&dir->current, name);

    if (inode == NULL) {
        return -ENOENT;
    }
    if (!inode->is_dir) {
        return -ENOTDIR;
    }
    if (inode->current.count > 0) {
        return -ENOTEMPTY;
    }
    names_remove(&dir->current, name, inode);
    inode->links--;
    name_op_add(world, SIM_NAME_UNLINK, dir, name, inode);
    return 0;
}

int
sim_disk_rename(struct sim_world *world, const char *from, const char *to)
{
    char name[IO_PATH_BYTES_MAX];
    char to_name[IO_PATH_BYTES_MAX];
    struct sim_inode *dir = path_parent(world, from, name);
    struct sim_inode *to_dir = path_parent(world, to, to_name);
    struct sim_inode *inode = dir == NULL ? NULL : names_get(&dir->current, name);
    struct sim_inode *target;
    struct sim_name_op *op;

    if (inode == NULL || to_dir == NULL || to_name[0] == '\0') {
        return -ENOENT;
    }
    target = names_get(&to_dir->current, to_name);
    if (target == inode) {
        return 0;
    }
    if (target != NULL && (target->is_dir || inode->is_dir)) {
        return target->is_dir ? -EISDIR : -ENOTDIR;
    }
    if (target != NULL) {
        target->links--;
    }
    names_remove(&dir->current, name, inode);
    names_set(world, &to_dir->current, to_name, inode);
    op = name_op_add(world, SIM_NAME_MOVE, dir, name, inode);
    op->to_dir = to_dir;
    snprintf(op->to_name, sizeof(op->to_name), "%s", to_name);
    return 0;
}

int
sim_disk_list(struct sim_world *world, const char *path, void (*visit)(const char *, void *),
              void *arg)
{
    const struct sim_inode *dir = sim_disk_find(world, path);

    if (dir == NULL) {
        return -ENOENT;
    }
    if (!dir->is_dir) {
        return -ENOTDIR;
    }
    for (uint32_t i = 0; i < dir->current.count; i++) {
        visit(dir->current.entries[i].name, arg);
    }
    return 0;
}

static void
visit_below(const struct sim_inode *dir, char *path, size_t length,
            void (*visit)(const char *path, uint64_t size, void *arg), void *arg)
{
    for (uint32_t i = 0; i < dir->current.count; i++) {
        const struct sim_entry *entry = &dir->current.entries[i];
        int more = snprintf(path + length, IO_PATH_BYTES_MAX - length, "%s%s",
                            length > 0 ? "/" : "", entry->name);

        if (more < 0 || (size_t)more >= IO_PATH_BYTES_MAX - length) {
            continue;
        }
        if (entry->inode->is_dir) {
            visit_below(entry->inode, path, length + (size_t)more, visit, arg);
        } else {
            visit(path, entry->inode->size, arg);
        }
    }
}

void
sim_disk_visit(const struct sim_world *world,
               void (*visit)(const char *path, uint64_t size, void *arg), void *arg)
{
    char path[IO_PATH_BYTES_MAX] = "";

    visit_below(world->root, path, 0, visit, arg);
}
