/* engine/io/sim_internal.h - what the simulator's files share: the world, its disk, its events.
 *
 *     sim_world.c   time, randomness, trace, shards, the order in which they are turned
 *     sim_disk.c    inodes, blocks, names; what a sync keeps and a power cut loses
 *     sim_ops.c     operations of the seam as events with a delay and faults
 *
 * All of it is allocated from the world's own account, because a crash drops the shards'. */
#pragma once

#include "engine/base/prng.h"
#include "engine/io/sim.h"
#include "engine/rt/msg.h"

enum {
    SIM_PATH_DEPTH_MAX = 8,
    SIM_FAIL_RULES_MAX = 16,
    SIM_FILE_BLOCKS_MAX = 1 << 22, /* 16 GiB a file: a larger offset is a bug of the caller. */
};

/* ---- The disk. ---- */

/* One 4 KiB block. NULL bytes are zeros. While pending, `durable` is what a power cut falls back
 * to; otherwise it is NULL and `current` is what is on the medium. */
struct sim_block {
    uint8_t *current;
    uint8_t *durable;
    uint64_t seq; /* Of the write that made it pending. */
    bool is_pending;
    bool is_orphaned; /* A sync failed over it: no later sync makes it durable. */
    bool is_bad;      /* Reading gives EIO until it is written again. */
};

struct sim_entry {
    char name[IO_PATH_BYTES_MAX];
    struct sim_inode *inode;
};

/* Names of a folder, sorted. */
struct sim_names {
    struct sim_entry *entries;
    uint32_t count;
    uint32_t capacity;
};

struct sim_inode {
    struct sim_inode *next; /* world->inodes, in order of birth. */
    uint64_t id;
    bool is_dir;
    bool is_marked; /* Collection. */
    uint32_t links; /* Names that lead to it now. */
    uint32_t handles;
    uint32_t in_flight;

    /* Files. */
    uint64_t size;
    uint64_t size_durable;
    uint64_t size_seq;
    bool is_size_pending;
    uint32_t syncs_in_flight;
    uint64_t sync_seq; /* The largest that a sync in flight covers. */
    struct sim_block *blocks;
    uint64_t block_count; /* Allocated in `blocks`. */

    /* Folders. */
    struct sim_names current;
    struct sim_names durable;
};

enum sim_name_change { SIM_NAME_LINK, SIM_NAME_UNLINK, SIM_NAME_MOVE };

/* A change of names that no sync_dir has made durable yet. */
struct sim_name_op {
    struct sim_name_op *next; /* world->name_ops, oldest first. */
    enum sim_name_change change;
    uint64_t seq;
    struct sim_inode *inode;
    struct sim_inode *dir;
    struct sim_inode *to_dir; /* MOVE. */
    char name[IO_PATH_BYTES_MAX];
    char to_name[IO_PATH_BYTES_MAX];
};

/* An open file, as a shard sees it. */
struct sim_file {
    struct io_file base;
    struct sim_inode *inode;
    struct sim_file *next; /* io->files. */
    uint32_t in_flight;
};

/* ---- Events: what will happen to a shard at a time. ---- */

struct sim_event {
    uint64_t due_us;
    uint64_t seq;
    struct msg *msg; /* A message, or an operation: */
    struct io_op *op;
    enum sim_op kind;
    struct sim_file *file;
    struct sim_inode *inode;
    uint64_t offset; /* Or the size, for allocate and truncate. */
    void *buffer;
    size_t size;
    uint32_t flags;
    uint64_t buffer_hash; /* Writes: the caller must not change the bytes meanwhile. */
    uint64_t sync_seq;
    size_t transferred; /* After a short transfer: the first step's bytes. */
    int fail;           /* By sim_disk_fail_next; 0 or a negative errno. */
    enum sim_astray astray;
    void (*fn)(void *arg);
    void *arg;
    char path[IO_PATH_BYTES_MAX];
    char to_path[IO_PATH_BYTES_MAX];
};

struct sim_io {
    struct io base;
    struct sim_world *world;
    uint32_t id;
    struct shard *shard;
    struct mem_account *account;
    bool is_runnable; /* By the last turn, or because something was put in from outside. */
    uint64_t stall_until_us;
    struct sim_file *files;
    struct sim_event **heap; /* By due_us, then seq. */
    uint32_t heap_count;
    uint32_t heap_capacity;
    uint64_t last_message_us[SIM_SHARDS_MAX]; /* By sender: order between two shards. */
};

struct sim_fail_rule {
    bool is_active;
    enum sim_op op;
    char path_part[IO_PATH_BYTES_MAX];
    uint32_t skip;
    uint32_t times;
    int negative_errno;
    enum sim_astray astray; /* Instead of an error. */
};

struct sim_world {
    uint64_t magic;
    struct mem_account *account;
    struct sim_options options;
    struct sim_counters counters;
    struct prng prng;
    uint64_t now_us;
    int64_t wall_offset_us;
    uint64_t trace_hash;
    uint64_t seq; /* Of events, writes and name changes. */

    uint32_t shards;       /* 0 between lives. */
    struct shared *shared; /* Of the shards of this life. */
    struct sim_io ios[SIM_SHARDS_MAX];
    bool is_fatal;
    char fatal_message[ERR_MESSAGE_BYTES_MAX];

    struct sim_inode *root;
    struct sim_inode *inodes;
    struct sim_inode *inodes_last;
    uint64_t inode_id_next;
    struct sim_name_op *name_ops;
    struct sim_name_op *name_ops_last;
    struct sim_fail_rule rules[SIM_FAIL_RULES_MAX];
};

/* Memory of the world, cleared. */
void *sim_alloc(struct sim_world *world, size_t size);
void *sim_realloc(struct sim_world *world, void *block, size_t old_size, size_t new_size);
void sim_free(struct sim_world *world, void *block, size_t size);

uint64_t sim_draw_us(struct sim_world *world, const struct sim_range *range);
/* Draws, and counts the fault when it is to happen. */
bool sim_draw_fault(struct sim_world *world, enum sim_fault fault, uint32_t ppm);
void sim_trace(struct sim_world *world, const char *what, uint32_t shard, const char *detail,
               uint64_t a, uint64_t b);

/* sim_names.c. Results are 0 or a negative errno. */
struct sim_inode *sim_disk_find(const struct sim_world *world, const char *path);
int sim_disk_open(struct sim_world *world, const char *path, uint32_t flags,
                  struct sim_inode **inode_out);
int sim_disk_rename(struct sim_world *world, const char *from, const char *to);
int sim_disk_unlink(struct sim_world *world, const char *path);
int sim_disk_link(struct sim_world *world, const char *from, const char *to);
int sim_disk_rmdir(struct sim_world *world, const char *path);
int sim_disk_mkdir(struct sim_world *world, const char *path);
int sim_disk_list(struct sim_world *world, const char *path, void (*visit)(const char *, void *),
                  void *arg);
/* Make durable what happened to the folder's names up to seq. */
int sim_disk_sync_names(struct sim_world *world, const char *path, uint64_t seq);
/* The power cut: each pending change is kept with a probability of kept_ppm. */
void sim_names_cut(struct sim_world *world, uint32_t kept_ppm);
/* Mark the inodes that a present, durable or pending name leads to. */
void sim_names_mark(struct sim_world *world);
/* Drop all pending changes. */
void sim_names_forget(struct sim_world *world);
void sim_names_free(struct sim_world *world, struct sim_names *names);
/* The path of a linked inode. */
void sim_names_path(const struct sim_world *world, const struct sim_inode *inode, char *path_out);

/* sim_disk.c */
void sim_disk_init(struct sim_world *world);
void sim_disk_fini(struct sim_world *world);
/* No block is bad any more. */
void sim_disk_heal(struct sim_world *world);
struct sim_inode *sim_inode_new(struct sim_world *world, bool is_dir);
/* Change the size; growth is refused with -ENOSPC when the disk is full. */
int sim_disk_resize(struct sim_world *world, struct sim_inode *inode, uint64_t size);
bool sim_disk_has_room(const struct sim_world *world, const struct sim_inode *inode, uint64_t size);
/* One block, whole; the file is grown to hold it. */
void sim_disk_write_block(struct sim_world *world, struct sim_inode *inode, uint64_t index,
                          const uint8_t *bytes, bool is_durable);
void sim_disk_read_block(const struct sim_inode *inode, uint64_t index, uint8_t *out);
void sim_disk_sync_begin(struct sim_world *world, struct sim_inode *inode, uint64_t seq);
void sim_disk_sync_end(struct sim_world *world, struct sim_inode *inode, uint64_t seq);
/* A sync that failed: what it covered stays readable and can no longer become durable. */
void sim_disk_sync_fail(struct sim_world *world, struct sim_inode *inode, uint64_t seq);
/* A drawn file with at least one block and path_part (NULL: any) in its path; NULL when there is
 * none. */
struct sim_inode *sim_disk_draw_file(struct sim_world *world, const char *path_part);
/* Free inodes that nothing reaches any more. */
void sim_disk_collect(struct sim_world *world);

/* sim_ops.c */
extern const struct io_ops sim_io_ops;
void sim_event_push(struct sim_io *io, struct sim_event *event);
/* The due time of the first event; DEADLINE_NONE without one. */
uint64_t sim_event_next_us(const struct sim_io *io);
/* The process dies: do operations in flight in part, forget events and open files. */
void sim_ops_crash(struct sim_io *io);
