/* tools/ctl/verify.c - orbitctl verify: every byte of a stopped server's folder, read and checked.
 *
 * Each shard checks its own folder, on the runtime of the server, and writes nothing: the file
 * STORE, the manifest against the files, tables, large values, and the log against the manifest. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/err.h"
#include "engine/io/runtime.h"
#include "engine/rt/shard.h"
#include "lsm/check.h"
#include "tools/ctl/ctl.h"
#include "txn/record.h"
#include "txn/shape.h"
#include "wal/wal.h"

enum { PROGRESS_EVERY_US = 200000, PATH_BYTES = 256 };

/* Shared by all shards, under the lock. */
struct verify {
    pthread_mutex_t lock;
    bool is_json, has_terminal;
    uint64_t files, bytes, files_all, bytes_all;
    uint64_t damages, notes;
    uint64_t started_us, shown_us;
};

struct verify_shard {
    struct verify *verify;
    err_t err; /* It could not be checked. */
    char message[ERR_MESSAGE_BYTES_MAX];
    struct lsm_checked checked;
    uint64_t log_records, log_end;
    uint64_t newest_ts;
};

/* ---- The folder. ---- */

uint32_t
ctl_shards(const char *dir)
{
    uint32_t count = 0;
    char path[4200];
    struct stat status;

    while (count < SHARDS_MAX) {
        snprintf(path, sizeof(path), "%s/shard-%u", dir, count);
        if (stat(path, &status) != 0) {
            break;
        }
        count++;
    }
    return count;
}

/* A checkpoint that was never opened has no such file yet. */
int
ctl_folder_lock(const char *dir)
{
    char path[4200];
    int fd;

    if (ctl_shards(dir) == 0) {
        fprintf(stderr, "orbitctl: %s is no data folder of orbit-server: it has no shard-0\n", dir);
        return -1;
    }
    snprintf(path, sizeof(path), "%s/LOCK", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0) {
        fprintf(stderr, "orbitctl: cannot open %s: %s\n", path, strerror(errno));
    } else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        fprintf(stderr, "orbitctl: a server uses %s; stop it first\n", dir);
        close(fd);
        fd = -1;
    }
    return fd;
}

/* ---- Telling. ---- */

static void
json_text(const char *text)
{
    putchar('"');
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            printf("\\%c", *at);
        } else if (*at < ' ') {
            printf("\\u%04x", *at);
        } else {
            putchar(*at);
        }
    }
    putchar('"');
}

static void
progress_clear(const struct verify *verify)
{
    if (verify->has_terminal) {
        fprintf(stderr, "\r\033[K");
    }
}

static void
progress_show(struct verify *verify)
{
    enum { BAR = 30 };
    uint64_t now_us = shard_now_us();
    uint64_t elapsed_us = now_us - verify->started_us;
    uint64_t all = MAX(verify->bytes_all, 1u);
    unsigned filled = (unsigned)MIN(verify->bytes * BAR / all, (uint64_t)BAR);

    if (!verify->has_terminal || now_us - verify->shown_us < PROGRESS_EVERY_US) {
        return;
    }
    verify->shown_us = now_us;
    fprintf(stderr, "\r[%.*s%.*s] %llu of %llu files, %.1f of %.1f MiB, %.0f MiB/s\033[K", filled,
            "##############################", BAR - filled, "                              ",
            (unsigned long long)verify->files, (unsigned long long)verify->files_all,
            (double)verify->bytes / (1 << 20), (double)verify->bytes_all / (1 << 20),
            elapsed_us == 0 ? 0.0
                            : (double)verify->bytes * 1000000 / (double)elapsed_us / (1 << 20));
}

static void
verify_report(void *arg, enum check_finding finding, const char *message)
{
    struct verify_shard *shard = arg;
    struct verify *verify = shard->verify;

    pthread_mutex_lock(&verify->lock);
    verify->damages += finding == CHECK_DAMAGE;
    verify->notes += finding == CHECK_NOTE;
    progress_clear(verify);
    if (verify->is_json) {
        printf("{\"finding\":\"%s\",\"shard\":%u,\"message\":",
               finding == CHECK_DAMAGE ? "damage" : "note", shard_id());
        json_text(message);
        printf("}\n");
    } else {
        printf("%s: %s\n", finding == CHECK_DAMAGE ? "DAMAGE" : "note", message);
    }
    fflush(stdout);
    pthread_mutex_unlock(&verify->lock);
}

static void
verify_progress(void *arg, uint64_t files, uint64_t bytes)
{
    struct verify *verify = ((struct verify_shard *)arg)->verify;

    pthread_mutex_lock(&verify->lock);
    verify->files += files;
    verify->bytes += bytes;
    progress_show(verify);
    pthread_mutex_unlock(&verify->lock);
}

/* ---- One shard. ---- */

static YIELDS err_t
log_record(void *arg, lsn_t lsn, struct slice payload)
{
    struct verify_shard *shard = arg;
    struct record_header header;
    struct record_reader reader;
    err_t err;

    TRY(record_check(payload));
    TRY(record_open(payload, &header, &reader));
    if (header.ts <= shard->newest_ts) {
        err = err_set(ERR_CORRUPT, "log record at position %llu is older than the one before it",
                      (unsigned long long)lsn);
        goto out;
    }
    shard->newest_ts = header.ts;
    shard->log_records++;
out:
    return err;
}

/* The log goes on where the tables end, and chains from there. */
static YIELDS void
log_verify(struct verify_shard *shard, const char *dir, uint64_t log_id)
{
    struct wal_recovered recovered;
    char path[PATH_BYTES];
    struct wal_options options = {
        .dir = path,
        .log_id = log_id,
        .needed_from = shard->checked.flushed_lsn,
        .must_exist = true,
        .replay = log_record,
        .replay_arg = shard,
    };
    err_t err;

    snprintf(path, sizeof(path), "%.200s/wal", dir);
    err = wal_check(&options, &recovered);
    if (err != ERR_OK) {
        char message[ERR_MESSAGE_BYTES_MAX];

        snprintf(message, sizeof(message), "%s: %s", path, err_message(err));
        verify_report(shard, CHECK_DAMAGE, message);
        return;
    }
    shard->log_end = recovered.end;
    verify_progress(shard, 1, recovered.bytes);
    if (recovered.tail_was_cut) {
        verify_report(shard, CHECK_NOTE,
                      "the log ends with a batch that was not acknowledged: a crash left it");
    }
}

static YIELDS void
shard_verify(void *arg)
{
    struct verify_shard *shard = arg;
    struct lsm_check_options options = {
        .report = verify_report, .progress = verify_progress, .arg = shard};
    struct shape shape;
    char dir[PATH_BYTES];
    char tree[PATH_BYTES];
    char path[PATH_BYTES];
    err_t err;

    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    snprintf(tree, sizeof(tree), "%.200s/lsm", dir);
    snprintf(path, sizeof(path), "%.200s/STORE", dir);
    options.dir = tree;
    err = shape_load(dir, &shape);
    if (err == ERR_NOT_FOUND) {
        verify_report(shard, CHECK_DAMAGE,
                      "the file STORE is missing: no store was completed here");
        return;
    }
    if (err != ERR_OK) {
        verify_report(shard, CHECK_DAMAGE, err_message(err));
    }
    shard->err = lsm_check(&options, &shard->checked);
    if (shard->err == ERR_NOT_FOUND) {
        verify_report(shard, CHECK_DAMAGE, "the folder lsm is missing");
        shard->err = ERR_OK;
        return;
    }
    if (shard->err != ERR_OK) {
        snprintf(shard->message, sizeof(shard->message), "%s", err_message(shard->err));
        return;
    }
    /* Without STORE and manifest nobody knows which log is due, and from where. */
    if (err == ERR_OK && shard->checked.has_manifest) {
        log_verify(shard, dir, shape.log_id);
    }
}

static YIELDS void
shard_measure(void *arg)
{
    struct verify_shard *shard = arg;
    struct verify *verify = shard->verify;
    char tree[PATH_BYTES];
    uint64_t files = 0;
    uint64_t bytes = 0;

    snprintf(tree, sizeof(tree), "shard-%u/lsm", shard_id());
    (void)lsm_check_size(tree, &files, &bytes);
    pthread_mutex_lock(&verify->lock);
    verify->files_all += files + 1;
    verify->bytes_all += bytes;
    verify->started_us = shard_now_us();
    pthread_mutex_unlock(&verify->lock);
}

/* ---- All. ---- */

static void
shard_print(uint32_t id, const struct verify_shard *shard, bool is_json)
{
    const struct lsm_checked *checked = &shard->checked;

    if (is_json) {
        printf("{\"shard\":%u,\"tables\":%llu,\"entries\":%llu,\"value_logs\":%llu,"
               "\"values\":%llu,\"checkpoints\":%llu,\"bytes\":%llu,\"log_records\":%llu,"
               "\"flushed\":%llu,\"log_end\":%llu,\"damages\":%llu}\n",
               id, (unsigned long long)checked->tables, (unsigned long long)checked->entries,
               (unsigned long long)checked->vlogs, (unsigned long long)checked->values,
               (unsigned long long)checked->checkpoints, (unsigned long long)checked->bytes,
               (unsigned long long)shard->log_records, (unsigned long long)checked->flushed_lsn,
               (unsigned long long)shard->log_end, (unsigned long long)checked->damages);
        return;
    }
    printf("shard %u: %llu tables with %llu entries, %llu large values in %llu value logs, "
           "%llu bytes, %llu checkpoints; %llu log records in (%llu, %llu]\n",
           id, (unsigned long long)checked->tables, (unsigned long long)checked->entries,
           (unsigned long long)checked->values, (unsigned long long)checked->vlogs,
           (unsigned long long)checked->bytes, (unsigned long long)checked->checkpoints,
           (unsigned long long)shard->log_records, (unsigned long long)checked->flushed_lsn,
           (unsigned long long)shard->log_end);
}

static int
verify_finish(const struct verify *verify, const struct verify_shard *shards, uint32_t count)
{
    int status = verify->damages > 0 ? CTL_DAMAGE : CTL_OK;

    progress_clear(verify);
    for (uint32_t i = 0; i < count; i++) {
        if (shards[i].err != ERR_OK) {
            fprintf(stderr, "orbitctl: shard %u could not be checked: %s\n", i, shards[i].message);
            status = status == CTL_OK ? CTL_FAILED : status;
        } else {
            shard_print(i, &shards[i], verify->is_json);
        }
    }
    if (verify->is_json) {
        printf("{\"damages\":%llu,\"notes\":%llu,\"status\":%d}\n",
               (unsigned long long)verify->damages, (unsigned long long)verify->notes, status);
    } else {
        printf("%s\n", status == CTL_OK       ? "sound"
                       : status == CTL_DAMAGE ? "DAMAGED"
                                              : "not checked");
    }
    return status;
}

int
ctl_verify(const char *dir, bool is_json)
{
    struct runtime_options options = {.shards = ctl_shards(dir), .data_dir = dir};
    struct verify verify = {
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .is_json = is_json,
        .has_terminal = isatty(STDERR_FILENO) == 1,
    };
    struct verify_shard *shards = NULL;
    struct runtime *runtime = NULL;
    int lock = ctl_folder_lock(dir);
    int status = CTL_FAILED;
    err_t err;

    if (lock < 0) {
        return CTL_FAILED;
    }
    shards = calloc(options.shards, sizeof(*shards));
    ASSERT(shards != NULL);
    for (uint32_t i = 0; i < options.shards; i++) {
        shards[i].verify = &verify;
    }
    err = runtime_start(&options, &runtime);
    if (err != ERR_OK) {
        fprintf(stderr, "orbitctl: %s\n", err_message(err));
    } else {
        runtime_call_all(runtime, MSG_FIBER, shard_measure, shards, sizeof(*shards));
        runtime_call_all(runtime, MSG_FIBER, shard_verify, shards, sizeof(*shards));
        status = verify_finish(&verify, shards, options.shards);
    }
    runtime_stop(&runtime);
    free(shards);
    close(lock);
    return status;
}
