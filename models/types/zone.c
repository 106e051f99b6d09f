/* models/types/zone.c - TZif files and POSIX TZ strings, and what a zone says of a moment. */
#include "models/types/zone.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "models/types/calendar.h"

#include "engine/base/poison.h"

enum {
    FILE_BYTES_MAX = 64 << 10,
    NAMES_BYTES_MAX = 128 << 10,
    FOLDER_DEPTH_MAX = 4,
    HEADER_BYTES = 44,
    KINDS_MAX = 256,
    TRANSITIONS_MAX = 4096,
    HOUR = 3600,
    DAY = 86400,
    RULE_OFFSET_HOURS_MAX = 167, /* RFC 8536, 3.3.1. */
};

/* A day of each year, by one of the three forms of POSIX. */
struct zone_day {
    enum { DAY_JULIAN, DAY_OF_YEAR, DAY_OF_MONTH } form;
    int32_t month, week, day;
    int32_t second;
};

struct zone_rule {
    struct zone_kind standard, daylight;
    bool has_daylight;
    struct zone_day start, end;
};

struct zone {
    char name[ZONE_NAME_MAX + 1];
    size_t bytes; /* Of the block; 0: it lies in an arena. */
    uint32_t transition_count, kind_count;
    const int64_t *transitions; /* Increasing. */
    const uint8_t *kinds_after; /* Of each transition. */
    const struct zone_kind *kinds;
    bool has_rule; /* What holds after the last transition. */
    struct zone_rule rule;
};

struct zones {
    bool is_listed;
    uint32_t name_count, zone_count;
    char *names_text; /* NAMES_BYTES_MAX */
    const char *names[ZONE_NAMES_MAX];
    const struct zone *read[ZONE_NAMES_MAX]; /* NULL: not yet. */
    bool is_bad[ZONE_NAMES_MAX];             /* The file is none. */
};

static const struct zone_kind kind_utc = {.abbreviation = "UTC"};

/* ---- POSIX TZ strings: std offset [dst [offset] [,start[/time],end[/time]]] ---- */

struct reader {
    const char *at, *end;
};

static bool
reader_take(struct reader *reader, char c)
{
    bool is_there = reader->at < reader->end && *reader->at == c;

    reader->at += is_there;
    return is_there;
}

static bool
read_number(struct reader *reader, int32_t min, int32_t max, int32_t *out)
{
    const char *start = reader->at;
    int32_t value = 0;

    while (reader->at < reader->end && isdigit((unsigned char)*reader->at)) {
        value = value * 10 + (*reader->at++ - '0');
        if (value > max) {
            return false;
        }
    }
    *out = value;
    return reader->at > start && value >= min;
}

static bool
read_name(struct reader *reader, char *out)
{
    bool is_quoted = reader_take(reader, '<');
    const char *start = reader->at;
    size_t size;

    while (reader->at < reader->end && (is_quoted ? *reader->at != '>'
                                                  : !isdigit((unsigned char)*reader->at) &&
                                                        strchr(",+-", *reader->at) == NULL)) {
        reader->at++;
    }
    size = (size_t)(reader->at - start);
    if (is_quoted && !reader_take(reader, '>')) {
        return false;
    }
    size = MIN(size, (size_t)ZONE_ABBREVIATION_MAX);
    memcpy(out, start, size);
    out[size] = '\0';
    return true;
}

/* hh[:mm[:ss]] */
static bool
read_clock(struct reader *reader, int32_t *out)
{
    int32_t hours, minutes = 0, seconds = 0;

    if (!read_number(reader, 0, RULE_OFFSET_HOURS_MAX, &hours)) {
        return false;
    }
    if (reader_take(reader, ':')) {
        if (!read_number(reader, 0, 59, &minutes) ||
            (reader_take(reader, ':') && !read_number(reader, 0, 60, &seconds))) {
            return false;
        }
    }
    *out = hours * HOUR + minutes * 60 + seconds;
    return true;
}

static bool
read_signed_clock(struct reader *reader, int32_t *out)
{
    bool is_negative = reader_take(reader, '-');
    bool is_there;

    if (!is_negative) {
        (void)reader_take(reader, '+');
    }
    is_there = read_clock(reader, out);
    *out = is_there && is_negative ? -*out : *out;
    return is_there;
}

static bool
read_day(struct reader *reader, struct zone_day *day)
{
    bool is_good;

    *day = (struct zone_day){.second = 2 * HOUR};
    if (reader_take(reader, 'J')) {
        day->form = DAY_JULIAN;
        is_good = read_number(reader, 1, 365, &day->day);
    } else if (reader_take(reader, 'M')) {
        day->form = DAY_OF_MONTH;
        is_good = read_number(reader, 1, 12, &day->month) && reader_take(reader, '.') &&
                  read_number(reader, 1, 5, &day->week) && reader_take(reader, '.') &&
                  read_number(reader, 0, 6, &day->day);
    } else {
        day->form = DAY_OF_YEAR;
        is_good = read_number(reader, 0, 365, &day->day);
    }
    return is_good && (!reader_take(reader, '/') || read_signed_clock(reader, &day->second));
}

static bool
read_daylight(struct reader *reader, struct zone_rule *rule)
{
    static const char usual[] =
        "M3.2.0,M11.1.0"; /* As of the United States: PostgreSQL's default. */
    struct reader days = *reader;
    int32_t offset;

    rule->has_daylight = true;
    rule->daylight.is_dst = true;
    rule->daylight.offset = rule->standard.offset + HOUR;
    if (!read_name(reader, rule->daylight.abbreviation) || rule->daylight.abbreviation[0] == '\0') {
        return false;
    }
    if (reader->at < reader->end && *reader->at != ',') {
        if (!read_signed_clock(reader, &offset)) {
            return false;
        }
        rule->daylight.offset = -offset;
    }
    days = *reader;
    if (reader->at == reader->end) {
        days = (struct reader){usual, usual + sizeof(usual) - 1};
    } else if (!reader_take(&days, ',')) {
        return false;
    }
    if (!read_day(&days, &rule->start) || !reader_take(&days, ',') ||
        !read_day(&days, &rule->end)) {
        return false;
    }
    return days.at == days.end;
}

static bool
rule_read(struct slice text, struct zone_rule *rule)
{
    struct reader reader = {(const char *)text.data, (const char *)text.data + text.size};
    int32_t offset;

    *rule = (struct zone_rule){.has_daylight = false};
    if (memchr(text.data, 0, text.size) != NULL ||
        !read_name(&reader, rule->standard.abbreviation) || !read_signed_clock(&reader, &offset)) {
        return false;
    }
    rule->standard.offset = -offset;
    return reader.at == reader.end || read_daylight(&reader, rule);
}

/* Days since 1970 of the year's first day. */
static int64_t
year_start(int64_t year)
{
    return calendar_days((int32_t)year, 1, 1) - CALENDAR_DAYS_1970;
}

static bool
is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Seconds since 1970 of the local time at which the day's change happens in the year. */
static int64_t
day_in_year(const struct zone_day *day, int64_t year)
{
    int64_t days = year_start(year);
    int32_t first, length;

    switch (day->form) {
    case DAY_JULIAN: /* February 29 is never counted. */
        days += day->day - 1 + (is_leap(year) && day->day > 59);
        break;
    case DAY_OF_YEAR:
        days += day->day;
        break;
    case DAY_OF_MONTH:
        days = calendar_days((int32_t)year, day->month, 1) - CALENDAR_DAYS_1970;
        length = calendar_month_days((int32_t)year, day->month);
        first = (int32_t)(((days + 4) % 7 + 7) % 7); /* Weekday; 1970 began on a Thursday. */
        first = (day->day - first + 7) % 7 + (day->week - 1) * 7;
        days += first >= length ? first - 7 : first;
        break;
    }
    return days * DAY + day->second;
}

static int64_t
year_of(int64_t moment)
{
    int32_t year, month, day;
    int64_t days = moment / DAY - (moment % DAY < 0);

    calendar_civil(days + CALENDAR_DAYS_1970, &year, &month, &day);
    return year;
}

static void
rule_at(const struct zone_rule *rule, int64_t moment, struct zone_kind *out)
{
    int64_t year = year_of(moment + rule->standard.offset);
    int64_t start, end;
    bool is_daylight;

    *out = rule->standard;
    if (!rule->has_daylight) {
        return;
    }
    start = day_in_year(&rule->start, year) - rule->standard.offset;
    end = day_in_year(&rule->end, year) - rule->daylight.offset;
    is_daylight =
        start < end ? moment >= start && moment < end : !(moment >= end && moment < start);
    *out = is_daylight ? rule->daylight : rule->standard;
}

static bool
rule_next(const struct zone_rule *rule, int64_t moment, int64_t *out)
{
    int64_t year = year_of(moment + rule->standard.offset);
    int64_t best = INT64_MAX;

    if (!rule->has_daylight) {
        return false;
    }
    for (int64_t y = year - 1; y <= year + 1; y++) {
        int64_t start = day_in_year(&rule->start, y) - rule->standard.offset;
        int64_t end = day_in_year(&rule->end, y) - rule->daylight.offset;

        best = start > moment ? MIN(best, start) : best;
        best = end > moment ? MIN(best, end) : best;
    }
    *out = best;
    return best != INT64_MAX;
}

static struct zone *
zone_in_arena(struct arena *arena, struct slice name)
{
    struct zone *zone = arena_alloc(arena, sizeof(*zone));

    memset(zone, 0, sizeof(*zone));
    memcpy(zone->name, name.data, MIN(name.size, (size_t)ZONE_NAME_MAX));
    zone->has_rule = true;
    return zone;
}

const struct zone *
zone_posix(struct slice text, struct arena *arena)
{
    struct zone_rule rule;
    struct zone *zone;

    if (text.size == 0 || text.size > ZONE_NAME_MAX || !rule_read(text, &rule)) {
        return NULL;
    }
    zone = zone_in_arena(arena, text);
    for (size_t i = 0; zone->name[i] != '\0'; i++) {
        zone->name[i] = (char)toupper((unsigned char)zone->name[i]);
    }
    (void)rule_read(slice_from_text(zone->name), &rule); /* The abbreviations are capitals, too. */
    zone->rule = rule;
    return zone;
}

/* hh[:mm[:ss]] without a sign. */
static int
clock_text(int32_t seconds, char *out, size_t size)
{
    int32_t hours = seconds / HOUR, minutes = seconds / 60 % 60, rest = seconds % 60;

    if (rest != 0) {
        return snprintf(out, size, "%02d:%02d:%02d", hours, minutes, rest);
    }
    return minutes != 0 ? snprintf(out, size, "%02d:%02d", hours, minutes)
                        : snprintf(out, size, "%02d", hours);
}

const struct zone *
zone_of_offset(int32_t offset, struct arena *arena)
{
    char name[ZONE_NAME_MAX + 1], digits[16];
    struct zone *zone;

    (void)clock_text(abs(offset), digits, sizeof(digits));
    (void)snprintf(name, sizeof(name), "<%c%s>%c%s", offset > 0 ? '+' : '-', digits,
                   offset > 0 ? '-' : '+', digits);
    zone = zone_in_arena(arena, slice_from_text(name));
    zone->rule.standard.offset = offset;
    (void)snprintf(zone->rule.standard.abbreviation, sizeof(zone->rule.standard.abbreviation),
                   "%c%.9s", offset > 0 ? '+' : '-', digits);
    return zone;
}

const struct zone *
zone_keep(const struct zone *zone, struct arena *arena)
{
    struct zone *copy;

    if (zone == NULL || zone->bytes != 0) {
        return zone;
    }
    copy = arena_alloc(arena, sizeof(*copy));
    *copy = *zone;
    return copy;
}

const char *
zone_name(const struct zone *zone)
{
    return zone == NULL ? "UTC" : zone->name;
}

/* ---- TZif ---- */

struct tzif {
    uint32_t utc_count, standard_count, leap_count, time_count, type_count, char_count;
    uint8_t version;
    const uint8_t *data; /* Behind the header. */
    size_t data_bytes;
};

static bool
tzif_header(struct slice file, size_t time_bytes, struct tzif *out)
{
    const uint8_t *at = file.data;

    if (file.size < HEADER_BYTES || memcmp(at, "TZif", 4) != 0) {
        return false;
    }
    *out = (struct tzif){
        .version = at[4],
        .utc_count = get_be32(at + 20),
        .standard_count = get_be32(at + 24),
        .leap_count = get_be32(at + 28),
        .time_count = get_be32(at + 32),
        .type_count = get_be32(at + 36),
        .char_count = get_be32(at + 40),
        .data = at + HEADER_BYTES,
    };
    if (out->time_count > TRANSITIONS_MAX || out->type_count == 0 || out->type_count > KINDS_MAX ||
        out->char_count == 0 || out->char_count > FILE_BYTES_MAX ||
        out->leap_count > FILE_BYTES_MAX || out->utc_count > KINDS_MAX ||
        out->standard_count > KINDS_MAX) {
        return false;
    }
    out->data_bytes = out->time_count * (time_bytes + 1) + out->type_count * 6UL + out->char_count +
                      out->leap_count * (time_bytes + 4) + out->standard_count + out->utc_count;
    return out->data_bytes <= file.size - HEADER_BYTES;
}

static void
kind_read(const uint8_t *at, const uint8_t *chars, uint32_t char_count, struct zone_kind *out)
{
    uint32_t index = at[5];

    *out = (struct zone_kind){.offset = (int32_t)get_be32(at), .is_dst = at[4] != 0};
    for (uint32_t i = 0; i < ZONE_ABBREVIATION_MAX && index + i < char_count; i++) {
        if (chars[index + i] == 0) {
            return;
        }
        out->abbreviation[i] = (char)chars[index + i];
    }
}

/* Checks and fills what zone_read has made room for. */
static bool
tzif_fill(const struct tzif *tzif, struct zone *zone, int64_t *transitions, uint8_t *kinds_after,
          struct zone_kind *kinds)
{
    const uint8_t *times = tzif->data, *after = times + 8UL * tzif->time_count;
    const uint8_t *types = after + tzif->time_count, *chars = types + 6UL * tzif->type_count;

    for (uint32_t i = 0; i < tzif->time_count; i++) {
        transitions[i] = (int64_t)get_be64(times + 8UL * i);
        kinds_after[i] = after[i];
        if (after[i] >= tzif->type_count || (i > 0 && transitions[i] <= transitions[i - 1])) {
            return false;
        }
    }
    for (uint32_t i = 0; i < tzif->type_count; i++) {
        kind_read(types + 6UL * i, chars, tzif->char_count, &kinds[i]);
        if (abs(kinds[i].offset) > 2 * DAY) {
            return false;
        }
    }
    zone->transition_count = tzif->time_count;
    zone->kind_count = tzif->type_count;
    return true;
}

/* NULL: the bytes are no zone. */
static struct zone *
zone_read(struct slice file, const char *name)
{
    struct tzif first, tzif;
    struct slice rest, footer;
    struct zone *zone;
    size_t bytes;
    uint8_t *at;
    bool is_good;

    if (!tzif_header(file, 4, &first) || first.version < '2') {
        return NULL;
    }
    rest = slice_of(first.data + first.data_bytes, file.size - HEADER_BYTES - first.data_bytes);
    if (!tzif_header(rest, 8, &tzif) || tzif.leap_count != 0) {
        return NULL;
    }
    bytes = sizeof(*zone) + tzif.time_count * 9UL + tzif.type_count * sizeof(struct zone_kind);
    at = mem_zalloc(MEM_RUNTIME, bytes);
    zone = (struct zone *)at;
    zone->bytes = bytes;
    zone->transitions = (const int64_t *)(at + sizeof(*zone));
    zone->kinds = (const struct zone_kind *)(zone->transitions + tzif.time_count);
    zone->kinds_after = (const uint8_t *)(zone->kinds + tzif.type_count);
    is_good = tzif_fill(&tzif, zone, (int64_t *)(at + sizeof(*zone)),
                        (uint8_t *)(uintptr_t)zone->kinds_after,
                        (struct zone_kind *)(uintptr_t)zone->kinds);
    footer = slice_of(tzif.data + tzif.data_bytes,
                      (size_t)(file.data + file.size - tzif.data) - tzif.data_bytes);
    if (is_good && footer.size > 2 && footer.data[0] == '\n' &&
        footer.data[footer.size - 1] == '\n') {
        zone->has_rule = rule_read(slice_of(footer.data + 1, footer.size - 2), &zone->rule);
    }
    (void)snprintf(zone->name, sizeof(zone->name), "%s", name);
    if (!is_good) {
        mem_free(MEM_RUNTIME, zone, bytes);
        return NULL;
    }
    return zone;
}

/* ---- The folder: what blocks runs on a helper thread, into memory that the shard gives ---- */

struct job {
    char path[512];
    uint8_t *out;
    size_t size, capacity;
};

static void
file_load(void *arg)
{
    struct job *job = arg;
    int file = open(job->path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 1;

    job->size = 0;
    while (file >= 0 && got > 0 && job->size < job->capacity) {
        got = read(file, job->out + job->size, job->capacity - job->size);
        job->size += got > 0 ? (size_t)got : 0;
    }
    if (file >= 0) {
        (void)close(file);
    }
}

static void
folder_list(struct job *job, const char *below, int depth)
{
    char path[512];
    struct dirent *entry;
    DIR *folder;

    (void)snprintf(path, sizeof(path), "%s/%s", ZONE_FOLDER, below);
    folder = depth < FOLDER_DEPTH_MAX ? opendir(path) : NULL;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char name[ZONE_NAME_MAX + 1];
        struct stat status;
        int size =
            snprintf(name, sizeof(name), "%s%s%s", below, *below != '\0' ? "/" : "", entry->d_name);

        if (strchr(entry->d_name, '.') != NULL || size > ZONE_NAME_MAX ||
            strcmp(name, "right") == 0 || strcmp(name, "posix") == 0) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "%s/%s", ZONE_FOLDER, name);
        if (stat(path, &status) != 0) {
            continue;
        }
        if (S_ISDIR(status.st_mode)) {
            folder_list(job, name, depth + 1);
        } else if (S_ISREG(status.st_mode) && job->size + (size_t)size + 1 <= job->capacity) {
            memcpy(job->out + job->size, name, (size_t)size + 1);
            job->size += (size_t)size + 1;
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
}

static void
names_load(void *arg)
{
    folder_list(arg, "", 0);
}

static YIELDS void
job_run(struct job *job, void (*fn)(void *))
{
    if (fiber_self() == NULL || io_helper_run(fn, job) != ERR_OK) {
        fn(job);
    }
}

static int
name_order(const void *a, const void *b)
{
    return strcasecmp(*(const char *const *)a, *(const char *const *)b);
}

static YIELDS void
zones_list(struct zones *zones)
{
    struct job job = {.capacity = NAMES_BYTES_MAX};

    if (zones->is_listed) {
        return;
    }
    job.out = mem_alloc(MEM_RUNTIME, NAMES_BYTES_MAX);
    job_run(&job, names_load);
    if (zones->is_listed) { /* Another fiber came first. */
        mem_free(MEM_RUNTIME, job.out, NAMES_BYTES_MAX);
        return;
    }
    zones->names_text = (char *)job.out;
    for (size_t at = 0; at < job.size && zones->name_count < ZONE_NAMES_MAX;) {
        zones->names[zones->name_count++] = zones->names_text + at;
        at += strlen(zones->names_text + at) + 1;
    }
    qsort(zones->names, zones->name_count, sizeof(zones->names[0]), name_order);
    zones->is_listed = true;
}

struct zones *
zones_new(void)
{
    return MEM_NEW(MEM_RUNTIME, struct zones);
}

void
zones_free(struct zones **zones)
{
    if (*zones == NULL) {
        return;
    }
    for (uint32_t i = 0; i < (*zones)->name_count; i++) {
        if ((*zones)->read[i] != NULL) {
            mem_free(MEM_RUNTIME, (void *)(uintptr_t)(*zones)->read[i], (*zones)->read[i]->bytes);
        }
    }
    if ((*zones)->names_text != NULL) {
        mem_free(MEM_RUNTIME, (*zones)->names_text, NAMES_BYTES_MAX);
    }
    MEM_FREE(MEM_RUNTIME, *zones);
}

uint32_t
zones_count(struct zones *zones)
{
    zones_list(zones);
    return zones->name_count;
}

const char *
zones_name(const struct zones *zones, uint32_t index)
{
    ASSERT(index < zones->name_count);
    return zones->names[index];
}

static YIELDS const struct zone *
zone_load(struct zones *zones, uint32_t index)
{
    struct job job = {.capacity = FILE_BYTES_MAX};
    struct zone *zone;

    if (zones->read[index] != NULL || zones->is_bad[index]) {
        return zones->read[index];
    }
    (void)snprintf(job.path, sizeof(job.path), "%s/%s", ZONE_FOLDER, zones->names[index]);
    job.out = mem_alloc(MEM_RUNTIME, FILE_BYTES_MAX);
    job_run(&job, file_load);
    if (zones->read[index] == NULL) { /* Otherwise another fiber came first. */
        zone = zone_read(slice_of(job.out, job.size), zones->names[index]);
        zones->read[index] = zone;
        zones->is_bad[index] = zone == NULL;
    }
    mem_free(MEM_RUNTIME, job.out, FILE_BYTES_MAX);
    return zones->read[index];
}

const struct zone *
zone_find(struct zones *zones, struct slice name, struct arena *arena)
{
    char text[ZONE_NAME_MAX + 1];
    const char *key = text;
    const char **found;

    if (name.size == 0 || name.size > ZONE_NAME_MAX || memchr(name.data, 0, name.size) != NULL) {
        return NULL;
    }
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    if (zones != NULL) {
        zones_list(zones);
        found = bsearch(&key, zones->names, zones->name_count, sizeof(zones->names[0]), name_order);
        if (found != NULL) {
            return zone_load(zones, (uint32_t)(found - zones->names));
        }
    }
    if (strcasecmp(text, "UTC") == 0 || strcasecmp(text, "GMT") == 0 ||
        strcasecmp(text, "Etc/UTC") == 0) {
        struct zone *zone = zone_in_arena(arena, name);

        (void)snprintf(zone->name, sizeof(zone->name), "%s",
                       strlen(text) > 3               ? "Etc/UTC"
                       : strcasecmp(text, "UTC") == 0 ? "UTC"
                                                      : "GMT");
        zone->rule.standard = kind_utc;
        return zone;
    }
    return zone_posix(name, arena);
}

/* ---- What holds when ---- */

/* Transitions at or before the moment. */
static uint32_t
transitions_until(const struct zone *zone, int64_t moment)
{
    uint32_t low = 0, high = zone->transition_count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (zone->transitions[middle] <= moment) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void
zone_at(const struct zone *zone, int64_t moment, struct zone_kind *kind_out)
{
    uint32_t count;

    if (zone == NULL) {
        *kind_out = kind_utc;
        return;
    }
    count = transitions_until(zone, moment);
    if (count == zone->transition_count && zone->has_rule) {
        rule_at(&zone->rule, moment, kind_out);
    } else {
        *kind_out = zone->kinds[count == 0 ? 0 : zone->kinds_after[count - 1]];
    }
}

bool
zone_next(const struct zone *zone, int64_t moment, int64_t *transition_out)
{
    uint32_t count;

    if (zone == NULL) {
        return false;
    }
    count = transitions_until(zone, moment);
    if (count < zone->transition_count) {
        *transition_out = zone->transitions[count];
        return true;
    }
    return zone->has_rule && rule_next(&zone->rule, moment, transition_out);
}

int32_t
zone_offset_of_local(const struct zone *zone, int64_t local, bool *is_dst_out)
{
    struct zone_kind before, after;
    int64_t boundary, as_before, as_after;

    zone_at(zone, local - DAY, &before);
    *is_dst_out = before.is_dst;
    if (!zone_next(zone, local - DAY, &boundary)) {
        return before.offset;
    }
    zone_at(zone, boundary, &after);
    as_before = local - before.offset;
    as_after = local - after.offset;
    if (as_before < boundary && as_after < boundary) {
        return before.offset;
    }
    if ((as_before > boundary && as_after >= boundary) || as_before <= as_after) {
        *is_dst_out = after.is_dst;
        return after.offset;
    }
    return before.offset;
}

bool
zone_is_fixed(const struct zone *zone, int32_t *offset_out)
{
    *offset_out = 0;
    if (zone == NULL) {
        return true;
    }
    if (zone->has_rule && zone->rule.has_daylight) {
        return false;
    }
    *offset_out = zone->kind_count > 0 ? zone->kinds[0].offset : zone->rule.standard.offset;
    for (uint32_t i = 0; i < zone->kind_count; i++) {
        if (zone->kinds[i].offset != *offset_out) {
            return false;
        }
    }
    return true;
}

static bool
is_abbreviation(const struct zone_kind *kind, struct slice name)
{
    return strlen(kind->abbreviation) == name.size &&
           strncasecmp(kind->abbreviation, (const char *)name.data, name.size) == 0;
}

static bool
kind_tell(const struct zone_kind *kind, int32_t *offset_out, bool *is_dst_out)
{
    *offset_out = kind->offset;
    *is_dst_out = kind->is_dst;
    return true;
}

bool
zone_abbreviation_at(const struct zone *zone, struct slice abbreviation, int64_t moment,
                     int32_t *offset_out, bool *is_dst_out)
{
    uint32_t count;

    if (zone == NULL) {
        return false;
    }
    count = transitions_until(zone, moment);
    if (count == zone->transition_count && zone->has_rule) {
        if (is_abbreviation(&zone->rule.standard, abbreviation)) {
            return kind_tell(&zone->rule.standard, offset_out, is_dst_out);
        }
        if (zone->rule.has_daylight && is_abbreviation(&zone->rule.daylight, abbreviation)) {
            return kind_tell(&zone->rule.daylight, offset_out, is_dst_out);
        }
    }
    for (uint32_t i = count; i > 0; i--) {
        const struct zone_kind *kind = &zone->kinds[zone->kinds_after[i - 1]];

        if (is_abbreviation(kind, abbreviation)) {
            return kind_tell(kind, offset_out, is_dst_out);
        }
    }
    if (zone->kind_count > 0 && is_abbreviation(&zone->kinds[0], abbreviation)) {
        return kind_tell(&zone->kinds[0], offset_out, is_dst_out);
    }
    for (uint32_t i = count; i < zone->transition_count; i++) {
        const struct zone_kind *kind = &zone->kinds[zone->kinds_after[i]];

        if (is_abbreviation(kind, abbreviation)) {
            return kind_tell(kind, offset_out, is_dst_out);
        }
    }
    return false;
}
