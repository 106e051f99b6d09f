/* net/acl.h - what users may do: the rules of ACL, compiled on every shard.
 *
 * The catalog of principals (models/principal) is the truth; every shard holds a copy of it as
 * users, in memory. A change is made on shard 0, one at a time: commit, durable, then every shard
 * loads it, and the command that changed it answers. A session holds on to its user, which stays
 * one object while its rules change; it is closed when the user is removed.
 *
 * Checks are made on the session's shard before a command runs, and cost a branch for a user who
 * may do everything. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"
#include "models/kv/command.h"
#include "models/principal/scram.h"

struct acl_user;
struct kv_request;
struct net;
struct session;

enum { ACL_TEXT_BYTES_MAX = 512 };

/* ---- Checks ---- */

enum acl_result {
    ACL_ALLOWED,
    ACL_DENIED_COMMAND,
    ACL_DENIED_KEY,
    ACL_DENIED_CHANNEL,
    ACL_DENIED_OPTION, /* BY or GET of SORT, which read keys that it does not name. */
};

struct acl_denial {
    enum acl_result result;
    struct slice object; /* The command's name, key, channel or option; borrowed. */
};

/* May the user run the call? Arity and arguments need not fit. denial_out is filled if not. Does
 * not suspend. */
bool acl_check(const struct acl_user *user, const struct command *command, const struct slice *argv,
               uint32_t argc, struct acl_denial *denial_out);
/* The same for the user of a session, from any shard: scripts and EXEC run on that of their keys.
 * False also when the user was removed. */
bool acl_session_may(const struct session *session, const struct command *command,
                     const struct slice *argv, uint32_t argc, struct acl_denial *denial_out);
/* The same for who is known by name: a session of SQL (sql_guard). out: the text behind NOPERM. */
bool acl_sql_guard(struct slice user_name, const struct command *command, const struct slice *argv,
                   uint32_t argc, char out[ACL_TEXT_BYTES_MAX]);
/* Everything is allowed to the session's user: no check is needed. Own shard only. */
bool acl_is_unrestricted(const struct session *session);
/* The text behind "NOPERM ", as Redis words it; is_verbose: with the names (ACL DRYRUN). */
void acl_denial_text(const struct acl_denial *denial, const char *user_name, bool is_verbose,
                     char out[ACL_TEXT_BYTES_MAX]);

/* ---- The log of refusals: kept by shard 0 ---- */

enum acl_context { ACL_TOPLEVEL, ACL_MULTI, ACL_LUA };
/* user_name: of the session, or who tried to log in. */
YIELDS void acl_log_denial(struct session *session, const struct acl_denial *denial,
                           enum acl_context context);
/* word: the command as it was written. */
YIELDS void acl_log_login(struct session *session, struct slice user_name, struct slice word);

/* ---- Users of this shard ---- */

/* NULL: there is none of that name. Valid until the caller suspends. */
struct acl_user *acl_find(struct net *net, struct slice name);
/* Text that ends in NUL; valid as long as the user is. */
const char *acl_user_name(const struct acl_user *user);
/* Is a connection without AUTH the default user? */
bool acl_default_is_open(struct net *net);
/* Does the password let the user in? The time tells nothing of the password. */
bool acl_password_fits(const struct acl_user *user, struct slice password);
bool acl_user_is_enabled(const struct acl_user *user);
bool acl_user_has_no_password(const struct acl_user *user);
/* What SCRAM-SHA-256 needs of the password. False: there is none, as for passwords that were given
 * by their hashes. */
bool acl_user_verifier(const struct acl_user *user, struct scram_verifier *out);

/* The session becomes the user; NULL: the default user, logged in if that needs no password. */
void acl_session_set(struct session *session, struct acl_user *user);
/* The session ends. */
void acl_session_leave(struct session *session);

/* ---- Life ---- */

struct acl;
/* Loads the catalog; the store is open on every shard. */
YIELDS err_t acl_open(struct net *net);
void acl_close(struct net *net);
/* requirepass was set: the password of the default user; empty: none is needed. Errors: of the
 * commit. */
YIELDS err_t acl_default_password_set(struct slice password);
