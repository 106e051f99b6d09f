/* tests/unit/models/test_command.c - the command table: names, calls, keys. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>

#include "models/kv/command.h"

enum { WORDS_MAX = 600 };

struct call {
    struct slice words[WORDS_MAX];
    uint32_t count;
};

static void
table_init(void)
{
    command_table_init();
}

TestSuite(command_table, .init = table_init);

/* Splits at single spaces. */
static struct call
call_of(const char *text)
{
    struct call call = {.count = 0};

    while (*text != '\0') {
        size_t size = strcspn(text, " ");

        cr_assert_lt(call.count, WORDS_MAX);
        call.words[call.count++] = slice_of(text, size);
        text += size + (text[size] == ' ');
    }
    return call;
}

/* The keys of a call as "key:FLAG,flag key:...", or "none fit" when they do not. */
static const char *
keys_of(const char *text)
{
    static char out[4096];
    struct call call = call_of(text);
    const struct command *command = command_resolve(call.words, call.count);
    struct command_key keys[WORDS_MAX];
    size_t used = 0;
    int32_t count;

    cr_assert_not_null(command, "%s", text);
    count = command_keys(command, call.words, call.count, keys, WORDS_MAX);
    if (count < 0) {
        return "none fit";
    }
    out[0] = '\0';
    for (int32_t i = 0; i < count; i++) {
        struct slice key = call.words[keys[i].index];
        uint32_t flags = command_key_flags(command, keys[i].flags, call.words, call.count);
        char separator = ':';

        used += (size_t)snprintf(out + used, sizeof(out) - used, "%s%.*s", i == 0 ? "" : " ",
                                 (int)key.size, (const char *)key.data);
        for (uint32_t bit = 0; bit < 32; bit++) {
            if ((flags >> bit & 1) != 0) {
                used += (size_t)snprintf(out + used, sizeof(out) - used, "%c%s", separator,
                                         command_key_flag_name(bit));
                separator = ',';
            }
        }
    }
    return out;
}

static const struct command *
resolve(const char *text)
{
    struct call call = call_of(text);

    return command_resolve(call.words, call.count);
}

Test(command_table, is_sorted_and_every_name_finds_its_command)
{
    for (uint32_t i = 0; i < command_count(); i++) {
        const struct command *command = command_at(i);

        cr_assert(i == 0 || strcmp(command_at(i - 1)->name, command->name) < 0, "%s",
                  command->name);
    }
    for (uint32_t id = 0; id < command_ids(); id++) {
        const struct command *command = command_by_id(id);
        const char *name = command_full_name(command);
        char upper[64] = "";

        for (size_t i = 0; name[i] != '\0'; i++) {
            upper[i] = (char)toupper((unsigned char)name[i]);
        }
        cr_assert_eq(command_id(command), id);
        cr_assert_eq(command_find(slice_from_text(name)), command, "%s", name);
        cr_assert_eq(command_find(slice_from_text(upper)), command, "%s", upper);
    }
    cr_assert_null(command_find(SLICE("no-such-command")));
    cr_assert_null(command_find(SLICE("")));
    cr_assert_null(command_find(SLICE("ge")));
    cr_assert_null(command_find(SLICE("gett")));
    cr_assert_null(command_find(SLICE("get\0")));
}

Test(command_table, each_command_is_described_and_has_a_layer_that_can_run_it)
{
    for (uint32_t id = 0; id < command_ids(); id++) {
        const struct command *command = command_by_id(id);
        const char *name = command_full_name(command);
        bool is_run_by_model = command->layer == COMMAND_DATA || command->layer == COMMAND_KEYSPACE;

        cr_assert_not_null(command->summary, "%s", name);
        cr_assert_not_null(command->since, "%s", name);
        cr_assert_not_null(command->group, "%s", name);
        cr_assert_neq(command->arity, 0, "%s", name);
        cr_assert_eq(command->run != NULL, is_run_by_model, "%s", name);
        cr_assert_eq((command->categories & CAT_FAST) != 0, (command->categories & CAT_SLOW) == 0,
                     "%s is fast or slow", name);
        if (command->layer == COMMAND_CONTAINER) {
            cr_assert_gt(command->subcommand_count, 0, "%s", name);
        }
        for (uint32_t i = 0; i < command->arg_count; i++) {
            cr_assert_lt(command->args[i].key_spec, command->key_spec_count, "%s", name);
        }
    }
}

Test(command_table, the_words_of_a_call_resolve_to_subcommands)
{
    cr_assert_str_eq(command_full_name(resolve("CONFIG get x")), "config|get");
    cr_assert_str_eq(command_full_name(resolve("config")), "config");
    cr_assert_str_eq(command_full_name(resolve("get config")), "get");
    cr_assert_eq(command_parent(resolve("client id")), resolve("client"));
    cr_assert_null(command_parent(resolve("get x")));
    cr_assert_null(resolve("config nope"));
    cr_assert_null(resolve("config|get x"));
    cr_assert_null(resolve("nope"));
}

Test(command_table, arity_counts_the_whole_call)
{
    cr_assert(command_arity_fits(resolve("get k"), 2));
    cr_assert(!command_arity_fits(resolve("get k"), 3));
    cr_assert(!command_arity_fits(resolve("get k"), 1));
    cr_assert(command_arity_fits(resolve("set k v"), 3));
    cr_assert(command_arity_fits(resolve("set k v"), 9));
    cr_assert(!command_arity_fits(resolve("set k v"), 2));
    cr_assert(command_arity_fits(resolve("config get a"), 3));
}

Test(command_table, finds_keys_at_fixed_places)
{
    cr_assert_str_eq(keys_of("get k"), "k:RO,access");
    cr_assert_str_eq(keys_of("mget a b c"), "a:RO,access b:RO,access c:RO,access");
    cr_assert_str_eq(keys_of("mset a 1 b 2"), "a:OW,update b:OW,update");
    cr_assert_str_eq(keys_of("lmove a b left right"), "a:RW,access,delete b:RW,insert");
    cr_assert_str_eq(keys_of("memory usage k"), "k:RO");
    cr_assert_str_eq(keys_of("object encoding k"), "k:RO");
    cr_assert_str_eq(keys_of("lcs a b"), "a:RO,access b:RO,access");
    cr_assert_str_eq(keys_of("ping"), "");
}

Test(command_table, finds_keys_that_are_counted_or_named)
{
    cr_assert_str_eq(keys_of("zunionstore t 2 a b weights 1 2"),
                     "t:OW,update a:RO,access b:RO,access");
    cr_assert_str_eq(keys_of("eval script 0"), "");
    cr_assert_str_eq(keys_of("eval script 1 a b"), "a:RW,access,update");
    cr_assert_str_eq(keys_of("xread count 2 streams a b 0 0"), "a:RO,access b:RO,access");
    cr_assert_str_eq(keys_of("xgroup create k g $"), "k:RW,insert");
    cr_assert_str_eq(keys_of("sort k store t"), "k:RO,access t:OW,update");
    cr_assert_str_eq(keys_of("sort k store t store u"), "k:RO,access u:OW,update");
    cr_assert_str_eq(keys_of("migrate host 1 k 0 100"), "k:RW,access,delete");
}

Test(command_table, refuses_counts_that_the_call_does_not_hold)
{
    cr_assert_str_eq(keys_of("zunionstore t 3 a b"), "none fit");
    cr_assert_str_eq(keys_of("zunionstore t -1 a b"), "none fit");
    cr_assert_str_eq(keys_of("zunionstore t x a b"), "none fit");
    cr_assert_str_eq(keys_of("zunionstore t 9223372036854775807 a b"), "none fit");
    cr_assert_str_eq(keys_of("eval script"), "none fit");
}

Test(command_table, counts_keys_beyond_the_room_that_was_given)
{
    struct call call = call_of("mget a b c d e");
    struct command_key keys[2];

    cr_assert_eq(command_keys(command_find(SLICE("mget")), call.words, call.count, keys, 2), 5);
    cr_assert_eq(keys[1].index, 2);
}

Test(command_table, options_decide_how_set_and_bitfield_use_their_key)
{
    cr_assert_str_eq(keys_of("set k get"), "k:OW,update");
    cr_assert_str_eq(keys_of("set k v ex 10 get"), "k:RW,access,update");
    cr_assert_str_eq(keys_of("bitfield k get u8 0"), "k:RO,access");
    cr_assert_str_eq(keys_of("bitfield k get u8 0 incrby u8 0 1"), "k:RW,access,update");
}

Test(command_table, words_are_compared_without_case_and_in_full)
{
    cr_assert(command_word_is(SLICE("ExAt"), "EXAT"));
    cr_assert(!command_word_is(SLICE("EXA"), "EXAT"));
    cr_assert(!command_word_is(SLICE("EXATX"), "EXAT"));
    cr_assert(!command_word_is(SLICE("E\x18"
                                     "AT"),
                               "EXAT"));
}
