/* models/types/reg.c - types whose values are numbers of objects and print as names (regclass,
 * regtype and their like), and xid. */
#include "engine/base/assert.h"
#include "models/types/sql_error.h"
#include "models/types/type_io.h"

#include "engine/base/poison.h"

bool
type_is_unsigned(const struct type *type)
{
    switch (type->oid) {
    case OID_OID:
    case OID_XID:
    case OID_REGPROC:
    case OID_REGPROCEDURE:
    case OID_REGOPER:
    case OID_REGOPERATOR:
    case OID_REGCLASS:
    case OID_REGTYPE:
    case OID_REGROLE:
    case OID_REGNAMESPACE:
    case OID_REGCOLLATION:
        return true;
    default:
        return false;
    }
}

static bool
is_number(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return text.size > 0;
}

err_t
reg_input(const struct type *type, const struct type_io *context, struct slice text, int32_t typmod,
          struct datum *out)
{
    const struct type_names *names = context->settings->names;
    oid_t oid;
    err_t err;

    (void)typmod;
    if (slice_equal(text, SLICE("-"))) {
        out->i = 0;
        return ERR_OK;
    }
    if (is_number(text)) {
        return int_from_text(text, "oid", 0, UINT32_MAX, &out->i);
    }
    if (names == NULL) {
        return sql_error("22P02", "invalid input syntax for type %s: \"%.*s\"", type->name,
                         (int)text.size, (const char *)text.data);
    }
    err = names->find(names, type->oid, text, context->arena, &oid);
    out->i = err == ERR_OK ? (int64_t)oid : out->i;
    return err;
}

void
reg_output(const struct type *type, const struct type_settings *settings, struct datum value,
           struct buf *out)
{
    if (value.i == 0) {
        buf_append_byte(out, '-');
    } else if (settings->names == NULL ||
               !settings->names->put(settings->names, type->oid, (oid_t)value.i, out)) {
        buf_printf(out, "%u", (oid_t)value.i);
    }
}

err_t
reg_receive(const struct type *type, const struct type_io *context, struct slice bytes,
            struct datum *out)
{
    (void)type;
    (void)context;
    if (bytes.size != sizeof(oid_t)) {
        return sql_error("22P03", "incorrect binary data format");
    }
    out->i = (int64_t)get_be32(bytes.data);
    return ERR_OK;
}

void
reg_send(const struct type *type, struct datum value, struct buf *out)
{
    int_send(type, value, out);
}

err_t
xid_input(const struct type *type, const struct type_io *context, struct slice text, int32_t typmod,
          struct datum *out)
{
    (void)type;
    (void)context;
    (void)typmod;
    return int_from_text(text, "xid", 0, UINT32_MAX, &out->i);
}

void
xid_output(const struct type *type, const struct type_settings *settings, struct datum value,
           struct buf *out)
{
    (void)type;
    (void)settings;
    buf_printf(out, "%u", (uint32_t)value.i);
}

err_t
xid_receive(const struct type *type, const struct type_io *context, struct slice bytes,
            struct datum *out)
{
    return reg_receive(type, context, bytes, out);
}

void
xid_send(const struct type *type, struct datum value, struct buf *out)
{
    int_send(type, value, out);
}
