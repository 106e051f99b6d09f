/* lsm/vlog.h - value logs: values above LSM_VALUE_INLINE_BYTES_MAX, written once, durably before
 * the log record that points to them. Bytes: docs/format/vlog.md.
 *
 * A value log file holds values of one shard in arrival order; it is closed at
 * VLOG_FILE_BYTES_TARGET. Tables and memtables refer to values by pointer; a file none refers to
 * is removed. Files of an earlier run are only read. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"

enum {
    VLOG_FILE_BYTES_TARGET = 256 << 20,
    VLOG_POINTER_BYTES = 32,
    VLOG_FILES_MAX = 1 << 16, /* An append that needs one more gives ERR_LIMIT. */
    VLOG_OPEN_FILES_MAX = 64, /* Files kept open for reading. */
    VLOG_USED_SHARE_MIN = 50, /* Percent: a file of which tables use less is collected. */
    VLOG_WRITERS_MAX = 8,     /* Appends at a time; more wait. Each has up to 4 MiB of buffers. */
};
#define VLOG_VALUE_BYTES_MAX ((uint64_t)1 << 30)

struct vlog;

/* What stands in place of the value: 32 bytes, little-endian. */
struct vlog_pointer {
    uint64_t file_number;
    uint64_t offset;   /* Of the value's header; multiple of 4 KiB. */
    uint64_t bytes;    /* Of the value. */
    uint64_t checksum; /* XXH3-64 of the value, seeded with file number and offset. */
};
void vlog_pointer_encode(const struct vlog_pointer *pointer, uint8_t out[VLOG_POINTER_BYTES]);
/* ERR_CORRUPT on impossible fields. */
err_t vlog_pointer_decode(struct slice bytes, struct vlog_pointer *pointer_out);

/* A value log's name in its folder is its number in 16 hexadecimal digits and ".vlog". */
enum { VLOG_NAME_BYTES = 16 + 5 + 1 };
void vlog_name(uint64_t file_number, char out[VLOG_NAME_BYTES]);
/* False when `name` is not such a name. */
bool vlog_name_parse(const char *name, uint64_t *file_number_out);

/* The folder exists. next_file_number gives file numbers unique in the shard's folder; one whose
 * file is there is skipped. */
YIELDS err_t vlog_open(const char *dir, uint64_t (*next_file_number)(void *arg), void *arg,
                       struct vlog **vlog_out);
/* Nobody may be appending or reading. Removals under way are waited for; no other file is removed,
 * whatever its references. Accepts NULL. */
YIELDS void vlog_close(struct vlog **vlog);
/* From now on no file is removed any more: before the owner drops, at its own close, memtables
 * which were not flushed, because the log still points to their values. */
void vlog_keep_files(struct vlog *vlog);

/* Write the value; durable on return. Several fibers may append at once. ERR_LIMIT above
 * VLOG_VALUE_BYTES_MAX, ERR_NO_SPACE, ERR_IO, ERR_NO_MEMORY (nothing is kept). The file stays (is
 * held) until vlog_release_hold, which the caller calls when a memtable refers to it. */
YIELDS err_t vlog_append(struct vlog *vlog, struct slice value, struct vlog_pointer *pointer_out);
/* Write a value again, from where it is to the file that is being filled, in pieces: as vlog_append
 * otherwise. ERR_CORRUPT when it is not what its pointer names. The caller holds a reference to the
 * file it comes from. */
YIELDS err_t vlog_move(struct vlog *vlog, const struct vlog_pointer *from,
                       struct vlog_pointer *pointer_out);
void vlog_release_hold(struct vlog *vlog, const struct vlog_pointer *pointer);
/* The value, into the arena. ERR_CORRUPT when the file is missing or the bytes are not those the
 * pointer names; ERR_NO_MEMORY, ERR_IO. */
YIELDS err_t vlog_read(struct vlog *vlog, const struct vlog_pointer *pointer, struct arena *arena,
                       struct slice *value_out);

/* How much of a file's values a table points to: bytes that they take there, headers and padding
 * included. */
struct vlog_use {
    uint64_t file_number;
    uint64_t bytes;
};
/* Counts one value in; the array grows (MEM_BACKGROUND). */
struct vlog_uses {
    struct vlog_use *uses;
    uint32_t count, capacity;
};
void vlog_uses_add(struct vlog_uses *uses, const struct vlog_pointer *pointer);
void vlog_uses_fini(struct vlog_uses *uses);

/* Reference counts by file, held for memtables and tables (the caller counts one for each). A file
 * of this run, or of an earlier one after vlog_collect, is removed in the background when nothing
 * refers to it, nobody holds it and it is full. Neither suspends. */
void vlog_ref(struct vlog *vlog, uint64_t file_number);
void vlog_unref(struct vlog *vlog, uint64_t file_number);
/* The same for a table, with what it uses: for the choice of vlog_victim. */
void vlog_ref_table(struct vlog *vlog, const struct vlog_use *use);
void vlog_unref_table(struct vlog *vlog, const struct vlog_use *use);
/* A full file to which only tables refer, and in which they use less than VLOG_USED_SHARE_MIN
 * percent: moving these values to another file sets free the rest. 0: none. */
uint64_t vlog_victim(const struct vlog *vlog);
bool vlog_is_victim(const struct vlog *vlog, uint64_t file_number);
/* No victim any more: one of its values could not be moved. */
void vlog_mark_damaged(struct vlog *vlog, uint64_t file_number);
/* Files of an earlier run can be victims once their size is known: looks at one. */
YIELDS void vlog_measure(struct vlog *vlog, bool *did_out);
/* The numbers of all files that are there, rising; the array (MEM_TABLES) becomes the caller's. */
void vlog_list(const struct vlog *vlog, uint64_t **numbers_out, uint32_t *count_out);
/* After recovery, when all references are known: remove files that nobody refers to. */
YIELDS err_t vlog_collect(struct vlog *vlog);
