/* query/exec/text_range.c - finds ends in SQL text: strings, comments and parentheses are passed.
 */
#include "query/exec/text_range.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "engine/base/poison.h"

static bool
is_word_byte(uint8_t c)
{
    return isalnum(c) || c == '_' || c == '$' || c >= 0x80;
}

/* Behind a run that ends with `quote`, which doubled stands for itself. */
static size_t
quoted_end(struct slice text, size_t at, uint8_t quote, bool has_escapes)
{
    for (at++; at < text.size; at++) {
        if (has_escapes && text.data[at] == '\\') {
            at++;
        } else if (text.data[at] == quote) {
            if (at + 1 < text.size && text.data[at + 1] == quote) {
                at++;
            } else {
                return at + 1;
            }
        }
    }
    return text.size;
}

static size_t
dollar_end(struct slice text, size_t at)
{
    size_t tag = at + 1;
    const uint8_t *end;

    while (tag < text.size && text.data[tag] != '$' && is_word_byte(text.data[tag])) {
        tag++;
    }
    if (tag >= text.size || text.data[tag] != '$') {
        return at + 1;
    }
    tag++;
    end = memmem(text.data + tag, text.size - tag, text.data + at, tag - at);
    return end == NULL ? text.size : (size_t)(end - text.data) + (tag - at);
}

static size_t
comment_end(struct slice text, size_t at)
{
    uint32_t depth = 0;

    if (text.data[at] == '-') {
        while (at < text.size && text.data[at] != '\n') {
            at++;
        }
        return at;
    }
    for (; at + 1 < text.size; at++) {
        if (text.data[at] == '/' && text.data[at + 1] == '*') {
            depth++;
            at++;
        } else if (text.data[at] == '*' && text.data[at + 1] == '/') {
            at++;
            if (--depth == 0) {
                return at + 1;
            }
        }
    }
    return text.size;
}

/* Behind the token at `at`. */
static size_t
token_end(struct slice text, size_t at)
{
    uint8_t c = text.data[at];

    if (c == '\'') {
        bool has_escapes = at > 0 && (text.data[at - 1] == 'e' || text.data[at - 1] == 'E');

        return quoted_end(text, at, c, has_escapes);
    }
    if (c == '"') {
        return quoted_end(text, at, c, false);
    }
    if (c == '$') {
        return dollar_end(text, at);
    }
    if (at + 1 < text.size &&
        ((c == '-' && text.data[at + 1] == '-') || (c == '/' && text.data[at + 1] == '*'))) {
        return comment_end(text, at);
    }
    if (is_word_byte(c)) {
        while (at < text.size && is_word_byte(text.data[at])) {
            at++;
        }
        return at;
    }
    return at + 1;
}

static struct slice
trimmed(struct slice text)
{
    while (text.size > 0 && isspace(text.data[0])) {
        text = slice_of(text.data + 1, text.size - 1);
    }
    while (text.size > 0 && isspace(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

struct slice
text_expression(struct slice text, size_t end)
{
    size_t at = token_end(text, 0), start = at;
    uint32_t depth = 0;

    while (at < text.size && at < end) {
        uint8_t c = text.data[at];

        if (depth == 0 && (c == ',' || c == ')' || c == ';')) {
            break;
        }
        depth += c == '(' || c == '[';
        depth -= depth > 0 && (c == ')' || c == ']');
        at = token_end(text, at);
    }
    return trimmed(slice_of(text.data + start, at - start));
}

struct slice
text_parenthesized(struct slice text)
{
    size_t at = 0, start = 0;
    uint32_t depth = 0;

    while (at < text.size) {
        uint8_t c = text.data[at];

        if (c == '(') {
            start = depth == 0 ? at + 1 : start;
            depth++;
        } else if (c == ')' && depth > 0 && --depth == 0) {
            return trimmed(slice_of(text.data + start, at - start));
        }
        at = token_end(text, at);
    }
    return slice_of(text.data, 0);
}

struct slice
text_behind_as(struct slice text)
{
    size_t at = 0;
    uint32_t depth = 0;

    while (at < text.size) {
        size_t end = token_end(text, at);
        uint8_t c = text.data[at];

        depth += c == '(';
        depth -= depth > 0 && c == ')';
        if (depth == 0 && end - at == 2 && tolower(c) == 'a' && tolower(text.data[at + 1]) == 's') {
            return trimmed(slice_of(text.data + end, text.size - end));
        }
        at = end;
    }
    return slice_of(text.data, 0);
}

static struct slice
word_find(struct slice text, const char *word, bool is_last)
{
    struct slice found = slice_of(text.data, 0);
    size_t size = strlen(word), at = 0;
    uint32_t depth = 0;

    while (at < text.size) {
        size_t end = token_end(text, at);
        uint8_t c = text.data[at];

        depth += c == '(' || c == '[';
        depth -= depth > 0 && (c == ')' || c == ']');
        if (depth == 0 && end - at == size &&
            strncasecmp((const char *)text.data + at, word, size) == 0) {
            found = slice_of(text.data + at, text.size - at);
            if (!is_last) {
                break;
            }
        }
        at = end;
    }
    return found;
}

struct slice
text_word(struct slice text, const char *word)
{
    return word_find(text, word, false);
}

struct slice
text_word_last(struct slice text, const char *word)
{
    return word_find(text, word, true);
}

struct slice
text_list_next(struct slice *text)
{
    size_t at = 0;
    uint32_t depth = 0;
    struct slice item;

    while (at < text->size) {
        uint8_t c = text->data[at];

        if (depth == 0 && c == ',') {
            break;
        }
        depth += c == '(' || c == '[';
        depth -= depth > 0 && (c == ')' || c == ']');
        at = token_end(*text, at);
    }
    item = trimmed(slice_of(text->data, at));
    at += at < text->size;
    *text = slice_of(text->data + at, text->size - at);
    return item;
}

struct slice
text_element(struct slice text)
{
    size_t at = 0;
    uint32_t depth = 0;

    text = trimmed(text);
    if (text.size > 0 && text.data[0] == '(') {
        return text_parenthesized(text);
    }
    while (at < text.size) {
        uint8_t c = text.data[at];

        depth += c == '(';
        at = token_end(text, at);
        if (c == ')' && depth > 0 && --depth == 0) {
            break;
        }
    }
    return slice_of(text.data, at);
}

/* Is the token this name, quoted or in any case? */
static bool
is_name(struct slice token, struct slice name)
{
    if (token.size > 2 && token.data[0] == '"') {
        size_t at = 0;

        for (size_t i = 1; i + 1 < token.size; i++, at++) {
            i += token.data[i] == '"';
            if (at >= name.size || token.data[i] != name.data[at]) {
                return false;
            }
        }
        return at == name.size;
    }
    if (token.size != name.size || !is_word_byte(token.data[0])) {
        return false;
    }
    for (size_t i = 0; i < token.size; i++) {
        uint8_t c = token.data[i];

        c = c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
        if (c != name.data[i]) {
            return false;
        }
    }
    return true;
}

bool
text_has_name(struct slice text, struct slice name)
{
    for (size_t at = 0, end; at < text.size; at = end) {
        end = token_end(text, at);
        if (is_name(slice_of(text.data + at, end - at), name)) {
            return true;
        }
    }
    return false;
}

static uint8_t
byte_behind(struct slice text, size_t at)
{
    while (at < text.size && isspace(text.data[at])) {
        at++;
    }
    return at < text.size ? text.data[at] : 0;
}

struct slice
text_rename(struct arena *arena, struct slice text, struct slice name, struct slice new_name,
            bool is_qualifier)
{
    struct buf out;
    struct slice renamed;

    buf_init(&out, MEM_SESSIONS);
    for (size_t at = 0, end; at < text.size; at = end) {
        struct slice token;
        uint8_t behind;

        end = token_end(text, at);
        token = slice_of(text.data + at, end - at);
        behind = byte_behind(text, end);
        if (!is_name(token, name) || behind == '(' || (behind == '.') != is_qualifier) {
            buf_append(&out, token.data, token.size);
            continue;
        }
        buf_append_byte(&out, '"');
        for (size_t i = 0; i < new_name.size; i++) {
            buf_append(&out, "\"", new_name.data[i] == '"' ? 1 : 0);
            buf_append_byte(&out, new_name.data[i]);
        }
        buf_append_byte(&out, '"');
    }
    renamed = arena_copy(arena, buf_slice(&out));
    buf_fini(&out);
    return renamed;
}
