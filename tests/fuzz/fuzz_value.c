/* tests/fuzz/fuzz_value.c - any bytes as stored values: arrays and jsonb. They are refused, or all
 * that is done with a value ends and reads nothing else. */
#include <stdint.h>

#include "models/types/jsonb.h"
#include "models/types/type.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const oid_t types[] = {OID_JSONB, 1007, 1009, 1231, 3807};
    const struct type *type;
    struct arena arena;
    struct datum value;
    struct buf out;

    if (size == 0) {
        return 0;
    }
    type = type_by_oid(types[data[0] % (sizeof(types) / sizeof(types[0]))]);
    arena_init(&arena, MEM_SESSIONS);
    buf_init(&out, MEM_SESSIONS);
    if (type_row_get(type, slice_of(data + 1, size - 1), &arena, &value) == ERR_OK) {
        type->output(type, &type_settings_default, value, &out);
        type->send(type, value, &out);
        type_key_put(type, value, &out);
        type_hash_put(type, value, &out);
        (void)type->compare(type, value, value);
        if (type->oid == OID_JSONB) {
            json_value_print(json_root(value.bytes), true, &out);
        }
    }
    buf_fini(&out);
    arena_fini(&arena);
    return 0;
}
