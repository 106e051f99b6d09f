/* models/kv/hyperloglog.c - PFADD, PFCOUNT and PFMERGE: how many different elements, within 0.81 %.
 *
 * A HyperLogLog is a string in Redis's format (docs/format/kv.md): 16,384 registers, each the
 * longest run of zero bits among the hashes that fell to it. PFCOUNT only reads: it uses a count
 * that Redis has stored in the string, and stores none itself. */
#include <math.h>

#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum {
    HEADER_BYTES = 16,
    HEADER_ENCODING_AT = 4,
    HEADER_COUNT_AT = 8,
    HEADER_STALE_AT = 15, /* Its highest bit: the count does not hold. */
    HEADER_STALE = 0x80,
    ENCODING_DENSE = 0,
    ENCODING_SPARSE = 1,
    REGISTER_BITS = 14,
    REGISTERS = 1 << REGISTER_BITS,
    HASH_BITS_LEFT = 64 - REGISTER_BITS,
    DENSE_BYTES = HEADER_BYTES + REGISTERS * 6 / 8,
    VALUES = 64,
    SPARSE_VALUE_MAX = 32,
    SPARSE_RUN_MAX = 4,    /* Of equal registers in one VAL. */
    SPARSE_ZEROS_MAX = 64, /* In one ZERO; longer runs are an XZERO. */
    REGISTERS_UNITS = 100,
};

/* A HyperLogLog taken apart. */
struct hll {
    uint8_t *registers; /* REGISTERS of them, in the arena. */
    bool is_dense;
};

/* ---- Hashes: MurmurHash64A, with the seed that Redis takes ---- */

static uint64_t
hash_mix(uint64_t word)
{
    const uint64_t multiplier = UINT64_C(0xc6a4a7935bd1e995);

    word *= multiplier;
    word ^= word >> 47;
    return word * multiplier;
}

static uint64_t
element_hash(struct slice element)
{
    const uint64_t multiplier = UINT64_C(0xc6a4a7935bd1e995);
    uint64_t hash = UINT64_C(0xadc83b19) ^ (element.size * multiplier);
    size_t words = element.size / 8;
    uint64_t tail = 0;

    for (size_t i = 0; i < words; i++) {
        hash = (hash ^ hash_mix(get_le64(element.data + i * 8))) * multiplier;
    }
    if (element.size % 8 != 0) {
        memcpy(&tail, element.data + words * 8, element.size % 8);
        hash = (hash ^ tail) * multiplier;
    }
    hash = (hash ^ (hash >> 47)) * multiplier;
    return hash ^ (hash >> 47);
}

/* The register of an element, and the value that it asks for. */
static uint32_t
element_register(struct slice element, uint8_t *value_out)
{
    uint64_t hash = element_hash(element);
    uint64_t left = (hash >> REGISTER_BITS) | UINT64_C(1) << HASH_BITS_LEFT;

    *value_out = (uint8_t)(__builtin_ctzll(left) + 1);
    return (uint32_t)(hash % REGISTERS);
}

/* ---- The dense form: six bits a register, from the lowest bit of the first byte on ---- */

static void
dense_decode(const uint8_t *in, uint8_t *registers)
{
    for (uint32_t i = 0; i < REGISTERS; i += 4, in += 3) {
        uint32_t four = (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16;

        registers[i] = four & 63;
        registers[i + 1] = four >> 6 & 63;
        registers[i + 2] = four >> 12 & 63;
        registers[i + 3] = (uint8_t)(four >> 18);
    }
}

static void
dense_encode(const uint8_t *registers, uint8_t *out)
{
    for (uint32_t i = 0; i < REGISTERS; i += 4, out += 3) {
        uint32_t four = registers[i] | (uint32_t)registers[i + 1] << 6 |
                        (uint32_t)registers[i + 2] << 12 | (uint32_t)registers[i + 3] << 18;

        out[0] = (uint8_t)four;
        out[1] = (uint8_t)(four >> 8);
        out[2] = (uint8_t)(four >> 16);
    }
}

/* ---- The sparse form: runs ---- */

/* False when the runs are not exactly all registers. */
static bool
sparse_decode(struct slice runs, uint8_t *registers)
{
    uint32_t at = 0;

    for (size_t i = 0; i < runs.size; i++) {
        uint8_t byte = runs.data[i];
        uint32_t length = (byte & 0x3f) + 1;
        uint8_t value = 0;

        if ((byte & 0x80) != 0) { /* VAL: 1vvvvvll */
            length = (byte & 3) + 1;
            value = (byte >> 2 & 31) + 1;
        } else if ((byte & 0x40) != 0) { /* XZERO: 01llllll llllllll */
            if (++i == runs.size) {
                return false;
            }
            length = ((uint32_t)(byte & 0x3f) << 8 | runs.data[i]) + 1;
        }
        if (length > REGISTERS - at) {
            return false;
        }
        memset(registers + at, value, length);
        at += length;
    }
    return at == REGISTERS;
}

static uint32_t
run_length(const uint8_t *registers, uint32_t at)
{
    uint32_t end = at + 1;

    for (; end < REGISTERS && registers[end] == registers[at]; end++) {
        if (registers[at] == 0 && end + 8 <= REGISTERS && get_le64(registers + end) == 0) {
            end += 7;
        }
    }
    return end - at;
}

/* Writes at most `room` bytes; 0 when they do not do, or a value is too large. */
static size_t
sparse_encode(const uint8_t *registers, uint8_t *out, size_t room)
{
    size_t used = 0;

    for (uint32_t at = 0; at < REGISTERS;) {
        uint8_t value = registers[at];
        uint32_t length = run_length(registers, at);

        if (value > SPARSE_VALUE_MAX ||
            used + (value == 0 && length > SPARSE_ZEROS_MAX ? 2 : 1) > room) {
            return 0;
        }
        if (value > 0) {
            length = MIN(length, (uint32_t)SPARSE_RUN_MAX);
            out[used++] = (uint8_t)(0x80 | (value - 1) << 2 | (length - 1));
        } else if (length <= SPARSE_ZEROS_MAX) {
            out[used++] = (uint8_t)(length - 1);
        } else {
            out[used++] = (uint8_t)(0x40 | (length - 1) >> 8);
            out[used++] = (uint8_t)(length - 1);
        }
        at += length;
    }
    return used;
}

/* ---- Strings ---- */

/* Missing, or what can be a HyperLogLog by its header and length; otherwise replies. */
static bool
is_hll(struct kv_request *request, const struct kv_object *object, struct slice bytes)
{
    if (!object->is_found ||
        (bytes.size >= HEADER_BYTES && memcmp(bytes.data, "HYLL", 4) == 0 &&
         (bytes.data[HEADER_ENCODING_AT] == ENCODING_SPARSE ||
          (bytes.data[HEADER_ENCODING_AT] == ENCODING_DENSE && bytes.size == DENSE_BYTES)))) {
        return true;
    }
    reply_error(request->reply, "WRONGTYPE Key is not a valid HyperLogLog string value.");
    return false;
}

static YIELDS bool
hll_lookup(struct kv_request *request, struct slice name, uint32_t flags,
           struct kv_object *object_out, struct slice *bytes_out)
{
    return kv_lookup_string(request, name, flags, object_out, bytes_out) &&
           is_hll(request, object_out, *bytes_out);
}

/* All registers 0; replies and returns false when memory is short. */
static bool
hll_init(struct kv_request *request, struct hll *hll)
{
    *hll = (struct hll){.registers = arena_alloc(request->arena, REGISTERS)};
    if (hll->registers == NULL) {
        reply_error(request->reply, "OOM no memory for a HyperLogLog");
        return false;
    }
    memset(hll->registers, 0, REGISTERS);
    return true;
}

/* Of a string that is_hll, or of a missing key's no bytes, for which *hll stays as it is. Replies
 * and returns false. */
static YIELDS bool
hll_decode(struct kv_request *request, struct slice bytes, struct hll *hll)
{
    kv_work(request, REGISTERS_UNITS);
    if (bytes.size == 0) {
        return true;
    }
    hll->is_dense = bytes.data[HEADER_ENCODING_AT] == ENCODING_DENSE;
    if (hll->is_dense) {
        dense_decode(bytes.data + HEADER_BYTES, hll->registers);
    } else if (!sparse_decode(slice_of(bytes.data + HEADER_BYTES, bytes.size - HEADER_BYTES),
                              hll->registers)) {
        reply_error(request->reply, "INVALIDOBJ Corrupted HLL object detected");
        return false;
    }
    return true;
}

/* As a string whose count is stale: sparse as long as that is possible and short enough. Replies
 * and returns false when memory is short. */
static YIELDS bool
hll_write(struct kv_request *request, struct kv_object *object, const struct hll *hll)
{
    uint64_t sparse_max = MIN(kv_self()->config.limits.hll_sparse_bytes, (uint64_t)DENSE_BYTES);
    uint8_t *bytes = arena_alloc(request->arena, DENSE_BYTES);
    size_t size = 0;

    if (bytes == NULL) {
        reply_error(request->reply, "OOM no memory for a HyperLogLog");
        return false;
    }
    memset(bytes, 0, HEADER_BYTES);
    memcpy(bytes, "HYLL", 4);
    bytes[HEADER_STALE_AT] = HEADER_STALE;
    if (!hll->is_dense && sparse_max > HEADER_BYTES) {
        size = sparse_encode(hll->registers, bytes + HEADER_BYTES, sparse_max - HEADER_BYTES);
    }
    bytes[HEADER_ENCODING_AT] = size > 0 ? ENCODING_SPARSE : ENCODING_DENSE;
    if (size == 0) {
        dense_encode(hll->registers, bytes + HEADER_BYTES);
        size = DENSE_BYTES - HEADER_BYTES;
    }
    kv_work(request, REGISTERS_UNITS);
    kv_write_string(request, object, slice_of(bytes, HEADER_BYTES + size),
                    object->is_found ? kv_head_expire_ms(&object->head) : 0);
    kv_notify(request, KV_EVENT_STRING, "pfadd", object->name);
    return true;
}

static void
hll_unite(struct hll *into, const struct hll *from)
{
    for (uint32_t i = 0; i < REGISTERS; i++) {
        into->registers[i] = MAX(into->registers[i], from->registers[i]);
    }
    into->is_dense |= from->is_dense;
}

/* ---- Estimates: O. Ertl, New cardinality estimation algorithms for HyperLogLog sketches ---- */

static double
sigma(double x)
{
    double y = 1;
    double z = x;
    double last;

    if (x == 1) {
        return INFINITY;
    }
    do { /* Some twenty rounds at most: x is squared each time, and soon adds nothing. */
        x *= x;
        last = z;
        z += x * y;
        y += y;
    } while (last != z);
    return z;
}

static double
tau(double x)
{
    double y = 1;
    double z = 1 - x;
    double last;

    if (x == 0 || x == 1) {
        return 0;
    }
    do {
        x = sqrt(x);
        last = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (last != z);
    return z / 3;
}

static uint64_t
hll_estimate(const struct hll *hll)
{
    const double alpha = 0.721347520444481703680; /* 1 / (2 ln 2) */
    const double registers = REGISTERS;
    uint32_t counts[VALUES] = {0};
    double z;

    for (uint32_t i = 0; i < REGISTERS; i++) {
        counts[hll->registers[i] % VALUES]++;
    }
    z = registers * tau((registers - counts[HASH_BITS_LEFT + 1]) / registers);
    for (uint32_t i = HASH_BITS_LEFT; i >= 1; i--) {
        z = (z + counts[i]) * 0.5;
    }
    z += registers * sigma(counts[0] / registers);
    if (!(z > 0)) { /* Registers that no elements can have made: SET wrote them. */
        return INT64_MAX;
    }
    return (uint64_t)llroundl(alpha * registers * registers / z);
}

/* ---- The commands ---- */

void
kv_command_pfadd(struct kv_request *request)
{
    struct kv_object object;
    struct slice bytes;
    struct hll hll;
    bool has_changed;

    if (!hll_lookup(request, request->argv[1], 0, &object, &bytes) || !hll_init(request, &hll) ||
        !hll_decode(request, bytes, &hll)) {
        return;
    }
    has_changed = !object.is_found;
    for (uint32_t i = 2; i < request->argc; i++) {
        uint8_t value;
        uint32_t at = element_register(request->argv[i], &value);

        if (hll.registers[at] < value) {
            hll.registers[at] = value;
            has_changed = true;
        }
        kv_work(request, 1);
    }
    if (!has_changed || hll_write(request, &object, &hll)) {
        reply_int(request->reply, has_changed);
    }
}

/* Of all the keys from argv[first] on; false after an error reply. */
static YIELDS bool
keys_unite(struct kv_request *request, uint32_t first, struct hll *hll)
{
    struct kv_object object;
    struct slice bytes;
    struct hll one;

    if (!hll_init(request, hll) || !hll_init(request, &one)) {
        return false;
    }
    for (uint32_t i = first; i < request->argc; i++) {
        if (!hll_lookup(request, request->argv[i], KV_LOOKUP_READ, &object, &bytes)) {
            return false;
        }
        if (object.is_found) {
            if (!hll_decode(request, bytes, &one)) {
                return false;
            }
            hll_unite(hll, &one);
        }
    }
    return true;
}

void
kv_command_pfcount(struct kv_request *request)
{
    struct kv_object object;
    struct slice bytes;
    struct hll hll;

    if (request->argc > 2) {
        if (keys_unite(request, 1, &hll)) {
            reply_int(request->reply, (int64_t)hll_estimate(&hll));
        }
        return;
    }
    if (!hll_lookup(request, request->argv[1], KV_LOOKUP_READ, &object, &bytes)) {
        return;
    }
    if (!object.is_found) {
        reply_int(request->reply, 0);
    } else if ((bytes.data[HEADER_STALE_AT] & HEADER_STALE) == 0) {
        reply_int(request->reply, (int64_t)get_le64(bytes.data + HEADER_COUNT_AT));
    } else if (hll_init(request, &hll) && hll_decode(request, bytes, &hll)) {
        reply_int(request->reply, (int64_t)hll_estimate(&hll));
    }
}

void
kv_command_pfmerge(struct kv_request *request)
{
    struct kv_object target;
    struct hll hll;

    if (keys_unite(request, 1, &hll) && kv_lookup(request, request->argv[1], 0, &target) &&
        hll_write(request, &target, &hll)) {
        reply_ok(request->reply);
    }
}
