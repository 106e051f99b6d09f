/* models/types/sql_error.c - the parts of an SQL error in one diagnostic text.
 *
 *     SQLSTATE | message [ | detail [ | hint [ | context ]]]      with SEPARATOR between */
#include "models/types/sql_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { SEPARATOR = 0x1f, SQLSTATE_CHARACTERS = 5 };

/* What a client sent may hold the separator: it becomes a question mark. */
static void
separators_remove(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if (*at == SEPARATOR) {
            *at = '?';
        }
    }
}

err_t
sql_error(const char *sqlstate, const char *format, ...)
{
    char message[ERR_MESSAGE_BYTES_MAX];
    va_list arguments;

    ASSERT(strlen(sqlstate) == SQLSTATE_CHARACTERS);
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    separators_remove(message);
    return err_set(ERR_SQL, "%s%c%s", sqlstate, SEPARATOR, message);
}

static err_t
part_append(uint32_t separators, const char *format, va_list arguments)
{
    char before[ERR_MESSAGE_BYTES_MAX];
    char part[ERR_MESSAGE_BYTES_MAX];
    char between[4] = "";

    (void)snprintf(before, sizeof(before), "%s", err_message(ERR_SQL));
    (void)vsnprintf(part, sizeof(part), format, arguments);
    separators_remove(part);
    for (const char *at = before; *at != '\0'; at++) {
        ASSERT(*at != SEPARATOR || separators > 0);
        separators -= *at == SEPARATOR;
    }
    ASSERT(separators < sizeof(between));
    memset(between, SEPARATOR, separators);
    between[separators] = '\0';
    return err_set(ERR_SQL, "%s%s%s", before, between, part);
}

err_t
sql_detail(const char *format, ...)
{
    va_list arguments;
    err_t err;

    va_start(arguments, format);
    err = part_append(2, format, arguments);
    va_end(arguments);
    return err;
}

err_t
sql_hint(const char *format, ...)
{
    va_list arguments;
    err_t err;

    va_start(arguments, format);
    err = part_append(3, format, arguments);
    va_end(arguments);
    return err;
}

err_t
sql_context(err_t err, const char *format, ...)
{
    va_list arguments;

    if (err != ERR_SQL) {
        char message[ERR_MESSAGE_BYTES_MAX];

        (void)snprintf(message, sizeof(message), "%s", err_message(err));
        (void)sql_error(err_sqlstate(err), "%s", message);
    }
    va_start(arguments, format);
    err = part_append(4, format, arguments);
    va_end(arguments);
    return err;
}

void
sql_report_get(err_t err, struct sql_report *report_out)
{
    char *parts[] = {report_out->message, report_out->detail, report_out->hint,
                     report_out->context};
    const char *at = err_message(err);

    *report_out = (struct sql_report){0};
    if (err != ERR_SQL) {
        (void)snprintf(report_out->sqlstate, sizeof(report_out->sqlstate), "%s", err_sqlstate(err));
        (void)snprintf(report_out->message, sizeof(report_out->message), "%s", at);
        return;
    }
    memcpy(report_out->sqlstate, at, SQLSTATE_CHARACTERS);
    at += SQLSTATE_CHARACTERS + 1;
    for (uint32_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const char *end = strchr(at, SEPARATOR);
        size_t size = end != NULL ? (size_t)(end - at) : strlen(at);

        memcpy(parts[i], at, size);
        if (end == NULL) {
            return;
        }
        at = end + 1;
    }
}
