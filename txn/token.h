/* txn/token.h - tokens by which another session takes part in a transaction.
 *
 * 16 bytes: the home shard, and 120 bits of the io's randomness, written as 32 hexadecimal digits.
 * Each home shard has a table of them. A token ends with its transaction, and by itself when it
 * was not used for TXN_TOKEN_LIFETIME_US; txn_token then makes a new one. */
#pragma once

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/rt/fiber.h"

struct txn;
struct token_table; /* Of a shard: at most one token for each of its transactions. */

#define TXN_TOKEN_LIFETIME_US (UINT64_C(300) * 1000 * 1000)

struct token_table *token_table_new(void);
/* Accepts NULL; clears the pointer. */
void token_table_free(struct token_table **tokens);
/* The transaction ends: its token, if it has one, is unknown from now on. */
void token_forget(struct token_table *tokens, struct txn *txn);
