/* engine/base/buf.c - a growing run of bytes; doubles, so appending costs a constant on average. */
#include <stdarg.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/mem.h"

#include "engine/base/poison.h"

enum { BUF_BYTES_MIN = 64 };

void
buf_init(struct buf *buf, enum mem_tag tag)
{
    *buf = (struct buf){.tag = tag};
}

void
buf_fini(struct buf *buf)
{
    mem_free(buf->tag, buf->data, buf->capacity);
    buf->data = NULL;
    buf->size = 0;
    buf->capacity = 0;
}

bool
buf_try_reserve(struct buf *buf, size_t more)
{
    size_t capacity;
    uint8_t *data;

    if (buf->capacity - buf->size >= more) {
        return true;
    }
    if (more > SIZE_MAX / 4 - buf->size) {
        return false;
    }
    capacity = MAX(MAX(buf->capacity * 2, buf->size + more), (size_t)BUF_BYTES_MIN);
    data = mem_realloc(buf->tag, buf->data, buf->capacity, capacity);
    if (data == NULL) {
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void
buf_grow(struct buf *buf, size_t more)
{
    if (!buf_try_reserve(buf, more)) {
        fatal("out of memory: a buffer of %zu bytes cannot take %zu more", buf->size, more);
    }
}

void
buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(length >= 0);
    /* vsnprintf ends with a NUL, which is room but no content. */
    buf_reserve(buf, (size_t)length + 1);
    va_start(args, format);
    vsnprintf((char *)buf->data + buf->size, (size_t)length + 1, format, args);
    va_end(args);
    buf->size += (size_t)length;
}
