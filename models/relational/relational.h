/* models/relational/relational.h - the relational model's root object of a shard. */
#pragma once

#include "models/relational/catalog.h"

struct relational;
struct zones;

/* Opens the model on the current shard, where the store and the transactions are open. Registers
 * as SHARD_SLOT_RELATIONAL. */
YIELDS err_t relational_open(struct relational **relational_out);
void relational_close(struct relational **relational); /* Accepts NULL; clears the pointer. */

/* The time zones that the shard has read. NULL: the model is not open. */
struct zones *relational_zones(void);

/* The shard's catalog, up to date with what was committed before the call; held: the caller drops
 * it. Suspends only while somebody changes the catalog. Errors: of reading. */
YIELDS err_t relational_catalog(struct catalog **catalog_out);

/* Who is about to commit a changed catalog says so on all shards, and when it is over, whatever
 * came of it: in between catalogs are read from the store, and afterwards each shard's is new. */
YIELDS void relational_change_begin(void);
YIELDS void relational_change_end(void);

/* How many rows a table had when it was counted last, since the server started. Every shard is
 * told. */
YIELDS void relational_rows_note(oid_t relation, uint64_t rows);
/* UINT64_MAX: it was not counted. */
uint64_t relational_rows(oid_t relation);

struct io_file;
/* A temporary file of its own, empty: temp_file.h. */
YIELDS err_t relational_temp_open(struct io_file **file_out);
