/* net/pgwire/login.c - who a connection is: trust, or SCRAM-SHA-256 (RFC 5802) by SASL messages.
 *
 * The exchange is the same for a user that does not exist, with a salt that is made of its name,
 * and fails at its end, as with a wrong password. Channel binding is not offered: there is no
 * TLS. */
#include <stdio.h>
#include <string.h>

#include "models/types/sql_error.h"
#include "net/acl.h"
#include "net/net.h"
#include "net/pgwire/internal.h"

#include "engine/base/poison.h"

enum {
    AUTH_SASL = 10,
    AUTH_SASL_CONTINUE = 11,
    AUTH_SASL_FINAL = 12,
    NONCE_BYTES = 18,
};

struct pg_login {
    struct buf startup; /* The startup message's parameters. */
    char *role;         /* Within it. */
    struct scram_verifier verifier;
    bool is_doomed;     /* There is no such user, or no password for this protocol. */
    bool has_first;     /* The client's first message has come. */
    char flag;          /* Of channel binding, as the client gave it. */
    struct buf nonce;   /* The client's and the server's. */
    struct buf message; /* What both have said, as proofs need it. */
};

void
pg_login_free(struct pg_conn *conn)
{
    struct pg_login *login = conn->login;

    conn->login = NULL;
    if (login != NULL) {
        buf_fini(&login->startup);
        buf_fini(&login->nonce);
        buf_fini(&login->message);
        MEM_FREE(MEM_SESSIONS, login);
    }
}

static void
conn_fail(struct pg_conn *conn, err_t err)
{
    pg_error(conn, err, 0, "FATAL");
    pg_farewell(conn);
}

/* ---- Users ---- */

/* The first role and Redis's first user are one. NULL: there is none of this name. */
static struct acl_user *
user_of_role(const char *role)
{
    if (net_self() == NULL || strcmp(role, "default") == 0) {
        return NULL;
    }
    return acl_find(net_self(), slice_from_text(strcmp(role, "orbit") == 0 ? "default" : role));
}

static bool
is_loopback(const struct pg_conn *conn)
{
    const char *peer = io_conn_peer(conn->conn);

    return strncmp(peer, "127.", 4) == 0 || strncmp(peer, "[::1]", 5) == 0;
}

static bool
is_trusted(const struct pg_conn *conn, const char *role)
{
    return conn->pgwire->options.dev_mode && is_loopback(conn) && strcmp(role, "orbit") == 0;
}

/* A role reaches all tables, as ORBIT.SQL does: who may run that may connect. */
static bool
may_connect(const struct acl_user *user)
{
    const struct slice argv[] = {SLICE("ORBIT.SQL"), SLICE("SELECT")};
    struct acl_denial denial;

    return acl_check(user, command_find(SLICE("orbit.sql")), argv, ARRAY_COUNT(argv), &denial);
}

static err_t
user_admit(const char *role)
{
    const struct acl_user *user = user_of_role(role);

    if (user == NULL) {
        return sql_error("28000", "role \"%s\" does not exist", role);
    }
    if (!acl_user_is_enabled(user)) {
        return sql_error("28000", "role \"%s\" is not permitted to log in", role);
    }
    if (!may_connect(user)) {
        (void)sql_error("42501", "permission denied for database \"orbit\"");
        return sql_detail("User does not have CONNECT privilege.");
    }
    return ERR_OK;
}

static bool
session_start(struct pg_conn *conn, struct slice startup, const char *role)
{
    struct slice user = slice_from_text(strcmp(role, "orbit") == 0 ? "default" : role);
    uint8_t *copy = mem_alloc(MEM_SESSIONS, user.size);

    memcpy(copy, user.data, user.size);
    conn->user = slice_of(copy, user.size);
    return pg_session_start(conn, startup, role);
}

/* ---- Beginning ---- */

static void
verifier_load(const struct pg_conn *conn, struct pg_login *login)
{
    struct slice secret = slice_of(conn->pgwire->options.login_secret, PGWIRE_SECRET_BYTES);
    const struct acl_user *user = user_of_role(login->role);
    uint8_t salt[SHA256_BYTES];

    login->is_doomed = user == NULL || !acl_user_verifier(user, &login->verifier);
    hmac_sha256(secret, slice_from_text(login->role), salt);
    if (login->is_doomed) {
        login->verifier = (struct scram_verifier){
            .iterations = SCRAM_ITERATIONS,
            .salt_bytes = SCRAM_SALT_BYTES,
        };
        memcpy(login->verifier.salt, salt, SCRAM_SALT_BYTES);
    }
}

static void
password_ask(struct pg_conn *conn, struct slice startup, size_t role_at)
{
    struct pg_login *login = MEM_NEW(MEM_SESSIONS, struct pg_login);
    size_t begun = message_begin(&conn->output, 'R');

    buf_init(&login->startup, MEM_SESSIONS);
    buf_init(&login->nonce, MEM_SESSIONS);
    buf_init(&login->message, MEM_SESSIONS);
    buf_append(&login->startup, startup.data, startup.size);
    login->role = (char *)login->startup.data + role_at;
    verifier_load(conn, login);
    conn->login = login;
    message_put_int32(&conn->output, AUTH_SASL);
    message_put_text(&conn->output, "SCRAM-SHA-256");
    buf_append_byte(&conn->output, 0);
    message_end(&conn->output, begun);
}

/* The role that the startup message names. */
static err_t
role_find(struct slice startup, const char **role_out)
{
    struct message_reader reader = message_reader_of(startup);

    *role_out = "";
    while (!reader.is_bad && reader.at < reader.end && *reader.at != '\0') {
        const char *name = message_text(&reader);
        const char *value = message_text(&reader);

        if (!reader.is_bad && strcmp(name, "user") == 0) {
            *role_out = value;
        }
    }
    if (reader.is_bad) {
        return err_set(ERR_PROTOCOL, "invalid startup packet layout");
    }
    return (*role_out)[0] != '\0'
               ? ERR_OK
               : sql_error("28000", "no PostgreSQL user name specified in startup packet");
}

bool
pg_login_begin(struct pg_conn *conn, struct slice startup)
{
    const char *role = "";
    err_t err;

    TRY(role_find(startup, &role));
    if (conn->pgwire->conn_count > conn->pgwire->options.connections_max) {
        TRY(sql_error("53300", "sorry, too many clients already"));
    }
    if (is_trusted(conn, role)) {
        conn->has_started = session_start(conn, startup, role);
        return conn->has_started;
    }
    if (conn->pgwire->options.dev_mode && user_of_role(role) == NULL) {
        TRY(sql_error("28000", "role \"%s\" does not exist", role));
    }
    conn->has_started = true;
    password_ask(conn, startup, (size_t)((const uint8_t *)role - startup.data));
    return true;
out:
    pg_error(conn, err, 0, "FATAL");
    return false;
}

/* ---- Attributes of SCRAM's messages: a letter, '=', what it is; commas between ---- */

static err_t
malformed(const char *detail)
{
    (void)sql_error("08P01", "malformed SCRAM message");
    return sql_detail("%s", detail);
}

/* The next one, whatever it is; *rest moves behind it and its comma. */
static err_t
attribute_next(struct slice *rest, char *letter_out, struct slice *value_out)
{
    const uint8_t *comma;
    size_t size;

    if (rest->size < 2 || rest->data[1] != '=') {
        return malformed("An attribute of a letter and \"=\" was expected.");
    }
    comma = memchr(rest->data, ',', rest->size);
    size = comma != NULL ? (size_t)(comma - rest->data) : rest->size;
    if (size < 2) {
        return malformed("An attribute of a letter and \"=\" was expected.");
    }
    *letter_out = (char)rest->data[0];
    *value_out = slice_of(rest->data + 2, size - 2);
    size += comma != NULL;
    *rest = slice_of(rest->data + size, rest->size - size);
    return ERR_OK;
}

static err_t
attribute_take(struct slice *rest, char letter, struct slice *value_out)
{
    char found;
    err_t err;

    TRY(attribute_next(rest, &found, value_out));
    err = found == letter ? ERR_OK : malformed("Another attribute was expected.");
out:
    return err;
}

static bool
is_printable(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < 0x21 || text.data[i] > 0x7e || text.data[i] == ',') {
            return false;
        }
    }
    return text.size > 0;
}

/* ---- The client's first message ---- */

static err_t
binding_take(struct pg_login *login, struct slice *rest)
{
    login->flag = rest->size > 0 ? (char)rest->data[0] : '\0';
    if (login->flag == 'p') {
        return malformed("The client selected SCRAM-SHA-256 without channel binding, but the SCRAM "
                         "message includes channel binding data.");
    }
    if (rest->size < 3 || rest->data[1] != ',') {
        return malformed("A flag of channel binding was expected.");
    }
    if (login->flag != 'n' && login->flag != 'y') {
        return malformed("The flag of channel binding is not known.");
    }
    if (rest->data[2] == 'a') {
        return sql_error("0A000", "client uses authorization identity, but it is not supported");
    }
    if (rest->data[2] != ',') {
        return malformed("Unexpected attribute in client-first-message.");
    }
    *rest = slice_of(rest->data + 3, rest->size - 3);
    return ERR_OK;
}

static void
server_first_put(struct pg_login *login, struct slice client_nonce, struct buf *out)
{
    uint8_t bytes[NONCE_BYTES];

    io_random(bytes, sizeof(bytes));
    buf_append(&login->nonce, client_nonce.data, client_nonce.size);
    base64_put(slice_of(bytes, sizeof(bytes)), &login->nonce);
    buf_append(out, "r=", 2);
    buf_append(out, login->nonce.data, login->nonce.size);
    buf_append(out, ",s=", 3);
    base64_put(slice_of(login->verifier.salt, login->verifier.salt_bytes), out);
    buf_printf(out, ",i=%u", login->verifier.iterations);
}

static err_t
client_first(struct pg_conn *conn, struct slice data)
{
    struct pg_login *login = conn->login;
    struct slice bare, name, nonce, rest = data;
    size_t begun, from;
    char letter;
    err_t err;

    TRY(binding_take(login, &rest));
    bare = rest;
    if (rest.size > 0 && rest.data[0] == 'm') {
        TRY(sql_error("0A000", "client requires an unsupported SCRAM extension"));
    }
    TRY(attribute_take(&rest, 'n', &name)); /* The startup message has said who it is. */
    TRY(attribute_take(&rest, 'r', &nonce));
    if (!is_printable(nonce)) {
        TRY(sql_error("08P01", "non-printable characters in SCRAM nonce"));
    }
    while (rest.size > 0) {
        struct slice ignored;

        TRY(attribute_next(&rest, &letter, &ignored));
    }
    begun = message_begin(&conn->output, 'R');
    message_put_int32(&conn->output, AUTH_SASL_CONTINUE);
    from = conn->output.size;
    server_first_put(login, nonce, &conn->output);
    buf_append(&login->message, bare.data, bare.size);
    buf_append_byte(&login->message, ',');
    buf_append(&login->message, conn->output.data + from, conn->output.size - from);
    message_end(&conn->output, begun);
    login->has_first = true;
    err = ERR_OK;
out:
    return err;
}

/* ---- Its last one ---- */

static err_t
proof_take(struct slice text, uint8_t proof[SHA256_BYTES])
{
    size_t size = 0;

    return base64_take(text, proof, SHA256_BYTES, &size) && size == SHA256_BYTES
               ? ERR_OK
               : malformed("Malformed proof in client-final-message.");
}

static err_t
client_final(struct pg_login *login, struct slice data, uint8_t proof[SHA256_BYTES])
{
    struct slice binding, nonce, value = slice_of(NULL, 0), rest = data;
    size_t without_proof = 0;
    char letter = '\0';
    err_t err;

    TRY(attribute_take(&rest, 'c', &binding));
    if (!slice_equal(binding, login->flag == 'y' ? SLICE("eSws") : SLICE("biws"))) {
        TRY(sql_error("08P01", "unexpected SCRAM channel-binding attribute in "
                               "client-final-message"));
    }
    TRY(attribute_take(&rest, 'r', &nonce));
    while (letter != 'p') {
        without_proof = data.size - rest.size;
        TRY(attribute_next(&rest, &letter, &value));
    }
    if (rest.size > 0) {
        TRY(malformed("Garbage found at the end of client-final-message."));
    }
    TRY(proof_take(value, proof));
    if (!slice_equal(nonce, buf_slice(&login->nonce))) {
        (void)sql_error("08P01", "invalid SCRAM response");
        TRY(sql_detail("Nonce does not match."));
    }
    buf_append_byte(&login->message, ',');
    buf_append(&login->message, data.data, without_proof - 1);
    err = ERR_OK;
out:
    return err;
}

static void
final_put(struct pg_conn *conn)
{
    struct pg_login *login = conn->login;
    uint8_t signature[SHA256_BYTES];
    size_t begun = message_begin(&conn->output, 'R');

    scram_signature(&login->verifier, buf_slice(&login->message), signature);
    message_put_int32(&conn->output, AUTH_SASL_FINAL);
    buf_append(&conn->output, "v=", 2);
    base64_put(slice_of(signature, sizeof(signature)), &conn->output);
    message_end(&conn->output, begun);
}

static err_t
login_finish(struct pg_conn *conn, struct slice data)
{
    struct pg_login *login = conn->login;
    uint8_t proof[SHA256_BYTES];
    bool fits;
    err_t err;

    TRY(client_final(login, data, proof));
    fits = scram_proof_fits(&login->verifier, buf_slice(&login->message), proof);
    if (!fits || login->is_doomed) {
        TRY(sql_error("28P01", "password authentication failed for user \"%s\"", login->role));
    }
    TRY(user_admit(login->role));
    final_put(conn);
    if (!session_start(conn, buf_slice(&login->startup), login->role)) {
        pg_farewell(conn);
    }
    pg_login_free(conn);
out:
    return err;
}

/* ---- Messages ---- */

/* The first response names the mechanism. */
static err_t
initial_take(struct slice body, struct slice *data_out)
{
    struct message_reader reader = message_reader_of(body);
    const char *mechanism = message_text(&reader);
    uint32_t size = message_int32(&reader);

    if (reader.is_bad) {
        return err_set(ERR_PROTOCOL, "invalid message format");
    }
    if (strcmp(mechanism, "SCRAM-SHA-256") != 0) {
        return sql_error("08P01", "client selected an invalid SASL authentication mechanism");
    }
    if (size != (size_t)(reader.end - reader.at)) {
        return size == UINT32_MAX ? malformed("The message is empty.")
                                  : err_set(ERR_PROTOCOL, "invalid message format");
    }
    *data_out = message_bytes(&reader, size);
    return ERR_OK;
}

void
pg_login_message(struct pg_conn *conn, char type, struct slice body)
{
    struct slice data = body;
    err_t err;

    if (type == 'X') {
        conn->is_ended = true;
        return;
    }
    if (type != 'p') {
        TRY(sql_error("08P01", "expected SASL response, got message type %d", type));
    }
    if (!conn->login->has_first) {
        TRY(initial_take(body, &data));
    }
    if (data.size == 0 || memchr(data.data, '\0', data.size) != NULL) {
        TRY(malformed(data.size == 0 ? "The message is empty."
                                     : "Message length does not match input length."));
    }
    err = conn->login->has_first ? login_finish(conn, data) : client_first(conn, data);
out:
    if (err != ERR_OK) {
        conn_fail(conn, err);
    }
}
