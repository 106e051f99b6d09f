/* engine/base/err.h - the one table of errors.
 *
 * Every cause has one code, and the table maps it to what each protocol says. Functions return
 * an err_t and put the details (file, offset, key, limit) into the diagnostic of the running
 * fiber with err_set(); who answers a client or writes the log reads it with err_message(). */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*      name              SQLSTATE  HTTP gRPC  RESP prefix  default message */
#define ERR_TABLE(X)                                                                               \
    X(ERR_OK, "00000", 200, 0, "OK", "success")                                                    \
    X(ERR_NOT_FOUND, "02000", 404, 5, "ERR", "not found")                                          \
    X(ERR_INVALID, "22023", 400, 3, "ERR", "invalid argument")                                     \
    X(ERR_LIMIT, "54000", 413, 8, "ERR", "a limit was exceeded")                                   \
    X(ERR_NO_MEMORY, "53200", 503, 8, "OOM", "out of memory")                                      \
    X(ERR_NO_SPACE, "53100", 507, 8, "MISCONF", "no space left on the device")                     \
    X(ERR_IO, "58030", 500, 13, "MISCONF", "input/output error")                                   \
    X(ERR_CORRUPT, "XX001", 500, 15, "MISCONF", "data is corrupt")                                 \
    X(ERR_FORMAT, "XX002", 500, 9, "MISCONF", "unknown format version")                            \
    X(ERR_EXISTS, "42710", 409, 6, "ERR", "already exists")                                        \
    X(ERR_BUSY, "55006", 409, 9, "BUSY", "busy")                                                   \
    X(ERR_CANCELED, "57014", 499, 1, "ERR", "canceled")                                            \
    X(ERR_TIMEOUT, "57014", 504, 4, "ERR", "timed out")                                            \
    X(ERR_SHUTDOWN, "57P01", 503, 14, "ERR", "the server is shutting down")                        \
    X(ERR_CLOSED, "08003", 503, 14, "ERR", "the connection is closed")                             \
    X(ERR_PROTOCOL, "08P01", 400, 3, "ERR", "protocol error")                                      \
    X(ERR_AUTH, "28P01", 401, 16, "WRONGPASS", "authentication failed")                            \
    X(ERR_DENIED, "42501", 403, 7, "NOPERM", "permission denied")                                  \
    X(ERR_WRONG_TYPE, "42804", 400, 3, "WRONGTYPE", "wrong kind of value")                         \
    X(ERR_CROSS_SHARD, "0A000", 400, 12, "CROSSSLOT", "keys lie on several shards")                \
    X(ERR_UNSUPPORTED, "0A000", 501, 12, "ERR", "not supported")                                   \
    X(ERR_SNAPSHOT_TOO_OLD, "72000", 409, 9, "ERR", "snapshot too old")                            \
    X(ERR_KERNEL, "58000", 500, 14, "ERR", "the kernel refused a needed feature")                  \
    X(ERR_SERIALIZATION, "40001", 409, 10, "CONFLICT",                                             \
      "could not serialize access: run the transaction again")                                     \
    X(ERR_DEADLOCK, "40P01", 409, 10, "DEADLOCK", "deadlock detected")                             \
    X(ERR_LOCK_TIMEOUT, "55P03", 409, 10, "LOCKED", "could not get a lock in time")                \
    X(ERR_READ_ONLY, "25006", 400, 9, "READONLY", "the transaction is read-only")                  \
    X(ERR_TXN_ABORTED, "25P02", 409, 9, "TXNABORTED",                                              \
      "the transaction has failed: only rollback is possible")                                     \
    X(ERR_IDLE_TIMEOUT, "25P03", 408, 4, "ERR", "the transaction was idle for too long")           \
    X(ERR_SQL, "XX000", 400, 3, "ERR", "the statement failed")

typedef enum err {
#define ERR_ENUM(name, sqlstate, http, grpc, resp, text) name,
    ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
        ERR_COUNT,
} err_t;

enum { ERR_MESSAGE_BYTES_MAX = 512 };

/* The columns of the table. */
const char *err_name(err_t err);
const char *err_sqlstate(err_t err);
int err_http(err_t err);
int err_grpc(err_t err);
const char *err_resp(err_t err);

/* Where the details of the last error go. Every fiber has one; a thread outside fibers uses the
 * thread's own. Kept as text because by the time it is read the objects may be gone. */
struct err_diag {
    err_t code;
    char message[ERR_MESSAGE_BYTES_MAX];
};

/* Set by engine/rt when fibers are switched; NULL means the thread's own diagnostic. */
void err_diag_bind(struct err_diag *diag);

/* Record the message and return `code`, so that a failure is one line: return err_set(...). */
err_t err_set(err_t code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with the table's text: cheap, for what is expected, such as a timeout. */
err_t err_set_default(err_t code);

/* Put what was being done in front of the recorded message: "opening shard 2: ...". */
err_t err_context(err_t code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ERR_FORMAT: a file has format version `found` where `known` is what this program reads; the
 * message says what to do. */
err_t err_format(const char *path, uint32_t found, uint32_t known);

/* From a negative errno as io_uring returns it: -ENOSPC gives ERR_NO_SPACE, and so on; -ENODATA
 * means that a file ends before the range that was read (ERR_CORRUPT). Sets "what: reason". */
err_t err_from_errno(int negative_errno, const char *what);

/* The message recorded for `code`, or the table's text when the last one was about another.
 * Borrowed; valid until the next err_set of the same fiber. */
const char *err_message(err_t code);

/* err = call; leave through `out:` on failure. Needs `err_t err` and a label `out`. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        err = (call);                                                                              \
        if (err != ERR_OK) {                                                                       \
            goto out;                                                                              \
        }                                                                                          \
    } while (0)
