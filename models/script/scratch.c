/* models/script/scratch.c - see the header. */
#include "models/script/scratch.h"

#include "engine/base/poison.h"

enum { SCRATCH_BYTES_KEPT = 64 << 10 };

static int
scratch_collect(lua_State *L)
{
    buf_fini(lua_touserdata(L, 1));
    return 0;
}

struct buf *
scratch_push(lua_State *L)
{
    struct buf *buf = lua_newuserdata(L, sizeof(*buf));

    buf_init(buf, MEM_SESSIONS);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, scratch_collect);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    return buf;
}

void
scratch_reserve(lua_State *L, struct buf *buf, size_t more)
{
    if (buf->size + more > SCRIPT_LUA_BYTES_MAX || !buf_try_reserve(buf, more)) {
        luaL_error(L, "not enough memory");
    }
}

void
scratch_string(lua_State *L, struct buf *buf)
{
    lua_pushlstring(L, (const char *)buf->data, buf->size);
    buf_clear(buf);
    if (buf->capacity > SCRATCH_BYTES_KEPT) {
        enum mem_tag tag = buf->tag;

        buf_fini(buf);
        buf_init(buf, tag);
    }
}
