/* net/acl.c - the users of every shard: loading, changing, and who a session is. */
#include "net/acl.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/io/io.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "net/acl_catalog.h"
#include "net/config.h"
#include "net/pgwire/pgwire.h"

#include "engine/base/poison.h"

/* ---- Users of this shard ---- */

struct acl_user *
acl_find(struct net *net, struct slice name)
{
    LIST_FOR_EACH(node, &net->acl->users) {
        struct acl_user *user = LIST_ENTRY(node, struct acl_user, link);

        if (slice_equal(slice_of(user->name, user->name_bytes), name)) {
            return user;
        }
    }
    return NULL;
}

/* In its place by name. */
static struct acl_user *
user_add(struct acl *acl, struct slice name)
{
    struct acl_user *added = acl_user_new(name, false);
    struct list *at = &acl->users;

    LIST_FOR_EACH(node, &acl->users) {
        struct acl_user *user = LIST_ENTRY(node, struct acl_user, link);

        if (slice_compare(name, slice_of(user->name, user->name_bytes)) < 0) {
            at = node;
            break;
        }
    }
    list_insert_before(at, &added->link);
    return added;
}

/* Its sessions end, that of the command after its reply. */
static void
user_remove(struct net *net, struct acl_user *user, uint64_t asking_session)
{
    ASSERT(user != net->acl->default_user);
    user->is_removed = true;
    list_remove(&user->link);
    user->references++;
    LIST_FOR_EACH_SAFE(node, &net->sessions) {
        struct session *session = LIST_ENTRY(node, struct session, link);

        if (session->acl_user != user) {
            continue;
        }
        if (session->id == asking_session) {
            session_close_after_reply(session);
        } else {
            session_close(session);
        }
    }
    pgwire_user_end(slice_of(user->name, user->name_bytes));
    if (--user->references == 0) {
        acl_user_free(&user);
    }
}

const char *
acl_user_name(const struct acl_user *user)
{
    return user->name;
}

bool
acl_user_is_enabled(const struct acl_user *user)
{
    return (user->flags & PRINCIPAL_ENABLED) != 0;
}

bool
acl_user_has_no_password(const struct acl_user *user)
{
    return (user->flags & PRINCIPAL_NO_PASSWORD) != 0;
}

bool
acl_user_verifier(const struct acl_user *user, struct scram_verifier *out)
{
    return scram_verifier_parse(buf_slice(&user->verifier), out);
}

bool
acl_default_is_open(struct net *net)
{
    return acl_user_is_enabled(net->acl->default_user) &&
           acl_user_has_no_password(net->acl->default_user);
}

bool
acl_password_fits(const struct acl_user *user, struct slice password)
{
    uint8_t hash[SHA256_BYTES];
    bool fits = false;

    sha256(password, hash);
    for (size_t at = 0; at < user->passwords.size; at += SHA256_BYTES) {
        uint8_t difference = 0;

        for (size_t i = 0; i < SHA256_BYTES; i++) {
            difference |= user->passwords.data[at + i] ^ hash[i];
        }
        fits |= difference == 0;
    }
    return fits || acl_user_has_no_password(user);
}

/* ---- Sessions ---- */

void
acl_session_leave(struct session *session)
{
    struct acl_user *user = session->acl_user;

    session->acl_user = NULL;
    if (user != NULL && --user->references == 0 && user->is_removed) {
        acl_user_free(&user);
    }
}

void
acl_session_set(struct session *session, struct acl_user *user)
{
    struct net *net = session->net;

    session->is_authenticated = user != NULL || acl_default_is_open(net);
    if (user == NULL) {
        user = net->acl->default_user;
    }
    user->references++;
    acl_session_leave(session);
    session->acl_user = user;
    session->user = user->name;
    session->origin.principal = slice_of(user->name, user->name_bytes);
}

bool
acl_is_unrestricted(const struct session *session)
{
    return session->acl_user->is_unrestricted;
}

/* This shard's copy of the session's user; NULL: it was removed. The name stays while the session's
 * command runs. */
static const struct acl_user *
session_user_here(const struct session *session)
{
    return session->net == net_self() ? session->acl_user
                                      : acl_find(net_self(), session->origin.principal);
}

bool
acl_session_may(const struct session *session, const struct command *command,
                const struct slice *argv, uint32_t argc, struct acl_denial *denial_out)
{
    const struct acl_user *user = session_user_here(session);

    if (user != NULL) {
        return acl_check(user, command, argv, argc, denial_out);
    }
    *denial_out =
        (struct acl_denial){ACL_DENIED_COMMAND, slice_from_text(command_full_name(command))};
    return false;
}

bool
acl_sql_guard(struct slice user_name, const struct command *command, const struct slice *argv,
              uint32_t argc, char out[ACL_TEXT_BYTES_MAX])
{
    struct net *net = net_self();
    const struct acl_user *user = net != NULL ? acl_find(net, user_name) : NULL;
    struct acl_denial denial = {ACL_DENIED_COMMAND, slice_from_text(command_full_name(command))};

    if (user != NULL && acl_user_is_enabled(user) &&
        acl_check(user, command, argv, argc, &denial)) {
        return true;
    }
    acl_denial_text(&denial, user != NULL ? user->name : "", false, out);
    return false;
}

/* ---- The catalog into memory ---- */

static bool
may_hear_channel(const void *user, struct slice name)
{
    return acl_user_may_hear(user, name, false);
}

static bool
may_hear_pattern(const void *user, struct slice name)
{
    return acl_user_may_hear(user, name, true);
}

/* Sessions that have subscribed to what their user may hear no longer are closed. */
static void
subscribers_check(struct net *net, const struct acl_user *user, uint64_t asking_session)
{
    LIST_FOR_EACH_SAFE(node, &net->sessions) {
        struct session *session = LIST_ENTRY(node, struct session, link);

        if (session->acl_user != user || !pubsub_is_subscriber(session) ||
            (pubsub_all(session, PUBSUB_CHANNEL, may_hear_channel, user) &&
             pubsub_all(session, PUBSUB_SHARD_CHANNEL, may_hear_channel, user) &&
             pubsub_all(session, PUBSUB_PATTERN, may_hear_pattern, user))) {
            continue;
        }
        if (session->id == asking_session) {
            session_close_after_reply(session);
        } else {
            session_close(session);
        }
    }
}

static void
user_load(struct net *net, const struct principal *principal, uint64_t asking_session)
{
    struct acl_user *user = acl_find(net, principal->name);
    const char *error;

    if (user == NULL) {
        user = user_add(net->acl, principal->name);
    }
    error = acl_user_load(user, principal);
    if (error != NULL) {
        /* A rule of another version: without it the user may do less, or nothing. */
        user->flags &= ~(uint32_t)PRINCIPAL_ENABLED;
        LOG_W("acl: the rules of user %s are not understood, it is off: %s", user->name, error);
    }
    subscribers_check(net, user, asking_session);
}

/* What the server's options say of the default user goes before the catalog. */
static void
default_override(struct net *net)
{
    struct acl_user *user = net->acl->default_user;

    if (net->options->password[0] != '\0') {
        char word[1024];
        int size = snprintf(word, sizeof(word), ">%s", net->options->password);

        (void)acl_user_apply(user, SLICE("on"), false);
        (void)acl_user_apply(user, SLICE("resetpass"), false);
        (void)acl_user_apply(user, slice_of(word, MIN((size_t)size, sizeof(word) - 1)), false);
    } else if (net->options->dev_mode) {
        (void)acl_user_apply(user, SLICE("on"), false);
        (void)acl_user_apply(user, SLICE("nopass"), false);
    }
}

static YIELDS err_t
catalog_read(struct arena *arena, struct principal **principals_out, uint32_t *count_out)
{
    struct txn *txn = txn_begin_auto(true, NULL);
    err_t err = principals_read(txn, arena, principals_out, count_out);

    if (err != ERR_OK) {
        txn_abort(&txn);
        return err;
    }
    return txn_commit(&txn, NULL);
}

static bool
is_listed(const struct principal *principals, uint32_t count, const struct acl_user *user)
{
    for (uint32_t i = 0; i < count; i++) {
        if (slice_equal(principals[i].name, slice_of(user->name, user->name_bytes))) {
            return true;
        }
    }
    return false;
}

static YIELDS err_t
catalog_load(struct net *net, uint64_t asking_session)
{
    struct principal *principals;
    struct arena arena;
    uint32_t count;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    TRY(catalog_read(&arena, &principals, &count));
    LIST_FOR_EACH_SAFE(node, &net->acl->users) {
        struct acl_user *user = LIST_ENTRY(node, struct acl_user, link);

        if (user != net->acl->default_user && !is_listed(principals, count, user)) {
            user_remove(net, user, asking_session);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        user_load(net, &principals[i], asking_session);
    }
    err = ERR_OK;
out:
    arena_fini(&arena);
    return err;
}

/* ---- Changes: on shard 0, one at a time ---- */

/* Who is told of a change: one principal, or all of them anew. */
struct apply {
    const struct principal *principal; /* NULL: `removed` goes. */
    struct slice removed;
    bool should_load;
    uint64_t session;
    err_t err; /* Out: of the load. */
};

static YIELDS void
apply_here(void *arg)
{
    struct apply *apply = arg;
    struct net *net = net_self();

    if (apply->should_load) {
        apply->err = catalog_load(net, apply->session);
    } else if (apply->principal != NULL) {
        user_load(net, apply->principal, apply->session);
    } else {
        struct acl_user *user = acl_find(net, apply->removed);

        if (user != NULL) {
            user_remove(net, user, apply->session);
        }
    }
}

static YIELDS err_t
apply_everywhere(const struct apply *apply)
{
    struct apply calls[SHARDS_MAX];
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < shard_count(); i++) {
        calls[i] = *apply;
    }
    msg_call_all(MSG_FIBER, apply_here, calls, sizeof(calls[0]));
    for (uint32_t i = 0; i < shard_count() && err == ERR_OK; i++) {
        err = calls[i].err;
    }
    return err;
}

/* Writes (or with NULL removes) one record, durably. */
static YIELDS err_t
record_commit(const struct principal *principal, struct slice name)
{
    err_t err = ERR_SERIALIZATION;

    for (uint32_t i = 0; i < ACL_CHANGE_ATTEMPTS_MAX && err == ERR_SERIALIZATION; i++) {
        struct txn *txn = txn_begin_auto(false, NULL);
        struct txn_done done;

        if (principal == NULL) {
            principal_remove(txn, name);
            err = ERR_OK;
        } else {
            err = principal_put(txn, principal);
        }
        if (err != ERR_OK) {
            txn_abort(&txn);
            return err;
        }
        err = txn_commit(&txn, &done);
        if (err == ERR_OK) {
            store_wait_durable(store_self(), done.lsn);
        }
    }
    return err;
}

static void
change_fail(struct acl_change *change, err_t err)
{
    snprintf(change->error, sizeof(change->error), "ERR %s", err_message(err));
}

/* Words have given the user a password: the protocol of SQL is to know it, too. The last one that
 * was given counts, if it still holds. */
static void
verifier_renew(struct acl_user *user, struct slice password)
{
    struct scram_verifier verifier;
    uint8_t salt[SCRAM_SALT_BYTES];

    if (acl_user_has_no_password(user) || !acl_password_fits(user, password)) {
        return;
    }
    io_random(salt, sizeof(salt));
    scram_verifier_make(password, slice_of(salt, sizeof(salt)), SCRAM_ITERATIONS, &verifier);
    buf_clear(&user->verifier);
    scram_verifier_put(&verifier, &user->verifier);
}

static void
set_user(struct net *net, struct acl_change *change)
{
    const struct acl_user *present = acl_find(net, change->words[0]);
    struct acl_user *next = acl_user_new(change->words[0], change->all_channels);
    struct apply apply = {.session = change->session};
    struct principal principal;
    struct slice password = slice_of(NULL, 0);
    const char *error = NULL;
    struct buf rules;
    err_t err;

    buf_init(&rules, MEM_SESSIONS);
    if (present != NULL) {
        acl_user_copy(next, present);
    }
    for (uint32_t i = 1; i < change->count && error == NULL; i++) {
        struct slice word = change->words[i];

        error = acl_user_apply(next, word, change->all_channels);
        if (word.size > 0 && word.data[0] == '>') {
            password = slice_of(word.data + 1, word.size - 1);
        }
        if (error != NULL) {
            snprintf(change->error, sizeof(change->error),
                     "ERR Error in ACL SETUSER modifier '%.*s': %s",
                     (int)MIN(word.size, (size_t)128), (const char *)word.data, error);
        }
    }
    if (error == NULL && password.data != NULL) {
        verifier_renew(next, password);
    }
    if (error == NULL) {
        acl_user_store(next, &rules, &principal);
        err = record_commit(&principal, principal.name);
        if (err == ERR_OK) {
            apply.principal = &principal;
            (void)apply_everywhere(&apply);
        } else {
            change_fail(change, err);
        }
    }
    buf_fini(&rules);
    acl_user_free(&next);
}

static void
remove_users(struct net *net, struct acl_change *change)
{
    for (uint32_t i = 0; i < change->count && change->error[0] == '\0'; i++) {
        struct apply apply = {.removed = change->words[i], .session = change->session};
        err_t err;

        if (acl_find(net, change->words[i]) == NULL) {
            continue;
        }
        err = record_commit(NULL, change->words[i]);
        if (err != ERR_OK) {
            change_fail(change, err);
            return;
        }
        (void)apply_everywhere(&apply);
        change->removed++;
    }
}

static YIELDS void
change_here(void *arg)
{
    struct acl_change *change = arg;
    struct net *net = net_self();

    fiber_mutex_lock(&net->acl->changing);
    if (change->should_load) {
        struct apply apply = {.should_load = true, .session = change->session};
        err_t err = apply_everywhere(&apply);

        if (err != ERR_OK) {
            change_fail(change, err);
        }
    } else if (change->is_removal) {
        remove_users(net, change);
    } else {
        set_user(net, change);
    }
    fiber_mutex_unlock(&net->acl->changing);
}

void
acl_change(struct acl_change *change)
{
    msg_call(0, MSG_FIBER, change_here, change);
}

err_t
acl_default_password_set(struct slice password)
{
    uint8_t word[CONFIG_TEXT_BYTES_MAX + 1] = {'>'};
    struct slice words[] = {SLICE("default"), SLICE("resetpass"), SLICE("nopass")};
    struct acl_change change = {.words = words, .count = ARRAY_COUNT(words)};

    if (password.size >= sizeof(word)) {
        return err_set(ERR_LIMIT, "a password has at most %d bytes", CONFIG_TEXT_BYTES_MAX);
    }
    if (password.size > 0) {
        memcpy(word + 1, password.data, password.size);
        words[2] = slice_of(word, password.size + 1);
    }
    acl_change(&change);
    return change.error[0] == '\0' ? ERR_OK : err_set(ERR_IO, "%s", change.error + 4);
}

/* ---- Life ---- */

static struct acl *
acl_new(void)
{
    struct acl *acl = MEM_NEW(MEM_RUNTIME, struct acl);

    list_init(&acl->users);
    list_init(&acl->log);
    fiber_mutex_init(&acl->changing);
    acl->default_user = user_add(acl, SLICE("default"));
    (void)acl_user_apply(acl->default_user, SLICE("on"), false);
    (void)acl_user_apply(acl->default_user, SLICE("nopass"), false);
    (void)acl_user_apply(acl->default_user, SLICE("allkeys"), false);
    (void)acl_user_apply(acl->default_user, SLICE("allchannels"), false);
    (void)acl_user_apply(acl->default_user, SLICE("allcommands"), false);
    return acl;
}

/* The password of --password-file becomes that of the catalog. */
static YIELDS err_t
default_store(struct net *net)
{
    struct principal principal;
    struct buf rules;
    err_t err;

    buf_init(&rules, MEM_SESSIONS);
    acl_user_store(net->acl->default_user, &rules, &principal);
    err = record_commit(&principal, principal.name);
    buf_fini(&rules);
    return err;
}

/* Is the default user another one than the catalog had? With the same password its verifier
 * stays. */
static bool
default_is_changed(struct net *net, const struct acl_user *before)
{
    struct acl_user *now = net->acl->default_user;
    bool is_same = slice_equal(buf_slice(&before->passwords), buf_slice(&now->passwords)) &&
                   before->verifier.size > 0;

    if (is_same) {
        buf_clear(&now->verifier);
        buf_append(&now->verifier, before->verifier.data, before->verifier.size);
    } else {
        verifier_renew(now, slice_from_text(net->options->password));
    }
    return !is_same || before->flags != now->flags;
}

err_t
acl_open(struct net *net)
{
    struct acl_user *before = acl_user_new(SLICE("default"), false);
    err_t err;

    ASSERT(command_ids() <= ACL_COMMAND_WORDS * 64);
    net->acl = acl_new();
    TRY(catalog_load(net, 0));
    acl_user_copy(before, net->acl->default_user);
    default_override(net);
    if (net->options->password[0] != '\0' && default_is_changed(net, before) && shard_id() == 0) {
        TRY(default_store(net));
    }
    err = ERR_OK;
out:
    acl_user_free(&before);
    if (err != ERR_OK) {
        acl_close(net);
    }
    return err;
}

void
acl_close(struct net *net)
{
    struct list *node;

    if (net->acl == NULL) {
        return;
    }
    acl_log_clear(net->acl);
    while ((node = list_pop_front(&net->acl->users)) != NULL) {
        struct acl_user *user = LIST_ENTRY(node, struct acl_user, link);

        ASSERT(user->references == 0);
        acl_user_free(&user);
    }
    MEM_FREE(MEM_RUNTIME, net->acl);
}
