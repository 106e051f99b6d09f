/* tests/unit/lsm/test_check.c - the check at rest and the scrub find what is not as it was written:
 * every byte of the manifest and of CURRENT, and every region of tables and value logs. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/prng.h"
#include "engine/rt/shard.h"
#include "lsm/check.h"
#include "tests/lib/fiber_test.h"
#include "tests/unit/lsm/tree_model.h"

TestSuite(check, .timeout = 120);

enum { STEPS = 300, FLIPS = 400, LARGE_BYTES = 70000, ENTRIES = 200 };

struct findings {
    uint32_t damages, notes;
    uint64_t files, bytes;
    char last[ERR_MESSAGE_BYTES_MAX];
};

static void
note_finding(void *arg, enum check_finding finding, const char *message)
{
    struct findings *findings = arg;

    findings->damages += finding == CHECK_DAMAGE;
    findings->notes += finding == CHECK_NOTE;
    snprintf(findings->last, sizeof(findings->last), "%s", message);
}

static void
note_progress(void *arg, uint64_t files, uint64_t bytes)
{
    struct findings *findings = arg;

    findings->files += files;
    findings->bytes += bytes;
}

static struct findings
check_tree(struct lsm_checked *checked)
{
    struct findings findings = {0};
    struct lsm_check_options options = {
        .dir = "tree", .report = note_finding, .progress = note_progress, .arg = &findings};
    err_t err = lsm_check(&options, checked);

    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    cr_assert_eq(checked->damages, findings.damages);
    return findings;
}

/* A tree at rest, with a named checkpoint whose tables it has replaced. */
static void
tree_make(void)
{
    const struct slice everything = slice_of(NULL, 0);
    struct model *model = model_new(1, "tree", false);
    struct lsm_hold *hold;

    cr_assert_eq(model_open(model), ERR_OK);
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t k = 0; k < STEPS; k++) {
            model_step(model);
        }
        model_rotate(model);
        cr_assert_eq(lsm_flush(model->lsm), ERR_OK);
        hold = lsm_hold_take(model->lsm);
        cr_assert_eq(
            lsm_checkpoint_add(hold, i == 0 ? "a" : "b", model->ts, lsm_hold_flushed_lsn(hold)),
            ERR_OK);
        lsm_hold_drop(&hold);
    }
    lsm_horizon_set(model->lsm, model->ts);
    cr_assert_eq(lsm_compact(model->lsm, everything, everything), ERR_OK);
    model_close(model);
    model_free(model);
}

FIBER_TEST(check, a_sound_tree_has_no_findings)
{
    struct lsm_checked checked;
    struct findings findings;
    uint64_t files = 0;
    uint64_t bytes = 0;

    tree_make();
    findings = check_tree(&checked);
    cr_assert_eq(findings.damages, 0, "%s", findings.last);
    cr_assert_eq(findings.notes, 0, "%s", findings.last);
    cr_assert(checked.has_manifest);
    cr_assert_eq(checked.checkpoints, 2);
    cr_assert_eq(findings.files, checked.tables + 1);
    cr_assert_eq(findings.bytes, checked.bytes);
    cr_assert_eq(lsm_check_size("tree", &files, &bytes), ERR_OK);
    cr_assert_leq(files, findings.files);
    cr_assert_gt(bytes, 0);
}

/* ---- Every byte of the metadata. ---- */

struct walk {
    char paths[64][IO_PATH_BYTES_MAX];
    uint64_t sizes[64];
    uint32_t count;
    const char *part;
};

static void
walk_visit(const char *path, uint64_t size, void *arg)
{
    struct walk *walk = arg;

    if (strstr(path, walk->part) != NULL && walk->count < ARRAY_COUNT(walk->paths)) {
        snprintf(walk->paths[walk->count], sizeof(walk->paths[0]), "%s", path);
        walk->sizes[walk->count++] = size;
    }
}

/* Flipped, checked, flipped back. */
static uint32_t
damages_of_flip(const char *path, uint64_t at, char message[ERR_MESSAGE_BYTES_MAX])
{
    struct lsm_checked checked;
    struct findings findings;
    uint32_t bit = (uint32_t)(at * 7 % 8);

    sim_disk_flip_bit(sim_world_current(), path, at * 8 + bit);
    findings = check_tree(&checked);
    sim_disk_flip_bit(sim_world_current(), path, at * 8 + bit);
    snprintf(message, ERR_MESSAGE_BYTES_MAX, "%s", findings.last);
    return findings.damages;
}

static struct walk *
walk_new(const char *part)
{
    struct walk *walk = calloc(1, sizeof(*walk));

    cr_assert_not_null(walk);
    walk->part = part;
    sim_disk_visit(sim_world_current(), walk_visit, walk);
    cr_assert_gt(walk->count, 0);
    return walk;
}

FIBER_TEST(check, a_flipped_bit_in_current_is_found_wherever_it_is)
{
    char message[ERR_MESSAGE_BYTES_MAX];
    struct walk *walk;

    tree_make();
    walk = walk_new("CURRENT");
    for (uint64_t at = 0; at < walk->sizes[0]; at += at < 64 ? 1 : 97) {
        cr_assert_gt(damages_of_flip(walk->paths[0], at, message), 0, "byte %llu",
                     (unsigned long long)at);
        cr_assert(strstr(message, "CURRENT") != NULL, "%s", message);
    }
    free(walk);
}

/* The last seal may be taken for a torn tail; it is the only batch whose loss loses nothing. */
FIBER_TEST(check, a_flipped_bit_in_the_manifest_is_found_or_loses_nothing)
{
    char message[ERR_MESSAGE_BYTES_MAX];
    struct walk *walk;
    uint64_t step;

    tree_make();
    walk = walk_new("MANIFEST");
    cr_assert_eq(walk->count, 1);
    step = MAX(1u, walk->sizes[0] / 3000);
    for (uint64_t at = 0; at < walk->sizes[0]; at += step) {
        struct lsm_checked sound, checked;
        struct findings findings;
        uint32_t bit = (uint32_t)(at % 8);

        (void)check_tree(&sound);
        sim_disk_flip_bit(sim_world_current(), walk->paths[0], at * 8 + bit);
        findings = check_tree(&checked);
        sim_disk_flip_bit(sim_world_current(), walk->paths[0], at * 8 + bit);
        if (findings.damages == 0) {
            cr_assert_geq(at, walk->sizes[0] - IO_BLOCK_BYTES, "byte %llu", (unsigned long long)at);
            cr_assert_eq(checked.tables, sound.tables);
            cr_assert_eq(checked.checkpoints, sound.checkpoints);
            cr_assert_eq(checked.flushed_lsn, sound.flushed_lsn);
        }
        if (at > 2000 && at + 70000 < walk->sizes[0]) {
            at += 1500; /* Each check reads all tables: the middle is sampled. */
        }
    }
    (void)message;
    free(walk);
}

/* ---- Tables and value logs. ---- */

static void
large_tree_make(void)
{
    const struct lsm_options options = {.dir = "tree", .background_off = true};
    static uint8_t value[LARGE_BYTES];
    struct lsm_recovered recovered;
    struct lsm *lsm = NULL;

    cr_assert_eq(lsm_open(&options, &recovered, &lsm), ERR_OK);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint8_t pointer_bytes[VLOG_POINTER_BYTES];
        struct vlog_pointer pointer;
        uint8_t key[4];
        struct lsm_entry entry = {
            .key = slice_of(key, 4), .ts = 4096 + i, .lsn = i + 1, .kind = LSM_PUT};

        put_be32(key, i);
        memset(value, (int)i, sizeof(value));
        entry.value = slice_of(value, 100);
        if (i % 50 == 0) {
            cr_assert_eq(vlog_append(lsm_vlog(lsm), slice_of(value, LARGE_BYTES), &pointer),
                         ERR_OK);
            vlog_pointer_encode(&pointer, pointer_bytes);
            entry.kind = LSM_PUT_LARGE;
            entry.value = slice_of(pointer_bytes, sizeof(pointer_bytes));
        }
        lsm_apply(lsm, &entry);
        if (i % 50 == 0) {
            vlog_release_hold(lsm_vlog(lsm), &pointer);
        }
    }
    lsm_rotate(lsm, ENTRIES, slice_of(NULL, 0));
    cr_assert_eq(lsm_flush(lsm), ERR_OK);
    lsm_close(&lsm);
}

/* Bytes behind the sections and behind a value, up to the block's end, are zeros that nobody
 * reads: a flip there is harmless. */
static void
flips_are_found(const char *part, uint32_t harmless_max)
{
    char message[ERR_MESSAGE_BYTES_MAX];
    struct walk *walk;
    struct prng prng;
    uint32_t harmless = 0;

    prng_init(&prng, 5);
    large_tree_make();
    walk = walk_new(part);
    for (uint32_t i = 0; i < FLIPS; i++) {
        uint64_t at = prng_below(&prng, walk->sizes[0]);

        if (damages_of_flip(walk->paths[0], at, message) == 0) {
            harmless++;
        } else {
            const char *name = strrchr(walk->paths[0], '/') + 1;

            cr_assert(strncmp(name, "0000", 4) == 0);
            cr_assert(strstr(message, "0000000000000") != NULL, "it names the file: %s", message);
        }
    }
    cr_assert_lt(harmless, harmless_max, "%u of %u flips were not found", harmless, FLIPS);
    free(walk);
}

FIBER_TEST(check, flipped_bits_in_tables_are_found)
{
    flips_are_found(".table", FLIPS / 2);
}

FIBER_TEST(check, flipped_bits_in_large_values_are_found)
{
    flips_are_found(".vlog", FLIPS / 5);
}

FIBER_TEST(check, missing_and_stray_files_are_named)
{
    struct lsm_checked checked;
    struct findings findings;
    struct io_file *file = NULL;
    struct walk *walk;

    large_tree_make();
    cr_assert_eq(io_open("tree/00000000000000ff.table", IO_CREATE, &file), ERR_OK);
    io_close(&file);
    findings = check_tree(&checked);
    cr_assert_eq(findings.damages, 0);
    cr_assert_eq(findings.notes, 1);
    cr_assert(strstr(findings.last, "00000000000000ff.table") != NULL);
    cr_assert_eq(io_unlink("tree/00000000000000ff.table"), ERR_OK);
    walk = walk_new(".table");
    cr_assert_eq(io_unlink(walk->paths[0]), ERR_OK);
    findings = check_tree(&checked);
    cr_assert_eq(findings.damages, 1);
    cr_assert(strstr(findings.last, walk->paths[0]) != NULL, "%s", findings.last);
    cr_assert_eq(io_unlink("tree/CURRENT"), ERR_OK);
    findings = check_tree(&checked);
    cr_assert_eq(findings.damages, 1);
    cr_assert_not(checked.has_manifest);
    free(walk);
}

/* ---- Scrub. ---- */

FIBER_TEST(check, scrub_reads_at_its_rate_and_tells_of_damage_once)
{
    const struct lsm_options options = {.dir = "tree"};
    struct lsm_recovered recovered;
    struct lsm *lsm = NULL;
    struct lsm_stats stats;
    struct walk *walk;
    uint64_t begun_us;

    large_tree_make();
    cr_assert_eq(lsm_open(&options, &recovered, &lsm), ERR_OK);
    fiber_sleep_us(1000000);
    lsm_stats_get(lsm, &stats);
    cr_assert_eq(stats.scrub_bytes, 0, "off unless it is asked for");
    begun_us = shard_now_us();
    lsm_scrub_set(lsm, 100000);
    do {
        fiber_sleep_us(100000);
        lsm_stats_get(lsm, &stats);
    } while (stats.scrub_rounds == 0 && shard_now_us() - begun_us < 60000000);
    cr_assert_eq(stats.scrub_rounds, 1);
    cr_assert_gt(stats.scrub_bytes, 4 * LARGE_BYTES);
    cr_assert_geq(shard_now_us() - begun_us, 2000000, "300 KB at 100 KB/s");
    cr_assert_leq(shard_now_us() - begun_us, 6000000);
    cr_assert_eq(stats.scrub_damages, 0);
    walk = walk_new(".vlog");
    sim_disk_flip_bit(sim_world_current(), walk->paths[0], 8192 * 8 + 1);
    for (uint32_t i = 0; i < 2; i++) {
        lsm_scrub_set(lsm, 1000000); /* Begins a round. */
        fiber_sleep_us(5000000);
        lsm_stats_get(lsm, &stats);
        cr_assert_eq(stats.scrub_damages, 1, "once");
    }
    lsm_close(&lsm);
    free(walk);
}
