/* tools/docs/main.c - prints docs/protocol/resp.md from the tables that the server runs by, and
 * from the list of what is left out of Redis's own tests (its argument: tests/compat/tcl/skip.txt).
 *
 * Built by make and never installed. tools/check.sh compares its output with the file. */
#include <stdio.h>
#include <string.h>

#include "models/kv/command.h"
#include "net/config.h"

/* Syntax is nested no deeper than this in Redis's own descriptions; deeper parts print as "...". */
enum { SYNTAX_DEPTH_MAX = 8, GROUPS_MAX = 32, LINE_BYTES_MAX = 512 };

static void print_args(const struct command_arg *args, uint8_t count, const char *between,
                       uint32_t depth);

static void
print_text(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '|' || *at == '<') {
            putchar('\\'); /* Both mean something in a table of Markdown. */
        }
        putchar(*at);
    }
}

static void
print_arg_once(const struct command_arg *arg, uint32_t depth)
{
    if (arg->token != NULL && arg->token[0] != '\0') {
        print_text(arg->token);
        if (strcmp(arg->type, "pure-token") == 0) {
            return;
        }
        putchar(' ');
    }
    if (arg->arg_count > 0) {
        print_args(arg->args, arg->arg_count, strcmp(arg->type, "oneof") == 0 ? " \\| " : " ",
                   depth + 1);
        return;
    }
    print_text(arg->display != NULL ? arg->display : arg->name);
}

static void
print_arg(const struct command_arg *arg, uint32_t depth)
{
    if (depth > SYNTAX_DEPTH_MAX) {
        fputs("...", stdout);
        return;
    }
    if (arg->is_optional) {
        putchar('[');
    }
    print_arg_once(arg, depth);
    if (arg->is_multiple) {
        fputs(" [", stdout);
        print_arg_once(arg, depth);
        fputs(" ...]", stdout);
    }
    if (arg->is_optional) {
        putchar(']');
    }
}

static void
print_args(const struct command_arg *args, uint8_t count, const char *between, uint32_t depth)
{
    for (uint8_t i = 0; i < count; i++) {
        if (i > 0) {
            fputs(between, stdout);
        }
        print_arg(&args[i], depth);
    }
}

static void
print_name(const struct command *command)
{
    for (const char *at = command_full_name(command); *at != '\0'; at++) {
        putchar(*at == '|' ? ' ' : *at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
    }
}

static void
print_command(const struct command *command)
{
    fputs("| ", stdout);
    print_name(command);
    if (command->arg_count > 0) {
        putchar(' ');
        print_args(command->args, command->arg_count, " ", 0);
    }
    printf(" | %s | ", command->since);
    print_text(command->summary);
    fputs(" |\n", stdout);
}

static bool
is_in_group(const struct command *command, const char *group)
{
    return strcmp(command->group, group) == 0;
}

/* A group's commands which Orbit has; containers stand for their subcommands. */
static uint32_t
print_group(const char *group)
{
    uint32_t printed = 0;

    for (uint32_t id = 0; id < command_ids(); id++) {
        const struct command *command = command_by_id(id);

        if (!is_in_group(command, group) || command->layer == COMMAND_ABSENT ||
            command->layer == COMMAND_CONTAINER) {
            continue;
        }
        if (printed++ == 0) {
            printf("\n### %s\n\n| command | since | what it does |\n|---|---|---|\n", group);
        }
        print_command(command);
    }
    return printed;
}

/* The groups in the order of their first command. */
static uint32_t
collect_groups(const char **groups)
{
    uint32_t count = 0;

    for (uint32_t id = 0; id < command_ids(); id++) {
        const struct command *command = command_by_id(id);
        uint32_t i = 0;

        while (i < count && !is_in_group(command, groups[i])) {
            i++;
        }
        if (i == count && count < GROUPS_MAX) {
            groups[count++] = command->group;
        }
    }
    return count;
}

static void
print_absent(const char *const *groups, uint32_t group_count)
{
    fputs("\n## Commands that Orbit does not have\n\n"
          "They are described by COMMAND, and a call is answered by an error that says so.\n\n"
          "| group | commands |\n|---|---|\n",
          stdout);
    for (uint32_t g = 0; g < group_count; g++) {
        uint32_t printed = 0;

        for (uint32_t id = 0; id < command_ids(); id++) {
            const struct command *command = command_by_id(id);

            if (!is_in_group(command, groups[g]) || command->layer != COMMAND_ABSENT) {
                continue;
            }
            if (printed++ == 0) {
                printf("| %s | ", groups[g]);
            } else {
                fputs(", ", stdout);
            }
            print_name(command);
        }
        if (printed > 0) {
            fputs(" |\n", stdout);
        }
    }
}

/* "file | case | reason", and comments. False: a line is not so, or too long. */
static bool
print_left_out(FILE *list)
{
    char line[LINE_BYTES_MAX];

    fputs("\n## What of Redis's own tests is not run\n\n"
          "Redis's Tcl suite (7.0.15) runs against Orbit without these cases; SYNC stands for\n"
          "replication.\n\n"
          "| file | case | why |\n|---|---|---|\n",
          stdout);
    while (fgets(line, sizeof(line), list) != NULL) {
        char *end = strchr(line, '\n');

        if (end == NULL) {
            return false;
        }
        *end = '\0';
        if (line[0] != '#' && line[0] != '\0') {
            char *name = strstr(line, " | ");
            char *reason = name == NULL ? NULL : strstr(name + 3, " | ");

            if (reason == NULL) {
                return false;
            }
            *name = '\0';
            *reason = '\0';
            printf("| %s | ", line);
            print_text(name + 3);
            fputs(" | ", stdout);
            print_text(reason + 3);
            fputs(" |\n", stdout);
        }
    }
    return ferror(list) == 0;
}

int
main(int argc, char **argv)
{
    FILE *left_out = argc == 2 ? fopen(argv[1], "r") : NULL;
    const char *groups[GROUPS_MAX];
    uint32_t group_count;
    uint32_t printed = 0;

    command_table_init();
    fputs(
        "# The Redis protocol\n\n"
        "Made from the tables that the server runs by (`tools/docs/main.c`); do not edit.\n\n"
        "Orbit speaks RESP2 and RESP3, and inline commands. Its level of compatibility is\n"
        "Redis 7.2. Commands of one connection take effect in their order, and replies leave\n"
        "in that order, each when what it tells is durable. Each command is a transaction,\n"
        "wherever its keys lie: it takes effect as a whole, and one that answers an error has\n"
        "changed nothing.\n\n"
        "MULTI, EXEC and WATCH are those of Redis, and what EXEC runs is one transaction over\n"
        "all shards. A command that fails in EXEC changes nothing; the others take effect. A key\n"
        "that was missing when it was watched and is missing at EXEC counts as unchanged.\n\n"
        "ORBIT.BEGIN [SERIALIZABLE | REPEATABLE READ | READ COMMITTED] [READ ONLY] begins a\n"
        "transaction that the session's commands belong to until ORBIT.COMMIT or\n"
        "ORBIT.ROLLBACK; the default is SERIALIZABLE. Its writes lock their keys. An error reply\n"
        "of a command leaves it open; CONFLICT (run it again), DEADLOCK, LOCKED and errors of\n"
        "the disk roll it back, and commands then answer TXNABORTED until ORBIT.ROLLBACK.\n"
        "FLUSHDB, FLUSHALL, SWAPDB, MULTI and WATCH are refused inside. What its commands publish\n"
        "(PUBLISH, keyspace events) goes out at ORBIT.COMMIT, at most 64 MiB. The end of the\n"
        "connection rolls back. ORBIT.TXN TOKEN gives a token, by which another session of the\n"
        "same user drives the same transaction (ORBIT.TXN JOIN token); either may end it, and\n"
        "the end of one connection leaves it to the others. ORBIT.ASOF with microseconds since\n"
        "1970 lets the session read at that time, as far back as versions are kept;\n"
        "ORBIT.ASOF LATEST returns to the present.\n\n"
        "Users, their passwords and rules are data of the store, durable and in force on every\n"
        "shard when ACL SETUSER answers; so ACL SAVE has nothing left to do, and there is no ACL\n"
        "file. requirepass is the password of the user default, and is kept as its hash over a\n"
        "restart; --password-file sets it at the start.\n\n"
        "With --cluster-ports the shards are the nodes of a cluster, each with a port. There a\n"
        "session serves the keys of its shard and answers MOVED for others; SCAN, KEYS, DBSIZE\n"
        "and RANDOMKEY tell of that shard, FLUSHDB and FLUSHALL empty all. EXEC may hold\n"
        "commands of several slots of the shard. The plain port serves all keys, and tells the\n"
        "same nodes.\n\n"
        "maxmemory limits the data set, not the server's memory (that is --memory) nor the disk:\n"
        "each key counts 64 bytes, its name and the bytes of its value; an element of a\n"
        "collection that is too large to be packed (128 items or 1,024 bytes) counts 64 bytes,\n"
        "whatever its size; a shard counts 1,024 bytes of its own. The sum is kept exactly by\n"
        "every commit: maxmemory_counted of INFO. Each shard has an equal part of the limit.\n"
        "Above it a command with the flag denyoom answers OOM under noeviction, and otherwise\n"
        "first evicts keys of the shard that runs it, at most 1,024, drawn as Redis does;\n"
        "volatile-ttl takes the key that expires first. A lowered limit is also applied in the\n"
        "background.\n\n"
        "SAVE makes all durable that was written at any level and writes what is in memory into\n"
        "tables; BGSAVE and BGREWRITEAOF do it in the background. LASTSAVE is the end of the last\n"
        "one, before the first the start of the server: at `always` what was answered was durable\n"
        "without it. There is no replication: ROLE says so, and what needs a replica or another\n"
        "server (REPLICAOF, PSYNC, FAILOVER, MIGRATE) is refused.\n\n"
        "A transaction is rolled back when it has had no command for orbit-txn-idle-timeout, or\n"
        "was open for orbit-txn-timeout; a wait for a lock ends after orbit-lock-timeout (LOCKED)\n"
        "and when its client goes, also for commands outside of transactions. IDLETIMEOUT,\n"
        "LOCKTIMEOUT, STATEMENTTIMEOUT and TIMEOUT (milliseconds) of ORBIT.BEGIN lower these\n"
        "limits for one transaction.\n\n"
        "## Commands that Orbit has\n",
        stdout);
    group_count = collect_groups(groups);
    for (uint32_t g = 0; g < group_count; g++) {
        printed += print_group(groups[g]);
    }
    print_absent(groups, group_count);
    fputs("\n## Parameters of CONFIG\n\n"
          "- applied: it does what it says.\n"
          "- kept: it is kept and returned, and tunes an encoding or a mechanism that Orbit does\n"
          "  not have.\n"
          "- refused: only its present value is accepted, since another would promise something\n"
          "  that is not so.\n"
          "- fixed: CONFIG SET does not change it.\n\n",
          stdout);
    config_document();
    if (left_out == NULL || !print_left_out(left_out)) {
        fputs("usage: orbit-docs tests/compat/tcl/skip.txt\n", stderr);
        return 1;
    }
    fclose(left_out);
    return printed > 0 && fflush(stdout) == 0 ? 0 : 1;
}
