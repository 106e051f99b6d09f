#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "engine/base/err.h"

TestSuite(err, .timeout = 5);

Test(err, every_code_has_a_whole_row)
{
    for (unsigned code = 0; code < ERR_COUNT; code++) {
        err_t err = (err_t)code;

        cr_assert(strncmp(err_name(err), "ERR_", 4) == 0);
        cr_assert_eq(strlen(err_sqlstate(err)), 5, "%s", err_name(err));
        cr_assert(err_http(err) >= 200 && err_http(err) < 600, "%s", err_name(err));
        cr_assert(err_grpc(err) >= 0 && err_grpc(err) <= 16, "%s", err_name(err));
        cr_assert(strlen(err_resp(err)) > 0, "%s", err_name(err));
        cr_assert(strlen(err_message(err)) > 0, "%s", err_name(err));
    }
    cr_assert_eq(err_http(ERR_NOT_FOUND), 404);
    cr_assert_str_eq(err_sqlstate(ERR_CORRUPT), "XX001");
}

Test(err, the_message_belongs_to_the_last_code_only)
{
    cr_assert_eq(err_set(ERR_CORRUPT, "block %d of %s", 7, "t1"), ERR_CORRUPT);
    cr_assert_str_eq(err_message(ERR_CORRUPT), "block 7 of t1");
    cr_assert_str_eq(err_message(ERR_IO), "input/output error");
    err_set_default(ERR_CORRUPT);
    cr_assert_str_eq(err_message(ERR_CORRUPT), "data is corrupt");
}

Test(err, context_stands_in_front_of_the_message)
{
    err_set(ERR_IO, "reading a");
    cr_assert_eq(err_context(ERR_IO, "opening shard %d", 2), ERR_IO);
    cr_assert_str_eq(err_message(ERR_IO), "opening shard 2: reading a");
    /* An argument that points into the diagnostic. */
    err_set(ERR_IO, "again: %s", err_message(ERR_IO));
    cr_assert_str_eq(err_message(ERR_IO), "again: opening shard 2: reading a");
}

Test(err, a_long_message_is_cut_and_stays_a_string)
{
    char text[2000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    err_set(ERR_IO, "%s", text);
    err_context(ERR_IO, "%s", text);
    cr_assert_eq(strlen(err_message(ERR_IO)), ERR_MESSAGE_BYTES_MAX - 1);
}

Test(err, errno_values_map_to_their_cause)
{
    cr_assert_eq(err_from_errno(-ENOSPC, "writing x"), ERR_NO_SPACE);
    cr_assert_str_eq(err_message(ERR_NO_SPACE), "writing x: No space left on device");
    cr_assert_eq(err_from_errno(-ENOENT, "x"), ERR_NOT_FOUND);
    cr_assert_eq(err_from_errno(-EEXIST, "x"), ERR_EXISTS);
    cr_assert_eq(err_from_errno(-ENODATA, "reading x"), ERR_CORRUPT);
    cr_assert_str_eq(err_message(ERR_CORRUPT), "reading x: the file ends early");
    cr_assert_eq(err_from_errno(-EIO, "x"), ERR_IO);
    cr_assert_eq(err_from_errno(-99999, "x"), ERR_IO);
    cr_assert_str_eq(err_message(ERR_IO), "x: unknown error");
}

Test(err, a_bound_diagnostic_is_apart_from_the_threads_own)
{
    struct err_diag diag = {0};

    err_set(ERR_IO, "of the thread");
    err_diag_bind(&diag);
    err_set(ERR_IO, "of the fiber");
    cr_assert_str_eq(err_message(ERR_IO), "of the fiber");
    err_diag_bind(NULL);
    cr_assert_str_eq(err_message(ERR_IO), "of the thread");
}
