/* query/parse/keyword.c - the list of words, from the grammar's own header. */
#include "query/parse/keyword.h"

#include <string.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

#define UNRESERVED_KEYWORD                   'U'
#define COL_NAME_KEYWORD                     'C'
#define TYPE_FUNC_NAME_KEYWORD               'T'
#define RESERVED_KEYWORD                     'R'
#define BARE_LABEL                           true
#define AS_LABEL                             false
#define PG_KEYWORD(text, value, kind, label) {(text), (kind), (label)},

static const struct keyword keywords[] = {
#include <parser/kwlist.h>
};
enum { KEYWORD_COUNT = sizeof(keywords) / sizeof(keywords[0]) };

uint32_t
keyword_count(void)
{
    return KEYWORD_COUNT;
}

const struct keyword *
keyword_at(uint32_t index)
{
    ASSERT(index < KEYWORD_COUNT);
    return &keywords[index];
}

/* The list is in the order of the alphabet. */
bool
keyword_is_reserved(struct slice name)
{
    uint32_t low = 0, high = KEYWORD_COUNT;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = slice_compare(slice_from_text(keywords[middle].name), name);

        if (order == 0) {
            return keywords[middle].category != 'U';
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}
