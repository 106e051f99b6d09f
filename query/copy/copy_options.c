/* query/copy/copy_options.c - the options of COPY, checked as PostgreSQL checks them. */
#include "query/copy/copy.h"

#include <string.h>
#include <strings.h>

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

/* What was given; texts are NULL when they were not. */
struct given {
    bool format, freeze, header, encoding;
    const char *delimiter, *null, *quote, *escape;
    bool force_quote, force_not_null, force_null;
    bool has_place; /* The error is about the option itself: where it stands is told. */
};

static err_t
option_text(const DefElem *option, const char **text_out)
{
    if (option->arg == NULL || !IsA(option->arg, String)) {
        return sql_error("42601", "%s requires a parameter", option->defname);
    }
    *text_out = strVal(option->arg);
    return ERR_OK;
}

/* 1, 0, or -1 for neither. */
static int
option_bool(const DefElem *option)
{
    const char *text;

    if (option->arg == NULL) {
        return 1;
    }
    if (IsA(option->arg, Integer)) {
        return intVal(option->arg) == 0 || intVal(option->arg) == 1 ? intVal(option->arg) : -1;
    }
    if (IsA(option->arg, Boolean)) {
        return boolVal(option->arg) ? 1 : 0;
    }
    if (!IsA(option->arg, String)) {
        return -1;
    }
    text = strVal(option->arg);
    return strcasecmp(text, "true") == 0 || strcasecmp(text, "on") == 0     ? 1
           : strcasecmp(text, "false") == 0 || strcasecmp(text, "off") == 0 ? 0
                                                                            : -1;
}

static err_t
header_read(const CopyStmt *node, const DefElem *option, struct copy_options *options)
{
    int value = option_bool(option);

    if (value < 0 && option->arg != NULL && IsA(option->arg, String) &&
        strcasecmp(strVal(option->arg), "match") == 0) {
        if (!node->is_from) {
            return sql_error("0A000", "cannot use \"%s\" with HEADER in COPY TO",
                             strVal(option->arg));
        }
        options->header = COPY_HEADER_MATCH;
        return ERR_OK;
    }
    if (value < 0) {
        return sql_error("42601", "%s requires a Boolean value or \"match\"", option->defname);
    }
    options->header = value == 1 ? COPY_HEADER : COPY_NO_HEADER;
    return ERR_OK;
}

static err_t
format_read(const DefElem *option, struct given *given, struct copy_options *options)
{
    const char *name = NULL;
    err_t err;

    TRY(option_text(option, &name));
    if (strcmp(name, "text") == 0) {
        options->format = COPY_TEXT;
    } else if (strcmp(name, "csv") == 0) {
        options->format = COPY_CSV;
    } else if (strcmp(name, "binary") == 0) {
        options->format = COPY_BINARY;
    } else {
        given->has_place = true;
        err = sql_error("22023", "COPY format \"%s\" not recognized", name);
    }
out:
    return err;
}

static err_t
encoding_check(const DefElem *option)
{
    static const char *const utf8[] = {"utf8", "utf-8", "unicode"};
    const char *name = NULL;
    err_t err;

    TRY(option_text(option, &name));
    for (uint32_t i = 0; i < sizeof(utf8) / sizeof(utf8[0]); i++) {
        if (strcasecmp(name, utf8[i]) == 0) {
            return ERR_OK;
        }
    }
    err = sql_error("0A000", "COPY in the encoding \"%s\" is not supported: UTF8 is", name);
out:
    return err;
}

static err_t
names_read(const DefElem *option, const List **names_out)
{
    const ListCell *cell;

    if (option->arg == NULL || !IsA(option->arg, List)) {
        return sql_error("22023", "argument to option \"%s\" must be a list of column names",
                         option->defname);
    }
    foreach(cell, (const List *)option->arg)
    {
        if (!IsA(lfirst(cell), String)) {
            return sql_error("22023", "argument to option \"%s\" must be a list of column names",
                             option->defname);
        }
    }
    *names_out = (const List *)option->arg;
    return ERR_OK;
}

static err_t
force_quote_read(const DefElem *option, struct copy_options *options)
{
    if (option->arg != NULL && IsA(option->arg, A_Star)) {
        options->force_quote_all = true;
        return ERR_OK;
    }
    return names_read(option, &options->force_quote);
}

static err_t
conflicting(struct given *given)
{
    given->has_place = true;
    return sql_error("42601", "conflicting or redundant options");
}

/* Marks it as given; a second time is an error. */
static err_t
once(struct given *given, bool *is_given)
{
    if (*is_given) {
        return conflicting(given);
    }
    *is_given = true;
    return ERR_OK;
}

static err_t
text_once(struct given *given, const DefElem *option, const char **text_out)
{
    return *text_out != NULL ? conflicting(given) : option_text(option, text_out);
}

static err_t
unknown(struct given *given, const char *name)
{
    given->has_place = true;
    return sql_error("42601", "option \"%s\" not recognized", name);
}

static err_t
freeze_read(const DefElem *option)
{
    return option_bool(option) < 0
               ? sql_error("42601", "%s requires a Boolean value", option->defname)
               : ERR_OK; /* Rows have no need of it. */
}

static err_t
option_read(const CopyStmt *node, const DefElem *option, struct given *given,
            struct copy_options *options)
{
    const char *name = option->defname;
    err_t err;

    if (strcmp(name, "format") == 0) {
        TRY(once(given, &given->format));
        return format_read(option, given, options);
    }
    if (strcmp(name, "freeze") == 0) {
        TRY(once(given, &given->freeze));
        return freeze_read(option);
    }
    if (strcmp(name, "header") == 0) {
        TRY(once(given, &given->header));
        return header_read(node, option, options);
    }
    if (strcmp(name, "encoding") == 0) {
        TRY(once(given, &given->encoding));
        return encoding_check(option);
    }
    if (strcmp(name, "force_quote") == 0) {
        TRY(once(given, &given->force_quote));
        return force_quote_read(option, options);
    }
    if (strcmp(name, "force_not_null") == 0) {
        TRY(once(given, &given->force_not_null));
        return names_read(option, &options->force_not_null);
    }
    if (strcmp(name, "force_null") == 0) {
        TRY(once(given, &given->force_null));
        return names_read(option, &options->force_null);
    }
    err = strcmp(name, "delimiter") == 0 ? text_once(given, option, &given->delimiter)
          : strcmp(name, "null") == 0    ? text_once(given, option, &given->null)
          : strcmp(name, "quote") == 0   ? text_once(given, option, &given->quote)
          : strcmp(name, "escape") == 0  ? text_once(given, option, &given->escape)
                                         : unknown(given, name);
out:
    return err;
}

/* ---- Which go together ---- */

static err_t
invalid(const char *message)
{
    return sql_error("22023", "%s", message);
}

static err_t
unsupported(const char *message)
{
    return sql_error("0A000", "%s", message);
}

static err_t
binary_check(const struct given *given, const struct copy_options *options)
{
    if (given->delimiter != NULL) {
        return sql_error("42601", "cannot specify DELIMITER in BINARY mode");
    }
    if (given->null != NULL) {
        return sql_error("42601", "cannot specify NULL in BINARY mode");
    }
    return options->header != COPY_NO_HEADER ? unsupported("cannot specify HEADER in BINARY mode")
                                             : ERR_OK;
}

static err_t
delimiter_check(const struct copy_options *options, const char *delimiter, const char *null)
{
    if (strlen(delimiter) != 1) {
        return unsupported("COPY delimiter must be a single one-byte character");
    }
    if (delimiter[0] == '\r' || delimiter[0] == '\n') {
        return invalid("COPY delimiter cannot be newline or carriage return");
    }
    if (strpbrk(null, "\r\n") != NULL) {
        return invalid("COPY null representation cannot use newline or carriage return");
    }
    if (options->format != COPY_CSV &&
        strchr("\\.abcdefghijklmnopqrstuvwxyz0123456789", delimiter[0]) != NULL) {
        return sql_error("22023", "COPY delimiter cannot be \"%s\"", delimiter);
    }
    return ERR_OK;
}

static err_t
quote_check(bool is_csv, const struct given *given, const char *delimiter, const char *quote,
            const char *escape)
{
    if (!is_csv && given->quote != NULL) {
        return unsupported("COPY quote available only in CSV mode");
    }
    if (is_csv && strlen(quote) != 1) {
        return unsupported("COPY quote must be a single one-byte character");
    }
    if (is_csv && delimiter[0] == quote[0]) {
        return invalid("COPY delimiter and quote must be different");
    }
    if (!is_csv && given->escape != NULL) {
        return unsupported("COPY escape available only in CSV mode");
    }
    return is_csv && strlen(escape) != 1
               ? unsupported("COPY escape must be a single one-byte character")
               : ERR_OK;
}

static err_t
force_check(const CopyStmt *node, bool is_csv, const struct given *given)
{
    if (given->force_quote && !is_csv) {
        return unsupported("COPY force quote available only in CSV mode");
    }
    if (given->force_quote && node->is_from) {
        return unsupported("COPY force quote only available using COPY TO");
    }
    if (given->force_not_null && !is_csv) {
        return unsupported("COPY force not null available only in CSV mode");
    }
    if (given->force_not_null && !node->is_from) {
        return unsupported("COPY force not null only available using COPY FROM");
    }
    if (given->force_null && !is_csv) {
        return unsupported("COPY force null available only in CSV mode");
    }
    return given->force_null && !node->is_from
               ? unsupported("COPY force null only available using COPY FROM")
               : ERR_OK;
}

static err_t
options_check(const CopyStmt *node, const struct given *given, struct copy_options *options)
{
    bool is_csv = options->format == COPY_CSV;
    const char *delimiter = given->delimiter != NULL ? given->delimiter : is_csv ? "," : "\t";
    const char *null = given->null != NULL ? given->null : is_csv ? "" : "\\N";
    const char *quote = given->quote != NULL ? given->quote : "\"";
    const char *escape = given->escape != NULL ? given->escape : quote;
    err_t err;

    if (options->format == COPY_BINARY) {
        TRY(binary_check(given, options));
    }
    TRY(delimiter_check(options, delimiter, null));
    TRY(quote_check(is_csv, given, delimiter, quote, escape));
    TRY(force_check(node, is_csv, given));
    if (strchr(null, delimiter[0]) != NULL) {
        err = unsupported("COPY delimiter must not appear in the NULL specification");
    } else if (is_csv && strchr(null, quote[0]) != NULL) {
        err = unsupported("CSV quote character must not appear in the NULL specification");
    }
    options->delimiter = delimiter[0];
    options->null = slice_from_text(null);
    options->quote = quote[0];
    options->escape = escape[0];
out:
    return err;
}

err_t
copy_options_read(const CopyStmt *node, struct copy_options *options_out, int32_t *position_out)
{
    struct given given = {0};
    const ListCell *cell;
    err_t err;

    *options_out = (struct copy_options){.format = COPY_TEXT};
    foreach(cell, node->options)
    {
        const DefElem *option = lfirst(cell);

        err = option_read(node, option, &given, options_out);
        if (err != ERR_OK) {
            *position_out = given.has_place ? option->location : -1;
            goto out;
        }
    }
    err = options_check(node, &given, options_out);
out:
    return err;
}

/* ---- FORCE_QUOTE, FORCE_NOT_NULL, FORCE_NULL ---- */

static err_t
force(const List *names, const char *what, struct copy_column *columns, uint32_t count,
      size_t flag_offset)
{
    const ListCell *cell;

    foreach(cell, names)
    {
        struct slice name = slice_from_text(strVal(lfirst(cell)));
        uint32_t at = 0;

        while (at < count && !slice_equal(columns[at].name, name)) {
            at++;
        }
        if (at == count) {
            return sql_error("42P10", "%s column \"%.*s\" not referenced by COPY", what,
                             (int)name.size, (const char *)name.data);
        }
        *(bool *)((char *)&columns[at] + flag_offset) = true;
    }
    return ERR_OK;
}

err_t
copy_columns_force(const struct copy_options *options, struct copy_column *columns, uint32_t count)
{
    err_t err;

    for (uint32_t i = 0; i < count; i++) {
        columns[i].quotes = options->force_quote_all;
    }
    TRY(force(options->force_quote, "FORCE_QUOTE", columns, count,
              offsetof(struct copy_column, quotes)));
    TRY(force(options->force_not_null, "FORCE_NOT_NULL", columns, count,
              offsetof(struct copy_column, is_never_null)));
    err = force(options->force_null, "FORCE_NULL", columns, count,
                offsetof(struct copy_column, is_null_quoted));
out:
    return err;
}
