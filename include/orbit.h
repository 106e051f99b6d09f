/* orbit.h - Orbit inside your program: an ordered, durable, transactional key-value store.
 *
 *     struct orbit_options options = {.dir = "data"};
 *     struct orbit *db;
 *     if (orbit_open(&options, &db) != ORBIT_OK) { puts(orbit_message()); ... }
 *     orbit_put(db, "name", 4, "value", 5, 0);
 *     orbit_close(&db);
 *
 * Two ways to run it:
 *   ORBIT_THREADS  one thread a shard; every function may be called from any thread.
 *   ORBIT_INLINE   one shard on the thread that opened it, without a thread or a hop: only that
 *                  thread may use it, and background work (flushes, compaction) advances during
 *                  calls and in orbit_poll.
 *
 * Keys are 1..ORBIT_KEY_BYTES_MAX bytes, ordered as by memcmp, a prefix first. Values are
 * 0..ORBIT_VALUE_BYTES_MAX bytes. Memory given to a function stays yours and may be changed when
 * it has returned. Each function that can fail returns an enum orbit_error; orbit_message() then
 * says more. Outputs are untouched on error. Link with `pkg-config --static --libs orbit`. */
#ifndef ORBIT_H
#define ORBIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ORBIT_KEY_BYTES_MAX   65000
#define ORBIT_VALUE_BYTES_MAX ((size_t)1 << 30)
#define ORBIT_BATCH_BYTES_MAX ((size_t)15 << 20) /* Values above 64 KiB count 32 bytes. */
#define ORBIT_SHARDS_MAX      256
#define ORBIT_GET_MANY_MAX    65536 /* Keys of one orbit_get_many. */
#define ORBIT_OPS_MAX         1024  /* Operations of one database that are under way. */
#define ORBIT_TOKEN_BYTES     32    /* Of a transaction's token, without the final zero. */

enum orbit_error {
    ORBIT_OK = 0,
    ORBIT_NOT_FOUND = 1, /* The key is not there. */
    ORBIT_INVALID = 2,   /* An argument is wrong, or the wrong thread called. */
    ORBIT_LIMIT = 3,     /* A key, value or batch is too large, or too much is under way. */
    ORBIT_NO_MEMORY = 4,
    ORBIT_NO_SPACE = 5,    /* The disk is full: nothing was written; reads go on. */
    ORBIT_IO = 6,          /* The disk failed. */
    ORBIT_CORRUPT = 7,     /* Stored data does not match its checksum; the message says where. */
    ORBIT_FORMAT = 8,      /* The folder was made by another version, or is opened inline and
                                has several shards. */
    ORBIT_CROSS_SHARD = 9, /* No function returns it any more. */
    ORBIT_KERNEL = 10,     /* The kernel refuses io_uring; the message names what to change. */
    ORBIT_BUSY = 11,       /* Another process uses the folder; ORBIT_SKIP: the key is locked. */
    ORBIT_INTERNAL = 12,
    ORBIT_EXISTS = 13,      /* Something of that name is there already. */
    ORBIT_UNSUPPORTED = 14, /* Not possible here; the message says why. */
    /* Of transactions. After the first two the transaction should be run again. */
    ORBIT_SERIALIZATION = 15,    /* Another one wrote what this one read or writes. */
    ORBIT_DEADLOCK = 16,         /* Chosen to end, so that others go on. */
    ORBIT_LOCK_TIMEOUT = 17,     /* A lock was not free, or not in time; inline also of plain
                                    writes to a key that a transaction has locked. */
    ORBIT_SNAPSHOT_TOO_OLD = 18, /* What was then is no longer kept. */
    ORBIT_READ_ONLY = 19,        /* A write in a transaction that only reads. */
    ORBIT_TXN_ABORTED = 20,      /* An earlier call of it failed: roll back, or to a savepoint. */
    ORBIT_TIMEOUT = 21,          /* It took longer than its timeout_ms. */
    ORBIT_IDLE_TIMEOUT = 22,     /* It was left alone for idle_timeout_ms and rolled back. */
    ORBIT_DENIED = 23,           /* A token of another principal. */
};

/* The text for the last error of the calling thread, until its next call. Never NULL. */
const char *orbit_message(void);
/* "ORBIT_NOT_FOUND" and so on. */
const char *orbit_error_name(int error);

enum orbit_mode { ORBIT_THREADS = 0, ORBIT_INLINE = 1 };

/* When a write returns. Whatever is chosen, the order of writes is kept, and a batch is there as
 * a whole or not at all. */
enum orbit_durability {
    ORBIT_SYNC = 0,     /* When it is on stable storage. */
    ORBIT_INTERVAL = 1, /* At once; it is on stable storage after interval_ms at the latest. */
    ORBIT_NONE = 2,     /* At once; it is on stable storage some time later. */
};

/* Zero means the default. */
struct orbit_options {
    const char *dir; /* Made if it is missing (its parent must be there). */
    enum orbit_mode mode;
    uint32_t shards;       /* ORBIT_THREADS: how many threads; default 1. May differ from opening to
                        * opening: orbit_shards_get. */
    uint64_t memory_bytes; /* For all shards together; default 256 MiB, at least 8 MiB a shard. */
    enum orbit_durability durability;
    uint32_t interval_ms; /* ORBIT_INTERVAL; default 1000. */
    /* Of tables written from now on: bytes of a block before compression (at most 256 KiB; 0: 4),
     * and whether blocks stay uncompressed. */
    uint32_t block_bytes;
    bool no_compression;
    uint64_t index_bytes; /* Memory for indexes and filters, all shards; 0: as it fits. */
    /* History, for reads of the past and change feeds: what is replaced, and the log, are kept
     * for so many seconds (0: what is open keeps what it needs), but of the log no more than so
     * many bytes, all shards together; 0: 10 GiB. */
    uint32_t retention_s;
    uint64_t retention_bytes;
};

struct orbit; /* Opaque. */

int orbit_open(const struct orbit_options *options, struct orbit **db_out);
/* Everything written becomes durable, and operations under way are ended first. No other call may
 * be running, and scans and snapshots must have been freed. Accepts a pointer to NULL; clears
 * it. */
void orbit_close(struct orbit **db);

/* ---- Single keys. ---- */

/* *value_out is the caller's, to be given to orbit_free. */
int orbit_get(struct orbit *db, const void *key, size_t key_size, void **value_out,
              size_t *size_out);
/* Accepts NULL. From any thread. */
void orbit_free(void *value);

/* What orbit_get_many found for one key. */
struct orbit_result {
    int error;   /* ORBIT_OK, or ORBIT_NOT_FOUND. */
    void *value; /* With ORBIT_OK the caller's, to be given to orbit_free; otherwise NULL. */
    size_t size;
};
/* results[i] for keys[i], which has sizes[i] bytes, for up to ORBIT_GET_MANY_MAX keys. What has to
 * be read from disk is read at the same time. All keys are read at one moment. On an error no
 * result is set. */
int orbit_get_many(struct orbit *db, const void *const *keys, const size_t *sizes, size_t count,
                   struct orbit_result *results);
/* expire_ms: milliseconds since 1970 at which the key ceases to be; 0: never. */
int orbit_put(struct orbit *db, const void *key, size_t key_size, const void *value,
              size_t value_size, uint64_t expire_ms);
/* Deleting what is not there is no error. */
int orbit_delete(struct orbit *db, const void *key, size_t key_size);

/* ---- Keyspaces. ---- */

/* A database holds many ordered maps, each with a number. The functions above and the rest of this
 * file work in keyspace 0 where they take no other; an empty keyspace costs nothing. */
typedef uint32_t orbit_keyspace;
#define ORBIT_KEYSPACE_MAX UINT32_C(0xfffffffe)

/* ---- Batches: all or nothing. ---- */

/* With several shards, keys that share the part between braces share a shard: "{42}name" and
 * "{42}age"; a batch whose keys do not costs messages between shards. A batch belongs to one thread
 * at a time. */
struct orbit_batch;

struct orbit_batch *orbit_batch_new(void);
void orbit_batch_free(struct orbit_batch **batch);
void orbit_batch_clear(struct orbit_batch *batch);
/* Keys and values are copied. An error is also kept and given by orbit_batch_commit. */
int orbit_batch_put(struct orbit_batch *batch, const void *key, size_t key_size, const void *value,
                    size_t value_size, uint64_t expire_ms);
int orbit_batch_delete(struct orbit_batch *batch, const void *key, size_t key_size);
/* Where the puts and deletes that follow go, until it is changed or the batch is cleared. */
int orbit_batch_keyspace(struct orbit_batch *batch, orbit_keyspace keyspace);
/* The batch can be committed again, or cleared and used for another. */
int orbit_batch_commit(struct orbit *db, struct orbit_batch *batch);

/* ---- Shards. ---- */

/* With another number of shards than last time a folder serves at once, and keys move between
 * shards in the background. The others run meanwhile, without transactions of their own; when all
 * has moved (is_moving is false) they have nothing any more, and the next opening does without
 * them. Closing ends the moving where it is, and the next opening goes on. */
struct orbit_shards {
    uint32_t wanted;  /* As opened. */
    uint32_t running; /* With those that have, or had, data from before. */
    bool is_moving;
    uint32_t slots_left; /* Of 16384: to be moved yet. */
    uint64_t keys_moved; /* Since the opening. */
};
int orbit_shards_get(struct orbit *db, struct orbit_shards *shards_out);

/* ---- Bulk ingest: sorted rows of any number, all or nothing. ---- */

/* The rows are written as tables that nobody sees; the commit is one small record in the log,
 * whatever the number of shards. For loading: it costs a fraction of what puts cost. Keys must rise
 * strictly. The rows of an ingest replace what their keys had. An ingest belongs to one thread at a
 * time, and must be freed before the database is closed. */
struct orbit_ingest;

int orbit_ingest_new(struct orbit *db, struct orbit_ingest **ingest_out);
/* Key and value are copied. ORBIT_INVALID when the key is not above the one before; this may be
 * told by a later call, as rows are handed on in groups. After an error the ingest can only be
 * freed. */
int orbit_ingest_put(struct orbit_ingest *ingest, const void *key, size_t key_size,
                     const void *value, size_t value_size, uint64_t expire_ms);
/* Takes effect as a whole, and returns when it is as durable as a put would be. Then free it. Waits
 * for transactions that have locked something between the smallest and the largest key.
 * ORBIT_SERIALIZATION: keys have moved to other shards since they were put (only while a new number
 * of shards comes into effect): load them again. ORBIT_DEADLOCK, ORBIT_LOCK_TIMEOUT (inline). */
int orbit_ingest_commit(struct orbit_ingest *ingest);
/* Before the commit it takes back everything. Accepts a pointer to NULL; clears it. */
void orbit_ingest_free(struct orbit_ingest **ingest);

/* ---- Snapshots and scans. ---- */

/* What was committed when it was taken, whatever follows: one moment over all shards. While it is
 * held, what it sees is kept. */
struct orbit_snapshot;
struct orbit_txn;

int orbit_snapshot_new(struct orbit *db, struct orbit_snapshot **snapshot_out);
void orbit_snapshot_free(struct orbit_snapshot **snapshot);
int orbit_snapshot_get(struct orbit_snapshot *snapshot, const void *key, size_t key_size,
                       void **value_out, size_t *size_out);

/* Keys in [lower, upper), in order or in reverse. NULL: no bound on that side. */
struct orbit_scan_options {
    const void *lower;
    size_t lower_size;
    const void *upper;
    size_t upper_size;
    bool reverse;
    struct orbit_snapshot *snapshot; /* Borrowed for the life of the scan; NULL: one of its own. */
    struct orbit_txn *txn;           /* Read in this transaction, own writes included; without a
                                        snapshot then. Free the scan before the transaction ends. */
    orbit_keyspace keyspace;
};

/* A scan belongs to one thread at a time. Inline it keeps the tables and memtables of the moment
 * at which it was made until it is freed; with threads it keeps only its snapshot. */
struct orbit_scan;

int orbit_scan_new(struct orbit *db, const struct orbit_scan_options *options,
                   struct orbit_scan **scan_out);
void orbit_scan_free(struct orbit_scan **scan);
/* The next key; ORBIT_NOT_FOUND behind the last one. What the pointers point to stays until the
 * next call with this scan. */
int orbit_scan_next(struct orbit_scan *scan, const void **key_out, size_t *key_size_out,
                    const void **value_out, size_t *value_size_out);

struct orbit_row {
    const void *key;
    size_t key_size;
    const void *value;
    size_t value_size;
};
/* The next keys at once, in the scan's order: several times cheaper than one by one. 1..capacity
 * rows are given, as many as are at hand, so fewer than capacity does not mean the end;
 * ORBIT_NOT_FOUND behind the last one. What rows point to stays until the next call with this
 * scan. May be mixed with orbit_scan_next. */
int orbit_scan_batch(struct orbit_scan *scan, struct orbit_row *rows, size_t capacity,
                     size_t *count_out);

/* ---- Transactions: over any keys of any keyspaces and shards. ----
 *
 * The short way is a function that the database runs, again if need be, near the data:
 *
 *     static int
 *     transfer(struct orbit_txn *txn, void *arg)
 *     {
 *         ... orbit_txn_get(txn, ...), orbit_txn_put(txn, ...) ...
 *         return ORBIT_OK;                     commits; anything else rolls back
 *     }
 *     orbit_txn_run(db, NULL, transfer, &arg, NULL);
 *
 * The long way is a transaction that the program begins and ends, over as many calls and as much
 * time as it likes; on ORBIT_SERIALIZATION and ORBIT_DEADLOCK it begins again itself. */

enum orbit_isolation {
    ORBIT_ISOLATION_SERIALIZABLE = 0,    /* As if one ran after the other, in real time's order. */
    ORBIT_ISOLATION_REPEATABLE_READ = 1, /* One snapshot; of two writers of a key one fails. */
    ORBIT_ISOLATION_READ_COMMITTED = 2,  /* Each call reads what is committed by then. */
};

/* Zero means the default. Texts are copied. */
struct orbit_txn_options {
    enum orbit_isolation isolation;
    bool read_only;
    bool deferrable;          /* SERIALIZABLE and read_only: never fails. It never does here. */
    uint64_t as_of_us;        /* Read what was committed at this time: microseconds since 1970, that
                                 microsecond included. Implies read_only. ORBIT_INVALID: it has not
                                 come yet; ORBIT_SNAPSHOT_TOO_OLD: no longer kept. */
    uint32_t timeout_ms;      /* Of the whole transaction: calls fail after it. 0: none. */
    uint32_t lock_timeout_ms; /* Of each wait for a lock. 0: none; inline: 1000, because the thread
                                 that waits cannot end what it waits for. */
    uint32_t idle_timeout_ms; /* Between two calls: then it is rolled back. 0: none. */
    const char *principal;    /* Who writes; into the log, for audit. NULL: empty. Together at */
    const char *tag;          /* Why.                                         most 1000 bytes. */
};

/* A transaction belongs to one thread at a time. Its snapshot is taken by the first call that
 * follows (begin, with as_of_us). options NULL: all defaults. Inside a function that orbit_txn_run
 * runs it is ORBIT_INVALID. */
int orbit_txn_begin(struct orbit *db, const struct orbit_txn_options *options,
                    struct orbit_txn **txn_out);
/* Rolls back what has not ended. A joined one is left to the others. Accepts a pointer to NULL;
 * clears it. */
void orbit_txn_free(struct orbit_txn **txn);

/* Ends the transaction, whatever is returned; after an error nothing was written. Returns when
 * what it wrote, and what it has read, is as durable as a put would be. commit_us_out may be NULL:
 * microseconds since 1970 that orbit_txn_options.as_of_us takes; 0 when it wrote nothing. After the
 * end all calls but free are ORBIT_INVALID. */
int orbit_txn_commit(struct orbit_txn *txn, uint64_t *commit_us_out);
int orbit_txn_abort(struct orbit_txn *txn);

/* As the functions of single keys. They see the transaction's own writes. After an error other
 * than ORBIT_NOT_FOUND, ORBIT_INVALID, ORBIT_READ_ONLY and ORBIT_BUSY the transaction can only be
 * rolled back, or back to a savepoint. Writes lock their keys until the end. */
int orbit_txn_get(struct orbit_txn *txn, orbit_keyspace keyspace, const void *key, size_t key_size,
                  void **value_out, size_t *size_out);
int orbit_txn_get_many(struct orbit_txn *txn, orbit_keyspace keyspace, const void *const *keys,
                       const size_t *sizes, size_t count, struct orbit_result *results);
int orbit_txn_put(struct orbit_txn *txn, orbit_keyspace keyspace, const void *key, size_t key_size,
                  const void *value, size_t value_size, uint64_t expire_ms);
int orbit_txn_delete(struct orbit_txn *txn, orbit_keyspace keyspace, const void *key,
                     size_t key_size);
/* All keys in [lower, upper) of the keyspace at the cost of one write. NULL: no bound there. */
int orbit_txn_delete_range(struct orbit_txn *txn, orbit_keyspace keyspace, const void *lower,
                           size_t lower_size, const void *upper, size_t upper_size);

/* Of a key, there or not, until the end of the transaction or a rollback to before. */
enum orbit_lock {
    ORBIT_LOCK_UPDATE = 0,        /* Against everybody: what a write takes. */
    ORBIT_LOCK_NO_KEY_UPDATE = 1, /* But for those that lock the key's existence: KEY_SHARE. */
    ORBIT_LOCK_SHARE = 2,         /* Against writers. */
    ORBIT_LOCK_KEY_SHARE = 3,     /* Against UPDATE alone. */
};
enum orbit_lock_wait {
    ORBIT_WAIT = 0,
    ORBIT_NOWAIT = 1, /* ORBIT_LOCK_TIMEOUT at once. */
    ORBIT_SKIP = 2,   /* ORBIT_BUSY at once, and the transaction goes on. */
};
int orbit_txn_lock(struct orbit_txn *txn, orbit_keyspace keyspace, const void *key, size_t key_size,
                   enum orbit_lock strength, enum orbit_lock_wait wait);

/* A point to roll back to, any number of times; later ones end with it. */
int orbit_txn_savepoint(struct orbit_txn *txn, uint32_t *savepoint_out);
int orbit_txn_rollback_to(struct orbit_txn *txn, uint32_t savepoint);

/* Hand-over: who has the token and names the same principal drives the transaction too, one call
 * at a time; any of them ends it. A token cannot be guessed, and expires five minutes after its
 * last use. ORBIT_NOT_FOUND (unknown, expired, ended), ORBIT_DENIED. */
int orbit_txn_token(struct orbit_txn *txn, char token_out[ORBIT_TOKEN_BYTES + 1]);
int orbit_txn_join(struct orbit *db, const char *token, const char *principal,
                   struct orbit_txn **txn_out);

/* Zero means the default. */
struct orbit_run_options {
    const void *key; /* The function runs on the shard of this key, for which calls about it and its
                        {tag} are cheapest; NULL: anywhere. */
    size_t key_size;
    bool read_only;
    uint32_t timeout_ms;   /* No further try after it; 0: none. */
    const char *principal; /* As in struct orbit_txn_options. */
    const char *tag;
};
#define ORBIT_RUN_TRIES_MAX 100

/* Run fn(txn, arg) as a SERIALIZABLE transaction and commit it if it returns ORBIT_OK; otherwise
 * roll back and return what it returned. A conflict with others runs it again, up to
 * ORBIT_RUN_TRIES_MAX times: so it should do nothing but read and write by the orbit_txn_*
 * functions and scans, compute, and keep results in *arg, which it sets anew each time. It runs on
 * a shard's thread, with 32 KiB of stack to spare, and others wait while it computes. It must not
 * block (sleep, locks, files). Any other call with the database is ORBIT_INVALID there. It locks
 * nothing: conflicts are found by the commit. commit_us_out may be NULL. */
typedef int (*orbit_txn_fn)(struct orbit_txn *txn, void *arg);
int orbit_txn_run(struct orbit *db, const struct orbit_run_options *options, orbit_txn_fn fn,
                  void *arg, uint64_t *commit_us_out);

/* ---- The change feed: what was committed, transaction after transaction. ----
 *
 *     orbit_feed_open(db, &options, &feed);
 *     while (orbit_feed_next(feed, 1000, &txn) == ORBIT_OK) {
 *         while (orbit_feed_changes(feed, changes, 100, &count) == ORBIT_OK) { ... }
 *         ... remember txn.place together with what was made of the changes ...
 *     }
 *
 * Every transaction of every shard, whole, in the order of their commits, and none that a power cut
 * could take back. Nothing is kept for a reader between two feeds: one that is opened behind the
 * last place misses and repeats nothing, also after a crash. A feed reads the log, and so goes back
 * as far as the log does; what an open one has still to read is kept, up to 256 MiB a shard. */
struct orbit_feed;

/* Where a transaction stands among all others. Keep both numbers, as they are. */
struct orbit_feed_place {
    uint64_t commit;
    uint32_t shard;
};

#define ORBIT_FEED_NOW UINT64_MAX

/* Zero means the default. */
struct orbit_feed_options {
    uint64_t from_us; /* Of which commit time on: microseconds since 1970, that one included;
                         ORBIT_FEED_NOW: what follows the call. 0: everything there has been. */
    const struct orbit_feed_place *behind; /* What follows this one, instead of from_us. */
    const orbit_keyspace *keyspace; /* Transactions that changed it, and of those only that. NULL:
                                       all keyspaces. */
};

struct orbit_feed_txn {
    struct orbit_feed_place place;
    uint64_t commit_us; /* As orbit_txn_commit gave it, and orbit_txn_options.as_of_us takes it. */
    const char *principal, *protocol, *tag; /* Until the next transaction. */
};

enum orbit_change_kind {
    ORBIT_CHANGE_PUT = 0,
    ORBIT_CHANGE_DELETE = 1,
    ORBIT_CHANGE_DELETE_RANGE = 2, /* Of all keys in [key, value); NULL: no bound on that side. */
};

struct orbit_change {
    enum orbit_change_kind kind;
    orbit_keyspace keyspace;
    const void *key;
    size_t key_size;
    const void *value; /* Of a put; NULL, with is_gone, of a large one (over 64 KiB) that has been
                          replaced since and collected: a later transaction says by what. */
    size_t value_size;
    uint64_t expire_ms; /* As in orbit_put. */
    bool is_gone;
};

/* ORBIT_INVALID (in the future), ORBIT_SNAPSHOT_TOO_OLD (the log does not go back so far; the
 * message says how far it does), ORBIT_LIMIT (64 feeds are open). Free it before orbit_close. A
 * feed belongs to one thread at a time. */
int orbit_feed_open(struct orbit *db, const struct orbit_feed_options *options,
                    struct orbit_feed **feed_out);
/* Accepts a pointer to NULL; clears it. */
void orbit_feed_free(struct orbit_feed **feed);
/* The next transaction, waited for so long; ORBIT_TIMEOUT: there is none yet. What is left of the
 * changes of the one before is passed over. After any other error the feed is to be freed and
 * opened anew; ORBIT_SNAPSHOT_TOO_OLD: it was left so far behind that the log is gone. Inline the
 * thread that waits is the one that would commit: 0 ms is enough there. */
int orbit_feed_next(struct orbit_feed *feed, uint32_t timeout_ms, struct orbit_feed_txn *txn_out);
/* 1..capacity of its changes, ORBIT_NOT_FOUND behind the last one; what they point to stays until
 * the next call with this feed. Made in this order they give what the transaction left: deleted
 * ranges come first, and of what it wrote twice the first may be missing. Those of an ingest and of
 * a transaction of any size are all there. ORBIT_SNAPSHOT_TOO_OLD: such a large one has been merged
 * with later writes, older than the retention, so that its rows are not all kept; the feed goes on
 * with the next transaction. */
int orbit_feed_changes(struct orbit_feed *feed, struct orbit_change *changes, size_t capacity,
                       size_t *count_out);

/* ---- Maintenance. ---- */

/* Writes what is in memory to tables, and all tables anew without what later writes have made
 * superfluous. Takes as long as reading and writing everything does; reads and writes from other
 * threads go on. */
int orbit_compact(struct orbit *db);

/* ---- Checkpoints: the whole database of one moment, in well under a second whatever its size.
 * Every write that had returned before the call is in it; a batch or transaction is there as a
 * whole or not at all. ---- */

/* Makes the folder `path`, which can be opened as a database of its own, or copied elsewhere. It
 * shares files with this one by hard links, so it must lie on the same file system
 * (ORBIT_UNSUPPORTED); its parent must be there. Nothing is overwritten (ORBIT_EXISTS). If the
 * process is killed meanwhile, the next opening removes what there is of it. */
int orbit_checkpoint(struct orbit *db, const char *path);

/* Named checkpoints stay inside the database: they keep their files until they are dropped, and
 * take space only for what has changed since. Names have up to 64 letters, digits, _ and -. */
int orbit_checkpoint_create(struct orbit *db, const char *name);
int orbit_checkpoint_drop(struct orbit *db, const char *name);
/* As orbit_checkpoint, of the moment when the name was given. */
int orbit_checkpoint_export(struct orbit *db, const char *name, const char *path);

struct orbit_checkpoint_info {
    const char *name;
    uint64_t time_ms; /* Since 1970. */
    uint64_t tables, table_bytes;
};
/* Calls visit for each; what it is given is borrowed for the call. */
int orbit_checkpoint_list(struct orbit *db,
                          void (*visit)(void *arg, const struct orbit_checkpoint_info *info),
                          void *arg);

/* ---- ORBIT_INLINE. ---- */

/* Does what background work can be done now, for a few hundred microseconds at most, and ends the
 * operations below that are finished. True when more is waiting to be done. Call it when the
 * program has nothing better to do. */
bool orbit_poll(struct orbit *db);

/* ---- ORBIT_INLINE: many operations under way on one thread. ----
 *
 *     op->done = on_read;
 *     orbit_get_start(db, op, "name", 4);
 *     ...                                    more may be started
 *     orbit_wait(db, 1000000);               calls on_read(op)
 *
 * The caller owns struct orbit_op, sets done and owner, and leaves the struct, the key and the
 * value alone until done has been called. done is called once, by orbit_poll, orbit_wait or
 * orbit_close, never by the function that started the operation. It may call any function but
 * orbit_close, start further operations, and free or reuse the op; it should not take long.
 *
 * Writes take effect in the order in which they were started, also against orbit_put and its
 * kind. A read that is started while a write is under way may see the write or not; of writes
 * that have ended it sees all. Deadlines: none; an operation ends when its disk answers.
 *
 * In ORBIT_THREADS these are ORBIT_INVALID: there, call from several threads, or read many keys
 * with orbit_get_many. */
struct orbit_op {
    void (*done)(struct orbit_op *op);
    void *owner; /* The caller's. */
    /* For done. orbit_message() tells more about an error there. */
    int error;
    const void *value; /* Of a get: valid until done returns. NULL unless error is ORBIT_OK. */
    size_t value_size;
    /* Orbit's. */
    void *private_[4];
};

/* When these fail nothing was started and done will not be called: ORBIT_INVALID, ORBIT_LIMIT
 * (also when ORBIT_OPS_MAX operations are under way), ORBIT_NO_MEMORY. */
int orbit_get_start(struct orbit *db, struct orbit_op *op, const void *key, size_t key_size);
int orbit_put_start(struct orbit *db, struct orbit_op *op, const void *key, size_t key_size,
                    const void *value, size_t value_size, uint64_t expire_ms);
int orbit_delete_start(struct orbit *db, struct orbit_op *op, const void *key, size_t key_size);
/* orbit_txn_run as an operation: many make progress on one thread while each waits for its disk.
 * options, but not what they point to, may be changed at once. */
int orbit_txn_run_start(struct orbit *db, struct orbit_op *op,
                        const struct orbit_run_options *options, orbit_txn_fn fn, void *arg);
/* Works, or sleeps, until an operation has ended or timeout_us have passed (UINT64_MAX: no limit),
 * and calls done of all that have ended. Returns how many; 0 at once when none is under way. */
size_t orbit_wait(struct orbit *db, uint64_t timeout_us);

#ifdef __cplusplus
}
#endif

#endif
