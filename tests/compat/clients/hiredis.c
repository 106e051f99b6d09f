/* tests/compat/clients/hiredis.c - the C client against a running server.
 *
 * usage: hiredis HOST PORT
 *
 * Built by run.py against Debian's libhiredis (0.14, which speaks RESP2). Every case prints one
 * line, "ok   NAME" or "FAIL NAME" with the reason; run.py counts them. */
#include <hiredis.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define PIPELINE_COMMANDS  20000
#define LARGE_BYTES        (32u << 20)
#define MANY_KEYS          5000
#define EXPIRY_WAIT_MS_MAX 5000

static const char *host;
static int port;
static char why[512]; /* Why the current case failed; empty while it has not. */

static void __attribute__((format(printf, 1, 2))) fail(const char *format, ...)
{
    va_list arguments;

    if (why[0] != '\0')
        return; /* The first reason is the useful one. */
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
}

static redisContext *
connected(void)
{
    struct timeval timeout = {.tv_sec = 60};
    redisContext *context = redisConnectWithTimeout(host, port, timeout);

    if (context == NULL || context->err != 0) {
        printf("FAIL connect: %s\n", context != NULL ? context->errstr : "out of memory");
        exit(1);
    }
    redisSetTimeout(context, timeout);
    return context;
}

/* The reply of one command; never NULL: a broken connection ends the program. */
static redisReply *
command(redisContext *context, const char *format, ...)
{
    va_list arguments;
    redisReply *reply;

    va_start(arguments, format);
    reply = redisvCommand(context, format, arguments);
    va_end(arguments);
    if (reply == NULL) {
        printf("FAIL the connection broke: %s\n", context->errstr);
        exit(1);
    }
    return reply;
}

/* Checks type and, for texts, the content; frees the reply. */
static void
expect_text(redisReply *reply, int type, const char *text)
{
    if (reply->type != type)
        fail("reply of type %d instead of %d: %s", reply->type, type,
             reply->str != NULL ? reply->str : "");
    else if (strcmp(reply->str, text) != 0)
        fail("'%s' instead of '%s'", reply->str, text);
    freeReplyObject(reply);
}

static void
expect_integer(redisReply *reply, long long value)
{
    if (reply->type != REDIS_REPLY_INTEGER)
        fail("reply of type %d instead of an integer: %s", reply->type,
             reply->str != NULL ? reply->str : "");
    else if (reply->integer != value)
        fail("%lld instead of %lld", reply->integer, value);
    freeReplyObject(reply);
}

static void
ping_and_echo(redisContext *context)
{
    expect_text(command(context, "PING"), REDIS_REPLY_STATUS, "PONG");
    expect_text(command(context, "PING %s", "hello"), REDIS_REPLY_STRING, "hello");
    expect_text(command(context, "ECHO %s", "two words"), REDIS_REPLY_STRING, "two words");
}

static void
a_value_of_all_bytes_comes_back(redisContext *context)
{
    char bytes[512];
    redisReply *reply;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i & 255);
    expect_text(command(context, "SET %b %b", "bin\0key", (size_t)7, bytes, sizeof bytes),
                REDIS_REPLY_STATUS, "OK");
    reply = command(context, "GET %b", "bin\0key", (size_t)7);
    if (reply->type != REDIS_REPLY_STRING || (size_t)reply->len != sizeof bytes ||
        memcmp(reply->str, bytes, sizeof bytes) != 0)
        fail("the bytes differ");
    freeReplyObject(reply);
}

static void
an_empty_value_is_not_a_missing_one(redisContext *context)
{
    redisReply *reply;

    expect_text(command(context, "SET empty %b", "", (size_t)0), REDIS_REPLY_STATUS, "OK");
    reply = command(context, "GET empty");
    if (reply->type != REDIS_REPLY_STRING || reply->len != 0)
        fail("empty value: type %d", reply->type);
    freeReplyObject(reply);
    reply = command(context, "GET no-such-key");
    if (reply->type != REDIS_REPLY_NIL)
        fail("missing value: type %d", reply->type);
    freeReplyObject(reply);
}

static void
a_pipeline_answers_in_order(redisContext *context)
{
    redisReply *reply;

    expect_integer(command(context, "DEL hiredis:count"), 0);
    for (int i = 0; i < PIPELINE_COMMANDS; i++)
        if (redisAppendCommand(context, "INCR hiredis:count") != REDIS_OK)
            fail("append: %s", context->errstr);
    for (int i = 0; i < PIPELINE_COMMANDS; i++) {
        if (redisGetReply(context, (void **)&reply) != REDIS_OK) {
            fail("reply %d: %s", i, context->errstr);
            return;
        }
        expect_integer(reply, i + 1);
    }
}

static void
a_pipeline_goes_on_after_an_error(redisContext *context)
{
    redisReply *reply;

    redisAppendCommand(context, "SET word hello");
    redisAppendCommand(context, "INCR word");
    redisAppendCommand(context, "GET word");
    redisGetReply(context, (void **)&reply);
    expect_text(reply, REDIS_REPLY_STATUS, "OK");
    redisGetReply(context, (void **)&reply);
    expect_text(reply, REDIS_REPLY_ERROR, "ERR value is not an integer or out of range");
    redisGetReply(context, (void **)&reply);
    expect_text(reply, REDIS_REPLY_STRING, "hello");
}

static void
a_large_value_comes_back(redisContext *context)
{
    char *bytes = malloc(LARGE_BYTES);
    redisReply *reply;

    if (bytes == NULL) {
        fail("out of memory");
        return;
    }
    for (size_t i = 0; i < LARGE_BYTES; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    expect_text(command(context, "SET large %b", bytes, (size_t)LARGE_BYTES), REDIS_REPLY_STATUS,
                "OK");
    expect_integer(command(context, "STRLEN large"), LARGE_BYTES);
    reply = command(context, "GET large");
    if (reply->type != REDIS_REPLY_STRING || (size_t)reply->len != LARGE_BYTES ||
        memcmp(reply->str, bytes, LARGE_BYTES) != 0)
        fail("the bytes differ");
    freeReplyObject(reply);
    expect_integer(command(context, "DEL large"), 1);
    free(bytes);
}

static void
a_command_with_many_arguments(redisContext *context)
{
    static char texts[MANY_KEYS * 2][24];
    static const char *arguments[MANY_KEYS * 2 + 1];
    redisReply *reply;

    arguments[0] = "MSET";
    for (int i = 0; i < MANY_KEYS; i++) {
        snprintf(texts[2 * i], sizeof texts[0], "{many}%d", i);
        snprintf(texts[2 * i + 1], sizeof texts[0], "value %d", i);
        arguments[2 * i + 1] = texts[2 * i];
        arguments[2 * i + 2] = texts[2 * i + 1];
    }
    reply = redisCommandArgv(context, MANY_KEYS * 2 + 1, arguments, NULL);
    expect_text(reply, REDIS_REPLY_STATUS, "OK");
    arguments[0] = "MGET";
    for (int i = 0; i < MANY_KEYS; i++)
        arguments[i + 1] = texts[2 * i];
    reply = redisCommandArgv(context, MANY_KEYS + 1, arguments, NULL);
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != MANY_KEYS) {
        fail("MGET gave no array of %d", MANY_KEYS);
        return;
    }
    for (size_t i = 0; i < reply->elements; i++)
        if (reply->element[i]->type != REDIS_REPLY_STRING ||
            strcmp(reply->element[i]->str, texts[2 * i + 1]) != 0)
            fail("element %zu differs", i);
    freeReplyObject(reply);
}

static void
errors_are_error_replies(redisContext *context)
{
    redisReply *reply = command(context, "NO-SUCH-COMMAND");

    if (reply->type != REDIS_REPLY_ERROR || strncmp(reply->str, "ERR unknown command", 19) != 0)
        fail("unknown command: type %d", reply->type);
    freeReplyObject(reply);
    expect_text(command(context, "GET"), REDIS_REPLY_ERROR,
                "ERR wrong number of arguments for 'get' command");
    expect_text(command(context, "SET a b EX never"), REDIS_REPLY_ERROR,
                "ERR value is not an integer or out of range");
    expect_text(command(context, "PING"), REDIS_REPLY_STATUS, "PONG");
}

static void
a_key_expires(redisContext *context)
{
    struct timespec pause = {.tv_nsec = 5000000};
    bool is_gone = false;
    redisReply *reply;

    expect_text(command(context, "SET fleeting x PX 50"), REDIS_REPLY_STATUS, "OK");
    reply = command(context, "PTTL fleeting");
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer > 50)
        fail("PTTL");
    freeReplyObject(reply);
    for (int waited_ms = 0; waited_ms < EXPIRY_WAIT_MS_MAX && !is_gone; waited_ms += 5) {
        reply = command(context, "EXISTS fleeting");
        is_gone = reply->type == REDIS_REPLY_INTEGER && reply->integer == 0;
        freeReplyObject(reply);
        nanosleep(&pause, NULL);
    }
    if (!is_gone)
        fail("still there after %d ms", EXPIRY_WAIT_MS_MAX);
}

static void
two_connections_see_each_other(redisContext *context)
{
    redisContext *other = connected();

    for (int i = 0; i < 200; i++) {
        expect_integer(command(i % 2 == 0 ? context : other, "INCR both"), i + 1);
        if (why[0] != '\0')
            break;
    }
    redisFree(other);
}

static void
hello_switches_the_protocol(redisContext *context)
{
    redisReply *reply = command(context, "HELLO 2");

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2 != 0 || reply->elements < 10)
        fail("HELLO 2: type %d", reply->type);
    freeReplyObject(reply);
    reply = command(context, "HELLO 9");
    if (reply->type != REDIS_REPLY_ERROR || strncmp(reply->str, "NOPROTO", 7) != 0)
        fail("HELLO 9: %s", reply->str != NULL ? reply->str : "no error");
    freeReplyObject(reply);
}

static void
scan_returns_every_key(redisContext *context)
{
    char cursor[32] = "0";
    long long found = 0;
    int turns = 0;

    do {
        redisReply *reply = command(context, "SCAN %s MATCH {many}* COUNT 500", cursor);

        if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
            fail("SCAN: type %d", reply->type);
            freeReplyObject(reply);
            return;
        }
        found += (long long)reply->element[1]->elements;
        snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
        freeReplyObject(reply);
    } while (strcmp(cursor, "0") != 0 && ++turns < 100000);
    if (found != MANY_KEYS)
        fail("%lld keys instead of %d", found, MANY_KEYS);
}

static const struct {
    const char *name;
    void (*run)(redisContext *context);
} cases[] = {
    {"ping and echo", ping_and_echo},
    {"a value of all bytes comes back", a_value_of_all_bytes_comes_back},
    {"an empty value is not a missing one", an_empty_value_is_not_a_missing_one},
    {"a pipeline answers in order", a_pipeline_answers_in_order},
    {"a pipeline goes on after an error", a_pipeline_goes_on_after_an_error},
    {"a large value comes back", a_large_value_comes_back},
    {"a command with many arguments", a_command_with_many_arguments},
    {"errors are error replies", errors_are_error_replies},
    {"a key expires", a_key_expires},
    {"two connections see each other", two_connections_see_each_other},
    {"HELLO switches the protocol", hello_switches_the_protocol},
    {"SCAN returns every key", scan_returns_every_key},
};

int
main(int argc, char **argv)
{
    redisContext *context;
    int failures = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: hiredis HOST PORT\n");
        return 2;
    }
    host = argv[1];
    port = atoi(argv[2]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    context = connected();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        why[0] = '\0';
        cases[i].run(context);
        if (why[0] == '\0') {
            printf("ok   %s\n", cases[i].name);
        } else {
            printf("FAIL %s: %s\n", cases[i].name, why);
            failures++;
        }
    }
    redisFree(context);
    return failures == 0 ? 0 : 1;
}
