/* tests/lib/cycles.h - is a history of transactions what its isolation levels promise?
 *
 * From what transactions wrote and read, the order of each key's versions is inferred, and from
 * that the dependencies among transactions: a cycle of dependencies is an anomaly (Adya's
 * definitions, Elle's method). Two kinds of keys make the order visible: a list, to which
 * transactions append, shows all its earlier versions at every read; a register's versions are
 * ordered by timestamps where these are given, and by transactions that read one version and
 * wrote the next.
 *
 * A transaction has up to three places in the order, by its level:
 *
 *     READ COMMITTED     each statement's reads, one after the other, then its writes
 *     REPEATABLE READ    all its reads, then its writes
 *     SERIALIZABLE       one place for both
 *
 * Dependencies join places: ww and rt lead from writes to writes or to reads, wr from writes to
 * reads, rw from reads to writes. A cycle of places is what the levels exclude, also when
 * transactions of different levels meet: a lone rw edge leads back to a REPEATABLE READ reader's
 * place only over a dependency, so write skew is no cycle there.
 *
 * Time and memory are linear in the history but for real time: transactions times concurrency. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cycles_kind {
    CYCLES_APPEND, /* value, to the list `key`. */
    CYCLES_LIST,   /* The list was read: values[0..count). */
    CYCLES_WRITE,  /* value, to the register `key`; CYCLES_NOTHING: it was deleted. */
    CYCLES_READ,   /* The register was read: value, CYCLES_NOTHING if there was none. */
};

#define CYCLES_NOTHING 0

struct cycles_op {
    enum cycles_kind kind;
    bool is_predicate;  /* The read was part of a range. */
    uint32_t key;       /* A key is a list or a register, never both. */
    uint32_t statement; /* Grows by the order of operations; for READ COMMITTED. */
    uint64_t value;     /* Written values are unique, but for CYCLES_NOTHING. */
    uint64_t
        ts; /* Of the version that a CYCLES_READ found; 0: unknown. Not for CYCLES_NOTHING: which of
                           several deletes was met is nobody's business. */
    const uint64_t *values;
    uint32_t count;
};

enum cycles_status {
    CYCLES_OK,
    CYCLES_ABORTED,
    CYCLES_UNKNOWN, /* Committed if anybody has seen what it wrote. */
};

enum cycles_level { CYCLES_READ_COMMITTED, CYCLES_REPEATABLE_READ, CYCLES_SERIALIZABLE };

struct cycles_txn {
    enum cycles_status status;
    enum cycles_level level;
    bool is_historical; /* Its snapshot was older than its begin: nothing orders it after others. */
    uint64_t begin;     /* Instants; no two events of the history have the same one. */
    uint64_t end;       /* UINT64_MAX: never answered, and it may take effect at any time. */
    uint64_t ts;        /* Of the commit; 0: unknown, or nothing was written. */
    const struct cycles_op *ops; /* Borrowed during the call, in the order of doing. */
    uint32_t op_count;
};

/* What is wrong, worst first. */
#define CYCLES_ANOMALY_TABLE(X)                                                                    \
    X(NONE, "none")                                                                                \
    X(GARBAGE, "a value that nobody wrote")                                                        \
    X(DUPLICATE, "a value that is in a list twice")                                                \
    X(INTERNAL, "a transaction does not see its own writes")                                       \
    X(TIMESTAMP, "one version with two timestamps")                                                \
    X(ORDER, "lists that are no prefixes of each other")                                           \
    X(G1A, "G1a, aborted read")                                                                    \
    X(G1B, "G1b, intermediate read")                                                               \
    X(G0, "G0, dirty write")                                                                       \
    X(G1C, "G1c, circular information flow")                                                       \
    X(LOST_UPDATE, "lost update")                                                                  \
    X(G_SINGLE, "G-single, read skew")                                                             \
    X(G2_ITEM, "G2-item, write skew")                                                              \
    X(G2, "G2, with a predicate")                                                                  \
    X(REAL_TIME, "real time")

enum cycles_anomaly {
#define CYCLES_ANOMALY_ENUM(name, text) CYCLES_##name,
    CYCLES_ANOMALY_TABLE(CYCLES_ANOMALY_ENUM)
#undef CYCLES_ANOMALY_ENUM
};
const char *cycles_anomaly_text(enum cycles_anomaly anomaly);

enum { CYCLES_TEXT_BYTES = 1024, CYCLES_MEMBERS_MAX = 16 };
struct cycles_report {
    enum cycles_anomaly anomaly;
    char text[CYCLES_TEXT_BYTES];         /* Names transactions by their index. */
    uint32_t members[CYCLES_MEMBERS_MAX]; /* Transactions that the text names. */
    uint32_t member_count;
    uint64_t edges;
};

/* The worst anomaly that the levels of the transactions exclude, or CYCLES_NONE; a cycle that needs
 * real time is CYCLES_REAL_TIME. */
enum cycles_anomaly cycles_check(const struct cycles_txn *txns, uint32_t count,
                                 struct cycles_report *report_out);
