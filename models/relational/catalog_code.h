/* models/relational/catalog_code.h - relations as bytes and as copies. */
#pragma once

#include "models/relational/catalog.h"

void relation_encode(struct buf *out, const struct relation *relation);
/* Types are those of the catalog. Everything lies in the arena. ERR_CORRUPT. */
err_t relation_decode(const struct catalog *catalog, struct slice stored, oid_t oid,
                      struct arena *arena, struct relation *out);
struct relation *relation_copy(struct arena *arena, const struct relation *from);
/* Sets what is not stored, but for is_referenced. */
void relation_derive(struct relation *relation);
