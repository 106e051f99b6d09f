/* models/relational/catalog_type.h - a type of users as bytes: docs/format/relational.md. */
#pragma once

#include "models/types/enum.h"

/* Appends the body of its entry. */
void enum_type_encode(struct buf *out, const struct enum_type *type);
/* version: of the catalog that reads it. Everything lies in the arena. ERR_CORRUPT. */
err_t enum_type_decode(struct slice body, oid_t oid, uint64_t version, struct arena *arena,
                       const struct enum_type **out);
