/* net/resp.h - reading requests of the Redis protocol (RESP specification, redis.io).
 *
 * The parser works on a growing input buffer and keeps its place between calls, so that a request
 * that arrives in many pieces is looked at once. It never allocates but for its argument array,
 * and holds offsets, not pointers, because the buffer may move between calls. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/mem.h"
#include "engine/base/slice.h"

enum {
    RESP_INLINE_BYTES_MAX = 64 << 10, /* An inline request, and the line of a length. */
    RESP_ARGS_MAX = 1 << 20,          /* Words of a request ("invalid multibulk length"). */
    RESP_ARGS_MAX_UNAUTHENTICATED = 10,
    RESP_BULK_BYTES_MAX_UNAUTHENTICATED = 16 << 10,
};
#define RESP_BULK_BYTES_MAX_DEFAULT ((uint64_t)512 << 20)

struct resp_span {
    uint64_t offset; /* From the start of the request. */
    uint64_t size;
};

struct resp_parser {
    struct resp_span *args;
    uint32_t arg_count;
    uint32_t arg_capacity;
    uint64_t at;           /* Next byte to look at, from the start of the request. */
    uint32_t args_missing; /* Of the multibulk request that is being read. */
    bool in_multibulk;
    bool has_bulk_length; /* bulk_bytes is that of the next argument. */
    uint64_t bulk_bytes;
    struct buf unquoted; /* Arguments of inline requests whose quotes were resolved. */
    char error[32];      /* Text of an error that names a byte. */
};

enum resp_status {
    RESP_READY,      /* One request: args, and *consumed_out bytes are used up. */
    RESP_NOTHING,    /* An empty request, to be skipped: *consumed_out bytes are used up. */
    RESP_INCOMPLETE, /* More input is needed. */
    RESP_ERROR,      /* *error_out says why, valid while the parser is; the connection cannot be
                        used further. */
};

struct resp_limits {
    uint64_t bulk_bytes_max; /* proto-max-bulk-len */
    bool is_authenticated;   /* Otherwise the smaller limits above hold. */
};

void resp_parser_init(struct resp_parser *parser);
void resp_parser_fini(struct resp_parser *parser);

/* Look at input (which starts at the beginning of the current request). */
enum resp_status resp_parse(struct resp_parser *parser, struct slice input,
                            const struct resp_limits *limits, uint64_t *consumed_out,
                            const char **error_out);
/* The i-th argument of a READY request in `input`. */
struct slice resp_arg(const struct resp_parser *parser, struct slice input, uint32_t index);
/* Bytes that the argument being read still lacks (with its line end); 0 when unknown: what a
 * caller reserves for a large argument. */
uint64_t resp_missing_bytes(const struct resp_parser *parser, size_t input_bytes);
