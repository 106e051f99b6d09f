/* net/observe.c - see the header. */
#include "net/observe.h"

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "net/net.h"
#include "net/news.h"
#include "net/session.h"

#include "engine/base/poison.h"

/* ---- Who observes ---- */

static void
count_change(struct net *net, bool is_more)
{
    const uint8_t byte = is_more;
    const struct slice part = slice_of(&byte, 1);

    net->observer_total += is_more ? 1 : -1u;
    news_send_all(net->news, NEWS_OBSERVERS, &part, 1);
}

void
observe_begin(struct session *session)
{
    if (!session->is_observer) {
        session->is_observer = true;
        list_push_back(&session->net->observers, &session->observer_link);
        count_change(session->net, true);
    }
}

void
observe_end(struct session *session)
{
    if (session->is_observer) {
        session->is_observer = false;
        list_remove(&session->observer_link);
        count_change(session->net, false);
    }
}

void
observe_take_count(struct net *net, struct slice body)
{
    net->observer_total += body.data[0] != 0 ? 1 : -1u;
}

/* ---- What is shown ---- */

void
observe_take_line(struct net *net, struct slice body)
{
    LIST_FOR_EACH(node, &net->observers) {
        session_push(LIST_ENTRY(node, struct session, observer_link), slice_of(NULL, 0), body);
    }
}

static void
word_append(struct buf *line, struct slice word)
{
    static const char plain[] = "\\\"\n\r\t\a\b";
    static const char escaped[] = "\\\"nrtab";

    buf_append(line, " \"", 2);
    for (size_t i = 0; i < word.size; i++) {
        uint8_t byte = word.data[i];
        const char *at = byte != 0 ? strchr(plain, byte) : NULL;

        if (at != NULL) {
            buf_append_byte(line, '\\');
            buf_append_byte(line, (uint8_t)escaped[at - plain]);
        } else if (byte >= ' ' && byte <= '~') {
            buf_append_byte(line, byte);
        } else {
            buf_printf(line, "\\x%02x", byte);
        }
    }
    buf_append_byte(line, '"');
}

/* From which argument on passwords stand, and how many; AUTH and HELLO and MIGRATE have some. */
static uint32_t
secrets_find(const struct kv_request *request, uint32_t *count_out)
{
    const char *name = command_full_name(request->command);
    bool is_migrate = strcmp(name, "migrate") == 0;

    *count_out = request->argc;
    if (strcmp(name, "auth") == 0) {
        return 1;
    }
    for (uint32_t i = 1; i < request->argc && (is_migrate || strcmp(name, "hello") == 0); i++) {
        bool is_one = is_migrate && command_word_is(request->argv[i], "AUTH");

        if (is_one || command_word_is(request->argv[i], is_migrate ? "AUTH2" : "AUTH")) {
            *count_out = is_one ? 1 : 2;
            return i + 1;
        }
    }
    return request->argc;
}

static void
line_build(struct buf *line, const struct session *session, const struct kv_request *request)
{
    uint64_t now_us = io_wall_us();
    uint32_t secret_count;
    uint32_t secrets = secrets_find(request, &secret_count);

    buf_printf(line, "+%llu.%06llu [%u %s]", (unsigned long long)(now_us / 1000000),
               (unsigned long long)(now_us % 1000000), request->db,
               request->in_script ? "lua" : session->peer);
    for (uint32_t i = 0; i < request->argc; i++) {
        bool is_secret = i >= secrets && i - secrets < secret_count;

        word_append(line, is_secret ? SLICE("(redacted)") : request->argv[i]);
    }
    buf_append(line, "\r\n", 2);
}

void
observe_command(struct net *net, const struct session *session, const struct kv_request *request)
{
    struct buf line;
    struct slice part;

    if ((request->command->flags & CMD_ADMIN) != 0) {
        return;
    }
    buf_init(&line, MEM_SESSIONS);
    line_build(&line, session, request);
    part = buf_slice(&line);
    observe_take_line(net, part);
    news_send_all(net->news, NEWS_COMMAND, &part, 1);
    buf_fini(&line);
    news_wait_room(net->news);
}
