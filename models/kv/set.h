/* models/kv/set.h - what the files of the set type share. set.c: storage; set_algebra.c: SINTER and
 * the like.
 *
 * A member's element is the upper 48 bits of its XXH3-64, big-endian, and the member: so random
 * places are fair, and SSCAN's cursor is the hash of the next member. Packed members lie in the
 * order of their coming. The body begins with the encoding that Redis would report. */
#pragma once

#include "models/kv/collection.h"
#include "models/kv/listpack.h"

enum { SET_HASH_BYTES = 6, SET_MEMBER_BYTES_MAX = KV_ELEMENT_BYTES_MAX - SET_HASH_BYTES };

/* As Redis converts: never back. */
enum set_encoding { SET_INTSET, SET_LISTPACK, SET_HASHTABLE, SET_ENCODINGS };

struct set_member {
    uint64_t hash;
    struct slice name;
};

struct set_members {
    struct set_member *at;
    uint32_t count;
    uint32_t capacity;
};

uint64_t set_hash(struct slice member);
/* Adds to the array, which is in the request's arena. The name is borrowed, or copied into the
 * arena. ERR_NO_MEMORY. */
err_t set_members_add(struct kv_request *request, struct set_members *members, struct slice name,
                      bool is_copied);
/* By hash and name, without repeats. */
YIELDS void set_members_sort(struct kv_request *request, struct set_members *members);

/* The key as a set, or missing; false after an error reply. */
YIELDS bool set_lookup(struct kv_request *request, struct slice name, uint32_t flags,
                       struct kv_object *object_out);

/* Errors of all of these: as txn_get, ERR_NO_MEMORY, ERR_CORRUPT, ERR_LIMIT (a member too long). */

/* All members, in the arena. */
YIELDS err_t set_load(struct kv_request *request, const struct kv_object *object,
                      struct set_members *members_out);
/* Which of the members are in the set? is_in has room for count. */
YIELDS err_t set_has(struct kv_request *request, const struct kv_object *object,
                     const struct set_member *members, uint32_t count, bool *is_in);
/* Adds those of the members (no repeats among them) that are missing. A missing key becomes a
 * set. */
YIELDS err_t set_add(struct kv_request *request, struct kv_object *object,
                     const struct set_member *members, uint32_t count, uint32_t *added_out);
/* Removes those that are there (no repeats among them). */
YIELDS err_t set_remove(struct kv_request *request, struct kv_object *object,
                        const struct set_member *members, uint32_t count, uint32_t *removed_out);
/* The members (no repeats) in place of whatever the key held, without an expiry. */
YIELDS err_t set_store(struct kv_request *request, struct kv_object *object,
                       const struct set_member *members, uint32_t count);
/* For random picks and SSCAN: the first member of a spread set at or behind a hash, by a scan of
 * set_scan_open; *is_found_out false at the end. The name is borrowed until the scan moves. */
YIELDS err_t set_scan_open(struct kv_request *request, const struct kv_object *object,
                           uint64_t hash, struct txn_scan **scan_out);
YIELDS err_t set_scan_seek(struct kv_request *request, const struct kv_object *object,
                           struct txn_scan *scan, uint64_t hash);
err_t set_scan_member(const struct txn_scan *scan, struct set_member *member_out);
