/* query/exec/text_range.h - parts of a statement's text, for what is kept as SQL. */
#pragma once

#include "engine/base/slice.h"

/* From behind the keyword that stands at text[0] to where the expression ends: at `end`, or at a
 * comma, semicolon or closing parenthesis outside of parentheses. */
struct slice text_expression(struct slice text, size_t end);
/* What stands in the first pair of parentheses. */
struct slice text_parenthesized(struct slice text);
/* Behind the first word AS outside of parentheses. */
struct slice text_behind_as(struct slice text);
