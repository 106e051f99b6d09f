/* models/kv/stream.h - what the files of the stream type share.
 *
 *     stream.c           head, entries, cursors        stream_trim.c   MAXLEN and MINID
 *     stream_id.c        ids                           stream_dump.c   DUMP and RESTORE
 *     stream_group.c     groups, consumers, pending entries: storage
 *     stream_commands.c  XADD, XRANGE, XDEL, XSETID    stream_read.c   XREAD, XREADGROUP
 *     stream_group_commands.c, stream_claim.c, stream_info.c: the commands of groups, and XINFO
 *
 * A stream is always spread: an entry, a group, a consumer and a pending entry are elements, so
 * that a command costs the same in a stream of any length. The head has what every command needs.
 *
 * Redis trims by "~" whole nodes, each a listpack of some entries. Which entries would share one is
 * known here too: an entry carries the number of its node, and the head says how full the last
 * one is. So "~" removes the same entries here as there. Bytes: docs/format/kv.md. */
#pragma once

#include "models/kv/collection.h"

/* Elements of a stream. Groups are named by their number in the keys of what belongs to them, and
 * so are consumers: names may be long. Numbers are not used again within a stream. */
enum stream_kind {
    STREAM_ENTRY,         /* id -> node, fields */
    STREAM_GROUP,         /* name -> struct stream_group */
    STREAM_CONSUMER,      /* group, name -> struct stream_consumer */
    STREAM_PENDING,       /* group, id -> delivery time and count, name of the consumer */
    STREAM_PENDING_OF,    /* group, consumer, id -> nothing */
    STREAM_ID_BYTES = 16, /* Of an id in a key: big-endian milliseconds and sequence. */
    STREAM_NUMBER_BYTES = 8,
    STREAM_CHUNK = 128,    /* Pending entries read together. */
    STREAM_WORK_UNITS = 5, /* Of an entry. */
};

/* ---- Ids: stream_id.c ---- */

struct stream_id {
    uint64_t ms;
    uint64_t seq;
};
#define STREAM_ID_MAX ((struct stream_id){UINT64_MAX, UINT64_MAX})

static inline int
stream_id_compare(struct stream_id a, struct stream_id b)
{
    if (a.ms != b.ms) {
        return a.ms < b.ms ? -1 : 1;
    }
    return (a.seq > b.seq) - (a.seq < b.seq);
}
static inline bool
stream_id_is_zero(struct stream_id id)
{
    return id.ms == 0 && id.seq == 0;
}
/* The next and the previous one; false when there is none. */
bool stream_id_increment(struct stream_id *id);
bool stream_id_decrement(struct stream_id *id);
void stream_id_encode(uint8_t out[STREAM_ID_BYTES], struct stream_id id);
struct stream_id stream_id_decode(const uint8_t in[STREAM_ID_BYTES]);
void stream_reply_id(struct reply *reply, struct stream_id id);

/* Ids as commands give them. All reply and return false, but stream_id_parse_quiet, which does not
 * reply.
 * missing_seq: the sequence when only milliseconds are given. */
bool stream_id_parse(struct kv_request *request, struct slice text, uint64_t missing_seq,
                     struct stream_id *id_out);
bool stream_id_parse_quiet(struct slice text, uint64_t missing_seq, struct stream_id *id_out);
/* Also "ms-*": then *has_seq_out is false. */
bool stream_id_parse_new(struct kv_request *request, struct slice text, struct stream_id *id_out,
                         bool *has_seq_out);
/* "-" and "+" too. */
bool stream_id_parse_any(struct kv_request *request, struct slice text, uint64_t missing_seq,
                         struct stream_id *id_out);
/* The ends of a range, "(" excludes. What comes out is inclusive. */
bool stream_id_parse_start(struct kv_request *request, struct slice text, struct stream_id *id_out);
bool stream_id_parse_end(struct kv_request *request, struct slice text, struct stream_id *id_out);
/* The arguments from `first` on, in the arena; NULL after an error reply. */
struct stream_id *stream_ids_parse(struct kv_request *request, uint32_t first, uint32_t count);

/* ---- Streams: stream.c. Errors of all below: as txn_get, ERR_CORRUPT, ERR_NO_MEMORY. ---- */

/* The node that Redis would append to next. entries == 0: none, the next entry begins one. */
struct stream_node {
    uint64_t number;  /* Grows; of the last node. */
    uint64_t entries; /* In it, with those that were deleted. */
    uint64_t live;    /* Without. */
    uint64_t bytes;   /* As a listpack, without the two counts that it begins with. */
    struct stream_id master;
    uint64_t fields;       /* How many the master has. */
    uint32_t fields_check; /* Of their names. */
};

struct kv_stream {
    struct kv_object object;
    struct kv_head head;
    struct kv_collection collection;
    uint64_t length;
    struct stream_id last;        /* Generated last. */
    struct stream_id first;       /* Of the first entry; 0-0: none. */
    struct stream_id max_deleted; /* The largest that XDEL has removed. */
    uint64_t added;
    uint64_t groups;
    uint64_t next_group; /* The number of the next one. */
    uint64_t first_node; /* Of the first entry. */
    uint64_t first_live; /* Entries in it, unless it is the last node; 0: not known. */
    struct stream_node node;
};

/* The key as a stream; a missing one has object.is_found == false and is all empty. False after an
 * error reply. */
YIELDS bool stream_lookup(struct kv_request *request, struct slice name, uint32_t flags,
                          struct kv_stream *stream_out);
/* The same of an object that was looked up. */
err_t stream_open(struct kv_stream *stream);
/* Gives a missing stream its collection; stream_store must follow. Of `head` expiry and access. */
YIELDS err_t stream_create(struct kv_request *request, const struct kv_head *head,
                           struct kv_stream *stream);
/* Writes the head: after every change of a field of struct kv_stream. */
void stream_store(struct kv_request *request, struct kv_stream *stream);

/* One entry. */
struct stream_entry {
    struct stream_id id;
    uint64_t node;
    uint64_t pairs;
    struct slice fields; /* Packed: names and values in turns. */
};

/* Entries in order of ids, both ends inclusive. Close it before the transaction ends. */
struct stream_cursor {
    struct txn_scan *scan;
    struct stream_id start, end;
    bool is_backward;
    bool is_begun;
};
YIELDS err_t stream_cursor_open(struct kv_request *request, const struct kv_stream *stream,
                                struct stream_id start, struct stream_id end, bool is_backward,
                                struct stream_cursor *cursor_out);
/* The entry is borrowed until the cursor moves. At the end *is_found_out is false. */
YIELDS err_t stream_cursor_next(struct kv_request *request, struct stream_cursor *cursor,
                                struct stream_entry *entry_out, bool *is_found_out);
void stream_cursor_close(struct stream_cursor *cursor);
/* The entry in the arena. */
YIELDS err_t stream_entry_get(struct kv_request *request, const struct kv_stream *stream,
                              struct stream_id id, struct stream_entry *entry_out,
                              bool *is_found_out);
/* [id, [name, value, ...]] */
void stream_reply_entry(struct reply *reply, const struct stream_entry *entry);
/* An array of the entries from start to end, at most count (0: all). */
YIELDS err_t stream_reply_range(struct kv_request *request, const struct kv_stream *stream,
                                struct stream_id start, struct stream_id end, uint64_t count,
                                bool is_backward);

/* Appends the entry and counts it; its id is above stream->last. words: names and values. */
err_t stream_append(struct kv_request *request, struct kv_stream *stream, struct stream_id id,
                    const struct slice *words, uint64_t pairs);
/* Puts an entry of the given node, and nothing else. */
err_t stream_entry_put(struct kv_request *request, const struct kv_stream *stream,
                       struct stream_id id, uint64_t node, const struct slice *words,
                       uint64_t pairs);
/* An entry of the node has left. */
void stream_node_leave(struct kv_stream *stream, uint64_t node, uint64_t count);
/* The node that begins with these fields, and how many bytes an entry adds. */
void stream_node_begin(struct stream_node *node, struct stream_id id, const struct slice *words,
                       uint64_t pairs);
void stream_node_add(struct stream_node *node, struct stream_id id, const struct slice *words,
                     uint64_t pairs);
/* The id of the first entry from `from` on, and its node; or 0-0. */
YIELDS err_t stream_first_from(struct kv_request *request, const struct kv_stream *stream,
                               struct stream_id from, struct stream_id *id_out, uint64_t *node_out);
/* This entry is the first now. */
void stream_first_set(struct kv_stream *stream, struct stream_id id, uint64_t node);
/* The last entry's id; there is one. */
YIELDS err_t stream_last_valid(struct kv_request *request, const struct kv_stream *stream,
                               struct stream_id *id_out);

/* ---- Trimming: stream_trim.c ---- */

enum stream_trim_by { STREAM_TRIM_NONE, STREAM_TRIM_MAXLEN, STREAM_TRIM_MINID };
struct stream_trim {
    enum stream_trim_by by;
    bool is_rough;  /* "~": whole nodes. */
    uint64_t limit; /* 0: none. */
    uint64_t length_max;
    struct stream_id id_min;
};
/* Removes entries from the front. The caller stores the stream. */
YIELDS err_t stream_trim(struct kv_request *request, struct kv_stream *stream,
                         const struct stream_trim *trim, uint64_t *removed_out);

/* ---- Groups: stream_group.c ---- */

struct stream_group {
    struct slice name; /* Borrowed. */
    uint64_t number;
    struct stream_id last; /* Delivered last. */
    int64_t read;          /* Entries that were, STREAM_READ_UNKNOWN. */
    uint64_t pending;
    uint64_t consumers;
    uint64_t next_consumer;
};
#define STREAM_READ_UNKNOWN INT64_C(-1)

struct stream_consumer {
    struct slice name; /* Borrowed. */
    uint64_t number;
    uint64_t seen_ms;
    uint64_t active_ms; /* 0: never. */
    uint64_t pending;
};

struct stream_pending {
    struct stream_id id;
    uint64_t time_ms;
    uint64_t deliveries;
    struct slice consumer; /* In the arena or the caller's. */
};

YIELDS err_t stream_group_get(struct kv_request *request, const struct kv_stream *stream,
                              struct slice name, struct stream_group *group_out,
                              bool *is_found_out);
/* A group's element as it is stored; borrows both. ERR_CORRUPT. */
err_t stream_group_decode(struct slice name, struct slice value, struct stream_group *group_out);
void stream_group_put(struct kv_request *request, const struct kv_stream *stream,
                      const struct stream_group *group);
/* With all that belongs to it; the caller counts. */
void stream_group_remove(struct kv_request *request, const struct kv_stream *stream,
                         const struct stream_group *group);
/* A new one, which the stream counts. The caller puts the group and stores the stream. */
void stream_group_new(struct kv_stream *stream, struct slice name, struct stream_id last,
                      int64_t read, struct stream_group *group_out);

YIELDS err_t stream_consumer_get(struct kv_request *request, const struct kv_stream *stream,
                                 const struct stream_group *group, struct slice name,
                                 struct stream_consumer *consumer_out, bool *is_found_out);
void stream_consumer_put(struct kv_request *request, const struct kv_stream *stream,
                         const struct stream_group *group, const struct stream_consumer *consumer);
/* A new one, which the group counts. The caller puts both. */
void stream_consumer_new(struct kv_request *request, struct stream_group *group, struct slice name,
                         struct stream_consumer *consumer_out);
/* With its pending entries; counts and puts the group. */
YIELDS err_t stream_consumer_remove(struct kv_request *request, const struct kv_stream *stream,
                                    struct stream_group *group,
                                    const struct stream_consumer *consumer);

YIELDS err_t stream_pending_get(struct kv_request *request, const struct kv_stream *stream,
                                const struct stream_group *group, struct stream_id id,
                                struct stream_pending *pending_out, bool *is_found_out);
/* Writes the entry of the group alone, or (is_new) that of the consumer too. Counts nothing. */
void stream_pending_put(struct kv_request *request, const struct kv_stream *stream,
                        const struct stream_group *group, const struct stream_consumer *consumer,
                        const struct stream_pending *pending, bool is_new);
void stream_pending_of_delete(struct kv_request *request, const struct kv_stream *stream,
                              const struct stream_group *group,
                              const struct stream_consumer *consumer, struct stream_id id);
void stream_pending_delete(struct kv_request *request, const struct kv_stream *stream,
                           const struct stream_group *group, struct stream_id id);
/* Up to STREAM_CHUNK pending entries of the group, or of one consumer, from an id on: in the
 * arena. Fewer than `most` (at most STREAM_CHUNK): there are no more. */
YIELDS err_t stream_pending_read(struct kv_request *request, const struct kv_stream *stream,
                                 const struct stream_group *group,
                                 const struct stream_consumer *consumer, struct stream_id from,
                                 uint32_t most, struct stream_pending *out, uint32_t *count_out);
/* The largest id that is pending; there is one. */
YIELDS err_t stream_pending_last(struct kv_request *request, const struct kv_stream *stream,
                                 const struct stream_group *group, struct stream_id *id_out);

/* The groups of a stream, or the consumers of a group, in the order of their names. */
struct stream_names {
    struct txn_scan *scan;
    bool is_begun;
};
YIELDS err_t stream_groups_open(struct kv_request *request, const struct kv_stream *stream,
                                struct stream_names *names_out);
YIELDS err_t stream_groups_next(struct stream_names *names, struct stream_group *group_out,
                                bool *is_found_out);
YIELDS err_t stream_consumers_open(struct kv_request *request, const struct kv_stream *stream,
                                   const struct stream_group *group,
                                   struct stream_names *names_out);
YIELDS err_t stream_consumers_next(struct stream_names *names, struct stream_consumer *consumer_out,
                                   bool *is_found_out);
void stream_names_close(struct stream_names *names);

/* How many entries of the stream's life come up to this one, as far as it can be told. */
int64_t stream_read_estimate(const struct kv_stream *stream, struct stream_id id);
/* Was an entry behind the id deleted? */
bool stream_has_gaps_after(const struct kv_stream *stream, struct stream_id id);
/* How many entries the group has not been given; false: unknown. */
bool stream_group_lag(const struct kv_stream *stream, const struct stream_group *group,
                      int64_t *lag_out);

/* Consumers that a command changes: each is read once, and written at the end. */
struct stream_consumers {
    struct stream_consumer *at;
    uint32_t count, capacity;
};
/* The consumer of this name, which exists; borrowed until the next call. */
YIELDS err_t stream_consumers_find(struct kv_request *request, const struct kv_stream *stream,
                                   const struct stream_group *group,
                                   struct stream_consumers *consumers, struct slice name,
                                   uint32_t *index_out);
void stream_consumers_put(struct kv_request *request, const struct kv_stream *stream,
                          const struct stream_group *group,
                          const struct stream_consumers *consumers);

/* ---- Replies ---- */

void stream_reply_no_group(struct kv_request *request, struct slice key, struct slice group);
