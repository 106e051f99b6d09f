/* query/parameter.c - a session's parameters: setting them, and taking that back.
 *
 * A value that is the initial one takes no memory. What a transaction changes is written down, with
 * the value before: a rollback takes it back, the commit only what was set locally. */
#include "query/parameter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "engine/base/assert.h"
#include "models/types/datetime.h"
#include "models/types/sql_error.h"
#include "query/parameter_datetime.h"
#include "query/parameter_table.h"

#include "engine/base/poison.h"

enum {
    VALUE_BYTES_MAX = 256, /* search_path and application_name as well. */
    CUSTOM_MAX = 128,      /* Parameters with a dot in their name: clients make them. */
    CHANGES_MAX = 4096,    /* Of a transaction. */
};

struct value {
    char *now;       /* NULL: the initial one. */
    char *committed; /* is_local: what comes back at the commit; NULL: the initial one. */
    bool is_local;
};

/* What a parameter was before a change. */
struct parameter_change {
    uint32_t at;
    struct value before;
};

struct parameters {
    struct value values[PARAMETER_COUNT + CUSTOM_MAX];
    char *start[PARAMETER_COUNT]; /* What RESET goes back to; NULL: the initial one. */
    char *custom[CUSTOM_MAX];     /* Names. */
    uint32_t custom_count;
    struct parameter_change *changes;
    uint32_t change_count, change_capacity;
    struct type_settings settings;
    struct sql_timeouts timeouts;
    struct sql_memory memory;
    uint64_t version, plan_version;
    struct arena zone_arena; /* Of a time zone that is no file. */
};

/* ---- Names and values ---- */

static char *
text_copy(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = mem_alloc(MEM_SESSIONS, size);

    memcpy(copy, text, size);
    return copy;
}

static void
text_free(char *text)
{
    if (text != NULL) {
        mem_free(MEM_SESSIONS, text, strlen(text) + 1);
    }
}

static char *
text_again(const char *text)
{
    return text != NULL ? text_copy(text) : NULL;
}

static void
value_free(struct value *value)
{
    text_free(value->now);
    text_free(value->committed);
    *value = (struct value){0};
}

/* The table is sorted by names as strcasecmp compares. */
static uint32_t
parameter_find(const char *name)
{
    uint32_t low = 0, high = PARAMETER_COUNT;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = strcasecmp(parameter_table[middle].name, name);

        if (order == 0) {
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return UINT32_MAX;
}

static uint32_t
value_find(const struct parameters *parameters, const char *name)
{
    for (uint32_t i = 0; i < parameters->custom_count; i++) {
        if (strcasecmp(parameters->custom[i], name) == 0) {
            return PARAMETER_COUNT + i;
        }
    }
    return parameter_find(name);
}

static const char *
initial_of(uint32_t at)
{
    return at < PARAMETER_COUNT ? parameter_table[at].initial : "";
}

static const char *
start_of(const struct parameters *parameters, uint32_t at)
{
    return at < PARAMETER_COUNT && parameters->start[at] != NULL ? parameters->start[at]
                                                                 : initial_of(at);
}

static const char *
value_of(const struct parameters *parameters, uint32_t at)
{
    const char *now = parameters->values[at].now;

    return now != NULL ? now : initial_of(at);
}

const char *
parameters_name(const char *name)
{
    uint32_t at = parameter_find(name);

    return at == UINT32_MAX ? NULL : parameter_table[at].name;
}

const char *
parameter_name(uint32_t index)
{
    return index < PARAMETER_COUNT ? parameter_table[index].name : NULL;
}

const char *
parameter_initial(uint32_t index)
{
    return parameter_table[index].initial;
}

const char *
parameter_description(uint32_t index)
{
    return parameter_table[index].description;
}

static err_t integer_read(const struct parameter *parameter, const char *value, double *out);

static void
integer_use(struct parameters *parameters, uint32_t at)
{
    const struct {
        const char *name;
        uint64_t *place;
        uint64_t unit;
    } places[] = {
        {"idle_in_transaction_session_timeout", &parameters->timeouts.idle_in_transaction_us, 1000},
        {"idle_session_timeout", &parameters->timeouts.idle_us, 1000},
        {"lock_timeout", &parameters->timeouts.lock_us, 1000},
        {"statement_timeout", &parameters->timeouts.statement_us, 1000},
        {"temp_file_limit", &parameters->memory.file_bytes_max, 1024},
        {"work_mem", &parameters->memory.work_bytes, 1024},
    };
    double number = 0;

    for (uint32_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (strcmp(places[i].name, parameter_table[at].name) == 0 &&
            integer_read(&parameter_table[at], value_of(parameters, at), &number) == ERR_OK) {
            *places[i].place = number < 0 ? UINT64_MAX : (uint64_t)number * places[i].unit;
        }
    }
}

/* Statements mean the same and are planned the same, whatever its value: those that come and go
 * with transactions, and those of the program that asks. */
static bool
is_no_matter_of_plans(uint32_t at)
{
    static const char *const names[] = {
        "application_name",       "lock_timeout",
        "statement_timeout",      "temp_file_limit",
        "transaction_deferrable", "transaction_isolation",
        "transaction_read_only",  "work_mem",
    };

    for (uint32_t i = 0; at < PARAMETER_COUNT && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(parameter_table[at].name, names[i]) == 0) {
            return true;
        }
    }
    return at >= PARAMETER_COUNT; /* A custom one. */
}

/* What is looked at often is taken from a value when it changes. */
static void
value_use(struct parameters *parameters, uint32_t at)
{
    const char *value = value_of(parameters, at);

    parameters->version++;
    parameters->plan_version += !is_no_matter_of_plans(at);
    switch (at < PARAMETER_COUNT ? parameter_table[at].kind : PARAMETER_TEXT) {
    case PARAMETER_FLOAT_DIGITS:
        parameters->settings.extra_float_digits = atoi(value);
        break;
    case PARAMETER_INTEGER:
        integer_use(parameters, at);
        break;
    case PARAMETER_BYTEA:
        parameters->settings.bytea_escape = strcasecmp(value, "escape") == 0;
        break;
    case PARAMETER_DATE_STYLE:
        parameter_date_style_use(value, &parameters->settings);
        break;
    case PARAMETER_INTERVAL_STYLE:
        parameter_interval_style_use(value, &parameters->settings);
        break;
    case PARAMETER_TIME_ZONE:
        parameter_time_zone_use(value, &parameters->zone_arena, &parameters->settings);
        break;
    default:
        break;
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
        value_use(parameters, i);
    }
    return parameters;
}

static void
changes_drop(struct parameters *parameters)
{
    while (parameters->change_count > 0) {
        value_free(&parameters->changes[--parameters->change_count].before);
    }
}

void
parameters_free(struct parameters **parameters)
{
    struct parameters *freed = *parameters;

    if (freed == NULL) {
        return;
    }
    changes_drop(freed);
    mem_free(MEM_SESSIONS, freed->changes, freed->change_capacity * sizeof(*freed->changes));
    for (uint32_t i = 0; i < PARAMETER_COUNT + freed->custom_count; i++) {
        value_free(&freed->values[i]);
    }
    for (uint32_t i = 0; i < freed->custom_count; i++) {
        text_free(freed->custom[i]);
    }
    for (uint32_t i = 0; i < PARAMETER_COUNT; i++) {
        text_free(freed->start[i]);
    }
    arena_fini(&freed->zone_arena);
    MEM_FREE(MEM_SESSIONS, freed);
    *parameters = NULL;
}

uint64_t
parameters_version(const struct parameters *parameters)
{
    return parameters->version;
}

uint64_t
parameters_plan_version(const struct parameters *parameters)
{
    return parameters->plan_version;
}

void
parameters_names_set(struct parameters *parameters, const struct type_names *names)
{
    parameters->settings.names = names;
}

const char *
parameters_get(const struct parameters *parameters, const char *name)
{
    uint32_t at = value_find(parameters, name);

    return at != UINT32_MAX ? value_of(parameters, at) : NULL;
}

/* ---- Checking values ---- */

static err_t
invalid_value(const char *name, const char *value)
{
    return sql_error("22023", "invalid value for parameter \"%s\": \"%s\"", name, value);
}

/* A prefix will do, as long as it is one of a single word. */
static const char *
bool_value(const char *value)
{
    static const char *const words[] = {"on", "true", "yes", "1", "off", "false", "no", "0"};
    size_t size = strlen(value);

    for (uint32_t i = 0; i < 8 && size > 0; i++) {
        if (strncasecmp(words[i], value, size) == 0 && (words[i][0] != 'o' || size > 1)) {
            return i < 4 ? "on" : "off";
        }
    }
    return NULL;
}

/* The word of `values` that it is, in any case. */
static err_t
enum_value(const struct parameter *parameter, const char *value, char shown[PARAMETER_TEXT_MAX],
           const char **canonical_out)
{
    size_t size = strlen(value);
    const char *at = parameter->values;

    while (at != NULL && *at != '\0') {
        size_t length = strcspn(at, ",");

        if (length == size && strncasecmp(at, value, size) == 0) {
            memcpy(shown, at, length);
            shown[length] = '\0';
            *canonical_out = shown;
            return ERR_OK;
        }
        at += length;
        at += strspn(at, ", ");
    }
    (void)invalid_value(parameter->name, value);
    return sql_hint("Available values: %s.", parameter->values);
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

/* ---- Numbers with units ---- */

struct unit {
    const char *base, *name;
    double factor; /* Of the base unit. */
    bool is_shown; /* 8kB is the base of some, and never shown. */
};

static const struct unit units[] = {
    {"ms", "d", 86400000, true},     {"ms", "h", 3600000, true},     {"ms", "min", 60000, true},
    {"ms", "s", 1000, true},         {"ms", "ms", 1, true},          {"ms", "us", 0.001, false},
    {"kB", "TB", 1073741824, true},  {"kB", "GB", 1048576, true},    {"kB", "MB", 1024, true},
    {"kB", "kB", 1, true},           {"kB", "B", 1.0 / 1024, false}, {"8kB", "TB", 134217728, true},
    {"8kB", "GB", 131072, true},     {"8kB", "MB", 128, true},       {"8kB", "kB", 0.125, true},
    {"8kB", "B", 1.0 / 8192, false},
};
enum { UNIT_COUNT = sizeof(units) / sizeof(units[0]) };

static const char *
units_hint(const struct parameter *parameter)
{
    bool is_time = strcmp(parameter->unit, "ms") == 0;

    return is_time ? "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", "
                     "and \"d\"."
                   : "Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and "
                     "\"TB\".";
}

static err_t
integer_read(const struct parameter *parameter, const char *value, double *out)
{
    char *end;
    double number = strtod(value, &end);
    bool is_known = false;

    if (end == value || isnan(number)) {
        return invalid_value(parameter->name, value);
    }
    while (*end == ' ') {
        end++;
    }
    if (*end == '\0') {
        *out = rint(number);
        return ERR_OK;
    }
    for (uint32_t i = 0; parameter->unit != NULL && i < UNIT_COUNT && !is_known; i++) {
        if (strcmp(units[i].base, parameter->unit) == 0 && strcmp(units[i].name, end) == 0) {
            number *= units[i].factor;
            is_known = true;
        }
    }
    if (!is_known) {
        (void)invalid_value(parameter->name, value);
        return parameter->unit != NULL ? sql_hint("%s", units_hint(parameter)) : ERR_SQL;
    }
    *out = rint(number);
    return ERR_OK;
}

/* "5s" for 5000 of ms. */
static void
integer_show(const struct parameter *parameter, int64_t value, char shown[PARAMETER_TEXT_MAX])
{
    for (uint32_t i = 0; parameter->unit != NULL && value > 0 && i < UNIT_COUNT; i++) {
        double whole = (double)value / units[i].factor;

        if (units[i].is_shown && strcmp(units[i].base, parameter->unit) == 0 &&
            rint(whole) == whole) {
            (void)snprintf(shown, PARAMETER_TEXT_MAX, "%lld%s", (long long)whole, units[i].name);
            return;
        }
    }
    (void)snprintf(shown, PARAMETER_TEXT_MAX, "%lld", (long long)value);
}

static err_t
integer_value(const struct parameter *parameter, const char *value, char shown[PARAMETER_TEXT_MAX])
{
    const char *unit = parameter->unit != NULL ? parameter->unit : "";
    const char *space = parameter->unit != NULL ? " " : "";
    double number = 0;
    err_t err;

    TRY(integer_read(parameter, value, &number));
    if (number > INT32_MAX || number < INT32_MIN) {
        (void)invalid_value(parameter->name, value);
        return sql_hint("Value exceeds integer range.");
    }
    if (number < (double)parameter->min || number > (double)parameter->max) {
        return sql_error("22023",
                         "%lld%s%s is outside the valid range for parameter \"%s\" (%lld .. %lld)",
                         (long long)number, space, unit, parameter->name, (long long)parameter->min,
                         (long long)parameter->max);
    }
    integer_show(parameter, (int64_t)number, shown);
out:
    return err;
}

static err_t
real_value(const struct parameter *parameter, const char *value, char shown[PARAMETER_TEXT_MAX])
{
    char *end;
    double number = strtod(value, &end);

    if (end == value || *end != '\0' || isnan(number)) {
        return invalid_value(parameter->name, value);
    }
    if (number < 0) {
        return sql_error("22023",
                         "%g is outside the valid range for parameter \"%s\" (0 .. 1.79769e+308)",
                         number, parameter->name);
    }
    (void)snprintf(shown, PARAMETER_TEXT_MAX, "%g", number);
    return ERR_OK;
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
fixed_value(const struct parameter *parameter, const char *value)
{
    if (is_fixed_value(parameter, value)) {
        return ERR_OK;
    }
    (void)invalid_value(parameter->name, value);
    return sql_hint("Only \"%s\" is supported.", parameter->initial);
}

/* *value becomes what is kept: the value itself, or `shown`. */
static err_t
value_check(const struct parameters *parameters, const struct parameter *parameter,
            char shown[PARAMETER_TEXT_MAX], const char **value)
{
    const char *canonical = shown;
    err_t err = ERR_OK;

    switch (parameter->kind) {
    case PARAMETER_TEXT:
        canonical = *value;
        break;
    case PARAMETER_READ_ONLY:
        return sql_error("55P02", "parameter \"%s\" cannot be changed", parameter->name);
    case PARAMETER_FIXED:
        err = fixed_value(parameter, *value);
        canonical = parameter->initial;
        break;
    case PARAMETER_BOOL:
        canonical = bool_value(*value);
        if (canonical == NULL) {
            err = sql_error("22023", "parameter \"%s\" requires a Boolean value", parameter->name);
        }
        break;
    case PARAMETER_INTEGER:
    case PARAMETER_FLOAT_DIGITS:
        err = integer_value(parameter, *value, shown);
        break;
    case PARAMETER_REAL:
        err = real_value(parameter, *value, shown);
        break;
    case PARAMETER_ENUM:
        err = enum_value(parameter, *value, shown, &canonical);
        break;
    case PARAMETER_ISOLATION:
        canonical = isolation_value(*value);
        break;
    case PARAMETER_BYTEA:
        canonical = strcasecmp(*value, "hex") == 0      ? "hex"
                    : strcasecmp(*value, "escape") == 0 ? "escape"
                                                        : NULL;
        break;
    case PARAMETER_DATE_STYLE:
        err = parameter_date_style(*value, &parameters->settings, shown);
        break;
    case PARAMETER_INTERVAL_STYLE:
        err = parameter_interval_style(*value, shown);
        break;
    case PARAMETER_TIME_ZONE:
        err = parameter_time_zone(*value, parameters->settings.zones, shown);
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

/* ---- Changing ---- */

/* Writes down what the value is, to take the change back. */
static err_t
change_note(struct parameters *parameters, uint32_t at)
{
    const struct value *value = &parameters->values[at];

    if (parameters->change_count == CHANGES_MAX) {
        return sql_error("54000", "a transaction may change parameters at most %d times",
                         CHANGES_MAX);
    }
    if (parameters->change_count == parameters->change_capacity) {
        uint32_t capacity = MAX(16U, parameters->change_capacity * 2);

        parameters->changes =
            mem_realloc(MEM_SESSIONS, parameters->changes,
                        parameters->change_capacity * sizeof(*parameters->changes),
                        capacity * sizeof(*parameters->changes));
        parameters->change_capacity = capacity;
    }
    parameters->changes[parameters->change_count++] = (struct parameter_change){
        .at = at,
        .before = {.now = text_again(value->now),
                   .committed = text_again(value->committed),
                   .is_local = value->is_local},
    };
    return ERR_OK;
}

static err_t
value_change(struct parameters *parameters, uint32_t at, const char *text, bool is_local)
{
    struct value *value = &parameters->values[at];
    char *kept = strcmp(text, initial_of(at)) == 0 ? NULL : text_copy(text);
    err_t err = change_note(parameters, at);

    if (err != ERR_OK) {
        text_free(kept);
        return err;
    }
    if (is_local && !value->is_local) {
        value->committed = value->now;
        value->is_local = true;
    } else {
        text_free(value->now);
        if (!is_local) {
            text_free(value->committed);
            value->committed = NULL;
            value->is_local = false;
        }
    }
    value->now = kept;
    value_use(parameters, at);
    return ERR_OK;
}

static err_t
unrecognized(const char *name)
{
    return sql_error("42704", "unrecognized configuration parameter \"%s\"", name);
}

/* Letters, digits and _ in parts with dots between. */
static bool
is_custom_name(const char *name)
{
    bool starts = true, has_dot = false;

    for (; *name != '\0'; name++) {
        bool is_letter = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                         *name == '_' || (*name & 0x80) != 0;
        bool is_other = (*name >= '0' && *name <= '9') || *name == '$';

        if (*name == '.' && !starts) {
            starts = true;
            has_dot = true;
        } else if (is_letter || (is_other && !starts)) {
            starts = false;
        } else {
            return false;
        }
    }
    return has_dot && !starts;
}

static err_t
custom_make(struct parameters *parameters, const char *name, uint32_t *at_out)
{
    if (strchr(name, '.') == NULL) {
        return unrecognized(name);
    }
    if (!is_custom_name(name)) {
        (void)sql_error("42602", "invalid configuration parameter name \"%s\"", name);
        return sql_detail("Custom parameter names must be two or more simple identifiers separated "
                          "by dots.");
    }
    if (parameters->custom_count == CUSTOM_MAX || strlen(name) >= VALUE_BYTES_MAX) {
        return sql_error("54000", "a session may have at most %d parameters of its own",
                         CUSTOM_MAX);
    }
    parameters->custom[parameters->custom_count] = text_copy(name);
    *at_out = PARAMETER_COUNT + parameters->custom_count++;
    return ERR_OK;
}

static err_t
parameter_change(struct parameters *parameters, const char *name, const char *value, bool is_local)
{
    static const struct parameter custom = {.name = "custom", .kind = PARAMETER_TEXT};
    uint32_t at = value_find(parameters, name);
    char shown[PARAMETER_TEXT_MAX];
    err_t err = ERR_OK;

    if (at == UINT32_MAX) {
        TRY(custom_make(parameters, name, &at));
    }
    TRY(value_check(parameters, at < PARAMETER_COUNT ? &parameter_table[at] : &custom, shown,
                    &value));
    err = value_change(parameters, at, value, is_local);
out:
    return err;
}

err_t
parameters_set(struct parameters *parameters, const char *name, const char *value)
{
    return parameter_change(parameters, name, value, false);
}

err_t
parameters_set_local(struct parameters *parameters, const char *name, const char *value)
{
    return parameter_change(parameters, name, value, true);
}

static err_t
parameter_reset(struct parameters *parameters, const char *name, bool is_local)
{
    uint32_t at = value_find(parameters, name);

    if (at == UINT32_MAX) {
        return strchr(name, '.') != NULL ? ERR_OK : unrecognized(name);
    }
    if (at < PARAMETER_COUNT && parameter_table[at].kind == PARAMETER_READ_ONLY) {
        return sql_error("55P02", "parameter \"%s\" cannot be changed", parameter_table[at].name);
    }
    return value_change(parameters, at, start_of(parameters, at), is_local);
}

err_t
parameters_reset(struct parameters *parameters, const char *name)
{
    return parameter_reset(parameters, name, false);
}

err_t
parameters_reset_local(struct parameters *parameters, const char *name)
{
    return parameter_reset(parameters, name, true);
}

void
parameters_started(struct parameters *parameters)
{
    for (uint32_t i = 0; i < PARAMETER_COUNT; i++) {
        text_free(parameters->start[i]);
        parameters->start[i] = text_again(parameters->values[i].now);
    }
    changes_drop(parameters);
}

err_t
parameters_reset_all(struct parameters *parameters)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < PARAMETER_COUNT + parameters->custom_count; i++) {
        bool may_change =
            i >= PARAMETER_COUNT || (parameter_table[i].kind != PARAMETER_READ_ONLY &&
                                     strncmp(parameter_table[i].name, "transaction_", 12) != 0);

        if (may_change && (parameters->values[i].is_local ||
                           strcmp(value_of(parameters, i), start_of(parameters, i)) != 0)) {
            err = value_change(parameters, i, start_of(parameters, i), false);
        }
    }
    return err;
}

void
parameters_fix(struct parameters *parameters, const char *name, struct slice value)
{
    uint32_t at = parameter_find(name);
    char text[VALUE_BYTES_MAX];
    size_t size = MIN(value.size, (size_t)VALUE_BYTES_MAX - 1);

    ASSERT(at < PARAMETER_COUNT);
    memcpy(text, value.data, size);
    text[size] = '\0';
    text_free(parameters->values[at].now);
    parameters->values[at].now = text_copy(text);
}

/* ---- Transactions ---- */

uint32_t
parameters_mark(const struct parameters *parameters)
{
    return parameters->change_count;
}

void
parameters_return(struct parameters *parameters, uint32_t mark)
{
    while (parameters->change_count > mark) {
        struct parameter_change *change = &parameters->changes[--parameters->change_count];

        value_free(&parameters->values[change->at]);
        parameters->values[change->at] = change->before;
        value_use(parameters, change->at);
    }
}

/* The next transaction begins with the defaults. */
static void
defaults_take(struct parameters *parameters)
{
    static const char *const pairs[][2] = {
        {"transaction_isolation", "default_transaction_isolation"},
        {"transaction_read_only", "default_transaction_read_only"},
        {"transaction_deferrable", "default_transaction_deferrable"},
    };

    for (uint32_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        uint32_t at = parameter_find(pairs[i][0]);
        const char *value = parameters_get(parameters, pairs[i][1]);

        value_free(&parameters->values[at]);
        if (strcmp(value, initial_of(at)) != 0) {
            parameters->values[at].now = text_copy(value);
        }
    }
}

void
parameters_transaction_end(struct parameters *parameters, bool has_committed)
{
    if (!has_committed) {
        parameters_return(parameters, 0);
    }
    for (uint32_t i = 0; i < parameters->change_count; i++) {
        struct value *value = &parameters->values[parameters->changes[i].at];

        if (value->is_local) {
            text_free(value->now);
            value->now = value->committed;
            value->committed = NULL;
            value->is_local = false;
            value_use(parameters, parameters->changes[i].at);
        }
    }
    changes_drop(parameters);
    defaults_take(parameters);
}

/* ---- What they mean ---- */

const struct sql_memory *
parameters_memory(const struct parameters *parameters)
{
    return &parameters->memory;
}

const struct sql_timeouts *
parameters_timeouts(const struct parameters *parameters)
{
    return &parameters->timeouts;
}

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
