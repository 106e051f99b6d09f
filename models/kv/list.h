/* models/kv/list.h - what the files of the list type share. list.c: storage; list_edit.c: changes
 * amid a list; list_commands.c: the commands; list_move.c: those on several lists.
 *
 * The items of a packed list lie in their order. Elements of a spread one are numbered, and the
 * number (8 bytes, big-endian) is the element's key: item i has the number `first` + i. A new list
 * begins amid the numbers, so that it can grow at both ends. So an item, or either end, is reached
 * by one read; what goes in or out amid the list renumbers the shorter side. */
#pragma once

#include "models/kv/collection.h"

/* What OBJECT ENCODING reports; the first byte of the body. */
enum list_encoding { LIST_LISTPACK, LIST_QUICKLIST, LIST_ENCODINGS };
enum list_end { LIST_LEFT, LIST_RIGHT };

/* A list as a command sees and changes it; kv_list_store makes it stored. */
struct kv_list {
    struct kv_object object;
    struct kv_head head; /* What it was, or what the new one begins with. */
    bool is_spread;
    enum list_encoding encoding;
    struct kv_collection collection; /* Spread. */
    uint64_t count;                  /* 0: missing. */
    uint64_t first;                  /* Spread: the number of item 0. */
    uint64_t bytes;      /* What it would take as a listpack. After an LTRIM of a long list an
                            estimate: the encoding reported goes by it and nothing else. */
    struct slice *items; /* Packed: `count` of them, in the arena. */
};

/* The key as a list, or missing; false after an error reply. */
YIELDS bool kv_list_lookup(struct kv_request *request, struct slice name, uint32_t flags,
                           struct kv_list *list_out);
/* An empty list in place of whatever the object was, with expiry and access of `head`. */
void kv_list_begin(struct kv_list *list, const struct kv_object *object,
                   const struct kv_head *head);
/* The index of an item as commands give it, negative ones from the end; false: none. */
bool kv_list_position(const struct kv_list *list, int64_t index, uint64_t *position_out);

/* Errors of all of these: as txn_get, ERR_NO_MEMORY, ERR_CORRUPT, ERR_LIMIT. */

/* ---- Reading ---- */

/* So many items from a position on, forward or backward. */
struct kv_list_cursor {
    const struct kv_list *list;
    uint64_t position; /* Of the item that kv_list_cursor_next gave last. */
    uint64_t left;
    bool is_backward;
    bool is_begun;
    /* Spread: the items read together last, in a memory of their own. */
    struct arena arena;
    struct lsm_value *values;
    uint32_t value_count, value_at;
};
/* The items exist. Close it before the list changes. */
YIELDS err_t kv_list_cursor_open(struct kv_request *request, const struct kv_list *list,
                                 uint64_t position, uint64_t count, bool is_backward,
                                 struct kv_list_cursor *cursor_out);
/* The item is borrowed until the next call, or the closing. At the end *is_found_out is false. */
YIELDS err_t kv_list_cursor_next(struct kv_request *request, struct kv_list_cursor *cursor,
                                 struct slice *item_out, bool *is_found_out);
void kv_list_cursor_close(struct kv_list_cursor *cursor);
/* One item, which exists; in the arena or the caller's. */
YIELDS err_t kv_list_get(struct kv_request *request, const struct kv_list *list, uint64_t position,
                         struct slice *item_out);
/* What so many items, which exist, take as entries of a listpack. */
YIELDS err_t kv_list_bytes(struct kv_request *request, const struct kv_list *list,
                           uint64_t position, uint64_t count, uint64_t *bytes_out);
/* Replies so many items, which exist, each a bulk string. bytes_out: as above, or NULL. After an
 * error the caller cuts the reply back. */
YIELDS err_t kv_list_reply(struct kv_request *request, const struct kv_list *list,
                           uint64_t position, uint64_t count, bool is_backward,
                           uint64_t *bytes_out);

/* ---- Changes: of a struct kv_list and its elements. kv_list_store ends every change. ---- */

/* The items in turn, each at the end of the list. They are borrowed until kv_list_store. */
YIELDS err_t kv_list_push(struct kv_request *request, struct kv_list *list, enum list_end end,
                          const struct slice *items, uint32_t count);
/* So many items at an end, which are there, leave; they took so many bytes. */
YIELDS void kv_list_drop(struct kv_request *request, struct kv_list *list, enum list_end end,
                         uint64_t count, uint64_t bytes);
/* Replies up to so many items from an end on (no array header), takes them off, and stores. */
YIELDS err_t kv_list_pop(struct kv_request *request, struct kv_list *list, enum list_end end,
                         uint64_t count);
YIELDS err_t kv_list_set(struct kv_request *request, struct kv_list *list, uint64_t position,
                         struct slice item);
/* Before the item that has the position now; position <= count. */
YIELDS err_t kv_list_insert(struct kv_request *request, struct kv_list *list, uint64_t position,
                            struct slice item);
/* The items at these positions (ascending, none twice) leave; they took so many bytes. */
YIELDS err_t kv_list_remove(struct kv_request *request, struct kv_list *list,
                            const uint64_t *positions, uint64_t count, uint64_t bytes);
/* Redis's conversions, before items come (the functions above call it), and after they have left or
 * changed (the caller does). */
void kv_list_will_grow(struct kv_list *list, const struct slice *items, uint32_t count);
YIELDS err_t kv_list_has_shrunk(struct kv_request *request, struct kv_list *list);
/* The head, and the elements when a packed list has become a spread one. */
YIELDS err_t kv_list_store(struct kv_request *request, struct kv_list *list);

/* ---- For the files of the type ---- */

enum {
    LIST_KIND = 0,
    LIST_CHUNK = 128, /* Elements read together. */
    LIST_WORK_UNITS_PER_ITEM = 5,
    LIST_NUMBER_BYTES = 8,
    LIST_BYTES_MIN = 7, /* Of an empty listpack. */
};
/* Of an item in a listpack. */
uint64_t kv_list_entry_bytes(struct slice item);
void kv_list_put(struct kv_request *request, const struct kv_list *list, uint64_t number,
                 struct slice item);
YIELDS void kv_list_delete(struct kv_request *request, const struct kv_list *list, uint64_t number,
                           uint64_t count);
/* An array of so many items in the arena. ERR_NO_MEMORY. */
err_t kv_list_items_new(struct kv_request *request, uint64_t count, struct slice **items_out);
