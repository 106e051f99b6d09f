/* engine/base/canary.c - the planted bugs' names. */
#include "engine/base/canary.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum canary canary_active = CANARY_NONE;

static const struct {
    const char *name;
    const char *text;
} canaries[CANARY_COUNT] = {{"NONE", "nothing is broken"},
#define CANARY_ROW(name, text) {#name, text},
                            CANARY_TABLE(CANARY_ROW)
#undef CANARY_ROW
};

const char *
canary_name(enum canary canary)
{
    ASSERT(canary < CANARY_COUNT);
    return canaries[canary].name;
}

const char *
canary_text(enum canary canary)
{
    ASSERT(canary < CANARY_COUNT);
    return canaries[canary].text;
}

static bool
names_equal(const char *name, const char *given)
{
    size_t i = 0;

    for (; name[i] != '\0' && given[i] != '\0'; i++) {
        char letter = given[i] == '-' ? '_' : (char)toupper((unsigned char)given[i]);

        if (letter != name[i]) {
            return false;
        }
    }
    return name[i] == given[i];
}

enum canary
canary_from_name(const char *name)
{
    for (enum canary i = CANARY_NONE + 1; i < CANARY_COUNT; i++) {
        if (names_equal(canaries[i].name, name)) {
            return i;
        }
    }
    return CANARY_NONE;
}
