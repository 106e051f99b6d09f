/* net/pgwire/pgwire.h - the PostgreSQL protocol 3.0 of one shard: its listener and its sessions.
 *
 * Messages: PostgreSQL 15, chapter 55. Theory: net/pgwire/README.md. */
#pragma once

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"

struct pgwire;

enum { PGWIRE_SECRET_BYTES = 32 };

struct pgwire_options {
    const char *bind_address;
    uint16_t port;
    uint32_t connections_max; /* Of this shard: 53300 above. */
    bool dev_mode;            /* Who connects from the loopback as the first role is trusted. */
    /* Of the process: salts of users that do not exist are made of it, the same on all shards. */
    const uint8_t *login_secret; /* PGWIRE_SECRET_BYTES */
    const char *copy_folder;     /* Whose files COPY may read and write; NULL: none. */
};

/* Listens. The relational model must be open. Errors: of io_listen. */
YIELDS err_t pgwire_open(const struct pgwire_options *options, struct pgwire **pgwire_out);
/* Ends the sessions: what runs is cancelled, and rolled back. Accepts NULL; clears the pointer. */
YIELDS void pgwire_close(struct pgwire **pgwire);
/* The user is gone: this shard's sessions end. Does not suspend. */
void pgwire_user_end(struct slice user);
