/* models/principal/principal.c - see the header. */
#include "models/principal/principal.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { FORMAT = 1, FIXED_BYTES = 8, KEY_BYTES_MAX = 32 + PRINCIPAL_NAME_BYTES_MAX };

/* A record of the model itself: tag 0x00, then what it is, then the name. */
static const char prefix[] = "\x00principal\x00";
static const char prefix_end[] = "\x00principal\x01";

/* format (1) | flags (1) | passwords (2) | bytes of the verifier (4) | passwords | verifier | rules
 */
void
principal_encode(const struct principal *principal, struct buf *out)
{
    uint8_t fixed[FIXED_BYTES] = {FORMAT, (uint8_t)principal->flags};

    ASSERT(principal->password.size % SHA256_BYTES == 0);
    ASSERT(principal->password.size <= (size_t)PRINCIPAL_PASSWORDS_MAX * SHA256_BYTES);
    put_le16(fixed + 2, (uint16_t)(principal->password.size / SHA256_BYTES));
    put_le32(fixed + 4, (uint32_t)principal->verifier.size);
    buf_append(out, fixed, sizeof(fixed));
    buf_append(out, principal->password.data, principal->password.size);
    buf_append(out, principal->verifier.data, principal->verifier.size);
    buf_append(out, principal->rules.data, principal->rules.size);
}

err_t
principal_decode(struct slice name, struct slice stored, struct principal *principal_out)
{
    size_t passwords, verifier;

    if (stored.size < FIXED_BYTES || stored.data[0] != FORMAT) {
        return err_set(ERR_CORRUPT, "the record of a principal has an unknown form");
    }
    passwords = (size_t)get_le16(stored.data + 2) * SHA256_BYTES;
    verifier = get_le32(stored.data + 4);
    if (stored.size - FIXED_BYTES < passwords || stored.size - FIXED_BYTES - passwords < verifier) {
        return err_set(ERR_CORRUPT, "the record of a principal is cut short");
    }
    *principal_out = (struct principal){
        .name = name,
        .flags = stored.data[1],
        .password = slice_of(stored.data + FIXED_BYTES, passwords),
        .verifier = slice_of(stored.data + FIXED_BYTES + passwords, verifier),
        .rules = slice_of(stored.data + FIXED_BYTES + passwords + verifier,
                          stored.size - FIXED_BYTES - passwords - verifier),
    };
    return ERR_OK;
}

static struct slice
key_make(uint8_t out[KEY_BYTES_MAX], struct slice name)
{
    size_t size = sizeof(prefix) - 1;

    ASSERT(name.size <= PRINCIPAL_NAME_BYTES_MAX);
    memcpy(out, prefix, size);
    if (name.size > 0) {
        memcpy(out + size, name.data, name.size);
    }
    return slice_of(out, size + name.size);
}

err_t
principal_put(struct txn *txn, const struct principal *principal)
{
    uint8_t key[KEY_BYTES_MAX];
    struct buf record;

    if (principal->name.size > PRINCIPAL_NAME_BYTES_MAX) {
        return err_set(ERR_LIMIT, "a name of a principal has at most %d bytes",
                       PRINCIPAL_NAME_BYTES_MAX);
    }
    if (principal->password.size > (size_t)PRINCIPAL_PASSWORDS_MAX * SHA256_BYTES) {
        return err_set(ERR_LIMIT, "a principal has at most %d passwords", PRINCIPAL_PASSWORDS_MAX);
    }
    if (principal->rules.size > PRINCIPAL_RULES_BYTES_MAX ||
        principal->verifier.size > PRINCIPAL_VERIFIER_BYTES_MAX) {
        return err_set(ERR_LIMIT, "the rules of a principal have at most %d bytes",
                       PRINCIPAL_RULES_BYTES_MAX);
    }
    buf_init(&record, MEM_SESSIONS);
    principal_encode(principal, &record);
    txn_put(txn, txn_slot_of_shard(0), key_make(key, principal->name), buf_slice(&record), 0);
    buf_fini(&record);
    return ERR_OK;
}

void
principal_remove(struct txn *txn, struct slice name)
{
    uint8_t key[KEY_BYTES_MAX];

    if (name.size <= PRINCIPAL_NAME_BYTES_MAX) {
        txn_delete(txn, txn_slot_of_shard(0), key_make(key, name));
    }
}

static err_t
entry_read(struct txn_scan *scan, struct arena *arena, struct buf *found)
{
    size_t skip = sizeof(prefix) - 1;
    struct slice key = arena_copy(arena, txn_scan_entry(scan)->key);
    struct principal principal;
    struct slice stored;
    err_t err;

    TRY(txn_scan_value(scan, arena, &stored));
    stored = arena_copy(arena, stored);
    TRY(principal_decode(slice_of(key.data + skip, key.size - skip), stored, &principal));
    buf_append(found, &principal, sizeof(principal));
    err = ERR_OK;
out:
    return err;
}

err_t
principals_read(struct txn *txn, struct arena *arena, struct principal **principals_out,
                uint32_t *count_out)
{
    struct txn_scan *scan = NULL;
    struct buf found;
    err_t err;

    buf_init(&found, MEM_SESSIONS);
    TRY(txn_scan_open(txn, txn_slot_of_shard(0), slice_of(prefix, sizeof(prefix) - 1),
                      slice_of(prefix_end, sizeof(prefix_end) - 1), &scan));
    TRY(txn_scan_first(scan));
    while (txn_scan_is_valid(scan)) {
        if (found.size >= PRINCIPALS_MAX * sizeof(struct principal)) {
            TRY(err_set(ERR_LIMIT, "there are more than %d principals", PRINCIPALS_MAX));
        }
        TRY(entry_read(scan, arena, &found));
        TRY(txn_scan_next(scan));
    }
    *count_out = (uint32_t)(found.size / sizeof(struct principal));
    *principals_out = (struct principal *)(void *)arena_copy(arena, buf_slice(&found)).data;
    err = ERR_OK;
out:
    txn_scan_close(&scan);
    buf_fini(&found);
    return err;
}
