/* tests/unit/net/test_acl.c - rules of users, and who may run what. */
#include <criterion/criterion.h>
#include <string.h>

#include "net/acl_catalog.h"
#include "tests/unit/net/net_fixture.h"

#define WRONG "-WRONGPASS invalid username-password pair or user is disabled.\r\n"

/* ---- Rules as words: pure ---- */

static const char *
described(struct acl_user *user)
{
    static char text[4096];
    struct buf out;

    buf_init(&out, MEM_SESSIONS);
    acl_user_describe(user, &out);
    cr_assert_lt(out.size, sizeof(text));
    memcpy(text, out.data, out.size);
    text[out.size] = '\0';
    buf_fini(&out);
    return text;
}

static void
applied(const char *expected, const char *const *words)
{
    struct acl_user *user = acl_user_new(SLICE("ann"), false);
    struct acl_user *loaded = acl_user_new(SLICE("ann"), true);
    struct principal principal;
    struct buf rules;

    for (; *words != NULL; words++) {
        const char *error = acl_user_apply(user, slice_from_text(*words), false);

        cr_assert_null(error, "%s: %s", *words, error);
    }
    cr_assert_str_eq(described(user), expected);
    /* What is stored says the same. */
    buf_init(&rules, MEM_SESSIONS);
    acl_user_store(user, &rules, &principal);
    cr_assert_null(acl_user_load(loaded, &principal));
    cr_assert_str_eq(described(loaded), expected);
    cr_assert_eq(memcmp(loaded->selectors[0].commands, user->selectors[0].commands,
                        sizeof(user->selectors[0].commands)),
                 0);
    buf_fini(&rules);
    acl_user_free(&user);
    acl_user_free(&loaded);
}
#define APPLIED(expected, ...) applied((expected), WORDS(__VA_ARGS__))

FIBER_TEST(acl_user, rules_are_described_by_the_words_that_make_them)
{
    net_fixture_open();
    APPLIED("off sanitize-payload resetchannels -@all", "");
    APPLIED("on nopass sanitize-payload ~* &* +@all", "on", "nopass", "allkeys", "allchannels",
            "allcommands");
    APPLIED("off sanitize-payload ~a* %R~b %W~c %R~ resetchannels &ch* -@all +@read -get +select|0",
            "~a*", "%R~b", "%w~c", "%R~", "&ch*", "+@read", "-get", "+select|0");
    APPLIED("off sanitize-payload ~a resetchannels -@all", "%R~a", "%W~a");
    /* A later rule takes the place of what it makes void, subcommands included. */
    APPLIED("off sanitize-payload resetchannels -@all -config", "+config|get", "+config|set",
            "-config");
    APPLIED("off sanitize-payload resetchannels +@all -get", "+get", "+@all", "-get", "-GET");
    APPLIED("off sanitize-payload resetchannels -@all (~z) %R~q resetchannels -@all +mget) "
            "(resetchannels -@all)",
            "(~z) %R~q +mget)", "()");
    APPLIED("off skip-sanitize-payload resetchannels -@all", "(~a)", "skip-sanitize-payload",
            "clearselectors");
    APPLIED("off sanitize-payload resetchannels -@all", "on", ">x", "~a", "+@all", "(~a)", "reset");
    net_fixture_close();
}

FIBER_TEST(acl_user, words_that_mean_nothing_are_refused)
{
    static const char *const words[] = {
        "foo",   "+foo",      "+@foo",    "-",     "+",   "%X~a",       "%~a",
        "%RR~a", "~a b",      "&a b",     "#12",   "!12", "<x",         "(~a",
        "(foo)", "-select|0", "+get|a|b", "+get|", "+@",  "-config|nn", "+config|get|x"};
    struct acl_user *user;

    net_fixture_open();
    user = acl_user_new(SLICE("ann"), false);
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        cr_assert_not_null(acl_user_apply(user, slice_from_text(words[i]), false), "%s", words[i]);
    }
    cr_assert_null(acl_user_apply(user, SLICE("~*"), false));
    cr_assert_not_null(acl_user_apply(user, SLICE("~a"), false), "after all keys");
    acl_user_free(&user);
    net_fixture_close();
}

FIBER_TEST(acl_user, passwords_are_kept_as_their_hashes)
{
    struct acl_user *user = acl_user_new(SLICE("ann"), false);

    cr_assert_null(acl_user_apply(user, SLICE(">abc"), false));
    cr_assert_str_eq(described(user),
                     "off sanitize-payload "
                     "#ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad "
                     "resetchannels -@all");
    cr_assert(acl_password_fits(user, SLICE("abc")));
    cr_assert_not(acl_password_fits(user, SLICE("abd")));
    cr_assert_not(acl_password_fits(user, SLICE("")));
    cr_assert_null(acl_user_apply(user, SLICE("<abc"), false));
    cr_assert_not(acl_password_fits(user, SLICE("abc")));
    cr_assert_null(acl_user_apply(user, SLICE("nopass"), false));
    cr_assert(acl_password_fits(user, SLICE("")));
    acl_user_free(&user);
}

/* ---- Over sessions and shards ---- */

FIBER_TEST_ON(acl, a_user_may_do_what_its_rules_say_on_every_shard, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "2", "c", "3", "d", "4");
    EXPECT("+OK\r\n", "ACL", "SETUSER", "ann", "on", ">pw", "%R~a", "%R~d", "~c", "+@read", "+set",
           "+getset", "+multi", "+exec", "+acl|whoami", "(~b", "-@all", "+mget)");
    EXPECT(WRONG, "AUTH", "ann", "no");
    EXPECT(WRONG, "AUTH", "ben", "pw");
    EXPECT("+OK\r\n", "AUTH", "ann", "pw");
    EXPECT("$3\r\nann\r\n", "ACL", "WHOAMI");
    EXPECT("$1\r\n1\r\n", "GET", "a");
    EXPECT("$1\r\n4\r\n", "GET", "d");
    EXPECT("-NOPERM No permissions to access a key\r\n", "GET", "b");
    EXPECT("*1\r\n$1\r\n2\r\n", "MGET", "b");
    EXPECT("-NOPERM No permissions to access a key\r\n", "MGET", "b", "a");
    EXPECT("-NOPERM No permissions to access a key\r\n", "SET", "a", "5");
    EXPECT("+OK\r\n", "SET", "c", "5");
    EXPECT("-NOPERM No permissions to access a key\r\n", "GETSET", "a", "5");
    EXPECT("-NOPERM User ann has no permissions to run the 'flushall' command\r\n", "FLUSHALL");
    net_fixture_close();
}

FIBER_TEST(acl, patterns_of_sort_need_every_key)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "ACL", "SETUSER", "ann", "on", "nopass", "~l", "+sort", "+rpush");
    EXPECT("+OK\r\n", "AUTH", "ann", "x");
    EXPECT(":1\r\n", "RPUSH", "l", "1");
    EXPECT("*1\r\n$1\r\n1\r\n", "SORT", "l", "BY", "nosort", "GET", "#", "LIMIT", "0", "5");
    EXPECT("-NOPERM BY option of SORT denied due to insufficient ACL permissions.\r\n", "SORT", "l",
           "LIMIT", "0", "5", "BY", "w_*");
    EXPECT("-NOPERM GET option of SORT denied due to insufficient ACL permissions.\r\n", "SORT",
           "l", "GET", "o");
    net_fixture_close();
}

FIBER_TEST_ON(acl, a_change_is_seen_at_once_on_every_shard, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "ACL", "SETUSER", "ann", "on", "nopass", "allkeys", "+@all");
    cr_assert_str_eq((const char *)CALL_ON(1, "AUTH", "ann", "x").data, "+OK\r\n");
    cr_assert_str_eq((const char *)CALL_ON(1, "MULTI").data, "+OK\r\n");
    cr_assert_str_eq((const char *)CALL_ON(1, "GET", "a").data, "+QUEUED\r\n");
    EXPECT("+OK\r\n", "ACL", "SETUSER", "ann", "-get");
    cr_assert_not_null(strstr((const char *)CALL_ON(1, "EXEC").data,
                              "*1\r\n-NOPERM ACLs rules changed between the moment"));
    EXPECT_PART("user ann on nopass sanitize-payload ~* resetchannels +@all -get", "ACL", "LIST");
    EXPECT_PART("$6\r\nreason\r\n$7\r\ncommand\r\n$7\r\ncontext\r\n$5\r\nmulti\r\n$6\r\nobject\r\n"
                "$3\r\nget\r\n$8\r\nusername\r\n$3\r\nann\r\n",
                "ACL", "LOG");
    cr_assert_str_eq((const char *)CALL_ON(1, "RESET").data, "+RESET\r\n");
    EXPECT(":1\r\n", "ACL", "DELUSER", "ann", "nobody");
    EXPECT_NOT("user ann", "ACL", "LIST");
    EXPECT("+OK\r\n", "ACL", "LOG", "RESET");
    EXPECT("*0\r\n", "ACL", "LOG");
    net_fixture_close();
}

FIBER_TEST_ON(acl, users_are_read_from_the_store, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "ACL", "SETUSER", "ann", "on", ">pw", "~a*", "+get", "(+set", "~b)");
    EXPECT("+OK\r\n", "ACL", "LOAD");
    EXPECT_PART(" ~a* resetchannels -@all +get (~b resetchannels -@all +set)\r\n", "ACL", "LIST");
    EXPECT("+OK\r\n", "ACL", "DRYRUN", "ann", "SET", "b", "1");
    EXPECT("$49\r\nUser ann has no permissions to access the 'a' key\r\n", "ACL", "DRYRUN", "ann",
           "SET", "a", "1");
    EXPECT("+OK\r\n", "AUTH", "ann", "pw");
    net_fixture_close();
}

FIBER_TEST(acl, requirepass_is_the_password_of_the_default_user)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "requirepass", "pw");
    EXPECT("+PONG\r\n", "PING"); /* Who is in stays in... */
    EXPECT("+RESET\r\n", "RESET");
    EXPECT("-NOAUTH Authentication required.\r\n", "PING"); /* ... until it begins anew. */
    EXPECT(WRONG, "AUTH", "no");
    EXPECT("+OK\r\n", "AUTH", "pw");
    EXPECT("+OK\r\n", "CONFIG", "SET", "requirepass", "");
    EXPECT_PART("ERR AUTH <password> called without any password", "AUTH", "pw");
    EXPECT("-ERR The 'default' user cannot be removed\r\n", "ACL", "DELUSER", "default");
    net_fixture_close();
}
