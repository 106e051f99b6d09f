/* models/types/sql_error.h - errors as PostgreSQL reports them: SQLSTATE, message, detail, hint.
 *
 * They travel as ERR_SQL with all parts in the fiber's diagnostic; who answers a client takes them
 * apart again. Codes: PostgreSQL 15, appendix A. */
#pragma once

#include "engine/base/err.h"

/* Returns ERR_SQL. The code has five characters; the message has no newline at its end. */
err_t sql_error(const char *sqlstate, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Add to the error that sql_error has just recorded; both return ERR_SQL. At most once each, the
 * detail first. */
err_t sql_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));
err_t sql_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Where it happened: "COPY t, line 3". The last part; an error of the store becomes ERR_SQL with
 * its SQLSTATE. */
err_t sql_context(err_t err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The parts, copied; "" for what is missing. An error of the store has the SQLSTATE of its code. */
struct sql_report {
    char sqlstate[6];
    char message[ERR_MESSAGE_BYTES_MAX];
    char detail[ERR_MESSAGE_BYTES_MAX];
    char hint[ERR_MESSAGE_BYTES_MAX];
    char context[ERR_MESSAGE_BYTES_MAX];
};
void sql_report_get(err_t err, struct sql_report *report_out);
