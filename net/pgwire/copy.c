/* net/pgwire/copy.c - the messages of COPY: rows to the client, and what it sends. */
#include "models/types/sql_error.h"
#include "net/pgwire/internal.h"

#include "engine/base/poison.h"

enum { GATHERED_BYTES = 64 << 10 };

static void
begin_put(struct pg_conn *conn, char type, bool is_binary, uint32_t columns)
{
    size_t begun = message_begin(&conn->output, type);

    buf_append_byte(&conn->output, is_binary);
    message_put_int16(&conn->output, (uint16_t)columns);
    for (uint32_t i = 0; i < columns; i++) {
        message_put_int16(&conn->output, is_binary);
    }
    message_end(&conn->output, begun);
}

err_t
pg_copy_out_begin(void *arg, bool is_binary, uint32_t columns)
{
    begin_put(arg, 'H', is_binary, columns);
    return ERR_OK;
}

err_t
pg_copy_out(void *arg, struct slice row)
{
    struct pg_conn *conn = arg;
    size_t begun = message_begin(&conn->output, 'd');

    buf_append(&conn->output, row.data, row.size);
    message_end(&conn->output, begun);
    return conn->output.size > PG_OUTPUT_BYTES_FLUSH && !pg_flush(conn)
               ? err_set(ERR_CLOSED, "the client has gone")
               : ERR_OK;
}

err_t
pg_copy_out_end(void *arg)
{
    struct pg_conn *conn = arg;

    message_empty(&conn->output, 'c');
    return ERR_OK;
}

err_t
pg_copy_in_begin(void *arg, bool is_binary, uint32_t columns)
{
    struct pg_conn *conn = arg;

    begin_put(conn, 'G', is_binary, columns);
    conn->has_copy_ended = false;
    pg_send_start(conn);
    return ERR_OK;
}

static err_t
failed(struct slice body)
{
    struct message_reader reader = message_reader_of(body);

    return sql_error("57014", "COPY from stdin failed: %s", message_text(&reader));
}

/* One message while rows are read. */
static err_t
message_read(struct pg_conn *conn, struct buf *out)
{
    struct slice body;
    char type = pg_message_peek(conn, &body);
    err_t err = ERR_OK;

    switch (type) {
    case 'd':
        buf_append(out, body.data, body.size);
        break;
    case 'c':
        conn->has_copy_ended = true;
        break;
    case 'f':
        conn->has_copy_ended = true;
        err = failed(body);
        break;
    case 'H':
    case 'S':
        break; /* As PostgreSQL does: they come before the client knew of the COPY. */
    default:
        conn->has_copy_ended = true;
        err = sql_error("08P01", "unexpected message type 0x%02X during COPY from stdin",
                        (uint8_t)type);
        break;
    }
    pg_message_skip(conn);
    return err;
}

err_t
pg_copy_in(void *arg, struct buf *out)
{
    struct pg_conn *conn = arg;
    size_t before = out->size;
    err_t err = ERR_OK;

    while (err == ERR_OK && !conn->has_copy_ended && out->size - before < GATHERED_BYTES) {
        if (!pg_message_is_there(conn)) {
            if (out->size > before) {
                break;
            }
            TRY(pg_message_wait(conn));
        }
        err = message_read(conn, out);
    }
out:
    return err;
}
