/* txn/token.c - see token.h. */
#include "txn/token.h"

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

enum {
    TOKEN_BYTES = TXN_TOKEN_BYTES / 2,
    TOKEN_BUCKETS = 256,
};

_Static_assert(SHARDS_MAX <= 256, "the first byte of a token is the home shard");

struct token {
    struct list link;
    uint8_t bytes[TOKEN_BYTES];
    uint64_t used_us;
    struct txn *txn;
};

/* By the second byte, which is random. */
struct token_table {
    struct list buckets[TOKEN_BUCKETS];
    uint32_t count;
};

struct token_table *
token_table_new(void)
{
    struct token_table *tokens = MEM_NEW(MEM_SESSIONS, struct token_table);

    for (uint32_t i = 0; i < TOKEN_BUCKETS; i++) {
        list_init(&tokens->buckets[i]);
    }
    return tokens;
}

static void
token_free(struct token_table *tokens, struct token *token)
{
    token->txn->has_token = false;
    list_remove(&token->link);
    memset(token->bytes, 0, sizeof(token->bytes));
    ASSERT(tokens->count > 0);
    tokens->count--;
    MEM_FREE(MEM_SESSIONS, token);
}

void
token_table_free(struct token_table **tokens_ref)
{
    struct token_table *tokens = *tokens_ref;

    if (tokens == NULL) {
        return;
    }
    ASSERT(tokens->count == 0);
    MEM_FREE(MEM_SESSIONS, tokens);
    *tokens_ref = NULL;
}

/* ---- As text. ---- */

static void
hex_encode(const uint8_t *bytes, char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (uint32_t i = 0; i < TOKEN_BYTES; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[TXN_TOKEN_BYTES] = '\0';
}

static int
hex_digit(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    digit |= 0x20; /* Letters in either case. */
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static bool
hex_decode(struct slice text, uint8_t *bytes)
{
    if (text.size != TXN_TOKEN_BYTES) {
        return false;
    }
    for (uint32_t i = 0; i < TOKEN_BYTES; i++) {
        int high = hex_digit(text.data[2 * i]);
        int low = hex_digit(text.data[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Takes as long whichever byte differs: who guesses learns nothing from the time. */
static bool
bytes_are_equal(const uint8_t *a, const uint8_t *b)
{
    uint8_t difference = 0;

    for (uint32_t i = 0; i < TOKEN_BYTES; i++) {
        difference |= a[i] ^ b[i];
    }
    return difference == 0;
}

/* ---- The table. ---- */

static bool
token_is_expired(const struct token *token)
{
    return shard_now_us() >= token->used_us + TXN_TOKEN_LIFETIME_US;
}

static struct list *
token_bucket(struct token_table *tokens, const uint8_t *bytes)
{
    return &tokens->buckets[bytes[1]];
}

static struct token *
token_of(struct token_table *tokens, const struct txn *txn)
{
    uint8_t bytes[TOKEN_BYTES];

    if (!hex_decode(slice_of(txn->token, TXN_TOKEN_BYTES), bytes)) {
        UNREACHABLE();
    }
    LIST_FOR_EACH(node, token_bucket(tokens, bytes)) {
        struct token *token = LIST_ENTRY(node, struct token, link);

        if (token->txn == txn) {
            return token;
        }
    }
    UNREACHABLE();
}

void
token_forget(struct token_table *tokens, struct txn *txn)
{
    if (txn->has_token) {
        token_free(tokens, token_of(tokens, txn));
    }
    ASSERT(!txn->has_token);
}

static void
token_make(struct token_table *tokens, struct txn *txn)
{
    struct token *token = MEM_NEW(MEM_SESSIONS, struct token);

    io_random(token->bytes, sizeof(token->bytes));
    token->bytes[0] = (uint8_t)shard_id();
    token->txn = txn;
    token->used_us = shard_now_us();
    list_push_back(token_bucket(tokens, token->bytes), &token->link);
    tokens->count++;
    hex_encode(token->bytes, txn->token);
    txn->has_token = true;
}

/* ---- Asking for one. ---- */

struct token_ask {
    char *token_out;
};

static YIELDS void
token_run(struct txn *txn, void *arg)
{
    struct token_ask *ask = arg;
    struct token_table *tokens = txns_self()->tokens;

    if (txn->has_token) {
        struct token *token = token_of(tokens, txn);

        if (token_is_expired(token)) {
            token_free(tokens, token);
        } else {
            token->used_us = shard_now_us();
        }
    }
    if (!txn->has_token) {
        token_make(tokens, txn);
    }
    memcpy(ask->token_out, txn->token, TXN_TOKEN_BYTES + 1);
}

err_t
txn_token(uint64_t id, char token_out[TXN_TOKEN_BYTES + 1])
{
    struct token_ask ask = {.token_out = token_out};

    return txn_run(id, token_run, &ask);
}

/* ---- Joining. ---- */

struct token_join {
    uint8_t bytes[TOKEN_BYTES];
    struct slice principal;
    uint64_t id;
    err_t err;
};

static struct token *
token_find(struct token_table *tokens, const uint8_t *bytes)
{
    struct token *found = NULL;

    LIST_FOR_EACH_SAFE(node, token_bucket(tokens, bytes)) {
        struct token *token = LIST_ENTRY(node, struct token, link);

        if (token_is_expired(token)) {
            token_free(tokens, token);
        } else if (bytes_are_equal(token->bytes, bytes)) {
            found = token;
        }
    }
    return found;
}

static void
join_run(void *arg)
{
    struct token_join *join = arg;
    struct txns *txns = txns_self();
    struct token *token = txns == NULL ? NULL : token_find(txns->tokens, join->bytes);

    if (token == NULL || token->txn->is_ended) {
        join->err = ERR_NOT_FOUND;
    } else if (!slice_equal(token->txn->options.principal, join->principal)) {
        join->err = ERR_DENIED;
    } else {
        token->used_us = shard_now_us();
        join->id = token->txn->part.txn;
        token->txn->sessions++;
        join->err = ERR_OK;
    }
}

err_t
txn_join(struct slice token, struct slice principal, uint64_t *id_out)
{
    struct token_join join = {.principal = principal, .err = ERR_NOT_FOUND};

    if (hex_decode(token, join.bytes) && join.bytes[0] < shard_count()) {
        msg_call(join.bytes[0], MSG_INLINE, join_run, &join);
    }
    if (join.err == ERR_NOT_FOUND) {
        return err_set(ERR_NOT_FOUND, "no transaction has this token: it has ended, or the token "
                                      "was not used for too long");
    }
    if (join.err == ERR_DENIED) {
        return err_set(ERR_DENIED, "the token belongs to a transaction of another user");
    }
    *id_out = join.id;
    return ERR_OK;
}
