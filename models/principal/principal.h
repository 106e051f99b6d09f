/* models/principal/principal.h - the one catalog of those who may use the database.
 *
 * A principal is a name, its passwords and what it may do. An ACL user of Redis and a role of SQL
 * with one name are one principal. The catalog is data of the store: a record a principal, under
 * slot 0. Bytes: docs/format/principal.md. Who keeps compiled copies on all shards reads it with
 * principals_read after a change; changes go one after the other (net/acl.c). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"
#include "models/principal/sha256.h"
#include "txn/txn.h"

enum {
    PRINCIPAL_NAME_BYTES_MAX = 1024,
    PRINCIPAL_PASSWORDS_MAX = 256,
    PRINCIPAL_VERIFIER_BYTES_MAX = 1024,
    PRINCIPAL_RULES_BYTES_MAX = 48 << 10, /* A record is a small value of the store. */
    PRINCIPALS_MAX = 100000,
};

enum principal_flag {
    PRINCIPAL_ENABLED = 1 << 0,
    PRINCIPAL_NO_PASSWORD = 1 << 1,   /* Any password, or none, lets it in. */
    PRINCIPAL_SKIP_SANITIZE = 1 << 2, /* RESTORE's payloads: a word of ACL, kept. */
};

struct principal {
    struct slice name;
    uint32_t flags;        /* enum principal_flag */
    struct slice password; /* SHA-256 of each password, SHA256_BYTES each. */
    struct slice verifier; /* Of SCRAM-SHA-256, as text; empty: none was made. */
    struct slice rules;    /* What it may do, in the words of ACL SETUSER. */
};

void principal_encode(const struct principal *principal, struct buf *out);
/* Slices are borrowed from `stored`. ERR_CORRUPT. */
err_t principal_decode(struct slice name, struct slice stored, struct principal *principal_out);

/* In a transaction, on any shard. ERR_LIMIT: a name, a password list or rules too long. */
err_t principal_put(struct txn *txn, const struct principal *principal);
void principal_remove(struct txn *txn, struct slice name);
/* All of them, by name, in the arena. Errors: as txn_scan_next, ERR_CORRUPT, ERR_LIMIT
 * (PRINCIPALS_MAX). */
YIELDS err_t principals_read(struct txn *txn, struct arena *arena,
                             struct principal **principals_out, uint32_t *count_out);
