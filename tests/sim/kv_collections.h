/* tests/sim/kv_collections.h - hashes, lists, sets, sorted sets and streams in the small Redis of
 * kv_model.h: what commands answer, what reading a key whole brings back, and commands to draw.
 *
 * Names come from a fixed few, so that a key can be read whole in an order that does not depend on
 * how it is stored. */
#pragma once

#include "tests/sim/kv_words.h"

/* Is this a command on a collection? */
bool kv_collection_knows(struct slice command);
/* Runs it on the value of its key; true: it has changed that. */
bool kv_collection_run(struct kv_model_value *value, const struct slice *argv, uint32_t argc,
                       struct kv_model_reply *reply);
/* "hash"; "none" for a value that does not exist. */
const char *kv_collection_type_name(const struct kv_model_value *value);
/* What TYPE and then the words of kv_collection_read answer for the value. */
void kv_collection_describe(const struct kv_model_value *value, struct kv_model_reply *reply);
/* The command that reads a key whole, by TYPE's answer; no words for a missing key. */
void kv_collection_read(struct kv_words *words, struct slice name, const char *type_reply,
                        size_t size);
/* A command on one of the client's collections. */
void kv_collection_draw(struct kv_words *words);
