/* tests/sim/trees_changes.c - asking the trees what was written since, beside their history. */
#include "tests/sim/trees.h"

#include "engine/base/assert.h"
#include "engine/rt/shard.h"

/* A range of keys [low, high), or one key, and since when. */
struct question {
    uint32_t low;
    uint32_t high;
    bool is_key;
    bool has_upper; /* high is below the number of keys, or the bound is spelled all the same. */
    uint64_t since;
    bool may_suspend;
};

/* Was any of it written since? A range delete may begin in the gap before its first key: then it
 * meets a range which ends there, though they have no key in common (is_wide). */
static bool
history_changed(const struct history *history, const struct question *question, bool is_wide)
{
    for (uint32_t i = 0; i < history->write_count; i++) {
        const struct history_write *write = &history->writes[i];
        uint32_t end = write->kind == HISTORY_RANGE_DELETE ? write->end : write->key + 1;
        uint32_t gap = is_wide && !question->is_key && write->start_is_successor ? 1 : 0;

        if (write->ts > question->since && write->key < question->high + gap &&
            question->low < end) {
            return true;
        }
    }
    return false;
}

static void
question_draw(const struct trees *trees, const struct tree *tree, struct question *question)
{
    const struct history *history = &trees->history;
    uint64_t floor = lsm_changes_oldest(tree->lsm);
    uint64_t newest = history->ts;

    question->low = (uint32_t)trees_draw(history->key_count);
    question->is_key = trees_chance(50);
    question->high = question->low + 1;
    if (!question->is_key) {
        question->high +=
            (uint32_t)trees_draw(trees_chance(50) ? MIN(4u, history->key_count - question->low)
                                                  : history->key_count - question->low);
    }
    question->has_upper = question->high < history->key_count || trees_chance(50);
    question->may_suspend = trees_chance(50);
    question->since = newest;
    if (newest > floor && trees_chance(70)) { /* Mostly of a moment ago. */
        uint64_t span = newest - floor;

        question->since =
            newest - trees_draw(trees_chance(60) ? MIN(span, UINT64_C(1) << 24) : span);
    }
}

static YIELDS err_t
ask(const struct trees *trees, struct tree *tree, const struct question *question, bool *is_changed,
    bool *is_answered)
{
    const struct history *history = &trees->history;
    uint8_t buffer[HISTORY_KEY_BYTES_MAX + 1];
    struct slice upper = {0};

    if (question->is_key) {
        return lsm_changed(tree->lsm, history_name(history, question->low), question->since,
                           question->may_suspend, is_changed, is_answered);
    }
    if (question->has_upper) {
        upper = history_bound(history, question->high, false, buffer);
    }
    return lsm_range_changed(tree->lsm, history_name(history, question->low), upper,
                             question->since, question->may_suspend, is_changed, is_answered);
}

void
trees_changes(struct trees *trees)
{
    struct tree *tree = &trees->trees[trees_draw(trees->count)];
    struct question question;
    bool was_changed;
    bool is_changed = false;
    bool is_answered = false;
    err_t err;

    question_draw(trees, tree, &question);
    was_changed = history_changed(&trees->history, &question, false);
    err = ask(trees, tree, &question, &is_changed, &is_answered);
    TREES_CHECK_OK(trees, err, "lsm_changed");
    if (err != ERR_OK) {
        return;
    }
    RUN_CHECK(trees->run, is_answered || !question.may_suspend,
              "%s: what changed since was not answered", tree->dir);
    SOMETIMES_IF(!is_answered, "lsm: what changed since is not known in memory");
    SOMETIMES_IF(is_answered && !question.may_suspend && !is_changed,
                 "lsm: memory knew that nothing had changed since");
    /* What was written while it suspended may be seen or not. */
    RUN_CHECK(trees->run,
              !is_answered || is_changed == was_changed ||
                  (is_changed && history_changed(&trees->history, &question, true)),
              "%s: keys %u to %u since %llu: %s, but the history says otherwise", tree->dir,
              question.low, question.high, (unsigned long long)question.since,
              is_changed ? "changed" : "not changed");
}
