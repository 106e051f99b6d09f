/* tools/server/main.c - orbit-server: start every layer on every shard, wait for a signal, stop.
 *
 * Phases run on all shards before the next one begins on any: stores, the model of shard 0, the
 * models of the others (which ask shard 0), sessions, listening. Stopping goes the other way. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/io/runtime.h"
#include "engine/io/uring.h"
#include "engine/rt/shard.h"
#include "models/kv/kv.h"
#include "models/kv/slots.h"
#include "models/relational/relational.h"
#include "models/relational/slots.h"
#include "models/script/script.h"
#include "net/dispatch.h"
#include "net/net.h"
#include "net/pgwire/pgwire.h"
#include "tools/server/options.h"
#include "txn/reshard.h"
#include "txn/store.h"

/* Read by jemalloc at its start: what is freed goes back to the system within a second, since the
 * budget of --memory is about resident memory. */
extern const char *malloc_conf;
const char *malloc_conf = "dirty_decay_ms:1000,muzzy_decay_ms:0";

enum { PORT_WAIT_MS = 2000, PORT_WAIT_STEP_MS = 50 };

/* A shard's part of the server and the outcome of a phase there. */
struct server_shard {
    const struct options *options;
    struct store *store;
    struct txns *txns;
    struct kv *kv;
    struct relational *relational;
    struct net *net;
    struct pgwire *pgwire;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

struct server {
    struct options options;
    struct runtime *runtime;
    struct server_shard *shards;
    int lock_fd;
};

/* ---- Phases: each is a function on a shard's fiber ---- */

static void
phase_end(struct server_shard *shard, err_t err)
{
    shard->err = err;
    if (err != ERR_OK) {
        snprintf(shard->message, sizeof(shard->message), "%s", err_message(err));
    }
}

/* The shard's share of --memory: the store takes three quarters (memtables and cache). */
static uint64_t
memory_share(const struct options *options)
{
    return options->server.memory_bytes / options->server.shards;
}

static YIELDS void
phase_store(void *arg)
{
    struct server_shard *shard = arg;
    char dir[32];
    struct store_options options = {
        .dir = dir,
        .memory_bytes = memory_share(shard->options),
        .durability = shard->options->server.durability,
        .interval_us = shard->options->server.interval_us,
        .retention_us = shard->options->server.retention_us,
        .retention_bytes =
            (shard->options->server.retention_bytes + shard_count() - 1) / shard_count(),
        .may_move = true,
    };

    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    phase_end(shard, store_open(&options, &shard->store));
}

static YIELDS void
phase_txns(void *arg)
{
    struct server_shard *shard = arg;

    phase_end(shard, txns_open(&shard->txns));
}

static YIELDS void
phase_kv(void *arg)
{
    struct server_shard *shard = arg;
    struct kv_config config = {
        .databases = shard->options->server.databases,
        .string_bytes_max = RESP_BULK_BYTES_MAX_DEFAULT,
        .active_expire = true,
        .hz = 10,
    };

    phase_end(shard, kv_open(&config, &shard->kv));
}

static YIELDS void
phase_relational(void *arg)
{
    struct server_shard *shard = arg;

    phase_end(shard, relational_open(&shard->relational));
}

static YIELDS void
phase_pgwire(void *arg)
{
    struct server_shard *shard = arg;
    const struct server_options *options = &shard->options->server;
    const struct pgwire_options pgwire = {
        .bind_address = options->bind_address,
        .port = options->postgres_port,
        .connections_max = options->maxclients / shard_count() + 1,
        .dev_mode = options->dev_mode,
        .login_secret = options->login_secret,
        .copy_folder = options->copy_folder[0] != '\0' ? options->copy_folder : NULL,
    };

    phase_end(shard, options->postgres_port != 0 && shard_id() < options->shards_wanted
                         ? pgwire_open(&pgwire, &shard->pgwire)
                         : ERR_OK);
}

static YIELDS void
phase_pgwire_close(void *arg)
{
    struct server_shard *shard = arg;

    pgwire_close(&shard->pgwire);
}

static YIELDS void
phase_net(void *arg)
{
    struct server_shard *shard = arg;

    phase_end(shard, net_open(&shard->options->server, shard->kv, &shard->net));
}

static YIELDS void
phase_listen(void *arg)
{
    struct server_shard *shard = arg;

    /* Shards that are to be given up take no more connections. */
    phase_end(shard,
              shard_id() < shard->options->server.shards_wanted ? net_listen(shard->net) : ERR_OK);
}

static YIELDS err_t
slots_copy(struct slots_move *move)
{
    err_t err = kv_slots_copy(move);

    return err != ERR_OK ? err : relational_slots_copy(move);
}

/* On shard 0. */
static YIELDS void
phase_reshard(void *arg)
{
    struct server_shard *shard = arg;
    struct reshard_options options = {
        .shards = shard->options->server.shards_wanted,
        .copy = slots_copy,
        .on_move = kv_slots_on_move,
    };

    err_t err = functions_spread();

    phase_end(shard, err == ERR_OK ? reshard_open(&options) : err);
}

static YIELDS void
phase_reshard_close(void *arg)
{
    (void)arg;
    reshard_close();
}

static YIELDS void
phase_net_stop(void *arg)
{
    struct server_shard *shard = arg;

    if (shard->net != NULL) {
        net_stop(shard->net);
    }
}

static YIELDS void
phase_net_free(void *arg)
{
    struct server_shard *shard = arg;

    net_free(&shard->net);
    relational_close(&shard->relational);
    kv_close(&shard->kv);
}

static YIELDS void
phase_txns_close(void *arg)
{
    struct server_shard *shard = arg;

    txns_close(&shard->txns);
}

static YIELDS void
phase_store_close(void *arg)
{
    struct server_shard *shard = arg;

    store_close(&shard->store);
}

static err_t
phase_result(const struct server *server, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        const struct server_shard *shard = &server->shards[i];

        if (shard->err != ERR_OK) {
            return err_set(shard->err, "shard %u: %s", i, shard->message);
        }
    }
    return ERR_OK;
}

static err_t
phase_all(struct server *server, msg_fn fn)
{
    runtime_call_all(server->runtime, MSG_FIBER, fn, server->shards, sizeof(*server->shards));
    return phase_result(server, 0, server->options.server.shards);
}

/* Shard 0 keeps what all shards ask it for. */
static err_t
phase_kv_all(struct server *server)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < server->options.server.shards && err == ERR_OK; i++) {
        runtime_call(server->runtime, i, MSG_FIBER, phase_kv, &server->shards[i]);
        err = phase_result(server, i, 1);
    }
    return err;
}

/* ---- The data folder ---- */

static err_t
folder_make(const char *path)
{
    struct stat status;

    if (mkdir(path, 0750) != 0 && errno != EEXIST) {
        return err_set(ERR_NOT_FOUND, "cannot make the data folder %s: %s", path, strerror(errno));
    }
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode) || access(path, W_OK | X_OK) != 0) {
        return err_set(ERR_NOT_FOUND, "the data folder %s is no folder that can be written to",
                       path);
    }
    return ERR_OK;
}

/* Held for the life of the process; the kernel drops it however the process ends. */
static err_t
folder_lock(struct server *server)
{
    char path[sizeof(server->options.data_dir) + 8];

    snprintf(path, sizeof(path), "%s/LOCK", server->options.data_dir);
    server->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (server->lock_fd < 0) {
        return err_set(ERR_NOT_FOUND, "cannot open %s: %s", path, strerror(errno));
    }
    if (flock(server->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return err_set(ERR_BUSY, "another orbit-server uses the data folder %s",
                       server->options.data_dir);
    }
    return ERR_OK;
}

/* ---- How many shards ---- */

struct plan {
    uint32_t wanted, shards;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

static YIELDS void
plan_run(void *arg)
{
    struct plan *plan = arg;

    plan->err = reshard_plan(plan->wanted, &plan->shards);
    if (plan->err != ERR_OK) {
        snprintf(plan->message, sizeof(plan->message), "%s", err_message(plan->err));
    }
}

/* Every shard that has data runs, until what it has was moved. */
static err_t
shards_plan(struct server *server)
{
    struct runtime_options options = {.shards = 1, .data_dir = server->options.data_dir};
    struct plan plan = {.wanted = server->options.server.shards_wanted};
    struct runtime *runtime = NULL;
    err_t err;

    TRY(runtime_start(&options, &runtime));
    runtime_call(runtime, 0, MSG_FIBER, plan_run, &plan);
    err = plan.err == ERR_OK ? ERR_OK : err_set(plan.err, "%s", plan.message);
    server->options.server.shards = plan.shards;
out:
    runtime_stop(&runtime);
    return err;
}

static err_t
shards_make(struct server *server)
{
    uint32_t count = server->options.server.shards;

    server->shards = calloc(count, sizeof(*server->shards));
    if (server->shards == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for %u shards", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        server->shards[i].options = &server->options;
    }
    return ERR_OK;
}

/* ---- Start and stop ---- */

static int
exit_status(err_t err)
{
    switch (err) {
    case ERR_OK:
        return EXIT_OK;
    case ERR_INVALID:
        return EXIT_USAGE_;
    case ERR_CORRUPT:
    case ERR_FORMAT:
        return EXIT_DATA_;
    case ERR_KERNEL:
    case ERR_NO_MEMORY:
        return EXIT_KERNEL_;
    case ERR_NOT_FOUND:
        return EXIT_CANT_CREATE_;
    case ERR_BUSY:
        return EXIT_LOCKED_;
    case ERR_DENIED:
        return EXIT_REFUSED_;
    default:
        return EXIT_IO_;
    }
}

static void
identity_set(struct server_options *options)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[20];
    struct timespec wall, monotonic;

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random) ||
        getrandom(options->login_secret, sizeof(options->login_secret), 0) !=
            (ssize_t)sizeof(options->login_secret)) {
        fatal("getrandom gives no bytes: %s", strerror(errno));
    }
    for (size_t i = 0; i < sizeof(random); i++) {
        options->run_id[2 * i] = digits[random[i] >> 4];
        options->run_id[2 * i + 1] = digits[random[i] & 15];
    }
    options->run_id[40] = '\0';
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    options->start_wall_us = (uint64_t)wall.tv_sec * 1000000 + (uint64_t)wall.tv_nsec / 1000;
    options->start_monotonic_us =
        (uint64_t)monotonic.tv_sec * 1000000 + (uint64_t)monotonic.tv_nsec / 1000;
}

/* Each client, table and segment is a descriptor. */
static void
descriptors_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void
account_limits(uint32_t shard, struct mem_account *account, void *arg)
{
    const struct server *server = arg;

    (void)shard;
    mem_limit_set(account, MEM_SESSIONS, memory_share(&server->options) / 4);
}

/* The kernel lets go of a killed server's socket a moment after the process is gone, so that a
 * restart at once would find the port taken. */
static err_t
port_wait(const struct server_options *options, uint16_t port)
{
    const struct timespec pause = {.tv_nsec = PORT_WAIT_STEP_MS * 1000000L};
    err_t err = uring_port_check(options->bind_address, port);

    for (int waited_ms = 0; err == ERR_BUSY && waited_ms < PORT_WAIT_MS;
         waited_ms += PORT_WAIT_STEP_MS) {
        nanosleep(&pause, NULL);
        err = uring_port_check(options->bind_address, port);
    }
    return err;
}

/* *status_out: the exit status where the error code alone does not tell it. */
static err_t
server_start(struct server *server, int *status_out)
{
    const struct server_options *options = &server->options.server;
    struct runtime_options runtime = {
        .data_dir = options->data_dir,
        .cpus = server->options.cpus,
        .cpu_count = server->options.cpu_count,
        .limits = account_limits,
        .arg = server,
    };
    err_t err;

    TRY(folder_make(options->data_dir));
    TRY(folder_lock(server));
    if (options->redis_port != 0) {
        *status_out = EXIT_UNAVAILABLE_;
        TRY(port_wait(options, options->redis_port));
        for (uint32_t i = 0; options->cluster_port != 0 && i < options->shards; i++) {
            TRY(port_wait(options, (uint16_t)(options->cluster_port + i)));
        }
        *status_out = 0;
    }
    TRY(shards_plan(server));
    TRY(shards_make(server));
    runtime.shards = options->shards;
    TRY(runtime_start(&runtime, &server->runtime));
    TRY(phase_all(server, phase_store));
    TRY(phase_all(server, phase_txns));
    TRY(phase_kv_all(server));
    TRY(phase_all(server, phase_relational));
    TRY(phase_all(server, phase_net));
    runtime_call(server->runtime, 0, MSG_FIBER, phase_reshard, &server->shards[0]);
    TRY(phase_result(server, 0, 1));
    *status_out = EXIT_UNAVAILABLE_;
    /* Redis last: whoever asks for readiness by PING finds the other protocols there. */
    TRY(phase_all(server, phase_pgwire));
    TRY(phase_all(server, phase_listen));
    *status_out = 0;
    err = ERR_OK;
out:
    return err;
}

static void
server_stop(struct server *server)
{
    if (server->runtime != NULL) {
        runtime_call(server->runtime, 0, MSG_FIBER, phase_reshard_close, NULL);
        runtime_call_all(server->runtime, MSG_FIBER, phase_pgwire_close, server->shards,
                         sizeof(*server->shards));
        runtime_call_all(server->runtime, MSG_FIBER, phase_net_stop, server->shards,
                         sizeof(*server->shards));
        runtime_call_all(server->runtime, MSG_FIBER, phase_net_free, server->shards,
                         sizeof(*server->shards));
        runtime_call_all(server->runtime, MSG_FIBER, phase_txns_close, server->shards,
                         sizeof(*server->shards));
        runtime_call_all(server->runtime, MSG_FIBER, phase_store_close, server->shards,
                         sizeof(*server->shards));
    }
    runtime_stop(&server->runtime);
    free(server->shards);
    if (server->lock_fd >= 0) {
        close(server->lock_fd);
    }
}

/* Before any thread starts, so that all inherit the mask and only signal_wait sees them. */
static void
signals_block(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void
signal_wait(const sigset_t *set)
{
    int number = 0;

    while (sigwait(set, &number) != 0) {}
    LOG_I("received %s: stopping", number == SIGTERM ? "SIGTERM" : "SIGINT");
}

int
main(int argc, char **argv)
{
    struct server *server = calloc(1, sizeof(*server));
    sigset_t signals;
    int status = 0;
    err_t err;

    if (server == NULL) {
        fprintf(stderr, "orbit-server: out of memory\n");
        return EXIT_KERNEL_;
    }
    server->lock_fd = -1;
    err = options_parse(argc, argv, &server->options);
    if (err != ERR_OK) {
        fprintf(stderr, "orbit-server: %s\n", err_message(err));
        status = err == ERR_NOT_FOUND ? EXIT_NO_INPUT_ : exit_status(err);
        free(server);
        return status;
    }
    log_level_set(server->options.log_level);
    signals_block(&signals);
    descriptors_raise();
    identity_set(&server->options.server);
    command_table_init();
    dispatch_init();
    err = server_start(server, &status);
    if (err != ERR_OK) {
        fprintf(stderr, "orbit-server: %s\n", err_message(err));
        status = status != 0 ? status : exit_status(err);
    } else {
        LOG_I("ready: redis on %s port %u, %u shard(s), data in %s", server->options.bind_address,
              server->options.server.redis_port, server->options.server.shards_wanted,
              server->options.data_dir);
        sd_notify(0, "READY=1");
        signal_wait(&signals);
        sd_notify(0, "STOPPING=1");
    }
    server_stop(server);
    free(server);
    return status;
}
