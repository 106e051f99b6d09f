/* txn/note.c - counters and positions, as they stood when a memtable was frozen.
 * docs/format/store.md. */
#include "txn/internal.h"

#include "engine/base/poison.h"

static uint8_t *
counters_encode(const struct store_note *note, uint8_t *at)
{
    uint8_t *count_at = at;
    uint32_t count = 0;

    at += 4;
    for (uint32_t i = 0; i < STORE_COUNTERS_MAX; i++) {
        if (note->counters[i] != 0) {
            put_le16(at, (uint16_t)i);
            put_le64(at + 2, (uint64_t)note->counters[i]);
            at += STORE_COUNTER_BYTES;
            count++;
        }
    }
    put_le32(count_at, count);
    return at;
}

size_t
note_encode(const struct store_note *note, uint8_t out[STORE_NOTE_BYTES_MAX])
{
    uint8_t *at = out;

    put_le64(at, note->kept_from);
    at = counters_encode(note, at + 8);
    put_le32(at, note->position_count);
    at += 4;
    for (uint32_t i = 0; i < note->position_count; i++) {
        put_le64(at, note->positions[i].log_id);
        put_le64(at + 8, note->positions[i].applied);
        at += STORE_POSITION_BYTES;
    }
    return (size_t)(at - out);
}

/* A count, and that many pieces of `bytes` each; moves *rest behind them. */
static bool
run_take(struct slice *rest, uint32_t most, size_t bytes, const uint8_t **run_out,
         uint32_t *count_out)
{
    uint32_t count = rest->size < 4 ? UINT32_MAX : get_le32(rest->data);

    if (count > most || (rest->size - 4) / bytes < count) {
        return false;
    }
    *run_out = rest->data + 4;
    *count_out = count;
    *rest = slice_of(rest->data + 4 + count * bytes, rest->size - 4 - count * bytes);
    return true;
}

static err_t
impossible(void)
{
    return err_set(ERR_CORRUPT, "the note of the last flush is impossible");
}

err_t
note_decode(struct slice bytes, struct store_note *note_out)
{
    struct slice rest = bytes;
    const uint8_t *at;
    uint32_t count;

    memset(note_out, 0, sizeof(*note_out));
    if (bytes.size == 0) {
        return ERR_OK; /* Nothing was flushed yet. */
    }
    if (bytes.size < 8) {
        return impossible();
    }
    note_out->kept_from = get_le64(bytes.data);
    rest = slice_of(bytes.data + 8, bytes.size - 8);
    if (!run_take(&rest, STORE_COUNTERS_MAX, STORE_COUNTER_BYTES, &at, &count)) {
        return impossible();
    }
    for (; count > 0; count--, at += STORE_COUNTER_BYTES) {
        if (get_le16(at) >= STORE_COUNTERS_MAX) {
            return impossible();
        }
        note_out->counters[get_le16(at)] = (int64_t)get_le64(at + 2);
    }
    if (!run_take(&rest, SHARDS_MAX, STORE_POSITION_BYTES, &at, &count) || rest.size != 0) {
        return impossible();
    }
    note_out->position_count = count;
    for (uint32_t i = 0; i < count; i++, at += STORE_POSITION_BYTES) {
        note_out->positions[i].log_id = get_le64(at);
        note_out->positions[i].applied = get_le64(at + 8);
    }
    return ERR_OK;
}
