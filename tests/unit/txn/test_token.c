/* tests/unit/txn/test_token.c - tokens, by which sessions on other shards share a transaction. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>

#include "engine/io/sim.h"
#include "engine/rt/msg.h"
#include "tests/unit/txn/store_fixture.h"
#include "txn/token.h"
#include "txn/txns.h"

enum { SHARDS = 2 };

static struct store *stores[SHARDS];
static struct txns *all_txns[SHARDS];

static err_t
open_one(void *arg)
{
    struct store_options one = options;
    char dir[16];
    err_t err;

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    one.dir = dir;
    TRY(store_open(&one, &stores[shard_id()]));
    err = txns_open(&all_txns[shard_id()]);
out:
    return err;
}

static err_t
close_one(void *arg)
{
    (void)arg;
    txns_close(&all_txns[shard_id()]);
    store_close(&stores[shard_id()]);
    return ERR_OK;
}

static err_t
body(void *arg)
{
    void (**fn)(void) = arg;

    (*fn)();
    return ERR_OK;
}

/* The case runs on shard 0. */
static void
case_run(void (*fn)(void))
{
    world_begin();
    cr_assert_eq(sim_world_start(world, SHARDS, open_one, NULL), ERR_OK);
    cr_assert_eq(sim_world_call(world, 0, body, &fn), ERR_OK);
    cr_assert_eq(sim_world_call_all(world, close_one, NULL), ERR_OK);
    sim_world_stop(world);
    world_end();
}

TestSuite(token, .timeout = 60);

#define TOKEN_TEST(name)                                                                           \
    static void token_##name##_case(void);                                                         \
    Test(token, name)                                                                              \
    {                                                                                              \
        case_run(token_##name##_case);                                                             \
    }                                                                                              \
    static void token_##name##_case(void)

static struct txn *
begin(const char *principal)
{
    struct txn_options txn_options = {.isolation = TXN_REPEATABLE_READ,
                                      .principal = slice_from_text(principal)};
    struct txn *txn = NULL;

    cr_assert_eq(txn_begin(&txn_options, &txn), ERR_OK);
    return txn;
}

/* Joining from a shard. */
struct join {
    const char *token;
    const char *principal;
    uint64_t id;
    err_t err;
};

static void
join_here(void *arg)
{
    struct join *join = arg;

    join->err = txn_join(slice_from_text(join->token), slice_from_text(join->principal), &join->id);
}

static err_t
join_from(uint32_t shard, const char *token, const char *principal, uint64_t *id_out)
{
    struct join join = {.token = token, .principal = principal};

    msg_call(shard, MSG_FIBER, join_here, &join);
    *id_out = join.id;
    return join.err;
}

TOKEN_TEST(a_session_elsewhere_joins_and_commits)
{
    struct txn *txn = begin("ann");
    char token[TXN_TOKEN_BYTES + 1];
    char again[TXN_TOKEN_BYTES + 1];
    uint64_t id = 0;

    txn_put(txn, 0, SLICE("k"), SLICE("v"), 0);
    cr_assert_eq(txn_token(txn_id(txn), token), ERR_OK);
    cr_assert_eq(strlen(token), TXN_TOKEN_BYTES);
    cr_assert_eq(strspn(token, "0123456789abcdef"), TXN_TOKEN_BYTES);
    cr_assert_eq(txn_token(txn_id(txn), again), ERR_OK);
    cr_assert_str_eq(token, again, "one token a transaction");
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        cr_assert_eq(join_from(shard, token, "ann", &id), ERR_OK);
        cr_assert_eq(id, txn_id(txn));
    }
    for (uint32_t i = 0; i < TXN_TOKEN_BYTES; i++) {
        again[i] = (char)toupper(token[i]);
    }
    cr_assert_eq(join_from(1, again, "ann", &id), ERR_OK, "letters in either case");
    cr_assert_eq(txn_commit_id(id, NULL), ERR_OK);
    cr_assert_eq(join_from(0, token, "ann", &id), ERR_NOT_FOUND, "it ends with the transaction");
    cr_assert_eq(join_from(1, token, "ann", &id), ERR_NOT_FOUND);
    cr_assert_eq(txn_token(id, token), ERR_NOT_FOUND);
}

TOKEN_TEST(a_token_is_of_use_to_its_principal_only)
{
    struct txn *txn = begin("ann");
    char token[TXN_TOKEN_BYTES + 1];
    uint64_t id = 0;

    cr_assert_eq(txn_token(txn_id(txn), token), ERR_OK);
    cr_assert_eq(join_from(1, token, "bob", &id), ERR_DENIED);
    cr_assert_eq(join_from(1, token, "", &id), ERR_DENIED);
    cr_assert_eq(join_from(1, token, "ann", &id), ERR_OK);
    txn_abort(&txn);
}

TOKEN_TEST(what_is_no_token_is_not_found)
{
    struct txn *txn = begin("ann");
    char token[TXN_TOKEN_BYTES + 1];
    char other[TXN_TOKEN_BYTES + 1];
    uint64_t id = 0;

    cr_assert_eq(txn_token(txn_id(txn), token), ERR_OK);
    for (uint32_t i = 0; i < TXN_TOKEN_BYTES; i++) {
        memcpy(other, token, sizeof(other));
        other[i] = other[i] == '5' ? '6' : '5';
        cr_assert_eq(join_from(0, other, "ann", &id), ERR_NOT_FOUND, "digit %u is of no account",
                     i);
        other[i] = 'g';
        cr_assert_eq(join_from(0, other, "ann", &id), ERR_NOT_FOUND);
    }
    cr_assert_eq(join_from(0, "", "ann", &id), ERR_NOT_FOUND);
    memcpy(other, token, sizeof(other));
    other[TXN_TOKEN_BYTES - 1] = '\0';
    cr_assert_eq(join_from(0, other, "ann", &id), ERR_NOT_FOUND);
    txn_abort(&txn);
}

TOKEN_TEST(a_use_makes_a_token_last)
{
    struct txn *txn = begin("ann");
    char token[TXN_TOKEN_BYTES + 1];
    uint64_t id = 0;

    cr_assert_eq(txn_token(txn_id(txn), token), ERR_OK);
    fiber_sleep_us(TXN_TOKEN_LIFETIME_US * 2 / 3);
    cr_assert_eq(join_from(1, token, "ann", &id), ERR_OK);
    fiber_sleep_us(TXN_TOKEN_LIFETIME_US * 2 / 3);
    cr_assert_eq(join_from(1, token, "ann", &id), ERR_OK);
    txn_abort(&txn);
}

TOKEN_TEST(a_token_that_is_not_used_expires_and_the_next_one_is_another)
{
    struct txn *txn = begin("ann");
    struct txn *other = begin("ann");
    char tokens[2][TXN_TOKEN_BYTES + 1];
    char later[TXN_TOKEN_BYTES + 1];
    uint64_t id = 0;

    cr_assert_eq(txn_token(txn_id(txn), tokens[0]), ERR_OK);
    cr_assert_eq(txn_token(txn_id(other), tokens[1]), ERR_OK);
    fiber_sleep_us(TXN_TOKEN_LIFETIME_US);
    cr_assert_eq(join_from(1, tokens[0], "ann", &id), ERR_NOT_FOUND);
    for (uint32_t i = 0; i < 2; i++) { /* One was found to be expired before, one was not. */
        cr_assert_eq(txn_token(txn_id(i == 0 ? txn : other), later), ERR_OK);
        cr_assert_str_neq(tokens[i], later);
        cr_assert_eq(join_from(1, tokens[i], "ann", &id), ERR_NOT_FOUND);
        cr_assert_eq(join_from(1, later, "ann", &id), ERR_OK);
    }
    txn_abort(&txn);
    txn_abort(&other);
}

enum { MANY = 300 };

TOKEN_TEST(many_transactions_have_tokens_of_their_own)
{
    static struct txn *txns[MANY];
    static char tokens[MANY][TXN_TOKEN_BYTES + 1];
    uint64_t id = 0;

    for (uint32_t i = 0; i < MANY; i++) {
        txns[i] = begin("ann");
        cr_assert_eq(txn_token(txn_id(txns[i]), tokens[i]), ERR_OK);
    }
    for (uint32_t i = 0; i < MANY; i += 2) {
        txn_abort(&txns[i]);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        err_t err = join_from(0, tokens[i], "ann", &id);

        cr_assert_eq(err, i % 2 == 0 ? ERR_NOT_FOUND : ERR_OK);
        if (i % 2 == 1) {
            cr_assert_eq(id, txn_id(txns[i]));
            txn_abort(&txns[i]);
        }
    }
}
