/* query/parameter.c - the table of parameters.
 *
 * What a parameter does stands in docs/protocol/postgres.md. PARAMETER_FIXED ones have one
 * value. */
#include "query/parameter.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "engine/base/assert.h"
#include "models/types/datetime.h"
#include "models/types/sql_error.h"
#include "query/parameter_datetime.h"

#include "engine/base/poison.h"

enum { VALUE_BYTES_MAX = 256 };

enum parameter_kind {
    PARAMETER_TEXT, /* Any text: only kept. */
    PARAMETER_FIXED,
    PARAMETER_READ_ONLY, /* Not even its own value may be set. */
    PARAMETER_BOOL,
    PARAMETER_ISOLATION,
    PARAMETER_FLOAT_DIGITS,
    PARAMETER_BYTEA,
    PARAMETER_DATE_STYLE,
    PARAMETER_INTERVAL_STYLE,
    PARAMETER_TIME_ZONE,
};

struct parameter {
    const char *name, *initial;
    enum parameter_kind kind;
    const char *description;
};

static const struct parameter table[] = {
    {"application_name", "", PARAMETER_TEXT, "The name by which the client is shown."},
    {"bytea_output", "hex", PARAMETER_BYTEA, "The text form of bytea: hex or escape."},
    {"client_encoding", "UTF8", PARAMETER_FIXED,
     "The encoding of texts that the client sends and gets."},
    {"client_min_messages", "notice", PARAMETER_TEXT,
     "The least severe message that the client is sent."},
    {"DateStyle", "ISO, MDY", PARAMETER_DATE_STYLE,
     "The form of dates, and the order of day and month in what is read."},
    {"default_transaction_isolation", "read committed", PARAMETER_ISOLATION,
     "The isolation of transactions that name none."},
    {"default_transaction_read_only", "off", PARAMETER_BOOL,
     "Whether transactions that do not say so are read-only."},
    {"extra_float_digits", "1", PARAMETER_FLOAT_DIGITS,
     "How many digits more or less floating-point numbers are shown with."},
    {"integer_datetimes", "on", PARAMETER_READ_ONLY, "Times are counted in whole microseconds."},
    {"IntervalStyle", "postgres", PARAMETER_INTERVAL_STYLE, "The form of intervals."},
    {"is_superuser", "on", PARAMETER_READ_ONLY, "Whether the user is a superuser."},
    {"lc_collate", "C", PARAMETER_READ_ONLY, "The order of texts."},
    {"lc_ctype", "C", PARAMETER_READ_ONLY, "The classes and cases of characters."},
    {"max_identifier_length", "63", PARAMETER_READ_ONLY, "The bytes of a name that count."},
    {"search_path", "\"$user\", public", PARAMETER_TEXT,
     "The schemas where names without one are looked for, in order."},
    {"server_encoding", "UTF8", PARAMETER_READ_ONLY, "The encoding of stored texts."},
    {"server_version", "15.0 (Orbit)", PARAMETER_READ_ONLY, "The version that the server speaks."},
    {"server_version_num", "150000", PARAMETER_READ_ONLY,
     "The version that the server speaks, as a number."},
    {"session_authorization", "", PARAMETER_READ_ONLY, "The user of the session."},
    {"standard_conforming_strings", "on", PARAMETER_FIXED,
     "A backslash in a plain string is itself."},
    {"TimeZone", "UTC", PARAMETER_TIME_ZONE, "The time zone of the session."},
    {"transaction_isolation", "read committed", PARAMETER_ISOLATION,
     "The isolation of the present transaction."},
    {"transaction_read_only", "off", PARAMETER_BOOL,
     "Whether the present transaction is read-only."},
};
enum { PARAMETER_COUNT = sizeof(table) / sizeof(table[0]) };

struct parameters {
    char values[PARAMETER_COUNT][VALUE_BYTES_MAX];
    char start[PARAMETER_COUNT][VALUE_BYTES_MAX];  /* What RESET goes back to. */
    char before[PARAMETER_COUNT][VALUE_BYTES_MAX]; /* The transaction. */
    bool is_local[PARAMETER_COUNT];
    struct type_settings settings;
    struct arena zone_arena; /* Of a time zone that is no file. */
};

static uint32_t
parameter_find(const char *name)
{
    for (uint32_t i = 0; i < PARAMETER_COUNT; i++) {
        if (strcasecmp(table[i].name, name) == 0) {
            return i;
        }
    }
    return PARAMETER_COUNT;
}

const char *
parameters_name(const char *name)
{
    uint32_t at = parameter_find(name);

    return at == PARAMETER_COUNT ? NULL : table[at].name;
}

static void
value_put(struct parameters *parameters, uint32_t at, const char *value)
{
    size_t size = MIN(strlen(value), (size_t)VALUE_BYTES_MAX - 1);

    memmove(parameters->values[at], value, size);
    parameters->values[at][size] = '\0';
    if (table[at].kind == PARAMETER_FLOAT_DIGITS) {
        parameters->settings.extra_float_digits = atoi(value);
    } else if (table[at].kind == PARAMETER_BYTEA) {
        parameters->settings.bytea_escape = strcasecmp(value, "escape") == 0;
    } else if (table[at].kind == PARAMETER_DATE_STYLE) {
        parameter_date_style_use(value, &parameters->settings);
    } else if (table[at].kind == PARAMETER_INTERVAL_STYLE) {
        parameter_interval_style_use(value, &parameters->settings);
    } else if (table[at].kind == PARAMETER_TIME_ZONE) {
        parameter_time_zone_use(parameters->values[at], &parameters->zone_arena,
                                &parameters->settings);
    }
}

struct parameters *
parameters_new(struct zones *zones)
{
    struct parameters *parameters = MEM_NEW(MEM_SESSIONS, struct parameters);

    parameters->settings = type_settings_default;
    parameters->settings.zones = zones;
    arena_init(&parameters->zone_arena, MEM_SESSIONS);
    for (uint32_t i = 0; i < PARAMETER_COUNT; i++) {
        (void)snprintf(parameters->start[i], VALUE_BYTES_MAX, "%s", table[i].initial);
    }
    parameters_reset_all(parameters);
    return parameters;
}

void
parameters_free(struct parameters **parameters)
{
    if (*parameters != NULL) {
        arena_fini(&(*parameters)->zone_arena);
        MEM_FREE(MEM_SESSIONS, *parameters);
    }
}

const char *
parameter_name(uint32_t index)
{
    return index < PARAMETER_COUNT ? table[index].name : NULL;
}

const char *
parameter_initial(uint32_t index)
{
    return table[index].initial;
}

const char *
parameter_description(uint32_t index)
{
    return table[index].description;
}

void
parameters_names_set(struct parameters *parameters, const struct type_names *names)
{
    parameters->settings.names = names;
}

const char *
parameters_get(const struct parameters *parameters, const char *name)
{
    uint32_t at = parameter_find(name);

    return at < PARAMETER_COUNT ? parameters->values[at] : NULL;
}

/* ---- Setting ---- */

static err_t
invalid_value(const char *name, const char *value)
{
    return sql_error("22023", "invalid value for parameter \"%s\": \"%s\"", name, value);
}

static const char *
bool_value(const char *value)
{
    static const char *const words[] = {"on", "true", "yes", "1", "off", "false", "no", "0"};

    for (uint32_t i = 0; i < 8; i++) {
        if (strcasecmp(words[i], value) == 0) {
            return i < 4 ? "on" : "off";
        }
    }
    return NULL;
}

static const char *
isolation_value(const char *value)
{
    static const char *const levels[] = {"read uncommitted", "read committed", "repeatable read",
                                         "serializable"};

    for (uint32_t i = 0; i < 4; i++) {
        if (strcasecmp(levels[i], value) == 0) {
            return levels[i];
        }
    }
    return NULL;
}

/* Spaces and quotes do not count: drivers write the same value in several ways. */
static bool
is_same(const char *a, const char *b)
{
    for (;; a++, b++) {
        while (*a == ' ' || *a == '"') {
            a++;
        }
        while (*b == ' ' || *b == '"') {
            b++;
        }
        if (strncasecmp(a, b, 1) != 0) {
            return false;
        }
        if (*a == '\0') {
            return true;
        }
    }
}

static bool
is_fixed_value(const struct parameter *parameter, const char *value)
{
    if (strcmp(parameter->name, "client_encoding") == 0) {
        return is_same(value, "UTF8") || is_same(value, "UTF-8") || is_same(value, "unicode") ||
               is_same(value, "'utf-8'");
    }
    return is_same(value, parameter->initial);
}

static err_t
value_check(const struct parameters *parameters, const struct parameter *parameter,
            char shown[PARAMETER_TEXT_MAX], const char **value)
{
    const char *canonical = *value;
    err_t err = ERR_OK;
    char *end;
    long digits;

    switch (parameter->kind) {
    case PARAMETER_TEXT:
        break;
    case PARAMETER_READ_ONLY:
        return sql_error("55P02", "parameter \"%s\" cannot be changed", parameter->name);
    case PARAMETER_FIXED:
        if (!is_fixed_value(parameter, *value)) {
            (void)invalid_value(parameter->name, *value);
            return sql_hint("Only %s is supported.", parameter->initial);
        }
        canonical = parameter->initial;
        break;
    case PARAMETER_BOOL:
        canonical = bool_value(*value);
        break;
    case PARAMETER_ISOLATION:
        canonical = isolation_value(*value);
        break;
    case PARAMETER_FLOAT_DIGITS:
        digits = strtol(*value, &end, 10);
        if (*end != '\0' || digits < -15 || digits > 3) {
            (void)invalid_value(parameter->name, *value);
            return sql_hint("It is between -15 and 3.");
        }
        break;
    case PARAMETER_BYTEA:
        canonical = strcasecmp(*value, "hex") == 0      ? "hex"
                    : strcasecmp(*value, "escape") == 0 ? "escape"
                                                        : NULL;
        break;
    case PARAMETER_DATE_STYLE:
        err = parameter_date_style(*value, &parameters->settings, shown);
        canonical = shown;
        break;
    case PARAMETER_INTERVAL_STYLE:
        err = parameter_interval_style(*value, shown);
        canonical = shown;
        break;
    case PARAMETER_TIME_ZONE:
        err = parameter_time_zone(*value, parameters->settings.zones, shown);
        canonical = shown;
        break;
    }
    if (err != ERR_OK) {
        return err;
    }
    if (canonical == NULL) {
        return invalid_value(parameter->name, *value);
    }
    if (strlen(canonical) >= VALUE_BYTES_MAX) {
        return sql_error("22023", "the value of parameter \"%s\" is longer than %d bytes",
                         parameter->name, VALUE_BYTES_MAX - 1);
    }
    *value = canonical;
    return ERR_OK;
}

static err_t
unrecognized(const char *name)
{
    return sql_error("42704", "unrecognized configuration parameter \"%s\"", name);
}

err_t
parameters_set(struct parameters *parameters, const char *name, const char *value)
{
    uint32_t at = parameter_find(name);
    char shown[PARAMETER_TEXT_MAX];
    err_t err;

    if (at == PARAMETER_COUNT) {
        return unrecognized(name);
    }
    TRY(value_check(parameters, &table[at], shown, &value));
    value_put(parameters, at, value);
    parameters->is_local[at] = false;
out:
    return err;
}

err_t
parameters_set_local(struct parameters *parameters, const char *name, const char *value)
{
    uint32_t at = parameter_find(name);
    char shown[PARAMETER_TEXT_MAX];
    err_t err;

    if (at == PARAMETER_COUNT) {
        return unrecognized(name);
    }
    TRY(value_check(parameters, &table[at], shown, &value));
    if (!parameters->is_local[at]) {
        memcpy(parameters->before[at], parameters->values[at], VALUE_BYTES_MAX);
        parameters->is_local[at] = true;
    }
    value_put(parameters, at, value);
out:
    return err;
}

void
parameters_transaction_end(struct parameters *parameters)
{
    for (uint32_t i = 0; i < PARAMETER_COUNT; i++) {
        if (parameters->is_local[i]) {
            parameters->is_local[i] = false;
            value_put(parameters, i, parameters->before[i]);
        }
    }
    value_put(parameters, parameter_find("transaction_isolation"),
              parameters_get(parameters, "default_transaction_isolation"));
    value_put(parameters, parameter_find("transaction_read_only"),
              parameters_get(parameters, "default_transaction_read_only"));
}

err_t
parameters_reset(struct parameters *parameters, const char *name)
{
    uint32_t at = parameter_find(name);

    if (at == PARAMETER_COUNT) {
        return unrecognized(name);
    }
    if (table[at].kind != PARAMETER_READ_ONLY) {
        value_put(parameters, at, parameters->start[at]);
        parameters->is_local[at] = false;
    }
    return ERR_OK;
}

void
parameters_started(struct parameters *parameters)
{
    memcpy(parameters->start, parameters->values, sizeof(parameters->start));
}

void
parameters_reset_all(struct parameters *parameters)
{
    for (uint32_t i = 0; i < PARAMETER_COUNT; i++) {
        if (table[i].kind != PARAMETER_READ_ONLY || parameters->values[i][0] == '\0') {
            value_put(parameters, i, parameters->start[i]);
            parameters->is_local[i] = false;
        }
    }
}

void
parameters_fix(struct parameters *parameters, const char *name, struct slice value)
{
    uint32_t at = parameter_find(name);
    size_t size = MIN(value.size, (size_t)VALUE_BYTES_MAX - 1);

    ASSERT(at < PARAMETER_COUNT);
    memcpy(parameters->values[at], value.data, size);
    parameters->values[at][size] = '\0';
}

/* ---- What they mean ---- */

void
parameters_now_set(struct parameters *parameters, int64_t unix_us)
{
    parameters->settings.now_us = unix_us - US_1970_TO_2000;
}

const struct type_settings *
parameters_settings(const struct parameters *parameters)
{
    return &parameters->settings;
}

enum txn_isolation
parameters_isolation(const struct parameters *parameters)
{
    const char *level = parameters_get(parameters, "transaction_isolation");

    return strcmp(level, "serializable") == 0      ? TXN_SERIALIZABLE
           : strcmp(level, "repeatable read") == 0 ? TXN_REPEATABLE_READ
                                                   : TXN_READ_COMMITTED;
}

bool
parameters_read_only(const struct parameters *parameters)
{
    return strcmp(parameters_get(parameters, "transaction_read_only"), "on") == 0;
}
