/* Tests of models/principal/scram.c. The exchange is the one of RFC 7677, chapter 3. */
#include "models/principal/scram.h"

#include <string.h>

#include <criterion/criterion.h>

TestSuite(scram, .timeout = 10);

static struct slice
rfc_message(void)
{
    return SLICE("n=user,r=rOprNGfwEbeRWgbNEkqO,"
                 "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                 "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
                 "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
}

static void
rfc_verifier(struct scram_verifier *verifier)
{
    uint8_t salt[SCRAM_SALT_BYTES_MAX];
    size_t size;

    cr_assert(base64_take(SLICE("W22ZaJ0SNY7soEsUEjb6gQ=="), salt, sizeof(salt), &size));
    scram_verifier_make(SLICE("pencil"), slice_of(salt, size), 4096, verifier);
}

Test(scram, the_example_of_the_rfc_is_proved_and_signed)
{
    struct scram_verifier verifier;
    uint8_t proof[SHA256_BYTES], signature[SHA256_BYTES];
    struct buf text;
    size_t size;

    rfc_verifier(&verifier);
    cr_assert(base64_take(SLICE("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), proof,
                          sizeof(proof), &size));
    cr_assert_eq(size, SHA256_BYTES);
    cr_expect(scram_proof_fits(&verifier, rfc_message(), proof));
    scram_signature(&verifier, rfc_message(), signature);
    buf_init(&text, MEM_SESSIONS);
    base64_put(slice_of(signature, sizeof(signature)), &text);
    cr_expect(slice_equal(buf_slice(&text), SLICE("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
    buf_fini(&text);
    proof[31] ^= 1;
    cr_expect_not(scram_proof_fits(&verifier, rfc_message(), proof));
}

Test(scram, a_verifier_is_read_as_it_was_written)
{
    struct scram_verifier verifier, again;
    struct buf text;

    rfc_verifier(&verifier);
    buf_init(&text, MEM_SESSIONS);
    scram_verifier_put(&verifier, &text);
    cr_assert(
        slice_starts_with(buf_slice(&text), SLICE("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")));
    cr_assert(scram_verifier_parse(buf_slice(&text), &again));
    cr_expect_arr_eq(&verifier, &again, sizeof(again));
    for (size_t size = 0; size < text.size; size++) {
        cr_expect_not(scram_verifier_parse(slice_of(text.data, size), &again), "%zu", size);
    }
    buf_fini(&text);
}

Test(scram, what_is_no_base64_is_refused)
{
    static const char *const wrong[] = {"A", "AA==A", "AA=A", "=AAA", "A===", "AA\nA", "AAA%"};
    uint8_t out[8];
    size_t size;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect_not(base64_take(slice_from_text(wrong[i]), out, sizeof(out), &size), "%s",
                      wrong[i]);
    }
    cr_expect(base64_take(SLICE("AAAAAAAAAAA="), out, sizeof(out), &size));
    cr_expect_eq(size, 8);
    cr_expect_not(base64_take(SLICE("AAAAAAAAAAAA"), out, sizeof(out), &size));
}
