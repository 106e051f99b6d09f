/* models/principal/scram.h - SCRAM-SHA-256 (RFC 5802, RFC 7677): what is kept of a password, and
 * what the two sides prove to each other. Messages: net/pgwire/login.c.
 *
 * Passwords are taken as the bytes they are: for ASCII that is what SASLprep makes of them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/mem.h"
#include "models/principal/sha256.h"

enum {
    SCRAM_ITERATIONS = 4096,
    SCRAM_ITERATIONS_MAX = 10000000, /* Of a verifier made elsewhere: the client does the work. */
    SCRAM_SALT_BYTES = 16,
    SCRAM_SALT_BYTES_MAX = 64,
};

/* Neither the password nor a proof can be made of it. */
struct scram_verifier {
    uint32_t iterations;
    uint32_t salt_bytes;
    uint8_t salt[SCRAM_SALT_BYTES_MAX];
    uint8_t stored_key[SHA256_BYTES];
    uint8_t server_key[SHA256_BYTES];
};

void hmac_sha256(struct slice key, struct slice text, uint8_t out[SHA256_BYTES]);

/* About 2 * iterations blocks of SHA-256; it does not suspend. salt: SCRAM_SALT_BYTES_MAX at most.
 */
void scram_verifier_make(struct slice password, struct slice salt, uint32_t iterations,
                         struct scram_verifier *out);
/* "SCRAM-SHA-256$4096:salt$stored key:server key", as PostgreSQL writes it. */
void scram_verifier_put(const struct scram_verifier *verifier, struct buf *out);
/* False: it is none. */
bool scram_verifier_parse(struct slice text, struct scram_verifier *out);

/* Does the client know the password? message: what both have said before, as RFC 5802 joins it. */
bool scram_proof_fits(const struct scram_verifier *verifier, struct slice message,
                      const uint8_t proof[SHA256_BYTES]);
/* What shows to the client that the server knows the verifier. */
void scram_signature(const struct scram_verifier *verifier, struct slice message,
                     uint8_t out[SHA256_BYTES]);

/* With padding. */
void base64_put(struct slice bytes, struct buf *out);
/* False: it is none, or of more than `most` bytes. */
bool base64_take(struct slice text, uint8_t *out, size_t most, size_t *size_out);
