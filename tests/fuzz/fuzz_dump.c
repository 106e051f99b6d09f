/* tests/fuzz/fuzz_dump.c - any bytes as the payload of RESTORE: as they are, and with a footer that
 * fits, so that the value behind the checksum is reached. What is read has to be within the limit,
 * and to come back through DUMP. */
#include <stdint.h>
#include <stdlib.h>

#include "models/kv/payload.h"

/* The longest string; and inputs, which stay below what the checksum takes in one step. */
enum { STRING_BYTES_MAX = 1 << 16, INPUT_BYTES_MAX = 16 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_round_trip(struct slice string, struct arena *arena)
{
    struct buf payload;
    struct slice back;

    buf_init(&payload, MEM_SESSIONS);
    if (payload_write_string(&payload, string) != ERR_OK ||
        payload_check(buf_slice(&payload)) != ERR_OK ||
        payload_read_string(buf_slice(&payload), STRING_BYTES_MAX, arena, &back) != ERR_OK ||
        !slice_equal(string, back)) {
        abort();
    }
    buf_fini(&payload);
}

static void
check(struct slice payload)
{
    struct arena arena;
    struct slice string;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    err = payload_read_string(payload, STRING_BYTES_MAX, &arena, &string);
    if (err == ERR_OK) {
        if (string.size > STRING_BYTES_MAX) {
            abort();
        }
        if (string.size <= INPUT_BYTES_MAX) {
            check_round_trip(string, &arena);
        }
    } else if (err != ERR_CORRUPT && err != ERR_UNSUPPORTED && err != ERR_LIMIT) {
        abort();
    }
    arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *sealed;

    if (size > INPUT_BYTES_MAX) {
        return 0;
    }
    if (payload_check(slice_of(data, size)) == ERR_OK) {
        check(slice_of(data, size));
    }
    /* A copy of the exact size, so that the sanitizer sees a read beyond it. */
    sealed = malloc(size + PAYLOAD_FOOTER_BYTES);
    if (sealed == NULL) {
        abort();
    }
    if (size > 0) {
        memcpy(sealed, data, size);
    }
    payload_seal(sealed, size, PAYLOAD_VERSION);
    if (payload_check(slice_of(sealed, size + PAYLOAD_FOOTER_BYTES)) != ERR_OK) {
        abort();
    }
    check(slice_of(sealed, size + PAYLOAD_FOOTER_BYTES));
    free(sealed);
    return 0;
}
