/* models/script/scratch.h - bytes that a library puts together for a Lua string. They belong to the
 * Lua state, so that an error leaves nothing behind. No suspension while they are in use. */
#pragma once

#include "models/script/internal.h"

/* Pushes a userdata that holds the buffer, empty. */
RAISES struct buf *scratch_push(lua_State *L);
/* Room for so many more bytes, or "not enough memory". */
RAISES void scratch_reserve(lua_State *L, struct buf *buf, size_t more);
/* Pushes what it holds as a string; it is empty then, and modest in size. */
RAISES void scratch_string(lua_State *L, struct buf *buf);
