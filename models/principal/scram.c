/* models/principal/scram.c - see the header. */
#include "models/principal/scram.h"

#include <string.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

/* ---- HMAC (RFC 2104) ---- */

/* Where the hashes of the inside and of the outside go on once the key is in. */
struct hmac {
    struct sha256_state inner, outer;
};

static void
hmac_key(struct hmac *hmac, struct slice key)
{
    uint8_t block[SHA256_BLOCK_BYTES] = {0};

    if (key.size > sizeof(block)) {
        sha256(key, block);
    } else if (key.size > 0) {
        memcpy(block, key.data, key.size);
    }
    for (size_t i = 0; i < sizeof(block); i++) {
        block[i] ^= 0x36;
    }
    hmac->inner = sha256_begin();
    sha256_block(&hmac->inner, block);
    for (size_t i = 0; i < sizeof(block); i++) {
        block[i] ^= 0x36 ^ 0x5c;
    }
    hmac->outer = sha256_begin();
    sha256_block(&hmac->outer, block);
}

static void
hmac_of(const struct hmac *hmac, struct slice text, uint8_t out[SHA256_BYTES])
{
    uint8_t inner[SHA256_BYTES];

    sha256_end(&hmac->inner, SHA256_BLOCK_BYTES, text, inner);
    sha256_end(&hmac->outer, SHA256_BLOCK_BYTES, slice_of(inner, sizeof(inner)), out);
}

void
hmac_sha256(struct slice key, struct slice text, uint8_t out[SHA256_BYTES])
{
    struct hmac hmac;

    hmac_key(&hmac, key);
    hmac_of(&hmac, text, out);
}

/* ---- Base64 (RFC 4648) ---- */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_put(struct slice bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t there = MIN(bytes.size - i, (size_t)3);
        uint32_t bits = 0;

        for (size_t j = 0; j < 3; j++) {
            bits = bits << 8 | (j < there ? bytes.data[i + j] : 0);
        }
        for (size_t j = 0; j < 4; j++) {
            char digit = j <= there ? base64_digits[bits >> (18 - 6 * j) & 63] : '=';

            buf_append_byte(out, (uint8_t)digit);
        }
    }
}

/* UINT32_MAX: it is no digit. */
static uint32_t
base64_digit(uint8_t c)
{
    const char *at = c != '\0' ? strchr(base64_digits, c) : NULL;

    return at != NULL ? (uint32_t)(at - base64_digits) : UINT32_MAX;
}

bool
base64_take(struct slice text, uint8_t *out, size_t most, size_t *size_out)
{
    size_t size = 0;

    if (text.size % 4 != 0) {
        return false;
    }
    for (size_t i = 0; i < text.size; i += 4) {
        bool is_last = i + 4 == text.size;
        size_t pads = !is_last ? 0 : text.data[i + 2] == '=' ? 2 : text.data[i + 3] == '=' ? 1 : 0;
        uint32_t bits = 0;

        for (size_t j = 0; j < 4; j++) {
            bool is_pad = j >= 4 - pads;
            uint32_t digit = is_pad ? 0 : base64_digit(text.data[i + j]);

            if (digit == UINT32_MAX || (is_pad && text.data[i + j] != '=')) {
                return false;
            }
            bits = bits << 6 | digit;
        }
        for (size_t j = 0; j < 3 - pads; j++) {
            if (size == most) {
                return false;
            }
            out[size++] = (uint8_t)(bits >> (16 - 8 * j));
        }
    }
    *size_out = size;
    return true;
}

/* ---- Verifiers ---- */

/* PBKDF2 with one block of output: Hi() of RFC 5802. */
static void
password_salt(struct slice password, struct slice salt, uint32_t iterations,
              uint8_t out[SHA256_BYTES])
{
    uint8_t first[SCRAM_SALT_BYTES_MAX + 4];
    uint8_t round[SHA256_BYTES];
    struct hmac hmac;

    ASSERT(salt.size <= SCRAM_SALT_BYTES_MAX);
    hmac_key(&hmac, password);
    if (salt.size > 0) {
        memcpy(first, salt.data, salt.size);
    }
    put_be32(first + salt.size, 1);
    hmac_of(&hmac, slice_of(first, salt.size + 4), round);
    memcpy(out, round, SHA256_BYTES);
    for (uint32_t i = 1; i < iterations; i++) {
        hmac_of(&hmac, slice_of(round, sizeof(round)), round);
        for (size_t j = 0; j < SHA256_BYTES; j++) {
            out[j] ^= round[j];
        }
    }
}

void
scram_verifier_make(struct slice password, struct slice salt, uint32_t iterations,
                    struct scram_verifier *out)
{
    uint8_t salted[SHA256_BYTES], client_key[SHA256_BYTES];

    *out = (struct scram_verifier){.iterations = iterations, .salt_bytes = (uint32_t)salt.size};
    memcpy(out->salt, salt.data, salt.size);
    password_salt(password, salt, iterations, salted);
    hmac_sha256(slice_of(salted, sizeof(salted)), SLICE("Client Key"), client_key);
    sha256(slice_of(client_key, sizeof(client_key)), out->stored_key);
    hmac_sha256(slice_of(salted, sizeof(salted)), SLICE("Server Key"), out->server_key);
}

void
scram_verifier_put(const struct scram_verifier *verifier, struct buf *out)
{
    buf_printf(out, "SCRAM-SHA-256$%u:", verifier->iterations);
    base64_put(slice_of(verifier->salt, verifier->salt_bytes), out);
    buf_append_byte(out, '$');
    base64_put(slice_of(verifier->stored_key, SHA256_BYTES), out);
    buf_append_byte(out, ':');
    base64_put(slice_of(verifier->server_key, SHA256_BYTES), out);
}

/* What stands before the sign; *rest moves behind it. False: it is not there. */
static bool
part_take(struct slice *rest, char sign, struct slice *part_out)
{
    const uint8_t *at = rest->size > 0 ? memchr(rest->data, sign, rest->size) : NULL;
    size_t size;

    if (at == NULL) {
        return false;
    }
    size = (size_t)(at - rest->data);
    *part_out = slice_of(rest->data, size);
    *rest = slice_of(at + 1, rest->size - size - 1);
    return true;
}

static bool
key_take(struct slice text, uint8_t key[SHA256_BYTES])
{
    size_t size;

    return base64_take(text, key, SHA256_BYTES, &size) && size == SHA256_BYTES;
}

bool
scram_verifier_parse(struct slice text, struct scram_verifier *out)
{
    struct slice scheme, iterations, salt, stored, rest = text;
    size_t salt_bytes;

    *out = (struct scram_verifier){0};
    if (!part_take(&rest, '$', &scheme) || !slice_equal(scheme, SLICE("SCRAM-SHA-256")) ||
        !part_take(&rest, ':', &iterations) || !part_take(&rest, '$', &salt) ||
        !part_take(&rest, ':', &stored) || iterations.size == 0 || iterations.size > 8) {
        return false;
    }
    for (size_t i = 0; i < iterations.size; i++) {
        if (iterations.data[i] < '0' || iterations.data[i] > '9') {
            return false;
        }
        out->iterations = out->iterations * 10 + (iterations.data[i] - '0');
    }
    if (out->iterations == 0 || out->iterations > SCRAM_ITERATIONS_MAX ||
        !base64_take(salt, out->salt, sizeof(out->salt), &salt_bytes)) {
        return false;
    }
    out->salt_bytes = (uint32_t)salt_bytes;
    return key_take(stored, out->stored_key) && key_take(rest, out->server_key);
}

/* ---- Proofs ---- */

bool
scram_proof_fits(const struct scram_verifier *verifier, struct slice message,
                 const uint8_t proof[SHA256_BYTES])
{
    uint8_t key[SHA256_BYTES], hash[SHA256_BYTES];
    uint8_t difference = 0;

    hmac_sha256(slice_of(verifier->stored_key, SHA256_BYTES), message, key);
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        key[i] ^= proof[i];
    }
    sha256(slice_of(key, sizeof(key)), hash);
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        difference |= hash[i] ^ verifier->stored_key[i];
    }
    return difference == 0;
}

void
scram_signature(const struct scram_verifier *verifier, struct slice message,
                uint8_t out[SHA256_BYTES])
{
    hmac_sha256(slice_of(verifier->server_key, SHA256_BYTES), message, out);
}
