/* tests/fuzz/fuzz_resp.c - any bytes, in pieces of any size: the parser must neither read outside
 * them nor depend on where they were cut. The first byte chooses the piece size. */
#include <stdint.h>
#include <stdlib.h>

#include "net/resp.h"

enum { REQUESTS_MAX = 4096 };

static const struct resp_limits limits = {.bulk_bytes_max = 1 << 20, .is_authenticated = true};

struct outcome {
    uint64_t requests, words, bytes, consumed;
    bool is_error;
};

/* Give `step` bytes more at a time. Each piece is a copy of its own, so that the sanitizer sees a
 * read beyond it. */
static void
run(struct slice input, size_t step, struct outcome *outcome)
{
    struct resp_parser parser;
    size_t given = 0;

    resp_parser_init(&parser);
    while (outcome->requests < REQUESTS_MAX) {
        size_t size = given - outcome->consumed;
        uint8_t *copy = malloc(size + 1);
        struct slice part = slice_of(copy, size);
        const char *error = NULL;
        uint64_t consumed = 0;
        enum resp_status status;

        memcpy(copy, input.data + outcome->consumed, size);
        status = resp_parse(&parser, part, &limits, &consumed, &error);
        if (status == RESP_READY) {
            for (uint32_t i = 0; i < parser.arg_count; i++) {
                struct slice word = resp_arg(&parser, part, i);

                outcome->words++;
                outcome->bytes += word.size;
            }
        }
        free(copy);
        outcome->requests += status == RESP_READY;
        outcome->consumed += consumed;
        if (status == RESP_ERROR) {
            outcome->is_error = true;
            break;
        }
        if (status == RESP_INCOMPLETE) {
            if (given == input.size) {
                break;
            }
            given += step < input.size - given ? step : input.size - given;
        }
    }
    resp_parser_fini(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = {0}, pieces = {0};
    size_t step;

    if (size < 2) {
        return 0;
    }
    step = (size_t)data[0] % 64 + 1;
    data++;
    size--;
    run(slice_of(data, size), size, &whole);
    run(slice_of(data, size), step, &pieces);
    if (whole.requests != pieces.requests || whole.words != pieces.words ||
        whole.bytes != pieces.bytes || whole.consumed != pieces.consumed ||
        whole.is_error != pieces.is_error) {
        abort();
    }
    return 0;
}
