/* transfer.c - money goes from an account in one keyspace to one in another, on another shard.
 *
 * Build: cc transfer.c $(pkg-config --static --cflags --libs orbit) -o transfer
 * Run:   ./transfer FOLDER
 * Each run moves 10 from alice's savings to bob's checking account, and prints both. Whatever
 * happens meanwhile (other transfers, kill -9, power cut), no money appears or is lost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orbit.h>

enum { SAVINGS = 1, CHECKING = 2 }; /* Keyspaces. */
enum { TRIES_MAX = 100 };

static void
must(int error)
{
    if (error != ORBIT_OK) {
        fprintf(stderr, "%s: %s\n", orbit_error_name(error), orbit_message());
        exit(1);
    }
}

static int
balance_get(struct orbit_txn *txn, orbit_keyspace keyspace, const char *name, long *amount_out)
{
    void *text;
    size_t size;
    int error = orbit_txn_get(txn, keyspace, name, strlen(name), &text, &size);

    if (error == ORBIT_OK) {
        *amount_out = strtol(text, NULL, 10);
        orbit_free(text);
    } else if (error == ORBIT_NOT_FOUND) {
        *amount_out = 100; /* What a new account begins with. */
        error = ORBIT_OK;
    }
    return error;
}

static int
balance_set(struct orbit_txn *txn, orbit_keyspace keyspace, const char *name, long amount)
{
    char text[32];

    snprintf(text, sizeof(text), "%ld", amount);
    return orbit_txn_put(txn, keyspace, name, strlen(name), text, strlen(text) + 1, 0);
}

/* Reads both, then writes both. Any error ends it: the caller rolls back. */
static int
transfer(struct orbit_txn *txn, const char *from, const char *to, long amount)
{
    long from_has, to_has;
    int error = balance_get(txn, SAVINGS, from, &from_has);

    if (error == ORBIT_OK) {
        error = balance_get(txn, CHECKING, to, &to_has);
    }
    if (error == ORBIT_OK && from_has < amount) {
        fprintf(stderr, "%s has only %ld\n", from, from_has);
        exit(1);
    }
    if (error == ORBIT_OK) {
        error = balance_set(txn, SAVINGS, from, from_has - amount);
    }
    if (error == ORBIT_OK) {
        error = balance_set(txn, CHECKING, to, to_has + amount);
    }
    return error;
}

/* With its retry, which orbit_txn_run would do by itself. */
static int
transfer_commit(struct orbit *db, const char *from, const char *to, long amount)
{
    int error = ORBIT_SERIALIZATION;

    for (int i = 0; i < TRIES_MAX && (error == ORBIT_SERIALIZATION || error == ORBIT_DEADLOCK);
         i++) {
        struct orbit_txn *txn;

        must(orbit_txn_begin(db, NULL, &txn));
        error = transfer(txn, from, to, amount);
        if (error == ORBIT_OK) {
            error = orbit_txn_commit(txn, NULL); /* Both or none, and on stable storage now. */
        }
        orbit_txn_free(&txn); /* Rolls back what was not committed. */
    }
    return error;
}

int
main(int argc, char **argv)
{
    struct orbit_options options = {.dir = argc > 1 ? argv[1] : "transfer-data", .shards = 2};
    struct orbit_txn_options reading = {.read_only = true};
    struct orbit_txn *txn;
    struct orbit *db;
    long alice, bob;

    must(orbit_open(&options, &db));
    must(transfer_commit(db, "alice", "bob", 10)); /* The two names lie on the two shards. */

    must(orbit_txn_begin(db, &reading, &txn)); /* One moment of both. */
    must(balance_get(txn, SAVINGS, "alice", &alice));
    must(balance_get(txn, CHECKING, "bob", &bob));
    must(orbit_txn_commit(txn, NULL));
    orbit_txn_free(&txn);
    printf("alice saves %ld, bob has %ld, together %ld\n", alice, bob, alice + bob);
    orbit_close(&db);
    return 0;
}
