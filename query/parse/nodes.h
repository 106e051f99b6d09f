/* query/parse/nodes.h - PostgreSQL's parse tree: the one place that includes its headers,
 * but for keyword.c.
 *
 * Node structs are those of Debian's postgresql-server-dev-15, which libpg_query fills. */
#pragma once

#include <postgres.h>

#include <nodes/nodes.h>
#include <nodes/parsenodes.h>
#include <nodes/pg_list.h>
#include <nodes/value.h>

/* PostgreSQL replaces the C library's functions by its own, which are not linked. */
#undef fprintf
#undef printf
#undef snprintf
#undef sprintf
#undef strerror
#undef strerror_r
#undef vfprintf
#undef vprintf
#undef vsnprintf
#undef vsprintf
