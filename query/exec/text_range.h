/* query/exec/text_range.h - parts of a statement's text, for what is kept as SQL. */
#pragma once

#include "engine/base/mem.h"

/* From behind the keyword that stands at text[0] to where the expression ends: at `end`, or at a
 * comma, semicolon or closing parenthesis outside of parentheses. */
struct slice text_expression(struct slice text, size_t end);
/* What stands in the first pair of parentheses. */
struct slice text_parenthesized(struct slice text);
/* Behind the first word AS outside of parentheses. */
struct slice text_behind_as(struct slice text);
/* From the first such word outside of parentheses on, in any case; empty: there is none. */
struct slice text_word(struct slice text, const char *word);
/* The same, and the last of them. */
struct slice text_word_last(struct slice text, const char *word);
/* Takes what stands before the next comma outside of parentheses. */
struct slice text_list_next(struct slice *text);
/* Of an element of an index: its expression, without what says how it is sorted. */
struct slice text_element(struct slice text);
/* Is the name among the words of the text, as SQL writes it? */
bool text_has_name(struct slice text, struct slice name);
/* The text with each such name replaced, but not where a parenthesis follows (a function); in the
 * arena. is_qualifier: only where a dot follows; otherwise never there. */
struct slice text_rename(struct arena *arena, struct slice text, struct slice name,
                         struct slice new_name, bool is_qualifier);
