/* models/kv/stream_dump.c - DUMP and RESTORE of streams, as Redis's RDB files hold them.
 *
 *     nodes: count, and for each the id of its master (16 bytes) and a listpack of entries
 *     length, last id, [first id, largest deleted id, entries added]
 *     groups: count, and for each: name, last id, [entries read],
 *         pending entries: count, and for each id (16), delivery time (8), deliveries
 *         consumers: count, and for each: name, seen (8), [active (8)], count of ids, ids (16)
 *
 * Type 15 lacks what stands in brackets, 19 (which DUMP writes, as Redis 7.0 reads it) the active
 * times, 21 nothing. A listpack begins with a master, whose fields entries may share:
 *
 *     entries | deleted | number of fields | field ... | 0
 *     flags | ms - master's | seq - master's | [number of fields | field] value ... | parts */
#include "models/kv/stream.h"

#include "models/kv/listpack.h"

#include "engine/base/poison.h"

enum {
    RDB_STREAM = 15,
    RDB_STREAM_2 = 19,
    RDB_STREAM_3 = 21,
    ENTRY_DELETED = 1,
    ENTRY_SAME_FIELDS = 2,
    ENTRY_PARTS = 3,  /* Flags and the two parts of the id. */
    MASTER_PARTS = 4, /* Three numbers and the end. */
    TIME_BYTES = 8,
};

/* ---- DUMP ---- */

/* A node that is being written: its header changes when it is full. */
struct node_writer {
    struct kv_request *request;
    struct buf entries;  /* Behind the master, as elements. */
    struct slice fields; /* Of the master: packed names and values; in the arena. */
    struct stream_id master;
    uint64_t number;
    uint64_t pairs;
    uint64_t count;
    uint64_t elements;
    uint64_t nodes;
};

static bool
has_fields_of_master(const struct node_writer *writer, const struct stream_entry *entry)
{
    struct kv_packed ours = {entry->fields};
    struct kv_packed masters = {writer->fields};
    struct slice a;
    struct slice b;

    if (entry->pairs != writer->pairs) {
        return false;
    }
    for (uint64_t i = 0; i < entry->pairs; i++) {
        if (!kv_packed_next(&ours, &a) || !kv_packed_next(&masters, &b) || !slice_equal(a, b) ||
            !kv_packed_next(&ours, &a) || !kv_packed_next(&masters, &b)) {
            return false;
        }
    }
    return true;
}

static err_t
entry_write(struct node_writer *writer, const struct stream_entry *entry)
{
    bool is_same = has_fields_of_master(writer, entry);
    uint64_t parts = is_same ? ENTRY_PARTS + entry->pairs : ENTRY_PARTS + 1 + 2 * entry->pairs;
    struct kv_packed left = {entry->fields};
    struct slice text;
    err_t err = ERR_OK;

    listpack_append_integer(&writer->entries, is_same ? ENTRY_SAME_FIELDS : 0);
    listpack_append_integer(&writer->entries, (int64_t)(entry->id.ms - writer->master.ms));
    listpack_append_integer(&writer->entries, (int64_t)(entry->id.seq - writer->master.seq));
    if (!is_same) {
        listpack_append_integer(&writer->entries, (int64_t)entry->pairs);
    }
    for (uint64_t i = 0; i < 2 * entry->pairs && kv_packed_next(&left, &text); i++) {
        if (!is_same || i % 2 == 1) {
            TRY(listpack_append_text(&writer->entries, text));
        }
    }
    listpack_append_integer(&writer->entries, (int64_t)parts);
    writer->elements += parts + 1;
    writer->count++;
out:
    return err;
}

static err_t
raw_append(struct buf *out, struct slice bytes)
{
    if (!buf_try_reserve(out, bytes.size + PAYLOAD_OVERHEAD_MAX)) {
        return err_set_default(ERR_NO_MEMORY);
    }
    payload_append_length(out, bytes.size);
    buf_append(out, bytes.data, bytes.size);
    return ERR_OK;
}

static err_t
id_append(struct buf *out, struct stream_id id)
{
    uint8_t bytes[STREAM_ID_BYTES];

    stream_id_encode(bytes, id);
    return raw_append(out, slice_of(bytes, sizeof(bytes)));
}

/* The node as a listpack, to out. */
static err_t
node_write(struct node_writer *writer, struct buf *out)
{
    struct kv_packed left = {writer->fields};
    struct slice field;
    struct slice value;
    struct buf pack;
    size_t start;
    err_t err = ERR_OK;

    if (writer->count == 0) {
        return ERR_OK;
    }
    buf_init(&pack, MEM_SESSIONS);
    start = listpack_begin(&pack);
    listpack_append_integer(&pack, (int64_t)writer->count);
    listpack_append_integer(&pack, 0);
    listpack_append_integer(&pack, (int64_t)writer->pairs);
    while (kv_packed_next(&left, &field) && kv_packed_next(&left, &value)) {
        TRY(listpack_append_text(&pack, field));
    }
    listpack_append_integer(&pack, 0);
    if (!buf_try_reserve(&pack, writer->entries.size + LISTPACK_BYTES_MIN)) {
        err = err_set_default(ERR_NO_MEMORY);
        goto out;
    }
    buf_append(&pack, writer->entries.data, writer->entries.size);
    TRY(listpack_finish(&pack, start, MASTER_PARTS + writer->pairs + writer->elements));
    TRY(id_append(out, writer->master));
    TRY(raw_append(out, buf_slice(&pack)));
    buf_clear(&writer->entries);
    writer->count = 0;
    writer->elements = 0;
    writer->nodes++;
out:
    buf_fini(&pack);
    return err;
}

static YIELDS err_t
nodes_write(struct kv_request *request, const struct kv_stream *stream, struct node_writer *writer,
            struct buf *out)
{
    struct stream_cursor cursor;
    struct stream_entry entry;
    bool is_found;
    err_t err;

    TRY(stream_cursor_open(request, stream, (struct stream_id){0}, STREAM_ID_MAX, false, &cursor));
    while ((err = stream_cursor_next(request, &cursor, &entry, &is_found)) == ERR_OK && is_found) {
        if (writer->count > 0 && entry.node != writer->number) {
            err = node_write(writer, out);
        }
        if (err == ERR_OK && writer->count == 0) {
            writer->fields = arena_copy(request->arena, entry.fields);
            writer->master = entry.id;
            writer->number = entry.node;
            writer->pairs = entry.pairs;
        }
        err = err != ERR_OK ? err : entry_write(writer, &entry);
        if (err != ERR_OK) {
            break;
        }
    }
    stream_cursor_close(&cursor);
    if (err == ERR_OK) {
        err = node_write(writer, out);
    }
out:
    return err;
}

static void
id_parts_append(struct buf *out, struct stream_id id)
{
    payload_append_length(out, id.ms);
    payload_append_length(out, id.seq);
}

static void
time_append(struct buf *out, uint64_t time_ms)
{
    uint8_t bytes[TIME_BYTES];

    put_le64(bytes, time_ms);
    buf_append(out, bytes, sizeof(bytes));
}

/* What is pending in the group (consumer NULL) or for a consumer. */
static YIELDS err_t
pending_write(struct kv_request *request, const struct kv_stream *stream,
              const struct stream_group *group, const struct stream_consumer *consumer,
              struct buf *out)
{
    struct stream_pending pending[STREAM_CHUNK];
    uint64_t left = consumer != NULL ? consumer->pending : group->pending;
    struct stream_id from = {0};
    uint8_t bytes[STREAM_ID_BYTES];
    uint32_t count = 0;
    err_t err = ERR_OK;

    payload_append_length(out, left);
    while (left > 0) {
        TRY(stream_pending_read(request, stream, group, consumer, from,
                                (uint32_t)MIN(left, (uint64_t)STREAM_CHUNK), pending, &count));
        for (uint32_t i = 0; i < count; i++) {
            stream_id_encode(bytes, pending[i].id);
            buf_append(out, bytes, sizeof(bytes));
            if (consumer == NULL) {
                time_append(out, pending[i].time_ms);
                payload_append_length(out, pending[i].deliveries);
            }
            from = pending[i].id;
        }
        left -= count;
        if (count == 0 || (!stream_id_increment(&from) && left > 0)) {
            return err_set(ERR_CORRUPT, "a stream counts pending entries that are not there");
        }
    }
out:
    return err;
}

static YIELDS err_t
consumers_write(struct kv_request *request, const struct kv_stream *stream,
                const struct stream_group *group, struct buf *out)
{
    struct stream_consumer consumer;
    struct stream_names names;
    bool is_found;
    err_t err;

    payload_append_length(out, group->consumers);
    TRY(stream_consumers_open(request, stream, group, &names));
    while ((err = stream_consumers_next(&names, &consumer, &is_found)) == ERR_OK && is_found) {
        err = raw_append(out, consumer.name);
        time_append(out, consumer.seen_ms);
        err = err != ERR_OK ? err : pending_write(request, stream, group, &consumer, out);
        if (err != ERR_OK) {
            break;
        }
    }
    stream_names_close(&names);
out:
    return err;
}

static YIELDS err_t
groups_write(struct kv_request *request, const struct kv_stream *stream, struct buf *out)
{
    struct stream_names names;
    struct stream_group group;
    bool is_found;
    err_t err;

    payload_append_length(out, stream->groups);
    TRY(stream_groups_open(request, stream, &names));
    while ((err = stream_groups_next(&names, &group, &is_found)) == ERR_OK && is_found) {
        err = raw_append(out, group.name);
        id_parts_append(out, group.last);
        payload_append_length(out, (uint64_t)group.read);
        err = err != ERR_OK ? err : pending_write(request, stream, &group, NULL, out);
        err = err != ERR_OK ? err : consumers_write(request, stream, &group, out);
        if (err != ERR_OK) {
            break;
        }
    }
    stream_names_close(&names);
out:
    return err;
}

static YIELDS err_t
stream_dump(struct kv_request *request, const struct kv_object *object, struct buf *out)
{
    struct kv_stream stream = {.object = *object};
    struct node_writer writer = {.request = request};
    struct buf nodes;
    err_t err;

    buf_init(&nodes, MEM_SESSIONS);
    buf_init(&writer.entries, MEM_SESSIONS);
    TRY(stream_open(&stream));
    TRY(nodes_write(request, &stream, &writer, &nodes));
    buf_append_byte(out, RDB_STREAM_2);
    payload_append_length(out, writer.nodes);
    if (!buf_try_reserve(out, nodes.size + PAYLOAD_OVERHEAD_MAX)) {
        err = err_set_default(ERR_NO_MEMORY);
        goto out;
    }
    buf_append(out, nodes.data, nodes.size);
    payload_append_length(out, stream.length);
    id_parts_append(out, stream.last);
    id_parts_append(out, stream.first);
    id_parts_append(out, stream.max_deleted);
    payload_append_length(out, stream.added);
    TRY(groups_write(request, &stream, out));
out:
    buf_fini(&writer.entries);
    buf_fini(&nodes);
    return err;
}

/* ---- RESTORE ---- */

struct restoring {
    struct kv_request *request;
    struct payload_reader *reader;
    struct kv_stream stream;
    uint8_t rdb_type;
    uint64_t entries; /* Seen in nodes. */
};

/* The next element, which must be there; texts or numbers. */
static err_t
text_next(struct restoring *restoring, struct listpack *pack, struct slice *text_out)
{
    return listpack_next(pack, restoring->request->arena, text_out) ? ERR_OK : payload_malformed();
}

static err_t
number_next(struct restoring *restoring, struct listpack *pack, int64_t *number_out)
{
    struct slice text;
    err_t err;

    TRY(text_next(restoring, pack, &text));
    if (!reply_parse_int(text, number_out)) {
        return payload_malformed();
    }
out:
    return err;
}

/* What a node begins with. */
struct master {
    struct stream_id id;
    int64_t live, deleted;
    int64_t pairs;
    struct slice *fields;
};

static err_t
master_restore(struct restoring *restoring, struct listpack *pack, struct master *master)
{
    int64_t end;
    err_t err;

    TRY(number_next(restoring, pack, &master->live));
    TRY(number_next(restoring, pack, &master->deleted));
    TRY(number_next(restoring, pack, &master->pairs));
    if (master->live < 0 || master->deleted < 0 || master->pairs < 0 ||
        (uint64_t)master->pairs > pack->left.size) {
        return payload_malformed();
    }
    master->fields = arena_alloc(restoring->request->arena,
                                 ((size_t)master->pairs + 1) * sizeof(*master->fields));
    if (master->fields == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    for (int64_t i = 0; i < master->pairs; i++) {
        TRY(text_next(restoring, pack, &master->fields[i]));
    }
    TRY(number_next(restoring, pack, &end));
    if (end != 0) {
        return payload_malformed();
    }
out:
    return err;
}

/* Names and values of an entry. */
static err_t
words_restore(struct restoring *restoring, struct listpack *pack, const struct master *master,
              bool is_same, struct slice **words_out, int64_t *pairs_out)
{
    int64_t pairs = master->pairs;
    struct slice *words;
    err_t err = ERR_OK;

    if (!is_same) {
        TRY(number_next(restoring, pack, &pairs));
    }
    if (pairs < 0 || (uint64_t)pairs > pack->left.size) {
        return payload_malformed();
    }
    words = arena_alloc(restoring->request->arena, ((size_t)pairs * 2 + 1) * sizeof(*words));
    if (words == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    for (int64_t i = 0; i < pairs; i++) {
        if (is_same) {
            words[2 * i] = master->fields[i];
        } else {
            TRY(text_next(restoring, pack, &words[2 * i]));
        }
        TRY(text_next(restoring, pack, &words[2 * i + 1]));
    }
    *words_out = words;
    *pairs_out = pairs;
out:
    return err;
}

/* One entry of the node; ids grow. */
static YIELDS err_t
entry_restore(struct restoring *restoring, struct listpack *pack, const struct master *master)
{
    struct kv_stream *stream = &restoring->stream;
    struct stream_id id = master->id;
    struct slice *words = NULL;
    int64_t flags;
    int64_t ms;
    int64_t seq;
    int64_t pairs = 0;
    int64_t parts;
    err_t err;

    TRY(number_next(restoring, pack, &flags));
    TRY(number_next(restoring, pack, &ms));
    TRY(number_next(restoring, pack, &seq));
    TRY(words_restore(restoring, pack, master, (flags & ENTRY_SAME_FIELDS) != 0, &words, &pairs));
    TRY(number_next(restoring, pack, &parts));
    id.ms += (uint64_t)ms;
    id.seq += (uint64_t)seq;
    stream_node_add(&stream->node, id, words, (uint64_t)pairs);
    if ((flags & ENTRY_DELETED) != 0) {
        stream->node.live--;
        return ERR_OK;
    }
    if (stream_id_compare(id, stream->last) <= 0) {
        return payload_malformed();
    }
    if (restoring->entries == 0) {
        stream_first_set(stream, id, stream->node.number);
    }
    TRY(stream_entry_put(restoring->request, stream, id, stream->node.number, words,
                         (uint64_t)pairs));
    stream->last = id; /* For the order; the payload has the last one. */
    restoring->entries++;
    kv_work(restoring->request, STREAM_WORK_UNITS);
out:
    return err;
}

static YIELDS err_t
node_restore(struct restoring *restoring)
{
    struct kv_request *request = restoring->request;
    struct master master = {.live = 0};
    struct listpack pack;
    struct slice *words;
    struct slice text;
    err_t err;

    TRY(payload_read_text(restoring->reader, &text));
    if (text.size != STREAM_ID_BYTES) {
        return payload_malformed();
    }
    master.id = stream_id_decode(text.data);
    TRY(payload_read_text(restoring->reader, &text));
    TRY(listpack_open(text, &pack));
    TRY(master_restore(restoring, &pack, &master));
    words = arena_alloc(request->arena, ((size_t)master.pairs * 2 + 1) * sizeof(*words));
    if (words == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    for (int64_t i = 0; i < 2 * master.pairs; i++) {
        words[i] = master.fields[i / 2];
    }
    stream_node_begin(&restoring->stream.node, master.id, words, (uint64_t)master.pairs);
    if (master.live > INT64_MAX - master.deleted) {
        return payload_malformed();
    }
    for (int64_t i = 0; i < master.live + master.deleted; i++) {
        TRY(entry_restore(restoring, &pack, &master));
    }
    TRY(listpack_end(&pack));
    if (restoring->stream.node.live != (uint64_t)master.live || master.live == 0) {
        return payload_malformed();
    }
out:
    return err;
}

static err_t
id_read(struct payload_reader *reader, struct stream_id *id_out)
{
    err_t err;

    TRY(payload_read_length(reader, &id_out->ms));
    TRY(payload_read_length(reader, &id_out->seq));
out:
    return err;
}

static err_t
time_read(struct payload_reader *reader, uint64_t *time_ms_out)
{
    struct slice bytes;
    err_t err;

    TRY(payload_read_bytes(reader, TIME_BYTES, &bytes));
    *time_ms_out = get_le64(bytes.data);
out:
    return err;
}

/* Length, ids and counters, behind the nodes. */
static YIELDS err_t
counters_restore(struct restoring *restoring)
{
    struct payload_reader *reader = restoring->reader;
    struct kv_stream *stream = &restoring->stream;
    struct stream_id highest = stream->last;
    err_t err;

    TRY(payload_read_length(reader, &stream->length));
    TRY(id_read(reader, &stream->last));
    if (restoring->rdb_type != RDB_STREAM) {
        struct stream_id first; /* Known from the entries. */

        TRY(id_read(reader, &first));
        TRY(id_read(reader, &stream->max_deleted));
        TRY(payload_read_length(reader, &stream->added));
    } else {
        stream->added = stream->length;
    }
    if (stream->length != restoring->entries ||
        (stream->length > 0 && stream_id_compare(stream->last, highest) < 0)) {
        return payload_malformed();
    }
out:
    return err;
}

/* The pending entries of the group, whose consumers follow: until then they are kept. */
struct pendings {
    struct stream_pending *at;
    uint64_t count;
    bool *is_taken;
};

static YIELDS err_t
pendings_restore(struct restoring *restoring, struct pendings *pendings)
{
    struct payload_reader *reader = restoring->reader;
    struct arena *arena = restoring->request->arena;
    err_t err;

    TRY(payload_read_length(reader, &pendings->count));
    if (pendings->count > reader->left.size / (STREAM_ID_BYTES + TIME_BYTES)) {
        return payload_malformed();
    }
    pendings->at = arena_alloc(arena, (size_t)(pendings->count + 1) * sizeof(*pendings->at));
    pendings->is_taken = arena_alloc(arena, (size_t)pendings->count + 1);
    if (pendings->at == NULL || pendings->is_taken == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    for (uint64_t i = 0; i < pendings->count; i++) {
        struct stream_pending *pending = &pendings->at[i];
        struct slice id;

        TRY(payload_read_bytes(reader, STREAM_ID_BYTES, &id));
        *pending = (struct stream_pending){.id = stream_id_decode(id.data)};
        TRY(time_read(reader, &pending->time_ms));
        TRY(payload_read_length(reader, &pending->deliveries));
        pendings->is_taken[i] = false;
        if (i > 0 && stream_id_compare(pendings->at[i - 1].id, pending->id) >= 0) {
            return payload_malformed();
        }
        kv_work(restoring->request, STREAM_WORK_UNITS);
    }
out:
    return err;
}

/* The place of an id, which is there and nobody's yet. */
static err_t
pendings_take(struct pendings *pendings, struct stream_id id, struct stream_pending **out)
{
    uint64_t low = 0;
    uint64_t high = pendings->count;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (stream_id_compare(pendings->at[middle].id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == pendings->count || stream_id_compare(pendings->at[low].id, id) != 0 ||
        pendings->is_taken[low]) {
        return payload_malformed();
    }
    pendings->is_taken[low] = true;
    *out = &pendings->at[low];
    return ERR_OK;
}

static YIELDS err_t
consumer_restore(struct restoring *restoring, struct stream_group *group, struct pendings *pendings)
{
    struct payload_reader *reader = restoring->reader;
    struct stream_consumer consumer;
    struct stream_consumer other;
    struct stream_pending *pending = NULL;
    struct slice text;
    bool is_found;
    err_t err;

    TRY(payload_read_text(reader, &text));
    if (text.size > KV_ELEMENT_BYTES_MAX - STREAM_NUMBER_BYTES) {
        return err_set(ERR_LIMIT, "the name of a consumer is longer than %d bytes",
                       KV_ELEMENT_BYTES_MAX - STREAM_NUMBER_BYTES);
    }
    TRY(stream_consumer_get(restoring->request, &restoring->stream, group, text, &other,
                            &is_found));
    if (is_found) {
        return payload_malformed();
    }
    stream_consumer_new(restoring->request, group, text, &consumer);
    TRY(time_read(reader, &consumer.seen_ms));
    consumer.active_ms = consumer.seen_ms;
    if (restoring->rdb_type == RDB_STREAM_3) {
        TRY(time_read(reader, &consumer.active_ms));
        consumer.active_ms = consumer.active_ms == UINT64_MAX ? 0 : consumer.active_ms;
    }
    TRY(payload_read_length(reader, &consumer.pending));
    for (uint64_t i = 0; i < consumer.pending; i++) {
        TRY(payload_read_bytes(reader, STREAM_ID_BYTES, &text));
        TRY(pendings_take(pendings, stream_id_decode(text.data), &pending));
        stream_pending_put(restoring->request, &restoring->stream, group, &consumer, pending, true);
        group->pending++;
    }
    stream_consumer_put(restoring->request, &restoring->stream, group, &consumer);
out:
    return err;
}

static YIELDS err_t
group_restore(struct restoring *restoring)
{
    struct payload_reader *reader = restoring->reader;
    struct pendings pendings = {.count = 0};
    struct stream_group group;
    struct stream_id last;
    struct slice name;
    uint64_t consumers;
    uint64_t read;
    bool is_found;
    err_t err;

    TRY(payload_read_text(reader, &name));
    TRY(id_read(reader, &last));
    read = (uint64_t)stream_read_estimate(&restoring->stream, last);
    if (restoring->rdb_type != RDB_STREAM) {
        TRY(payload_read_length(reader, &read));
    }
    if (name.size > KV_ELEMENT_BYTES_MAX) {
        return err_set(ERR_LIMIT, "the name of a group is longer than %d bytes",
                       KV_ELEMENT_BYTES_MAX);
    }
    TRY(stream_group_get(restoring->request, &restoring->stream, name, &group, &is_found));
    if (is_found) {
        return payload_malformed();
    }
    stream_group_new(&restoring->stream, name, last,
                     (int64_t)read < 0 ? STREAM_READ_UNKNOWN : (int64_t)read, &group);
    TRY(pendings_restore(restoring, &pendings));
    TRY(payload_read_length(reader, &consumers));
    for (uint64_t i = 0; i < consumers; i++) {
        TRY(consumer_restore(restoring, &group, &pendings));
    }
    if (group.pending != pendings.count) { /* One is nobody's. */
        return payload_malformed();
    }
    stream_group_put(restoring->request, &restoring->stream, &group);
out:
    return err;
}

static YIELDS err_t
stream_restore(struct kv_request *request, uint8_t rdb_type, struct payload_reader *reader,
               struct kv_object *object, const struct kv_head *head)
{
    struct restoring restoring = {
        .request = request, .reader = reader, .rdb_type = rdb_type, .stream.object = *object};
    struct kv_stream *stream = &restoring.stream;
    uint64_t count;
    err_t err;

    TRY(stream_create(request, head, stream));
    TRY(payload_read_length(reader, &count));
    for (uint64_t i = 0; i < count; i++) {
        TRY(node_restore(&restoring));
    }
    TRY(counters_restore(&restoring));
    TRY(payload_read_length(reader, &count));
    for (uint64_t i = 0; i < count; i++) {
        TRY(group_restore(&restoring));
    }
    stream_store(request, stream);
    *object = stream->object;
out:
    return err;
}

static bool
stream_restores(uint8_t rdb_type)
{
    return rdb_type == RDB_STREAM || rdb_type == RDB_STREAM_2 || rdb_type == RDB_STREAM_3;
}

static const char *
stream_encoding(const struct kv_object *object)
{
    (void)object;
    return "stream";
}

const struct kv_type_ops kv_type_stream = {
    .name = "stream",
    .encoding = stream_encoding,
    .dump = stream_dump,
    .restore = stream_restore,
    .restores = stream_restores,
};
