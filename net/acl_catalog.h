/* net/acl_catalog.h - the users of a shard as the commands of ACL see them, and their changes. */
#pragma once

#include "net/acl_user.h"
#include "net/net.h"
#include "net/session.h"

enum {
    ACL_LOG_ENTRIES_MAX = 10000, /* Whatever acllog-max-len says. */
    ACL_LOG_MERGE_MS = 60000,    /* Refusals alike within it are one entry. */
    ACL_CHANGE_ATTEMPTS_MAX = 16,
};

struct acl {
    struct list users; /* By name. */
    struct acl_user *default_user;
    /* On shard 0 alone: */
    struct fiber_mutex changing;
    struct list log; /* Newest first. */
    uint32_t log_count;
    uint64_t next_log_id;
};

/* ---- Changes ---- */

/* One change of the catalog; made by acl_change_run at shard 0. */
struct acl_change {
    const struct slice *words; /* SETUSER: the name and its words; DELUSER: names. */
    uint32_t count;
    bool is_removal;
    bool should_load; /* LOAD: everything anew. */
    bool all_channels;
    uint64_t session; /* Who asks: its connection is closed after its reply. */
    /* Out: */
    uint32_t removed;
    char error[ACL_TEXT_BYTES_MAX]; /* A whole error reply; empty: done. */
};
/* From any shard. Returns when the change is durable and every shard goes by it. */
YIELDS void acl_change(struct acl_change *change);

/* ---- The log ---- */

struct acl_log_entry {
    struct list link;
    uint64_t id, count;
    uint64_t created_ms, updated_ms; /* Wall clock. */
    const char *reason, *context;
    char *user, *object, *client; /* NUL-terminated. */
};
/* As the reply of ACL LOG, `count` entries at most; from any shard. */
YIELDS void acl_log_reply(struct kv_request *request, uint64_t count);
YIELDS void acl_log_reset(void);
void acl_log_clear(struct acl *acl);
