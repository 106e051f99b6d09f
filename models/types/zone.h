/* models/types/zone.h - time zones: the files of the system's tz database, and POSIX TZ strings.
 *
 * Files are TZif (RFC 8536) in ZONE_FOLDER, read once a shard when a name is asked for and checked
 * as anything from disk. Offsets are seconds east of Greenwich, moments seconds since 1970. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"

#define ZONE_FOLDER "/usr/share/zoneinfo"

enum { ZONE_NAME_MAX = 63, ZONE_ABBREVIATION_MAX = 10, ZONE_NAMES_MAX = 4096 };

/* What holds between two transitions. */
struct zone_kind {
    int32_t offset;
    bool is_dst;
    char abbreviation[ZONE_ABBREVIATION_MAX + 1];
};

/* Opaque. Immutable. */
struct zone;
/* The zones that a shard has read, until zones_free. */
struct zones;

struct zones *zones_new(void);
void zones_free(struct zones **zones);
/* How many zones the folder names, read at the first call; and the name of one, in order. */
YIELDS uint32_t zones_count(struct zones *zones);
const char *zones_name(const struct zones *zones, uint32_t index);

/* By name, in any case, or a POSIX string (made in the arena). NULL: there is no such zone.
 * zones NULL: only UTC and POSIX strings. */
YIELDS const struct zone *zone_find(struct zones *zones, struct slice name, struct arena *arena);
/* A fixed offset; its name is as PostgreSQL shows it: <-05>+05. */
const struct zone *zone_of_offset(int32_t offset, struct arena *arena);
/* A POSIX string only. */
const struct zone *zone_posix(struct slice text, struct arena *arena);
/* A copy of a zone that lies in an arena; one of `zones` is returned itself. */
const struct zone *zone_keep(const struct zone *zone, struct arena *arena);
const char *zone_name(const struct zone *zone);

/* NULL is UTC for all of these. */
void zone_at(const struct zone *zone, int64_t moment, struct zone_kind *kind_out);
/* The first transition after the moment. False: there is none. */
bool zone_next(const struct zone *zone, int64_t moment, int64_t *transition_out);
/* The offset of a local time, given as if it were UTC. In a gap what held before it, in an hour
 * that comes twice what holds after it. */
int32_t zone_offset_of_local(const struct zone *zone, int64_t local, bool *is_dst_out);
/* One offset for ever? */
bool zone_is_fixed(const struct zone *zone, int32_t *offset_out);
/* What the zone means by its abbreviation at the moment: the last use before it, otherwise the
 * first after it. False: it has none of that name. */
bool zone_abbreviation_at(const struct zone *zone, struct slice abbreviation, int64_t moment,
                          int32_t *offset_out, bool *is_dst_out);

/* ---- Abbreviations (zone_abbreviation.c): PostgreSQL's set "Default" ---- */

struct zone_abbreviation {
    const char *name; /* Small letters. */
    int32_t offset;
    bool is_dst;
    const char *zone; /* Not NULL: what it means there at the moment. */
};
/* NULL: none. In any case. */
const struct zone_abbreviation *zone_abbreviation_find(struct slice name);
uint32_t zone_abbreviation_count(void);
const struct zone_abbreviation *zone_abbreviation_get(uint32_t index);
