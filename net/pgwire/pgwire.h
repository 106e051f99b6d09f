/* net/pgwire/pgwire.h - the PostgreSQL protocol 3.0 of one shard: its listener and its sessions.
 *
 * Messages: PostgreSQL 15, chapter 55. Theory: net/pgwire/README.md. */
#pragma once

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/rt/fiber.h"

struct pgwire;

struct pgwire_options {
    const char *bind_address;
    uint16_t port;
    uint32_t connections_max; /* Of this shard: 53300 above. */
    bool dev_mode;            /* Who connects from the loopback is trusted. */
    const char *copy_folder;  /* Whose files COPY may read and write; NULL: none. */
};

/* Listens. The relational model must be open. Errors: of io_listen. */
YIELDS err_t pgwire_open(const struct pgwire_options *options, struct pgwire **pgwire_out);
/* Ends the sessions: what runs is cancelled, and rolled back. Accepts NULL; clears the pointer. */
YIELDS void pgwire_close(struct pgwire **pgwire);
