/* engine/io/runtime.c - the shards of a process.
 *
 * The starting thread makes everything, so that a refusal is reported before a thread exists;
 * each thread then enables its ring, reports, and turns its shard until it is told to stop. No
 * poison.h here: it makes the threads. */
#include "engine/io/runtime.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sysinfo.h>

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "engine/io/uring_internal.h"
#include "engine/rt/shard.h"
#include "engine/rt/shared.h"

struct runtime_shard {
    struct runtime *runtime;
    struct shard *shard;
    struct mem_account *account;
    pthread_t thread;
    uint32_t id;
    int cpu; /* -1: not pinned. */
    bool has_thread;
    struct err_diag diag; /* Of the thread's start or of init. */
};

struct runtime {
    uint32_t count;
    struct uring_group *group;
    struct runtime_shard *shards;
    struct mem_account **accounts;
    struct shared *shared; /* By all shards. */
    err_t (*init)(void *arg);
    void (*fini)(void *arg);
    void *arg;
    /* What starting threads and runtime_call wait for. */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    uint32_t threads_pending;
};

/* ---- Calls from outside. ---- */

struct foreign_call {
    struct msg msg; /* First. */
    struct foreign_wait *wait;
};

struct foreign_wait {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    uint32_t pending;
};

/* On the receiving shard's loop. The caller may return as soon as the mutex is free. */
static void
foreign_done(struct msg *msg)
{
    struct foreign_wait *wait = ((struct foreign_call *)msg)->wait;

    pthread_mutex_lock(&wait->mutex);
    wait->pending--;
    pthread_cond_signal(&wait->cond);
    pthread_mutex_unlock(&wait->mutex);
}

static void
call_range(struct runtime *runtime, uint32_t first, uint32_t count, enum msg_kind kind, msg_fn fn,
           void *args, size_t arg_size)
{
    struct foreign_wait wait = {.pending = count};
    struct foreign_call *calls = mem_zalloc(MEM_RUNTIME, count * sizeof(*calls));

    ASSERT(shard_self() == NULL);
    pthread_mutex_init(&wait.mutex, NULL);
    pthread_cond_init(&wait.cond, NULL);
    for (uint32_t i = 0; i < count; i++) {
        calls[i].wait = &wait;
        calls[i].msg.fn = fn;
        calls[i].msg.arg = (char *)args + i * arg_size;
        calls[i].msg.done = foreign_done;
        calls[i].msg.from = MSG_FROM_FOREIGN;
        calls[i].msg.to = first + i;
        calls[i].msg.kind = (uint8_t)kind;
        msg_post_foreign(runtime->shards[first + i].shard, &calls[i].msg);
    }
    pthread_mutex_lock(&wait.mutex);
    while (wait.pending > 0) {
        pthread_cond_wait(&wait.cond, &wait.mutex);
    }
    pthread_mutex_unlock(&wait.mutex);
    pthread_cond_destroy(&wait.cond);
    pthread_mutex_destroy(&wait.mutex);
    mem_free(MEM_RUNTIME, calls, count * sizeof(*calls));
}

void
runtime_call(struct runtime *runtime, uint32_t id, enum msg_kind kind, msg_fn fn, void *arg)
{
    ASSERT(id < runtime->count);
    call_range(runtime, id, 1, kind, fn, arg, 0);
}

void
runtime_call_all(struct runtime *runtime, enum msg_kind kind, msg_fn fn, void *args,
                 size_t arg_size)
{
    call_range(runtime, 0, runtime->count, kind, fn, args, arg_size);
}

/* ---- A shard's thread. ---- */

static void
diag_keep(struct err_diag *diag, err_t err)
{
    diag->code = err;
    snprintf(diag->message, sizeof(diag->message), "%s", err_message(err));
}

static err_t
pin(int cpu)
{
    cpu_set_t set;
    int result;

    if (cpu < 0) {
        return ERR_OK;
    }
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    result = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    if (result != 0) {
        return err_set(ERR_KERNEL, "cannot pin a shard to cpu %d: %s", cpu, strerror(result));
    }
    return ERR_OK;
}

static void *
shard_main(void *arg)
{
    struct runtime_shard *self = arg;
    struct runtime *runtime = self->runtime;
    struct io *io = uring_group_io(runtime->group, self->id);
    char name[16];
    err_t err;

    snprintf(name, sizeof(name), "orbit-shard-%u", self->id % 1000);
    pthread_setname_np(pthread_self(), name);
    TRY(pin(self->cpu));
    mem_account_bind(self->account);
    TRY(uring_enable(io));
out:
    diag_keep(&self->diag, err);
    pthread_mutex_lock(&runtime->mutex);
    runtime->threads_pending--;
    pthread_cond_signal(&runtime->cond);
    pthread_mutex_unlock(&runtime->mutex);
    if (err == ERR_OK) {
        shard_run(self->shard);
        shard_bind(self->shard);
        uring_disable(io);
        shard_bind(NULL);
    }
    return NULL;
}

/* Makes the threads and waits until each has enabled its ring. */
static err_t
threads_start(struct runtime *runtime)
{
    sigset_t old;
    int result = 0;
    err_t err = ERR_OK;

    uring_signals_block(&old);
    pthread_mutex_lock(&runtime->mutex);
    for (uint32_t i = 0; i < runtime->count && result == 0; i++) {
        result = pthread_create(&runtime->shards[i].thread, NULL, shard_main, &runtime->shards[i]);
        runtime->shards[i].has_thread = result == 0;
        if (result == 0) {
            runtime->threads_pending++;
        } else {
            err = err_set(ERR_KERNEL, "cannot make a thread for shard %u: %s", i, strerror(result));
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    while (runtime->threads_pending > 0) {
        pthread_cond_wait(&runtime->cond, &runtime->mutex);
    }
    pthread_mutex_unlock(&runtime->mutex);
    return err;
}

/* ---- Start and stop. ---- */

static void
run_init(void *arg)
{
    struct runtime_shard *self = arg;

    diag_keep(&self->diag, self->runtime->init(self->runtime->arg));
}

static void
run_fini(void *arg)
{
    struct runtime_shard *self = arg;

    self->runtime->fini(self->runtime->arg);
}

static err_t
first_failure(const struct runtime *runtime)
{
    for (uint32_t i = 0; i < runtime->count; i++) {
        if (runtime->shards[i].diag.code != ERR_OK) {
            return err_set(runtime->shards[i].diag.code, "%s", runtime->shards[i].diag.message);
        }
    }
    return ERR_OK;
}

static err_t
shards_make(struct runtime *runtime, const struct runtime_options *options)
{
    struct uring_group_options group = {
        .shards = runtime->count,
        .data_dir = options->data_dir,
        .accounts = runtime->accounts,
    };
    uint64_t seed = options->seed;
    /* Spinning for a peer that waits for our core helps nobody. */
    bool may_spin = !options->never_spin && (uint32_t)get_nprocs() > runtime->count;
    err_t err;

    if (seed == 0 && getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
        return err_set(ERR_KERNEL, "getrandom failed: %s", strerror(errno));
    }
    for (uint32_t i = 0; i < runtime->count; i++) {
        struct runtime_shard *shard = &runtime->shards[i];
        char name[24];

        snprintf(name, sizeof(name), "shard %u", i);
        shard->account = mem_account_new(name);
        shard->runtime = runtime;
        shard->id = i;
        shard->cpu = options->cpu_count > 0 ? options->cpus[i % options->cpu_count] : -1;
        runtime->accounts[i] = shard->account;
        if (options->limits != NULL) {
            options->limits(i, shard->account, options->arg);
        }
    }
    TRY(uring_group_new(&group, &runtime->group));
    for (uint32_t i = 0; i < runtime->count; i++) {
        struct shard_options shard = {
            .id = i,
            .count = runtime->count,
            .io = uring_group_io(runtime->group, i),
            .account = runtime->shards[i].account,
            .shared = runtime->shared,
            .seed = seed + i,
            .spin_us = may_spin ? SHARD_SPIN_US : 0,
        };

        runtime->shards[i].shard = shard_new(&shard);
    }
out:
    return err;
}

err_t
runtime_start(const struct runtime_options *options, struct runtime **runtime_out)
{
    struct runtime *runtime = MEM_NEW(MEM_RUNTIME, struct runtime);
    struct err_diag diag;
    err_t err;

    ASSERT(options->shards >= 1);
    ASSERT(options->shards <= SHARDS_MAX);
    runtime->count = options->shards;
    runtime->shards = mem_zalloc(MEM_RUNTIME, runtime->count * sizeof(*runtime->shards));
    runtime->accounts = mem_zalloc(MEM_RUNTIME, runtime->count * sizeof(*runtime->accounts));
    runtime->shared = shared_new(runtime->count);
    runtime->init = options->init;
    runtime->fini = options->fini;
    runtime->arg = options->arg;
    pthread_mutex_init(&runtime->mutex, NULL);
    pthread_cond_init(&runtime->cond, NULL);
    TRY(shards_make(runtime, options));
    err = threads_start(runtime);
    if (err == ERR_OK) {
        err = first_failure(runtime);
    }
    if (err != ERR_OK) {
        runtime->fini = NULL; /* init never ran. */
        goto out;
    }
    if (options->init != NULL) {
        runtime_call_all(runtime, MSG_FIBER, run_init, runtime->shards, sizeof(*runtime->shards));
        TRY(first_failure(runtime));
    }
    *runtime_out = runtime;
    return ERR_OK;
out:
    diag_keep(&diag, err);
    runtime_stop(&runtime);
    return err_set(err, "%s", diag.message);
}

/* Also of a runtime of which only a part was made. */
void
runtime_stop(struct runtime **runtime_ref)
{
    struct runtime *runtime = *runtime_ref;

    if (runtime == NULL) {
        return;
    }
    *runtime_ref = NULL;
    if (runtime->fini != NULL && runtime->group != NULL) {
        runtime_call_all(runtime, MSG_FIBER, run_fini, runtime->shards, sizeof(*runtime->shards));
    }
    for (uint32_t i = 0; i < runtime->count; i++) {
        if (runtime->shards[i].has_thread) {
            shard_stop(runtime->shards[i].shard);
        }
    }
    for (uint32_t i = 0; i < runtime->count; i++) {
        if (runtime->shards[i].has_thread) {
            pthread_join(runtime->shards[i].thread, NULL);
        }
    }
    for (uint32_t i = 0; i < runtime->count; i++) {
        if (runtime->shards[i].shard != NULL) {
            shard_free(runtime->shards[i].shard);
        }
    }
    shared_free(&runtime->shared);
    uring_group_free(&runtime->group);
    for (uint32_t i = 0; i < runtime->count; i++) {
        if (runtime->shards[i].account != NULL) {
            mem_account_free(runtime->shards[i].account);
        }
    }
    pthread_cond_destroy(&runtime->cond);
    pthread_mutex_destroy(&runtime->mutex);
    mem_free(MEM_RUNTIME, runtime->accounts, runtime->count * sizeof(*runtime->accounts));
    mem_free(MEM_RUNTIME, runtime->shards, runtime->count * sizeof(*runtime->shards));
    MEM_FREE(MEM_RUNTIME, runtime);
}

uint32_t
runtime_shard_count(const struct runtime *runtime)
{
    return runtime->count;
}

struct shard *
runtime_shard(struct runtime *runtime, uint32_t id)
{
    ASSERT(id < runtime->count);
    return runtime->shards[id].shard;
}

struct io *
runtime_io(struct runtime *runtime, uint32_t id)
{
    ASSERT(id < runtime->count);
    return uring_group_io(runtime->group, id);
}

/* ---- The list of cpus. ---- */

static err_t
cpus_allowed(int *cpus, uint32_t max, uint32_t *count)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        return err_set(ERR_KERNEL, "sched_getaffinity failed: %s", strerror(errno));
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set)) {
            continue;
        }
        if (*count == max) {
            return err_set(ERR_LIMIT, "more than %u cpus", max);
        }
        cpus[(*count)++] = cpu;
    }
    return ERR_OK;
}

/* A decimal number below CPU_SETSIZE; -1 when there is none. Moves *at behind it. */
static int
cpu_number(const char **at)
{
    int number = -1;

    while (**at >= '0' && **at <= '9' && number < CPU_SETSIZE) {
        number = MAX(number, 0) * 10 + (**at - '0');
        (*at)++;
    }
    return number < CPU_SETSIZE ? number : -1;
}

err_t
runtime_cpus_parse(const char *text, int *cpus_out, uint32_t max, uint32_t *count_out)
{
    const char *at = text;
    uint32_t count = 0;
    err_t err;

    if (strcmp(text, "none") == 0) {
        *count_out = 0;
        return ERR_OK;
    }
    if (strcmp(text, "all") == 0) {
        TRY(cpus_allowed(cpus_out, max, &count));
        *count_out = count;
        return ERR_OK;
    }
    for (;;) {
        int first = cpu_number(&at);
        int last = *at == '-' ? (at++, cpu_number(&at)) : first;

        if (first < 0 || last < first || (*at != ',' && *at != '\0')) {
            return err_set(ERR_INVALID, "'%s' is not a list of cpus such as 0-3,8", text);
        }
        for (int cpu = first; cpu <= last; cpu++) {
            if (count == max) {
                return err_set(ERR_LIMIT, "'%s' names more than %u cpus", text, max);
            }
            cpus_out[count++] = cpu;
        }
        if (*at++ == '\0') {
            break;
        }
    }
    *count_out = count;
    err = ERR_OK;
out:
    return err;
}
