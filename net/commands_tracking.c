/* net/commands_tracking.c - CLIENT TRACKING, CACHING, TRACKINGINFO, GETREDIR. */
#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "net/dispatch.h"
#include "net/news.h"
#include "net/tracking.h"

#include "engine/base/poison.h"

/* ---- CLIENT TRACKING ---- */

struct options {
    struct session_tracking wanted;
    const struct slice **prefixes; /* Of the arguments. */
    uint32_t prefix_count;
};

struct find_call {
    uint64_t id;
    bool is_there; /* Out. */
};

static void
find_here(void *arg)
{
    struct find_call *call = arg;

    call->is_there = net_session_find(net_self(), call->id) != NULL;
}

static YIELDS bool
redirect_parse(struct kv_request *request, struct slice word, struct options *options)
{
    struct find_call call = {0};
    int64_t id;

    if (options->wanted.redirect != 0) {
        reply_error(request->reply, "ERR A client can only redirect to a single other client");
        return false;
    }
    if (!reply_parse_int(word, &id)) {
        reply_error(request->reply, "ERR Invalid client ID");
        return false;
    }
    if (id > 0) {
        call.id = (uint64_t)id;
        msg_call((uint32_t)((call.id - 1) % shard_count()), MSG_INLINE, find_here, &call);
    }
    if (!call.is_there) {
        reply_error(request->reply, "ERR The client ID you want redirect to does not exist");
        return false;
    }
    options->wanted.redirect = (uint64_t)id;
    return true;
}

static YIELDS bool
options_parse(struct kv_request *request, struct options *options)
{
    for (uint32_t i = 3; i < request->argc; i++) {
        struct slice word = request->argv[i];
        bool has_more = i + 1 < request->argc;

        if (command_word_is(word, "REDIRECT") && has_more) {
            if (!redirect_parse(request, request->argv[++i], options)) {
                return false;
            }
        } else if (command_word_is(word, "BCAST")) {
            options->wanted.is_bcast = true;
        } else if (command_word_is(word, "OPTIN")) {
            options->wanted.is_optin = true;
        } else if (command_word_is(word, "OPTOUT")) {
            options->wanted.is_optout = true;
        } else if (command_word_is(word, "NOLOOP")) {
            options->wanted.is_noloop = true;
        } else if (command_word_is(word, "PREFIX") && has_more) {
            options->prefixes[options->prefix_count++] = &request->argv[++i];
        } else {
            reply_error(request->reply, "ERR syntax error");
            return false;
        }
    }
    return true;
}

static bool
overlap(struct slice a, struct slice b)
{
    return slice_starts_with(a, b) || slice_starts_with(b, a);
}

static void
overlap_reply(struct kv_request *request, struct slice prefix, const char *which,
              struct slice other)
{
    reply_error(request->reply,
                "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. Prefixes for a single client "
                "must not overlap.",
                (int)MIN(prefix.size, (size_t)128), (const char *)prefix.data, which,
                (int)MIN(other.size, (size_t)128), (const char *)other.data);
}

/* Against those that the session has, and among each other. */
static bool
prefixes_check(const struct session *session, struct kv_request *request,
               const struct options *options)
{
    uint32_t had = session->tracking != NULL ? session->tracking->prefix_count : 0;

    if (options->prefix_count + had > TRACKING_PREFIXES_MAX) {
        reply_error(request->reply, "ERR a connection has at most %d prefixes",
                    TRACKING_PREFIXES_MAX);
        return false;
    }
    for (uint32_t i = 0; i < options->prefix_count; i++) {
        struct slice prefix = *options->prefixes[i];

        if (prefix.size > TRACKING_PREFIX_BYTES_MAX) {
            reply_error(request->reply, "ERR a prefix has at most %d bytes",
                        TRACKING_PREFIX_BYTES_MAX);
            return false;
        }
        for (struct list *at = had > 0 ? session->tracking->prefixes.next : NULL;
             at != NULL && at != &session->tracking->prefixes; at = at->next) {
            const struct tracking_prefix *old = LIST_ENTRY(at, struct tracking_prefix, link);

            if (overlap(prefix, slice_of(old->bytes, old->size))) {
                overlap_reply(request, prefix, "an existing", slice_of(old->bytes, old->size));
                return false;
            }
        }
        for (uint32_t j = i + 1; j < options->prefix_count; j++) {
            if (overlap(prefix, *options->prefixes[j])) {
                overlap_reply(request, prefix, "another provided", *options->prefixes[j]);
                return false;
            }
        }
    }
    return true;
}

/* Do the options fit each other, and what the session has been told before? */
static bool
options_check(const struct session *session, struct kv_request *request,
              const struct options *options)
{
    const struct session_tracking *wanted = &options->wanted;
    const struct session_tracking *now = session->tracking;
    const char *error = NULL;

    if (options->prefix_count > 0 && !wanted->is_bcast) {
        error = "PREFIX option requires BCAST mode to be enabled";
    } else if (now != NULL && now->is_bcast != wanted->is_bcast) {
        error = "You can't switch BCAST mode on/off before disabling tracking for this client, and "
                "then re-enabling it with a different mode.";
    } else if (wanted->is_bcast && (wanted->is_optin || wanted->is_optout)) {
        error = "OPTIN and OPTOUT are not compatible with BCAST";
    } else if (wanted->is_optin && wanted->is_optout) {
        error = "You can't use both OPTIN and OPTOUT";
    } else if (now != NULL &&
               ((wanted->is_optin && now->is_optout) || (wanted->is_optout && now->is_optin))) {
        error = "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and "
                "then re-enabling it with a different mode.";
    }
    if (error != NULL) {
        reply_error(request->reply, "ERR %s", error);
        return false;
    }
    return prefixes_check(session, request, options);
}

static YIELDS void
run_tracking(struct session *session, struct kv_request *request)
{
    bool is_on = command_word_is(request->argv[2], "ON");
    struct options options = {0};

    options.prefixes = arena_alloc(request->arena, request->argc * sizeof(*options.prefixes));
    if (options.prefixes == NULL || !options_parse(request, &options)) {
        return;
    }
    if (is_on) {
        if (!options_check(session, request, &options)) {
            return;
        }
        tracking_begin(session, &options.wanted);
        for (uint32_t i = 0; i < options.prefix_count; i++) {
            tracking_prefix_add(session, *options.prefixes[i]);
        }
        if (options.wanted.is_bcast && session->tracking->prefix_count == 0) {
            tracking_prefix_add(session, slice_of(NULL, 0)); /* Every key. */
        }
    } else if (command_word_is(request->argv[2], "OFF")) {
        tracking_end(session);
    } else {
        reply_error(request->reply, "ERR syntax error");
        return;
    }
    reply_ok(request->reply);
    news_settle(session->net->news);
}

static YIELDS void
run_caching(struct session *session, struct kv_request *request)
{
    struct session_tracking *own = session->tracking;
    bool is_yes = command_word_is(request->argv[2], "YES");

    if (own == NULL) {
        reply_error(request->reply, "ERR CLIENT CACHING can be called only when the client is in "
                                    "tracking mode with OPTIN or OPTOUT mode enabled");
    } else if (is_yes && !own->is_optin) {
        reply_error(request->reply, "ERR CLIENT CACHING YES is only valid when tracking is enabled "
                                    "in OPTIN mode.");
    } else if (is_yes) {
        own->caching = CACHING_YES;
        reply_ok(request->reply);
    } else if (!command_word_is(request->argv[2], "NO")) {
        reply_error(request->reply, "ERR syntax error");
    } else if (!own->is_optout) {
        reply_error(request->reply, "ERR CLIENT CACHING NO is only valid when tracking is enabled "
                                    "in OPTOUT mode.");
    } else {
        own->caching = CACHING_NO;
        reply_ok(request->reply);
    }
}

/* ---- What is in force ---- */

static void
flags_reply(struct kv_request *request, const struct session_tracking *own)
{
    const struct {
        bool is_set;
        const char *name;
    } flags[] = {
        {own == NULL, "off"},
        {own != NULL, "on"},
        {own != NULL && own->is_bcast, "bcast"},
        {own != NULL && own->is_optin, "optin"},
        {own != NULL && own->is_optin && own->caching == CACHING_YES, "caching-yes"},
        {own != NULL && own->is_optout, "optout"},
        {own != NULL && own->is_optout && own->caching == CACHING_NO, "caching-no"},
        {own != NULL && own->is_noloop, "noloop"},
        {own != NULL && own->is_broken, "broken_redirect"},
    };
    uint64_t count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        count += flags[i].is_set;
    }
    reply_set(request->reply, count);
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        if (flags[i].is_set) {
            reply_bulk_text(request->reply, flags[i].name);
        }
    }
}

static int64_t
redirect_of(const struct session *session)
{
    return session->tracking != NULL ? (int64_t)session->tracking->redirect : -1;
}

static YIELDS void
run_getredir(struct session *session, struct kv_request *request)
{
    reply_int(request->reply, redirect_of(session));
}

static YIELDS void
run_trackinginfo(struct session *session, struct kv_request *request)
{
    const struct session_tracking *own = session->tracking;

    reply_map(request->reply, 3);
    reply_bulk_text(request->reply, "flags");
    flags_reply(request, own);
    reply_bulk_text(request->reply, "redirect");
    reply_int(request->reply, redirect_of(session));
    reply_bulk_text(request->reply, "prefixes");
    reply_array(request->reply, own != NULL ? own->prefix_count : 0);
    if (own == NULL) {
        return;
    }
    LIST_FOR_EACH(node, &own->prefixes) {
        const struct tracking_prefix *prefix = LIST_ENTRY(node, struct tracking_prefix, link);

        reply_bulk(request->reply, slice_of(prefix->bytes, prefix->size));
    }
}

const struct net_command net_commands_tracking[] = {
    {"client|tracking", run_tracking},
    {"client|caching", run_caching},
    {"client|getredir", run_getredir},
    {"client|trackinginfo", run_trackinginfo},
    {NULL, NULL},
};
