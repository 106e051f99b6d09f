/* models/types/array_io.c - text and binary forms of arrays, and of int2vector and oidvector. */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "engine/base/assert.h"
#include "models/types/array.h"
#include "models/types/sql_error.h"
#include "models/types/type_io.h"

#include "engine/base/poison.h"

enum { SHOWN_MAX = 200, DELIMITER = ',' };

/* ---- Text to elements ---- */

/* One element as it stands: its text without quotes and backslashes. */
struct element_text {
    struct slice text;
    bool is_null;
};

enum place {
    AT_START,     /* Nothing has come yet. */
    IN_LEVEL,     /* After { */
    IN_ELEMENT,   /* Inside of one without quotes. */
    AFTER_QUOTED, /* After the closing quote. */
    AFTER_LEVEL,  /* After } */
    NEXT_ELEMENT, /* After the delimiter that follows an element, */
    NEXT_LEVEL,   /* and that follows a level. */
};

struct array_parser {
    struct slice whole;
    const uint8_t *at, *end;
    struct arena *arena;
    enum place place;
    uint32_t depth;
    struct array_shape shape; /* Sizes of levels that are complete. */
    int32_t counts[ARRAY_DIMENSIONS_MAX];
    bool has_size[ARRAY_DIMENSIONS_MAX];
    struct element_text *elements;
    uint32_t count, capacity;
};

#define MALFORMED(parser, ...)                                                                     \
    (sql_error("22P02", "malformed array literal: \"%.*s\"",                                       \
               (int)MIN((parser)->whole.size, (size_t)SHOWN_MAX),                                  \
               (const char *)(parser)->whole.data),                                                \
     sql_detail(__VA_ARGS__))

static err_t
unexpected(const struct array_parser *parser, char character)
{
    return MALFORMED(parser, "Unexpected \"%c\" character.", character);
}

static void
spaces_skip(struct array_parser *parser)
{
    while (parser->at < parser->end && isspace(*parser->at)) {
        parser->at++;
    }
}

static err_t
too_deep(uint32_t depth)
{
    return sql_error("54000", "number of array dimensions (%u) exceeds the maximum allowed (%d)",
                     depth, ARRAY_DIMENSIONS_MAX);
}

static err_t
element_add(struct array_parser *parser, struct slice text, bool is_null)
{
    if (parser->count == parser->capacity) {
        uint32_t capacity = MAX(16U, parser->capacity * 2);
        struct element_text *grown = arena_alloc(parser->arena, capacity * sizeof(*grown));

        if (grown == NULL) {
            return err_set_default(ERR_NO_MEMORY);
        }
        if (parser->count > 0) {
            memcpy(grown, parser->elements, parser->count * sizeof(*grown));
        }
        parser->elements = grown;
        parser->capacity = capacity;
    }
    parser->elements[parser->count++] = (struct element_text){text, is_null};
    return ERR_OK;
}

static bool
may_begin_element(const struct array_parser *parser)
{
    return parser->place == IN_LEVEL || parser->place == NEXT_ELEMENT;
}

static err_t
quoted_read(struct array_parser *parser)
{
    uint8_t *text = arena_alloc(parser->arena, (size_t)(parser->end - parser->at) + 1);
    size_t size = 0;

    if (!may_begin_element(parser)) {
        return MALFORMED(parser, "Unexpected array element.");
    }
    if (text == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    for (parser->at++; parser->at < parser->end && *parser->at != '"'; parser->at++) {
        parser->at += *parser->at == '\\';
        if (parser->at == parser->end) {
            break;
        }
        text[size++] = *parser->at;
    }
    if (parser->at >= parser->end) {
        return MALFORMED(parser, "Unexpected end of input.");
    }
    parser->at++;
    parser->place = AFTER_QUOTED;
    return element_add(parser, slice_of(text, size), false);
}

/* Without quotes: up to a delimiter or a brace; spaces at the end do not count. */
static err_t
plain_read(struct array_parser *parser)
{
    const uint8_t *start = parser->at;
    uint8_t *text;
    size_t size = 0, kept = 0;
    bool has_escape = false;

    if (!may_begin_element(parser)) {
        return *parser->at == '\\' ? unexpected(parser, '\\')
                                   : MALFORMED(parser, "Unexpected array element.");
    }
    for (; parser->at < parser->end; parser->at++) {
        uint8_t c = *parser->at;

        if (c == DELIMITER || c == '{' || c == '}' || c == '"') {
            break;
        }
        if (c == '\\' && ++parser->at == parser->end) {
            break;
        }
    }
    if (parser->at >= parser->end) {
        return MALFORMED(parser, "Unexpected end of input.");
    }
    if (*parser->at == '"') {
        return MALFORMED(parser, "Unexpected array element.");
    }
    if (*parser->at == '{') {
        return unexpected(parser, '{');
    }
    text = arena_alloc(parser->arena, (size_t)(parser->at - start) + 1);
    if (text == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    for (const uint8_t *at = start; at < parser->at; at++) {
        bool is_escaped = *at == '\\';

        at += is_escaped;
        has_escape = has_escape || is_escaped;
        text[size++] = *at;
        kept = is_escaped || !isspace(*at) ? size : kept;
    }
    parser->place = IN_ELEMENT;
    return element_add(parser, slice_of(text, kept),
                       !has_escape && kept == 4 && strncasecmp((char *)text, "null", 4) == 0);
}

static err_t
level_open(struct array_parser *parser)
{
    if (parser->place != AT_START && parser->place != IN_LEVEL && parser->place != NEXT_LEVEL) {
        return unexpected(parser, '{');
    }
    if (parser->depth >= ARRAY_DIMENSIONS_MAX) {
        return too_deep(parser->depth + 1);
    }
    parser->counts[parser->depth++] = 0;
    parser->shape.dimensions = MAX(parser->shape.dimensions, parser->depth);
    parser->place = IN_LEVEL;
    parser->at++;
    return ERR_OK;
}

static err_t
level_close(struct array_parser *parser)
{
    uint32_t level = parser->depth - 1;
    bool is_empty = parser->place == IN_LEVEL && parser->depth == 1;

    if (parser->place != IN_ELEMENT && parser->place != AFTER_QUOTED &&
        parser->place != AFTER_LEVEL && !is_empty) {
        return unexpected(parser, '}');
    }
    parser->counts[level] += !is_empty;
    if (parser->has_size[level] && parser->shape.sizes[level] != parser->counts[level]) {
        return MALFORMED(parser,
                         "Multidimensional arrays must have sub-arrays with matching dimensions.");
    }
    parser->has_size[level] = true;
    parser->shape.sizes[level] = parser->counts[level];
    parser->depth--;
    parser->place = AFTER_LEVEL;
    parser->at++;
    return ERR_OK;
}

static err_t
delimiter_read(struct array_parser *parser)
{
    if (parser->place == AFTER_LEVEL) {
        parser->place = NEXT_LEVEL;
    } else if (parser->place == IN_ELEMENT || parser->place == AFTER_QUOTED) {
        parser->place = NEXT_ELEMENT;
    } else {
        return unexpected(parser, DELIMITER);
    }
    parser->counts[parser->depth - 1]++;
    parser->at++;
    return ERR_OK;
}

/* From the first brace to the end. */
static err_t
contents_read(struct array_parser *parser)
{
    err_t err;

    do {
        if (parser->at == parser->end) {
            return MALFORMED(parser, "Unexpected end of input.");
        }
        switch (*parser->at) {
        case '{':
            err = level_open(parser);
            break;
        case '}':
            err = level_close(parser);
            break;
        case '"':
            err = quoted_read(parser);
            break;
        case DELIMITER:
            err = delimiter_read(parser);
            break;
        default:
            err = plain_read(parser);
            break;
        }
        if (err != ERR_OK) {
            return err;
        }
        if (parser->depth > 0) {
            spaces_skip(parser);
        }
    } while (parser->depth > 0);
    spaces_skip(parser);
    return parser->at == parser->end ? ERR_OK
                                     : MALFORMED(parser, "Junk after closing right brace.");
}

/* ---- [lower:upper]... = ---- */

/* A bound's digits; *is_there_out false when there are none. */
static int32_t
bound_read(struct array_parser *parser, bool *is_there_out)
{
    char digits[16] = {0};
    size_t size = 0;
    const uint8_t *start = parser->at;

    while (parser->at < parser->end &&
           (isdigit(*parser->at) || *parser->at == '-' || *parser->at == '+')) {
        if (size + 1 < sizeof(digits)) {
            digits[size++] = (char)*parser->at;
        }
        parser->at++;
    }
    *is_there_out = parser->at > start;
    return (int32_t)strtol(digits, NULL, 10);
}

static err_t
dimension_read(struct array_parser *parser, struct array_shape *shape)
{
    int32_t lower = 1, upper;
    bool is_there;

    if (shape->dimensions >= ARRAY_DIMENSIONS_MAX) {
        return too_deep(shape->dimensions + 1);
    }
    parser->at++;
    upper = bound_read(parser, &is_there);
    if (!is_there) {
        return MALFORMED(parser, "\"[\" must introduce explicitly-specified array dimensions.");
    }
    if (parser->at < parser->end && *parser->at == ':') {
        parser->at++;
        lower = upper;
        upper = bound_read(parser, &is_there);
        if (!is_there) {
            return MALFORMED(parser, "Missing array dimension value.");
        }
    }
    if (parser->at == parser->end || *parser->at != ']') {
        return MALFORMED(parser, "Missing \"%s\" after array dimensions.", "]");
    }
    parser->at++;
    if (upper < lower) {
        return sql_error("2202E", "upper bound cannot be less than lower bound");
    }
    if ((int64_t)upper - lower + 1 > ARRAY_ELEMENTS_MAX) {
        return sql_error("54000", "array size exceeds the maximum allowed (%d)",
                         ARRAY_ELEMENTS_MAX);
    }
    shape->lower[shape->dimensions] = lower;
    shape->sizes[shape->dimensions++] = upper - lower + 1;
    return ERR_OK;
}

static err_t
dimensions_read(struct array_parser *parser, struct array_shape *shape)
{
    err_t err = ERR_OK;

    for (spaces_skip(parser); parser->at < parser->end && *parser->at == '['; spaces_skip(parser)) {
        err = dimension_read(parser, shape);
        if (err != ERR_OK) {
            return err;
        }
    }
    if (shape->dimensions == 0) {
        return parser->at < parser->end && *parser->at == '{'
                   ? ERR_OK
                   : MALFORMED(parser,
                               "Array value must start with \"{\" or dimension information.");
    }
    if (parser->at == parser->end || *parser->at != '=') {
        return MALFORMED(parser, "Missing \"%s\" after array dimensions.", "=");
    }
    parser->at++;
    spaces_skip(parser);
    return parser->at < parser->end && *parser->at == '{'
               ? ERR_OK
               : MALFORMED(parser, "Array contents must start with \"{\".");
}

/* The shape that is declared, or that of the braces from 1. */
static err_t
shape_settle(struct array_parser *parser, const struct array_shape *declared)
{
    struct array_shape *shape = &parser->shape;

    if (parser->count == 0) {
        shape->dimensions = 0;
    }
    if (declared->dimensions > 0) {
        if (shape->dimensions != declared->dimensions ||
            memcmp(shape->sizes, declared->sizes, shape->dimensions * sizeof(shape->sizes[0])) !=
                0) {
            return MALFORMED(parser, "Specified array dimensions do not match array contents.");
        }
        *shape = *declared;
        return ERR_OK;
    }
    for (uint32_t i = 0; i < shape->dimensions; i++) {
        shape->lower[i] = 1;
    }
    return ERR_OK;
}

static err_t
elements_input(const struct type *type, const struct type_io *context, int32_t typmod,
               const struct array_parser *parser, struct datum *out)
{
    const struct type *element = type->element_type;
    struct array_values values;
    err_t err;

    TRY(array_values_make(&values, &parser->shape, context->arena));
    for (uint32_t i = 0; i < values.count; i++) {
        if (!parser->elements[i].is_null) {
            values.nulls[i] = 0;
            TRY(element->input(element, context, parser->elements[i].text, typmod,
                               &values.values[i]));
        }
    }
    err = array_values_put(element, &values, context->arena, out);
out:
    return err;
}

err_t
array_input(const struct type *type, const struct type_io *context, struct slice text,
            int32_t typmod, struct datum *out)
{
    struct array_parser parser = {
        .whole = text,
        .at = text.data,
        .end = text.data + text.size,
        .arena = context->arena,
    };
    struct array_shape declared = {0};
    err_t err;

    TRY(dimensions_read(&parser, &declared));
    /* What is wrong with the contents is said of them alone. */
    parser.whole = slice_of(parser.at, (size_t)(parser.end - parser.at));
    TRY(contents_read(&parser));
    parser.whole = text;
    TRY(shape_settle(&parser, &declared));
    err = elements_input(type, context, typmod, &parser, out);
out:
    return err;
}

/* ---- Elements to text ---- */

static bool
needs_quotes(struct slice text)
{
    if (text.size == 0 ||
        (text.size == 4 && strncasecmp((const char *)text.data, "null", 4) == 0)) {
        return true;
    }
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];

        if (c == '"' || c == '\\' || c == '{' || c == '}' || c == DELIMITER || isspace(c)) {
            return true;
        }
    }
    return false;
}

static void
element_output(struct slice text, struct buf *out)
{
    if (!needs_quotes(text)) {
        buf_append(out, text.data, text.size);
        return;
    }
    buf_append_byte(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '"' || text.data[i] == '\\') {
            buf_append_byte(out, '\\');
        }
        buf_append_byte(out, text.data[i]);
    }
    buf_append_byte(out, '"');
}

static void
bounds_output(const struct array_shape *shape, struct buf *out)
{
    bool is_needed = false;

    for (uint32_t i = 0; i < shape->dimensions; i++) {
        is_needed = is_needed || shape->lower[i] != 1;
    }
    for (uint32_t i = 0; is_needed && i < shape->dimensions; i++) {
        buf_printf(out, "[%d:%d]", shape->lower[i], shape->lower[i] + shape->sizes[i] - 1);
    }
    buf_append(out, "=", is_needed);
}

/* Braces and delimiters before element `number`: those of the levels that begin with it. */
static void
braces_output(const struct array_shape *shape, uint32_t number, struct buf *out)
{
    uint32_t opened = 0, span = 1;

    for (uint32_t i = shape->dimensions; i > 0; i--) {
        span *= (uint32_t)shape->sizes[i - 1];
        opened += number % span == 0;
    }
    for (uint32_t i = 0; number > 0 && i < opened; i++) {
        buf_append_byte(out, '}');
    }
    buf_append(out, ",", number > 0);
    for (uint32_t i = 0; i < opened; i++) {
        buf_append_byte(out, '{');
    }
}

void
array_output(const struct type *type, const struct type_settings *settings, struct datum value,
             struct buf *out)
{
    struct array_reader reader;
    struct arena arena;
    struct buf text;

    if (array_open(type, value.bytes, &reader) != ERR_OK || reader.shape.dimensions == 0) {
        buf_append(out, "{}", 2);
        return;
    }
    arena_init(&arena, MEM_SESSIONS);
    buf_init(&text, MEM_SESSIONS);
    bounds_output(&reader.shape, out);
    for (uint32_t i = 0; i < reader.count; i++) {
        struct datum element;
        bool is_null;

        braces_output(&reader.shape, i, out);
        if (array_next(&reader, &arena, &element, &is_null) != ERR_OK || is_null) {
            buf_append(out, "NULL", 4);
            continue;
        }
        buf_clear(&text);
        reader.element->output(reader.element, settings, element, &text);
        element_output(buf_slice(&text), out);
    }
    for (uint32_t i = 0; i < reader.shape.dimensions; i++) {
        buf_append_byte(out, '}');
    }
    buf_fini(&text);
    arena_fini(&arena);
}

/* ---- Binary: dimensions, are there nulls, the element's oid; size and lower bound of each; each
 * element behind its length, -1 for null. All numbers have 4 bytes ---- */

static void
number_put(int32_t value, struct buf *out)
{
    put_be32(buf_reserve(out, 4), (uint32_t)value);
    out->size += 4;
}

void
array_send(const struct type *type, struct datum value, struct buf *out)
{
    struct array_reader reader;
    struct arena arena;

    if (array_open(type, value.bytes, &reader) != ERR_OK) {
        reader.count = 0;
        reader.shape.dimensions = 0;
    }
    number_put((int32_t)reader.shape.dimensions, out);
    number_put(reader.nulls != NULL, out);
    number_put((int32_t)type->element_type->oid, out);
    for (uint32_t i = 0; i < reader.shape.dimensions; i++) {
        number_put(reader.shape.sizes[i], out);
        number_put(reader.shape.lower[i], out);
    }
    arena_init(&arena, MEM_SESSIONS);
    for (uint32_t i = 0; i < reader.count; i++) {
        struct datum element;
        bool is_null;
        size_t at;

        if (array_next(&reader, &arena, &element, &is_null) != ERR_OK || is_null) {
            number_put(-1, out);
            continue;
        }
        at = out->size;
        number_put(0, out);
        reader.element->send(reader.element, element, out);
        put_be32(out->data + at, (uint32_t)(out->size - at - 4));
    }
    arena_fini(&arena);
}

static bool
number_take(struct slice *bytes, int32_t *out)
{
    if (bytes->size < 4) {
        return false;
    }
    *out = (int32_t)get_be32(bytes->data);
    *bytes = slice_of(bytes->data + 4, bytes->size - 4);
    return true;
}

static err_t
too_short(void)
{
    return sql_error("08P01", "insufficient data left in message");
}

static err_t
head_receive(const struct type *type, struct slice *bytes, struct array_shape *shape)
{
    int32_t dimensions, flags, element;

    if (!number_take(bytes, &dimensions) || !number_take(bytes, &flags) ||
        !number_take(bytes, &element)) {
        return too_short();
    }
    if (dimensions < 0) {
        return sql_error("22P03", "invalid number of dimensions: %d", dimensions);
    }
    if (dimensions > ARRAY_DIMENSIONS_MAX) {
        return too_deep((uint32_t)dimensions);
    }
    if (flags != 0 && flags != 1) {
        return sql_error("22P03", "invalid array flags");
    }
    if ((oid_t)element != type->element_type->oid) {
        return sql_error(
            "42804", "binary data has array element type %u (%s) instead of expected %u (%s)",
            (oid_t)element,
            type_by_oid((oid_t)element) != NULL ? type_by_oid((oid_t)element)->display : "???",
            type->element_type->oid, type->element_type->display);
    }
    shape->dimensions = (uint32_t)dimensions;
    for (uint32_t i = 0; i < shape->dimensions; i++) {
        if (!number_take(bytes, &shape->sizes[i]) || !number_take(bytes, &shape->lower[i])) {
            return too_short();
        }
        if (shape->sizes[i] < 0) {
            return sql_error("22P03", "invalid array size");
        }
    }
    return ERR_OK;
}

err_t
array_receive(const struct type *type, const struct type_io *context, struct slice bytes,
              struct datum *out)
{
    struct array_shape shape = {0};
    struct array_values values;
    uint32_t count;
    err_t err;

    TRY(head_receive(type, &bytes, &shape));
    TRY(array_shape_count(&shape, &count));
    if (bytes.size / 4 < count) {
        return too_short();
    }
    TRY(array_values_make(&values, &shape, context->arena));
    for (uint32_t i = 0; i < values.count; i++) {
        int32_t size;

        if (!number_take(&bytes, &size) || size < -1 || (size > 0 && (size_t)size > bytes.size)) {
            return sql_error("22P03", "insufficient data left in message");
        }
        if (size >= 0) {
            values.nulls[i] = 0;
            TRY(type->element_type->receive(type->element_type, context,
                                            slice_of(bytes.data, (size_t)size), &values.values[i]));
            bytes = slice_of(bytes.data + size, bytes.size - (size_t)size);
        }
    }
    if (bytes.size > 0) {
        return sql_error("22P03", "incorrect binary data format in array");
    }
    err = array_values_put(type->element_type, &values, context->arena, out);
out:
    return err;
}

/* ---- int2vector, oidvector: lists from 0, with spaces in between ---- */

err_t
vector_input(const struct type *type, const struct type_io *context, struct slice text,
             int32_t typmod, struct datum *out)
{
    const struct type *element = type->element_type;
    uint32_t count = 0;
    struct array_shape shape;
    struct array_values values;
    size_t at = 0;
    err_t err;

    (void)typmod;
    shape = array_shape_list((uint32_t)MIN(text.size / 2 + 1, (size_t)ARRAY_ELEMENTS_MAX));
    TRY(array_values_make(&values, &shape, context->arena));
    for (;;) {
        size_t start;

        while (at < text.size && isspace(text.data[at])) {
            at++;
        }
        start = at;
        while (at < text.size && !isspace(text.data[at])) {
            at++;
        }
        if (start == at || count == values.count) {
            break;
        }
        TRY(element->input(element, context, slice_of(text.data + start, at - start), -1,
                           &values.values[count]));
        values.nulls[count++] = 0;
    }
    values.count = count;
    values.shape = array_shape_list(count);
    values.shape.lower[0] = 0;
    err = array_values_put(element, &values, context->arena, out);
out:
    return err;
}

void
vector_output(const struct type *type, const struct type_settings *settings, struct datum value,
              struct buf *out)
{
    struct array_reader reader;
    struct arena arena;

    if (array_open(type, value.bytes, &reader) != ERR_OK) {
        return;
    }
    arena_init(&arena, MEM_SESSIONS);
    for (uint32_t i = 0; i < reader.count; i++) {
        struct datum element;
        bool is_null;

        if (array_next(&reader, &arena, &element, &is_null) != ERR_OK || is_null) {
            break;
        }
        buf_append(out, " ", i > 0);
        reader.element->output(reader.element, settings, element, out);
    }
    arena_fini(&arena);
}

err_t
vector_receive(const struct type *type, const struct type_io *context, struct slice bytes,
               struct datum *out)
{
    return array_receive(type, context, bytes, out);
}

void
vector_send(const struct type *type, struct datum value, struct buf *out)
{
    array_send(type, value, out);
}
