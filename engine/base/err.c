/* engine/base/err.c - the error table, and the diagnostic of whoever runs. */
#include "engine/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

struct err_row {
    const char *name;
    const char *sqlstate;
    int http;
    int grpc;
    const char *resp;
    const char *text;
};

static const struct err_row err_rows[ERR_COUNT] = {
#define ERR_ROW(name, sqlstate, http, grpc, resp, text) {#name, sqlstate, http, grpc, resp, text},
    ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};

/* The seam between threads and fibers: one of the few thread-locals of the engine. */
static _Thread_local struct err_diag err_thread_diag;
static _Thread_local struct err_diag *err_bound_diag;

static struct err_diag *
err_diag_current(void)
{
    return err_bound_diag != NULL ? err_bound_diag : &err_thread_diag;
}

static const struct err_row *
err_row_of(err_t err)
{
    ASSERT((unsigned)err < ERR_COUNT);
    return &err_rows[err];
}

const char *
err_name(err_t err)
{
    return err_row_of(err)->name;
}

const char *
err_sqlstate(err_t err)
{
    return err_row_of(err)->sqlstate;
}

int
err_http(err_t err)
{
    return err_row_of(err)->http;
}

int
err_grpc(err_t err)
{
    return err_row_of(err)->grpc;
}

const char *
err_resp(err_t err)
{
    return err_row_of(err)->resp;
}

void
err_diag_bind(struct err_diag *diag)
{
    err_bound_diag = diag;
}

err_t
err_set(err_t code, const char *format, ...)
{
    struct err_diag *diag = err_diag_current();
    char text[ERR_MESSAGE_BYTES_MAX]; /* An argument may point into the diagnostic itself. */
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    memcpy(diag->message, text, strlen(text) + 1);
    diag->code = code;
    return code;
}

err_t
err_set_default(err_t code)
{
    struct err_diag *diag = err_diag_current();
    const char *text = err_row_of(code)->text;

    memcpy(diag->message, text, strlen(text) + 1);
    diag->code = code;
    return code;
}

err_t
err_context(err_t code, const char *format, ...)
{
    char text[ERR_MESSAGE_BYTES_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return err_set(code, "%s: %s", text, err_message(code));
}

err_t
err_format(const char *path, uint32_t found, uint32_t known)
{
    return err_set(ERR_FORMAT, "%s: format version %u, but this program reads version %u: %s", path,
                   found, known,
                   found > known ? "open it with the newer program that wrote it"
                                 : "open it with the older program that wrote it and load its "
                                   "data into this one through a client");
}

static err_t
err_code_of_errno(int number)
{
    switch (number) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return ERR_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_NO_SPACE;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case ENODATA: /* How the io says that a file ends before the range read. */
        return ERR_CORRUPT;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case EBUSY:
    case EADDRINUSE:
        return ERR_BUSY;
    case ECANCELED:
        return ERR_CANCELED;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN:
        return ERR_CLOSED;
    case EMFILE:
    case ENFILE:
    case EMLINK:
        return ERR_LIMIT;
    case ENOTSUP:
    case ENOSYS:
    case EXDEV: /* A hard link to another file system. */
        return ERR_UNSUPPORTED;
    case ENAMETOOLONG:
    case EINVAL:
        return ERR_INVALID;
    default:
        return ERR_IO;
    }
}

err_t
err_from_errno(int negative_errno, const char *what)
{
    const char *text;

    ASSERT(negative_errno < 0);
    if (negative_errno == -ENODATA) {
        text = "the file ends early";
    } else {
        text = strerrordesc_np(-negative_errno);
    }
    return err_set(err_code_of_errno(-negative_errno), "%s: %s", what,
                   text != NULL ? text : "unknown error");
}

const char *
err_message(err_t code)
{
    const struct err_diag *diag = err_diag_current();

    if (diag->code == code && diag->message[0] != '\0') {
        return diag->message;
    }
    return err_row_of(code)->text;
}
