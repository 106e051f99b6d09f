/* lsm/vlog_internal.h - what the files vlog*.c share. */
#pragma once

#include <xxhash.h>

#include "engine/base/list.h"
#include "engine/io/io.h"
#include "lsm/vlog.h"

#define VLOG_MAGIC UINT64_C(0x6f72626974766c67)

/* ---- Bytes. ---- */

enum {
    VLOG_FORMAT_VERSION = 1,
    VLOG_HEADER_BYTES = 64,                   /* Of a file, and of a value. */
    VLOG_FIRST_VALUE_OFFSET = IO_BLOCK_BYTES, /* The file header has the first block. */
};

void vlog_file_header_encode(uint64_t file_number, uint8_t out[VLOG_HEADER_BYTES]);
/* ERR_CORRUPT, ERR_FORMAT. */
err_t vlog_file_header_check(const uint8_t in[VLOG_HEADER_BYTES], uint64_t file_number);
void vlog_value_header_encode(const struct vlog_pointer *pointer, uint8_t out[VLOG_HEADER_BYTES]);
/* ERR_CORRUPT when the header is not that of the value which the pointer names. */
err_t vlog_value_header_check(const uint8_t in[VLOG_HEADER_BYTES],
                              const struct vlog_pointer *pointer);
/* Seed of a value's checksum. */
uint64_t vlog_seed(uint64_t file_number, uint64_t offset);

/* The checksum of a value begins. For a state whose memory was anything before: a reset alone keeps
 * the secret of a state that has the same seed already, and memory in which a state of this place
 * once lay may have the seed still, and the secret no more. */
void vlog_hash_begin(XXH3_state_t *hash, uint64_t seed);

/* Header, value and padding. */
uint64_t vlog_value_span(uint64_t value_bytes);

/* ---- Files. ---- */

struct vlog_file {
    uint64_t number;
    uint64_t refs;        /* vlog_ref */
    uint64_t table_refs;  /* Of refs, those of tables. */
    uint64_t used_bytes;  /* By tables. */
    uint64_t holds;       /* Appended values not yet referred to. */
    uint64_t users;       /* Fibers that append to it or read it. */
    uint64_t end;         /* Where the next value goes, or went last; 0: not opened so far. */
    struct io_file *file; /* NULL while closed. */
    struct fiber_mutex open_mutex;
    struct list open_link; /* In vlog->open_files while file is set, least recently used first. */
    bool is_ours;          /* Made in this run: all references to it are known. */
    bool is_missing;       /* Referred to, but not in the folder. */
    bool is_failed;        /* A write failed: nothing more is appended. */
    bool is_damaged;       /* A value could not be moved, or the file not opened: let alone. */
};

struct vlog {
    uint64_t magic;
    char dir[IO_PATH_BYTES_MAX];
    uint64_t (*next_file_number)(void *arg);
    void *arg;
    struct vlog_file **files; /* By number. */
    uint32_t file_count;
    uint32_t file_capacity;
    struct vlog_file *active; /* Takes new values; NULL when there is none. */
    struct fiber_mutex active_mutex;
    struct list open_files;
    uint32_t open_count;
    uint32_t writers;
    struct cond writers_cond;
    struct fiber_group removals;
    bool is_collected; /* References to files of earlier runs are known, too. */
    bool keeps_files;
};

/* Room for `span` bytes at *offset_out of a file, which is held and used once more
 * (vlog_file_release). */
YIELDS err_t vlog_file_reserve(struct vlog *vlog, uint64_t span, struct vlog_file **file_out,
                               uint64_t *offset_out);
/* The disk was full: the room is used again, or stays a gap when other values follow. */
YIELDS void vlog_file_give_back(struct vlog *vlog, struct vlog_file *file, uint64_t offset,
                                uint64_t span);
/* No more appends go to this file. */
void vlog_file_retire(struct vlog *vlog, struct vlog_file *file);
/* An open file with its header checked, used once more. ERR_CORRUPT when it is missing. */
YIELDS err_t vlog_file_acquire(struct vlog *vlog, uint64_t number, struct vlog_file **file_out);
/* One user less. */
void vlog_file_release(struct vlog *vlog, struct vlog_file *file);
/* NULL when unknown. */
struct vlog_file *vlog_file_find(struct vlog *vlog, uint64_t number);
/* Remove the file if nothing needs it; the struct may be gone afterwards. */
void vlog_file_consider(struct vlog *vlog, struct vlog_file *file);
