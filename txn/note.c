/* txn/note.c - the counters, as they stood when a memtable was frozen. docs/format/store.md. */
#include "txn/internal.h"

#include "engine/base/poison.h"

size_t
note_encode(const int64_t counters[STORE_COUNTERS_MAX], uint8_t note[STORE_NOTE_BYTES_MAX])
{
    uint8_t *at = note + 4;
    uint32_t count = 0;

    for (uint32_t i = 0; i < STORE_COUNTERS_MAX; i++) {
        if (counters[i] != 0) {
            put_le16(at, (uint16_t)i);
            put_le64(at + 2, (uint64_t)counters[i]);
            at += STORE_COUNTER_BYTES;
            count++;
        }
    }
    put_le32(note, count);
    return (size_t)(at - note);
}

err_t
note_decode(struct slice note, int64_t counters[STORE_COUNTERS_MAX])
{
    uint32_t count;

    memset(counters, 0, STORE_COUNTERS_MAX * sizeof(counters[0]));
    if (note.size == 0) {
        return ERR_OK; /* Nothing was flushed yet. */
    }
    count = note.size < 4 ? UINT32_MAX : get_le32(note.data);
    if (count > STORE_COUNTERS_MAX || note.size != 4 + (size_t)count * STORE_COUNTER_BYTES) {
        return err_set(ERR_CORRUPT, "the note of the last flush has an impossible size");
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *at = note.data + 4 + (size_t)i * STORE_COUNTER_BYTES;

        if (get_le16(at) >= STORE_COUNTERS_MAX) {
            return err_set(ERR_CORRUPT, "the note of the last flush names an impossible counter");
        }
        counters[get_le16(at)] = (int64_t)get_le64(at + 2);
    }
    return ERR_OK;
}
