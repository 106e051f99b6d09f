/* query/fn/datetime_format.h - templates of to_char, to_date and to_timestamp, cut into nodes. */
#pragma once

#include "query/fn/datetime.h"

enum pattern_key {
    KEY_AM,
    KEY_AM_DOTS,
    KEY_AD,
    KEY_AD_DOTS,
    KEY_CC,
    KEY_DAY,
    KEY_DY,
    KEY_DDD,
    KEY_DD,
    KEY_D,
    KEY_FF,
    KEY_FX,
    KEY_HH24,
    KEY_HH12,
    KEY_IDDD,
    KEY_ID,
    KEY_IW,
    KEY_IYYY,
    KEY_IYY,
    KEY_IY,
    KEY_I,
    KEY_J,
    KEY_MI,
    KEY_MM,
    KEY_MONTH,
    KEY_MON,
    KEY_MS,
    KEY_OF,
    KEY_Q,
    KEY_RM,
    KEY_SSSS,
    KEY_SS,
    KEY_TZH,
    KEY_TZM,
    KEY_TZ,
    KEY_US,
    KEY_WW,
    KEY_W,
    KEY_Y_YYY,
    KEY_YYYY,
    KEY_YYY,
    KEY_YY,
    KEY_Y,
};

enum letters { LETTERS_UPPER, LETTERS_LOWER, LETTERS_CAPITAL };
enum convention { CONVENTION_NONE, CONVENTION_GREGORIAN, CONVENTION_ISO };

struct pattern {
    const char *name;
    uint8_t key;        /* enum pattern_key */
    uint8_t letters;    /* enum letters */
    uint8_t digits;     /* KEY_FF: how many. */
    uint8_t convention; /* enum convention */
    bool is_number;
};

enum node_kind { NODE_PATTERN, NODE_CHARACTER, NODE_SEPARATOR, NODE_SPACE };

struct template_node {
    enum node_kind kind;
    const struct pattern *pattern;
    bool is_filled;     /* FM: no padding. */
    bool is_translated; /* TM */
    bool has_ordinal;   /* TH, th */
    bool is_ordinal_lower;
    struct slice text; /* Of a character. */
};

struct template
{
    struct template_node *nodes;
    uint32_t count;
};
/* Nodes lie in the arena and refer to the format. */
void template_read(struct slice format, struct arena *arena, struct template *out);
bool template_is_separator(uint8_t c);
