/* net/acl_user.h - one user's rules: how they are kept, changed by words, and written as words.
 *
 * Pure: nothing here suspends or knows of shards. A user has a root selector and further ones; a
 * call is allowed when one of them allows all of it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/list.h"
#include "engine/base/mem.h"
#include "models/principal/principal.h"
#include "net/acl.h"

enum {
    ACL_COMMAND_WORDS = 16, /* Bits of commands by their ids: as many as DISPATCH_COMMANDS_MAX. */
    ACL_SELECTORS_MAX = 128,
    ACL_PATTERN_BYTES_MAX = 4096,
};

enum acl_permission { ACL_READ = 1, ACL_WRITE = 2 };

/* Lists are runs of bytes: flags (1), size (4), bytes; for first arguments the flags are a command
 * id in 4 bytes. So copying a selector copies buffers. */
struct acl_selector {
    uint64_t commands[ACL_COMMAND_WORDS];
    bool has_all_commands; /* Nothing was taken away. */
    bool has_future;       /* It began with +@all: of commands that it does not name. */
    bool has_all_keys, has_all_channels;
    struct buf keys, channels;
    struct buf first_args;
    struct buf rules; /* "+get -set": commands and categories behind +@all or -@all. */
};

struct acl_user {
    struct list link; /* Of the catalog, by name; linked to itself when removed. */
    uint32_t references;
    bool is_removed;
    bool is_unrestricted; /* Everything is allowed. */
    uint32_t flags;       /* enum principal_flag */
    struct buf passwords; /* SHA256_BYTES each. */
    struct buf verifier;
    struct acl_selector *selectors; /* The first is the root. */
    uint32_t selector_count;
    size_t name_bytes;
    char name[]; /* NUL-terminated. */
};

/* A new one may do nothing and is off. all_channels: acl-pubsub-default is allchannels. */
struct acl_user *acl_user_new(struct slice name, bool all_channels);
void acl_user_free(struct acl_user **user);
/* Everything but the name and who refers to it. */
void acl_user_copy(struct acl_user *to, const struct acl_user *from);

/* One word of ACL SETUSER; a selector is one word with its parentheses. NULL, or why not (static
 * text), and then nothing has changed. */
const char *acl_user_apply(struct acl_user *user, struct slice word, bool all_channels);

/* Rules of a stored text. NULL or why not. */
const char *acl_user_load(struct acl_user *user, const struct principal *principal);
/* Slices are borrowed from the user and from `rules`, which is filled. */
void acl_user_store(const struct acl_user *user, struct buf *rules, struct principal *out);

/* The words of ACL LIST behind "user NAME ". */
void acl_user_describe(const struct acl_user *user, struct buf *out);
void acl_selector_commands(const struct acl_selector *selector, struct buf *out);
void acl_selector_keys(const struct acl_selector *selector, struct buf *out);
void acl_selector_channels(const struct acl_selector *selector, struct buf *out);

/* May the user subscribe to the channel (or, by its rules literally, the pattern)? acl_check.c */
bool acl_user_may_hear(const struct acl_user *user, struct slice channel, bool is_pattern);

/* Steps over one entry of a list. False at the end. */
struct acl_entry {
    uint32_t flags; /* enum acl_permission, or a command's id. */
    struct slice text;
};
bool acl_list_next(const struct buf *list, size_t *at, struct acl_entry *entry_out);
