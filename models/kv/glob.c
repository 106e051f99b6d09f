/* models/kv/glob.c - matching without recursion.
 *
 * Every element but * matches exactly one byte. So when a match fails, only the last * that was
 * passed can have taken too little: earlier ones found their earliest place, and what a later *
 * can reach from there includes all it could reach from elsewhere. One pair of positions to go
 * back to is enough. */
#include "models/kv/glob.h"

#include <stddef.h>
#include <stdint.h>

#include "engine/base/poison.h"

static uint8_t
fold(uint8_t byte, bool ignore_case)
{
    return ignore_case && byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

/* A class whose '[' was passed; *at_io moves behind its ']'. A missing ']' counts as there. */
static bool
class_match(struct slice pattern, size_t *at_io, uint8_t byte, bool ignore_case)
{
    size_t at = *at_io;
    bool is_negated = at < pattern.size && pattern.data[at] == '^';
    bool is_matched = false;

    at += is_negated ? 1 : 0;
    for (;; at++) {
        if (at >= pattern.size) {
            break;
        }
        if (pattern.data[at] == '\\' && at + 1 < pattern.size) {
            at++;
            is_matched |= pattern.data[at] == byte;
        } else if (pattern.data[at] == ']') {
            at++;
            break;
        } else if (at + 2 < pattern.size && pattern.data[at + 1] == '-') {
            uint8_t low = fold(pattern.data[at], ignore_case);
            uint8_t high = fold(pattern.data[at + 2], ignore_case);
            uint8_t folded = fold(byte, ignore_case);

            is_matched |=
                low <= high ? folded >= low && folded <= high : folded >= high && folded <= low;
            at += 2;
        } else {
            is_matched |= fold(pattern.data[at], ignore_case) == fold(byte, ignore_case);
        }
    }
    *at_io = at;
    return is_matched != is_negated;
}

/* Does the element at *at_io, which is no *, match the byte? Moves behind it. */
static bool
element_match(struct slice pattern, size_t *at_io, uint8_t byte, bool ignore_case)
{
    uint8_t element = pattern.data[(*at_io)++];

    switch (element) {
    case '?':
        return true;
    case '[':
        return class_match(pattern, at_io, byte, ignore_case);
    case '\\':
        if (*at_io < pattern.size) {
            element = pattern.data[(*at_io)++];
        }
        break;
    default:
        break;
    }
    return fold(element, ignore_case) == fold(byte, ignore_case);
}

bool
kv_glob_match(struct slice pattern, struct slice text, bool ignore_case)
{
    size_t at = 0;
    size_t in_text = 0;
    size_t star = SIZE_MAX; /* Behind the last *, and what it may leave to the rest. */
    size_t star_text = 0;

    while (in_text < text.size) {
        if (at < pattern.size && pattern.data[at] == '*') {
            star = ++at;
            star_text = in_text;
        } else if (at < pattern.size &&
                   element_match(pattern, &at, text.data[in_text], ignore_case)) {
            in_text++;
        } else if (star != SIZE_MAX) {
            at = star;
            in_text = ++star_text;
        } else {
            return false;
        }
    }
    while (at < pattern.size && pattern.data[at] == '*') {
        at++;
    }
    return at == pattern.size;
}
