/* net/config.c - values of the parameters, their syntax, their effects. */
#include "net/config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/rt/shard.h"
#include "models/kv/reply.h"
#include "net/config_table.h"
#include "net/net.h"
#include "txn/txn.h"

#include "engine/base/poison.h"

struct config {
    struct config_values values;
    char *texts[CONFIG_PARAMETERS_MAX];     /* By index; NUL-terminated. */
    bool was_logged[CONFIG_PARAMETERS_MAX]; /* That setting it tunes nothing. */
};

/* ---- Syntax: each type brings a value to the form in which it is kept ---- */

static bool
message_set(char *message, const char *text)
{
    snprintf(message, ERR_MESSAGE_BYTES_MAX, "%s", text);
    return false;
}

/* Bytes with an optional unit: k and kb as Redis means them (1000 and 1024). */
static bool
memory_parse(const char *text, int64_t *bytes_out)
{
    static const struct {
        const char *unit;
        int64_t factor;
    } units[] = {
        {"", 1},        {"b", 1},        {"k", 1000},       {"kb", 1024},
        {"m", 1000000}, {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30},
    };
    char *end;
    long long number = strtoll(text, &end, 10);

    if (end == text || number < 0 || strchr("0123456789", text[0]) == NULL) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (strcasecmp(end, units[i].unit) == 0) {
            return !__builtin_mul_overflow(number, units[i].factor, bytes_out);
        }
    }
    return false;
}

static bool
number_check(const struct config_parameter *parameter, const char *text, char *out, char *message)
{
    int64_t number;
    char *end;

    if (parameter->type == CONFIG_MEMORY || parameter->type == CONFIG_MEMORY_PERCENT) {
        if (parameter->type == CONFIG_MEMORY_PERCENT && text[0] != '\0' &&
            text[strlen(text) - 1] == '%') {
            number = strtoll(text, &end, 10);
            if (strcmp(end, "%") != 0 || number < 0) {
                return message_set(message, "argument must be a memory or percent value");
            }
            if (number > 100) {
                return message_set(message, "percentage argument must be less or equal to 100");
            }
            number = -number;
        } else if (!memory_parse(text, &number)) {
            return message_set(message, "argument must be a memory value");
        }
    } else {
        number = strtoll(text, &end, parameter->type == CONFIG_OCTAL ? 8 : 10);
        if (end == text || *end != '\0') {
            return message_set(message, parameter->type == CONFIG_OCTAL
                                            ? "argument couldn't be parsed as an octal number"
                                            : "argument couldn't be parsed into an integer");
        }
    }
    if (number < parameter->min || number > parameter->max) {
        snprintf(message, ERR_MESSAGE_BYTES_MAX,
                 "argument must be between %" PRId64 " and %" PRId64 " inclusive", parameter->min,
                 parameter->max);
        return false;
    }
    if (parameter->type == CONFIG_OCTAL) {
        snprintf(out, CONFIG_TEXT_BYTES_MAX, "%llo", (unsigned long long)number);
    } else if (number < 0 && parameter->type == CONFIG_MEMORY_PERCENT) {
        snprintf(out, CONFIG_TEXT_BYTES_MAX, "%lld%%", (long long)-number);
    } else {
        snprintf(out, CONFIG_TEXT_BYTES_MAX, "%lld", (long long)number);
    }
    return true;
}

static bool
enum_check(const struct config_parameter *parameter, const char *text, char *out, char *message)
{
    size_t used = 0;

    for (const char *const *value = parameter->values; *value != NULL; value++) {
        if (strcasecmp(*value, text) == 0) {
            snprintf(out, CONFIG_TEXT_BYTES_MAX, "%s", *value);
            return true;
        }
    }
    used = (size_t)snprintf(message, ERR_MESSAGE_BYTES_MAX,
                            "argument(s) must be one of the following: ");
    for (const char *const *value = parameter->values;
         *value != NULL && used < ERR_MESSAGE_BYTES_MAX; value++) {
        used += (size_t)snprintf(message + used, ERR_MESSAGE_BYTES_MAX - used, "%s%s",
                                 value == parameter->values ? "" : ", ", *value);
    }
    return false;
}

/* Splits into words in place; -1 when there are more than `max`. */
static int
words_split(char *text, char **words, int max)
{
    int count = 0;
    char *rest = NULL;

    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        if (count == max) {
            return -1;
        }
        words[count++] = word;
    }
    return count;
}

static bool
word_is_number(const char *word, double min, double max)
{
    char *end;
    double number = strtod(word, &end);

    return end != word && *end == '\0' && number >= min && number <= max;
}

static bool
save_check(const char *text, char *out, char *message)
{
    enum { WORDS_MAX = 64 };
    char copy[CONFIG_TEXT_BYTES_MAX];
    char *words[WORDS_MAX];
    int count;

    snprintf(copy, sizeof(copy), "%s", text);
    count = words_split(copy, words, WORDS_MAX);
    if (count < 0 || count % 2 != 0) {
        return message_set(message, "Invalid save parameters");
    }
    for (int i = 0; i < count; i++) {
        if (!word_is_number(words[i], i % 2 == 0 ? 1 : 0, INT32_MAX)) {
            return message_set(message, "Invalid save parameters");
        }
    }
    snprintf(out, CONFIG_TEXT_BYTES_MAX, "%s", text);
    return true;
}

/* Of the classes given the values are replaced; the others stay. */
static bool
output_limit_check(const char *present, const char *text, char *out, char *message)
{
    static const char *const classes[] = {"normal", "slave", "pubsub"};
    char now[CONFIG_TEXT_BYTES_MAX], copy[CONFIG_TEXT_BYTES_MAX];
    char *old_words[12], *words[24];
    int count, old_count;
    size_t used = 0;

    snprintf(now, sizeof(now), "%s", present);
    snprintf(copy, sizeof(copy), "%s", text);
    old_count = words_split(now, old_words, ARRAY_COUNT(old_words));
    count = words_split(copy, words, ARRAY_COUNT(words));
    if (old_count != (int)ARRAY_COUNT(old_words) || count < 4 || count % 4 != 0) {
        return message_set(message, "Wrong number of arguments in buffer limit configuration.");
    }
    for (int i = 0; i < count; i += 4) {
        int64_t numbers[3];
        int class = -1;

        for (int c = 0; c < (int)ARRAY_COUNT(classes); c++) {
            if (strcasecmp(words[i], classes[c]) == 0 ||
                (c == 1 && strcasecmp(words[i], "replica") == 0)) {
                class = c;
            }
        }
        if (class < 0) {
            return message_set(message, "Invalid client class specified in buffer limit "
                                        "configuration.");
        }
        if (!memory_parse(words[i + 1], &numbers[0]) || !memory_parse(words[i + 2], &numbers[1]) ||
            !memory_parse(words[i + 3], &numbers[2])) {
            return message_set(message, "Error in hard, soft or soft_seconds setting in buffer "
                                        "limit configuration.");
        }
        for (int n = 0; n < 3; n++) {
            old_words[4 * class + 1 + n] = words[i + 1 + n];
        }
    }
    for (int i = 0; i < old_count; i++) {
        int64_t bytes;

        used +=
            i % 4 == 0 || !memory_parse(old_words[i], &bytes)
                ? (size_t)snprintf(out + used, CONFIG_TEXT_BYTES_MAX - used, "%s%s",
                                   i == 0 ? "" : " ", old_words[i])
                : (size_t)snprintf(out + used, CONFIG_TEXT_BYTES_MAX - used, " %" PRId64, bytes);
    }
    return true;
}

static bool
events_check(const char *text, char *out, char *message)
{
    uint32_t classes;

    if (!kv_event_flags_parse(slice_from_text(text), &classes)) {
        return message_set(message, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    }
    kv_event_flags_text(classes, out);
    return true;
}

static bool
percentiles_check(const char *text, char *out, char *message)
{
    char copy[CONFIG_TEXT_BYTES_MAX];
    char *words[32];
    int count;

    snprintf(copy, sizeof(copy), "%s", text);
    count = words_split(copy, words, ARRAY_COUNT(words));
    if (count < 0) {
        return message_set(message, "too many latency percentiles");
    }
    for (int i = 0; i < count; i++) {
        if (!word_is_number(words[i], 0, 100)) {
            return message_set(message, "latency-tracking-info-percentiles should contain numbers "
                                        "between 0 and 100");
        }
    }
    snprintf(out, CONFIG_TEXT_BYTES_MAX, "%s", text);
    return true;
}

static bool
syntax_check(const struct config_parameter *parameter, const char *present, const char *text,
             char *out, char *message)
{
    switch ((enum config_type)parameter->type) {
    case CONFIG_BOOL:
        if (strcasecmp(text, "yes") != 0 && strcasecmp(text, "no") != 0) {
            return message_set(message, "argument must be 'yes' or 'no'");
        }
        snprintf(out, CONFIG_TEXT_BYTES_MAX, "%s", strcasecmp(text, "yes") == 0 ? "yes" : "no");
        return true;
    case CONFIG_NUMBER:
    case CONFIG_OCTAL:
    case CONFIG_MEMORY:
    case CONFIG_MEMORY_PERCENT:
        return number_check(parameter, text, out, message);
    case CONFIG_ENUM:
        return enum_check(parameter, text, out, message);
    case CONFIG_SAVE:
        return save_check(text, out, message);
    case CONFIG_OUTPUT_LIMIT:
        return output_limit_check(present, text, out, message);
    case CONFIG_PERCENTILES:
        return percentiles_check(text, out, message);
    case CONFIG_EVENTS:
        return events_check(text, out, message);
    case CONFIG_STRING:
        snprintf(out, CONFIG_TEXT_BYTES_MAX, "%s", text);
        return true;
    }
    UNREACHABLE();
}

bool
config_check(const struct config *config, uint32_t index, struct slice value,
             struct config_change *change, char *message)
{
    const struct config_parameter *parameter = &config_parameters[index];
    char text[CONFIG_TEXT_BYTES_MAX];
    bool is_same;

    if ((parameter->flags & CONFIG_IMMUTABLE) != 0) {
        return message_set(message, "can't set immutable config");
    }
    if (value.size >= sizeof(text) || memchr(value.data, '\0', value.size) != NULL) {
        return message_set(message, "the value is too long or holds a NUL byte");
    }
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    change->index = index;
    if (!syntax_check(parameter, config->texts[index], text, change->text, message)) {
        return false;
    }
    is_same = strcmp(change->text, config->texts[index]) == 0;
    if (!is_same && (parameter->flags & CONFIG_PROTECTED) != 0) {
        return message_set(message, "can't set protected config");
    }
    return is_same || parameter->effect != CONFIG_REFUSED ||
           message_set(message, parameter->reason);
}

/* ---- Values ---- */

int32_t
config_find(struct slice name)
{
    for (uint32_t i = 0; i < config_parameter_count; i++) {
        const struct config_parameter *parameter = &config_parameters[i];

        if (command_word_is(name, parameter->name) ||
            (parameter->alias != NULL && command_word_is(name, parameter->alias))) {
            return (int32_t)i;
        }
    }
    return -1;
}

const char *
config_text(const struct config *config, uint32_t index)
{
    ASSERT(index < config_parameter_count);
    return config->texts[index];
}

const struct config_values *
config_values(const struct config *config)
{
    return &config->values;
}

static void
text_replace(struct config *config, uint32_t index, const char *text)
{
    char *old = config->texts[index];
    size_t size = strlen(text) + 1;
    char *copy = mem_alloc(MEM_RUNTIME, size);

    memcpy(copy, text, size);
    config->texts[index] = copy;
    if (old != NULL) {
        mem_free(MEM_RUNTIME, old, strlen(old) + 1);
    }
}

static const char *
text_of(const struct config *config, const char *name)
{
    int32_t index = config_find(slice_from_text(name));

    ASSERT(index >= 0);
    return config->texts[index];
}

static int64_t
number_of(const struct config *config, const char *name)
{
    return strtoll(text_of(config, name), NULL, 10);
}

static const char lock_timeout_name[] = "orbit-lock-timeout";
static const char retention_name[] = "orbit-retention";
static const char retention_bytes_name[] = "orbit-retention-bytes";
static const char scrub_rate_name[] = "orbit-scrub-rate";
/* The text was checked: class, three numbers, class, ... */
static void
output_limits_refresh(struct config *config)
{
    char text[CONFIG_TEXT_BYTES_MAX];
    char *words[4 * OUTPUT_CLASSES];
    int count;

    snprintf(text, sizeof(text), "%s", text_of(config, "client-output-buffer-limit"));
    count = words_split(text, words, ARRAY_COUNT(words));
    ASSERT(count == (int)ARRAY_COUNT(words));
    for (uint32_t class = 0; class < OUTPUT_CLASSES; class ++) {
        config->values.output_limits[class] = (struct output_limit){
            .hard_bytes = (uint64_t)strtoll(words[4 * class + 1], NULL, 10),
            .soft_bytes = (uint64_t)strtoll(words[4 * class + 2], NULL, 10),
            .soft_seconds = (uint64_t)strtoll(words[4 * class + 3], NULL, 10),
        };
    }
}

static void
values_refresh(struct config *config)
{
    struct config_values *values = &config->values;

    output_limits_refresh(config);
    values->tracking_keys_max = (uint64_t)number_of(config, "tracking-table-max-keys");
    values->maxclients = (uint64_t)number_of(config, "maxclients");
    values->timeout_s = (uint64_t)number_of(config, "timeout");
    values->tcp_keepalive_s = (uint64_t)number_of(config, "tcp-keepalive");
    values->bulk_bytes_max = (uint64_t)number_of(config, "proto-max-bulk-len");
    values->query_buffer_bytes_max = (uint64_t)number_of(config, "client-query-buffer-limit");
    values->slowlog_slower_than_us = number_of(config, "slowlog-log-slower-than");
    values->slowlog_max_len = (uint64_t)number_of(config, "slowlog-max-len");
    values->latency_threshold_ms = (uint64_t)number_of(config, "latency-monitor-threshold");
    values->latency_tracking = strcmp(text_of(config, "latency-tracking"), "yes") == 0;
    values->retention_s = (uint64_t)number_of(config, retention_name);
    values->lock_timeout_us = 1000 * (uint64_t)number_of(config, lock_timeout_name);
    values->statement_timeout_us = 1000 * (uint64_t)number_of(config, "orbit-statement-timeout");
    values->txn_idle_timeout_us = 1000 * (uint64_t)number_of(config, "orbit-txn-idle-timeout");
    values->txn_timeout_us = 1000 * (uint64_t)number_of(config, "orbit-txn-timeout");
    values->acl_all_channels = strcmp(text_of(config, "acl-pubsub-default"), "allchannels") == 0;
    values->acllog_max_len = (uint64_t)number_of(config, "acllog-max-len");
}

static void start_set(struct config *config, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
start_set(struct config *config, const char *name, const char *format, ...)
{
    char text[4096];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    text_replace(config, (uint32_t)config_find(slice_from_text(name)), text);
}

err_t
config_new(const struct server_options *options, struct config **config_out)
{
    static const char *const levels[] = {
        [LOG_DEBUG] = "debug",   [LOG_INFO] = "notice", [LOG_WARNING] = "warning",
        [LOG_ERROR] = "warning", [LOG_OFF] = "warning",
    };
    static const char *const fsync[] = {
        [WAL_SYNC] = "always", [WAL_INTERVAL] = "everysec", [WAL_NONE] = "no"};
    struct config *config = MEM_NEW(MEM_RUNTIME, struct config);

    ASSERT(config_parameter_count <= CONFIG_PARAMETERS_MAX);
    for (uint32_t i = 0; i < config_parameter_count; i++) {
        text_replace(config, i, config_parameters[i].start);
    }
    start_set(config, "maxclients", "%u", options->maxclients);
    start_set(config, "databases", "%u", options->databases);
    start_set(config, "port", "%u", options->redis_port);
    start_set(config, "bind", "%s", options->bind_address);
    start_set(config, "dir", "%s", options->data_dir);
    start_set(config, "requirepass", "%s", options->password);
    start_set(config, "enable-debug-command", "%s", options->dev_mode ? "yes" : "no");
    start_set(config, "loglevel", "%s", levels[log_level_get()]);
    start_set(config, "appendfsync", "%s", fsync[options->durability]);
    start_set(config, retention_name, "%llu", (unsigned long long)options->retention_us / 1000000);
    start_set(config, retention_bytes_name, "%llu", (unsigned long long)options->retention_bytes);
    values_refresh(config);
    *config_out = config;
    return ERR_OK;
}

void
config_free(struct config **config_in)
{
    struct config *config = *config_in;

    if (config == NULL) {
        return;
    }
    for (uint32_t i = 0; i < config_parameter_count; i++) {
        mem_free(MEM_RUNTIME, config->texts[i], strlen(config->texts[i]) + 1);
    }
    MEM_FREE(MEM_RUNTIME, *config_in);
}

/* ---- Effects ---- */

static void
durability_apply(struct net *net, const char *text)
{
    if (strcmp(text, "always") == 0) {
        store_set_durability(net->store, WAL_SYNC, 0);
    } else if (strcmp(text, "everysec") == 0) {
        store_set_durability(net->store, WAL_INTERVAL, 1000000);
    } else {
        store_set_durability(net->store, WAL_NONE, 0);
    }
}

static void
loglevel_apply(const char *text)
{
    enum log_level level = LOG_INFO;

    if (strcmp(text, "debug") == 0 || strcmp(text, "verbose") == 0) {
        level = LOG_DEBUG;
    } else if (strcmp(text, "warning") == 0) {
        level = LOG_WARNING;
    } else if (strcmp(text, "nothing") == 0) {
        level = LOG_OFF;
    }
    log_level_set(level);
}

/* Of the limits that OBJECT ENCODING goes by. */
static void
limit_apply(struct kv_encoding_limits *limits, const char *name, int64_t value)
{
    const struct {
        const char *name;
        uint64_t *limit;
    } known[] = {
        {"set-max-intset-entries", &limits->set_intset},
        {"set-max-listpack-entries", &limits->set_listpack},
        {"set-max-listpack-value", &limits->set_listpack_value},
        {"hash-max-listpack-entries", &limits->hash_listpack},
        {"hash-max-listpack-value", &limits->hash_listpack_value},
        {"hll-sparse-max-bytes", &limits->hll_sparse_bytes},
        {"stream-node-max-bytes", &limits->stream_node_bytes},
        {"stream-node-max-entries", &limits->stream_node_entries},
        {"zset-max-listpack-entries", &limits->zset_listpack},
        {"zset-max-listpack-value", &limits->zset_listpack_value},
    };

    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        if (strcmp(name, known[i].name) == 0) {
            *known[i].limit = (uint64_t)value;
        }
    }
    if (strcmp(name, "list-max-listpack-size") == 0) {
        limits->list_listpack = value;
    }
}

static enum kv_eviction
eviction_of(const char *policy)
{
    static const char *const names[] = {
        [KV_EVICT_NONE] = "noeviction",
        [KV_EVICT_ALLKEYS_LRU] = "allkeys-lru",
        [KV_EVICT_ALLKEYS_LFU] = "allkeys-lfu",
        [KV_EVICT_ALLKEYS_RANDOM] = "allkeys-random",
        [KV_EVICT_VOLATILE_LRU] = "volatile-lru",
        [KV_EVICT_VOLATILE_LFU] = "volatile-lfu",
        [KV_EVICT_VOLATILE_RANDOM] = "volatile-random",
        [KV_EVICT_VOLATILE_TTL] = "volatile-ttl",
    };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(policy, names[i]) == 0) {
            return (enum kv_eviction)i;
        }
    }
    UNREACHABLE();
}

static void
retention_apply(struct net *net)
{
    uint64_t bytes = (uint64_t)number_of(net->config, retention_bytes_name);

    store_retention_set(net->store,
                        UINT64_C(1000000) * (uint64_t)number_of(net->config, retention_name),
                        (bytes + shard_count() - 1) / shard_count());
}

static void
effect_apply(struct net *net, const struct config_parameter *parameter, const char *text)
{
    struct kv_config *kv = kv_config(net->kv);

    if (strcmp(parameter->name, "appendfsync") == 0) {
        durability_apply(net, text);
    } else if (strcmp(parameter->name, "loglevel") == 0) {
        loglevel_apply(text);
    } else if (strcmp(parameter->name, "hz") == 0) {
        kv->hz = (uint32_t)MIN(MAX(strtoll(text, NULL, 10), 1LL), 500LL);
    } else if (strcmp(parameter->name, "proto-max-bulk-len") == 0) {
        kv->string_bytes_max = (uint64_t)strtoll(text, NULL, 10);
    } else if (strcmp(parameter->name, "notify-keyspace-events") == 0) {
        (void)kv_event_flags_parse(slice_from_text(text), &kv->event_classes);
    } else if (strcmp(parameter->name, "maxmemory") == 0) {
        /* Each shard has an equal part. */
        kv->memory_bytes_max =
            ((uint64_t)strtoll(text, NULL, 10) + shard_count() - 1) / shard_count();
    } else if (strcmp(parameter->name, "maxmemory-samples") == 0) {
        kv->eviction_samples = (uint32_t)strtoll(text, NULL, 10);
    } else if (strcmp(parameter->name, "busy-reply-threshold") == 0) {
        kv->script_busy_ms = (uint64_t)strtoll(text, NULL, 10);
    } else if (strcmp(parameter->name, "maxmemory-policy") == 0) {
        kv->lfu = strstr(text, "lfu") != NULL;
        kv->eviction = eviction_of(text);
    } else if (strcmp(parameter->name, scrub_rate_name) == 0) {
        lsm_scrub_set(store_lsm(net->store), (uint64_t)strtoll(text, NULL, 10));
    } else if (strcmp(parameter->name, retention_name) == 0 ||
               strcmp(parameter->name, retention_bytes_name) == 0) {
        retention_apply(net);
    } else if (strcmp(parameter->name, lock_timeout_name) == 0) {
        txns_auto_lock_timeout_set(1000 * (uint64_t)strtoll(text, NULL, 10));
    } else {
        limit_apply(&kv->limits, parameter->name, strtoll(text, NULL, 10));
    }
}

void
config_start(struct net *net)
{
    lsm_scrub_set(store_lsm(net->store), (uint64_t)number_of(net->config, scrub_rate_name));
    txns_auto_lock_timeout_set(config_values(net->config)->lock_timeout_us);
}

void
config_apply(struct net *net, const struct config_change *changes, uint32_t count)
{
    struct config *config = net->config;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = changes[i].index;
        const struct config_parameter *parameter = &config_parameters[index];

        if (strcmp(config->texts[index], changes[i].text) == 0) {
            continue;
        }
        text_replace(config, index, changes[i].text);
        effect_apply(net, parameter, changes[i].text);
        if (parameter->effect == CONFIG_KEPT && !config->was_logged[index] && shard_id() == 0) {
            config->was_logged[index] = true;
            LOG_I("config: %s is kept without effect: %s", parameter->name, parameter->reason);
        }
    }
    values_refresh(config);
}

void
config_document(void)
{
    static const char *const effects[] = {
        [CONFIG_APPLIED] = "applied", [CONFIG_KEPT] = "kept", [CONFIG_REFUSED] = "refused"};

    printf("| parameter | at the start | effect | why |\n| --- | --- | --- | --- |\n");
    for (uint32_t i = 0; i < config_parameter_count; i++) {
        const struct config_parameter *parameter = &config_parameters[i];

        if ((parameter->flags & CONFIG_HIDDEN) != 0) {
            continue;
        }
        printf(
            "| %s%s%s%s | %s | %s | %s |\n", parameter->name, parameter->alias != NULL ? " (" : "",
            parameter->alias != NULL ? parameter->alias : "", parameter->alias != NULL ? ")" : "",
            parameter->start[0] != '\0' ? parameter->start : "-",
            (parameter->flags & CONFIG_IMMUTABLE) != 0 ? "fixed" : effects[parameter->effect],
            parameter->reason);
    }
}
