/* tests/lib/cycles_graph.c - from versions to dependencies, and from these to cycles.
 *
 * 3. Edges: ww and rw between neighbours in the order of versions, wr from writer to reader, rt by
 *    a sweep over begins and ends.
 * 4. Strongly connected components (Tarjan). In a good history each has one place. Otherwise the
 *    smallest set of kinds of edges that still has a cycle names the anomaly. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/cycles_internal.h"

enum { SEARCHES_MAX = 1000 }; /* For a short cycle, once there is one. */

/* ---- 3. Edges. ---- */

static void
edge_add(struct checker *checker, enum edge_kind kind, uint32_t from, uint32_t to, uint32_t key)
{
    if (checker->txn_of[from] == checker->txn_of[to] && kind != EDGE_IN) {
        return;
    }
    if (checker->edge_count == checker->edge_capacity) {
        checker->edge_capacity = checker->edge_capacity * 2 + 1024;
        checker->edges = realloc(checker->edges, checker->edge_capacity * sizeof(struct edge));
        if (checker->edges == NULL) {
            abort();
        }
    }
    checker->edges[checker->edge_count++] =
        (struct edge){.from = from, .to = to, .key = key, .kind = kind};
}

static void
edges_inside(struct checker *checker)
{
    for (uint32_t i = 0; i < checker->count; i++) {
        for (uint32_t place = checker->first_place[i]; place < cycles_write_place(checker, i);
             place++) {
            edge_add(checker, EDGE_IN, place, place + 1, 0);
        }
    }
}

/* Where a writer stands to those before it: at REPEATABLE READ nobody else has written the key
 * since it began to read. */
static uint32_t
place_after_writer(const struct checker *checker, uint32_t txn)
{
    return checker->txns[txn].level == CYCLES_REPEATABLE_READ ? checker->first_place[txn]
                                                              : cycles_write_place(checker, txn);
}

static void
edges_write_write(struct checker *checker)
{
    for (uint32_t key = 0; key < checker->key_count; key++) {
        const struct key_info *info = &checker->keys[key];

        for (uint32_t i = 1; i < info->count && info->is_ordered; i++) {
            const uint32_t *versions = &checker->order[info->first];

            edge_add(checker, EDGE_WW,
                     cycles_write_place(checker, checker->writes[versions[i - 1]].txn),
                     place_after_writer(checker, checker->writes[versions[i]].txn), key);
        }
    }
}

static void
edge_read_write(struct checker *checker, const struct read *read, uint32_t writer)
{
    edge_add(checker, read->is_predicate ? EDGE_RW_PREDICATE : EDGE_RW, read->place,
             cycles_write_place(checker, writer), read->key);
}

/* Appends that were answered and that nobody has read yet come after all that was read. */
static void
edges_to_unread(struct checker *checker, const struct read *read)
{
    uint32_t low = 0;
    uint32_t high = checker->write_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (checker->writes[middle].key < read->key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < checker->write_count && checker->writes[low].key == read->key; low++) {
        const struct write *write = &checker->writes[low];

        if (write->is_list && write->rank == none && checker->is_committed[write->txn]) {
            edge_read_write(checker, read, write->txn);
        }
    }
}

/* The version after the one that was read, where the versions are in order. */
static void
edges_of_ordered(struct checker *checker, const struct read *read)
{
    const struct key_info *info = &checker->keys[read->key];
    const uint32_t *versions = &checker->order[info->first];
    uint32_t next = 0;

    if (read->write != none) {
        next = checker->writes[read->write].rank + 1;
    } else if (!info->is_list && info->is_deleted) {
        return; /* Nothing may be what was there at first, or what any delete left. */
    }
    /* Several appends of the reader itself may follow. */
    while (next < info->count && checker->writes[versions[next]].txn == read->txn) {
        next++;
    }
    if (next < info->count) {
        edge_read_write(checker, read, checker->writes[versions[next]].txn);
    } else if (info->is_list) {
        edges_to_unread(checker, read);
    }
}

/* The transaction's own version of a key that it has read; none. */
static uint32_t
own_version(const struct checker *checker, const struct read *read)
{
    const struct cycles_txn *txn = &checker->txns[read->txn];

    for (uint32_t i = read->op + 1; i < txn->op_count; i++) {
        if (txn->ops[i].kind == CYCLES_WRITE && txn->ops[i].key == read->key) {
            return i;
        }
    }
    return none;
}

/* A register without timestamps: who reads a version and writes the key follows it, and everybody
 * who writes the key follows the state at first. */
static bool
edges_of_unordered_read(struct checker *checker, const struct read *read, const struct read *reads,
                        uint32_t count)
{
    const struct key_info *info = &checker->keys[read->key];
    bool has_written = own_version(checker, read) != none;

    if (read->write == none) {
        for (uint32_t i = 0; i < info->count && !info->is_deleted; i++) {
            edge_read_write(checker, read, checker->writes[checker->order[info->first + i]].txn);
        }
        return true;
    }
    if (has_written) {
        edge_add(checker, EDGE_WW, cycles_write_place(checker, checker->writes[read->write].txn),
                 place_after_writer(checker, read->txn), read->key);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (reads[i].write != read->write || reads[i].txn == read->txn ||
            own_version(checker, &reads[i]) == none) {
            continue;
        }
        edge_read_write(checker, read, reads[i].txn);
        if (has_written && checker->txns[read->txn].level != CYCLES_READ_COMMITTED &&
            checker->txns[reads[i].txn].level != CYCLES_READ_COMMITTED) {
            return cycles_found(checker, CYCLES_LOST_UPDATE,
                                "T%u and T%u have read one version of key %u and written the key",
                                read->txn, reads[i].txn, read->key);
        }
    }
    return true;
}

static bool
edges_of_reads(struct checker *checker)
{
    uint32_t end;

    for (uint32_t i = 0; i < checker->read_count; i = end) {
        const struct key_info *info = &checker->keys[checker->reads[i].key];

        for (end = i; end < checker->read_count && checker->reads[end].key == checker->reads[i].key;
             end++) {
            const struct read *read = &checker->reads[end];

            if (read->write != none) {
                edge_add(checker, EDGE_WR,
                         cycles_write_place(checker, checker->writes[read->write].txn), read->place,
                         read->key);
            }
            if (info->is_ordered) {
                edges_of_ordered(checker, read);
            }
        }
        for (uint32_t k = i; k < end && !info->is_ordered; k++) {
            if (!edges_of_unordered_read(checker, &checker->reads[k], &checker->reads[i],
                                         end - i)) {
                return false;
            }
        }
    }
    return true;
}

struct event {
    uint64_t at;
    uint32_t txn;
    bool is_end;
};

static int
event_compare(const void *a, const void *b)
{
    return cycles_compare(((const struct event *)a)->at, ((const struct event *)b)->at);
}

/* An end takes those off the frontier that had ended before its transaction began: it stands for
 * them. */
static void
frontier_end(const struct checker *checker, uint32_t *frontier, uint32_t *frontier_count,
             uint32_t txn)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < *frontier_count; i++) {
        if (checker->txns[frontier[i]].end >= checker->txns[txn].begin) {
            frontier[kept++] = frontier[i];
        }
    }
    frontier[kept++] = txn;
    *frontier_count = kept;
}

static void
edges_of_time(struct checker *checker)
{
    struct event *events = cycles_new_array((size_t)checker->count * 2, sizeof(struct event));
    uint32_t *frontier = cycles_new_array(checker->count, sizeof(uint32_t));
    uint32_t event_count = 0;
    uint32_t frontier_count = 0;

    for (uint32_t i = 0; i < checker->count; i++) {
        if (checker->is_committed[i] && !checker->txns[i].is_historical) {
            events[event_count++] = (struct event){.at = checker->txns[i].begin, .txn = i};
            if (checker->txns[i].end != UINT64_MAX) {
                events[event_count++] =
                    (struct event){.at = checker->txns[i].end, .txn = i, .is_end = true};
            }
        }
    }
    qsort(events, event_count, sizeof(struct event), event_compare);
    for (uint32_t i = 0; i < event_count; i++) {
        uint32_t txn = events[i].txn;

        if (events[i].is_end) {
            frontier_end(checker, frontier, &frontier_count, txn);
            continue;
        }
        for (uint32_t k = 0; k < frontier_count; k++) {
            edge_add(checker, EDGE_RT, cycles_write_place(checker, frontier[k]),
                     checker->first_place[txn], 0);
        }
    }
    free(frontier);
    free(events);
}

static int
edge_compare(const void *a, const void *b)
{
    const struct edge *left = a;
    const struct edge *right = b;
    int by_from = cycles_compare(left->from, right->from);
    int by_kind = cycles_compare(left->kind, right->kind);

    return by_from != 0 ? by_from : by_kind != 0 ? by_kind : cycles_compare(left->to, right->to);
}

bool
cycles_edges_make(struct checker *checker)
{
    edges_inside(checker);
    edges_write_write(checker);
    if (!edges_of_reads(checker)) {
        return false;
    }
    edges_of_time(checker);
    if (checker->edge_count > 0) {
        qsort(checker->edges, checker->edge_count, sizeof(struct edge), edge_compare);
    }
    checker->edge_first = cycles_new_array(checker->places + 1, sizeof(uint32_t));
    for (uint32_t i = 0; i < checker->edge_count; i++) {
        checker->edge_first[checker->edges[i].from + 1]++;
    }
    for (uint32_t i = 0; i < checker->places; i++) {
        checker->edge_first[i + 1] += checker->edge_first[i];
    }
    checker->report->edges = checker->edge_count;
    return true;
}

/* ---- 4. Cycles. ---- */

struct tarjan {
    uint32_t *index, *low, *stack, *path, *next_edge;
    bool *is_on_stack;
    uint32_t counter, stack_count, path_count, components;
};

static void
tarjan_enter(const struct checker *checker, struct tarjan *tarjan, uint32_t place)
{
    tarjan->index[place] = tarjan->low[place] = ++tarjan->counter;
    tarjan->stack[tarjan->stack_count++] = place;
    tarjan->is_on_stack[place] = true;
    tarjan->path[tarjan->path_count++] = place;
    tarjan->next_edge[place] = checker->edge_first[place];
}

static void
tarjan_leave(const struct checker *checker, struct tarjan *tarjan, uint32_t place)
{
    uint32_t size = 0;
    uint32_t member;

    tarjan->path_count--;
    if (tarjan->path_count > 0) {
        uint32_t parent = tarjan->path[tarjan->path_count - 1];

        tarjan->low[parent] =
            tarjan->low[place] < tarjan->low[parent] ? tarjan->low[place] : tarjan->low[parent];
    }
    if (tarjan->low[place] != tarjan->index[place]) {
        return;
    }
    do {
        member = tarjan->stack[--tarjan->stack_count];
        tarjan->is_on_stack[member] = false;
        checker->component[member] = tarjan->components;
        size++;
    } while (member != place);
    checker->component_size[tarjan->components++] = size;
}

static void
tarjan_from(const struct checker *checker, struct tarjan *tarjan, uint32_t root, uint32_t mask)
{
    tarjan_enter(checker, tarjan, root);
    while (tarjan->path_count > 0) {
        uint32_t place = tarjan->path[tarjan->path_count - 1];
        const struct edge *edge;

        if (tarjan->next_edge[place] == checker->edge_first[place + 1]) {
            tarjan_leave(checker, tarjan, place);
            continue;
        }
        edge = &checker->edges[tarjan->next_edge[place]++];
        if ((MASK(edge->kind) & mask) == 0) {
            continue;
        }
        if (tarjan->index[edge->to] == 0) {
            tarjan_enter(checker, tarjan, edge->to);
        } else if (tarjan->is_on_stack[edge->to] && tarjan->index[edge->to] < tarjan->low[place]) {
            tarjan->low[place] = tarjan->index[edge->to];
        }
    }
}

/* Fills in `component`; is there one of several places? */
static bool
has_cycle(struct checker *checker, uint32_t mask)
{
    uint32_t *memory = cycles_new_array((size_t)checker->places * 5, sizeof(uint32_t));
    struct tarjan tarjan = {
        .index = memory,
        .low = memory + checker->places,
        .stack = memory + (size_t)2 * checker->places,
        .path = memory + (size_t)3 * checker->places,
        .next_edge = memory + (size_t)4 * checker->places,
        .is_on_stack = cycles_new_array(checker->places, sizeof(bool)),
    };
    bool is_found = false;

    for (uint32_t i = 0; i < checker->places; i++) {
        if (tarjan.index[i] == 0) {
            tarjan_from(checker, &tarjan, i, mask);
        }
    }
    for (uint32_t i = 0; i < tarjan.components; i++) {
        is_found = is_found || checker->component_size[i] > 1;
    }
    free(tarjan.is_on_stack);
    free(memory);
    return is_found;
}

/* The shortest way from one place to another of its component, as edges; 0: there is none. */
static uint32_t
shortest_way(const struct checker *checker, uint32_t from, uint32_t to, uint32_t mask,
             uint32_t *way)
{
    uint32_t *came_by = cycles_new_array(checker->places, sizeof(uint32_t));
    uint32_t *queue = cycles_new_array(checker->places, sizeof(uint32_t));
    uint32_t queue_count = 1;
    uint32_t length = 0;

    memset(came_by, 0xff, checker->places * sizeof(uint32_t));
    queue[0] = from;
    for (uint32_t next = 0; next < queue_count && came_by[to] == none; next++) {
        uint32_t place = queue[next];

        for (uint32_t i = checker->edge_first[place]; i < checker->edge_first[place + 1]; i++) {
            const struct edge *edge = &checker->edges[i];

            if ((MASK(edge->kind) & mask) != 0 && came_by[edge->to] == none &&
                checker->component[edge->to] == checker->component[from]) {
                came_by[edge->to] = i;
                queue[queue_count++] = edge->to;
            }
        }
    }
    if (came_by[to] != none) {
        uint32_t place = to;

        do {
            way[length++] = came_by[place];
            place = checker->edges[came_by[place]].from;
        } while (place != from);
        for (uint32_t i = 0; i < length / 2; i++) {
            uint32_t edge = way[i];

            way[i] = way[length - 1 - i];
            way[length - 1 - i] = edge;
        }
    }
    free(queue);
    free(came_by);
    return length;
}

/* A short cycle through one rw edge and otherwise none; 0: not found. */
static uint32_t
single_cycle(const struct checker *checker, uint32_t mask, uint32_t *best)
{
    uint32_t *way = cycles_new_array(checker->places, sizeof(uint32_t));
    uint32_t best_length = 0;
    uint32_t searches = 0;

    for (uint32_t i = 0; i < checker->edge_count && searches < SEARCHES_MAX; i++) {
        const struct edge *edge = &checker->edges[i];
        uint32_t length;

        if ((MASK(edge->kind) & mask & MASK_RW) == 0 ||
            checker->component[edge->from] != checker->component[edge->to]) {
            continue;
        }
        searches++;
        length = shortest_way(checker, edge->to, edge->from, mask & ~(uint32_t)MASK_RW, way);
        if (length > 0 && (best_length == 0 || length + 1 < best_length)) {
            best[0] = i;
            memcpy(best + 1, way, length * sizeof(uint32_t));
            best_length = length + 1;
        }
    }
    free(way);
    return best_length;
}

static uint32_t
any_cycle(const struct checker *checker, uint32_t mask, uint32_t *best)
{
    uint32_t *way = cycles_new_array(checker->places, sizeof(uint32_t));
    uint32_t best_length = 0;
    uint32_t searches = 0;

    for (uint32_t i = 0; i < checker->places && searches < SEARCHES_MAX; i++) {
        uint32_t length;

        if (checker->component_size[checker->component[i]] < 2) {
            continue;
        }
        searches++;
        length = shortest_way(checker, i, i, mask, way);
        if (length > 0 && (best_length == 0 || length < best_length)) {
            memcpy(best, way, length * sizeof(uint32_t));
            best_length = length;
        }
    }
    free(way);
    return best_length;
}

static void __attribute__((format(printf, 2, 3)))
text_add(struct checker *checker, const char *format, ...)
{
    size_t used = strlen(checker->report->text);
    va_list args;

    va_start(args, format);
    vsnprintf(checker->report->text + used, CYCLES_TEXT_BYTES - used, format, args);
    va_end(args);
}

static const char *
edge_name(enum edge_kind kind)
{
    switch (kind) {
    case EDGE_WW:
        return "ww";
    case EDGE_WR:
        return "wr";
    case EDGE_RW:
        return "rw";
    case EDGE_RW_PREDICATE:
        return "rw (predicate)";
    case EDGE_RT:
        return "rt";
    case EDGE_IN:
        break;
    }
    return "in";
}

static void
describe(struct checker *checker, const uint32_t *cycle, uint32_t length)
{
    struct cycles_report *report = checker->report;

    report->text[0] = '\0';
    for (uint32_t i = 0; i < length; i++) {
        const struct edge *edge = &checker->edges[cycle[i]];

        if (edge->kind != EDGE_IN && report->member_count < CYCLES_MEMBERS_MAX) {
            report->members[report->member_count++] = checker->txn_of[edge->from];
        }
        if (edge->kind == EDGE_RT) {
            text_add(checker, "T%u -rt-> ", checker->txn_of[edge->from]);
        } else if (edge->kind != EDGE_IN) {
            text_add(checker, "T%u -%s, key %u-> ", checker->txn_of[edge->from],
                     edge_name(edge->kind), edge->key);
        }
    }
    text_add(checker, "T%u", checker->txn_of[checker->edges[cycle[length - 1]].to]);
}

/* What one rw edge makes of a cycle: a lost update when it runs against a ww edge of the same key
 * and between the same two. */
static enum cycles_anomaly
name_single(const struct checker *checker, const uint32_t *cycle, uint32_t length)
{
    const struct edge *rw = &checker->edges[cycle[0]];

    for (uint32_t i = 1; i < length; i++) {
        const struct edge *edge = &checker->edges[cycle[i]];

        if (edge->kind == EDGE_WW && edge->key == rw->key &&
            checker->txn_of[edge->from] == checker->txn_of[rw->to] &&
            checker->txn_of[edge->to] == checker->txn_of[rw->from]) {
            return CYCLES_LOST_UPDATE;
        }
    }
    return CYCLES_G_SINGLE;
}

static enum cycles_anomaly
name_cycle(struct checker *checker, uint32_t mask, uint32_t *cycle, uint32_t *length_out)
{
    if (mask == MASK_G0 || mask == MASK_G1) {
        *length_out = any_cycle(checker, mask, cycle);
        return mask == MASK_G0 ? CYCLES_G0 : CYCLES_G1C;
    }
    *length_out = single_cycle(checker, mask, cycle);
    if (*length_out > 0) {
        return mask == MASK_ALL ? CYCLES_REAL_TIME : name_single(checker, cycle, *length_out);
    }
    *length_out = any_cycle(checker, mask, cycle);
    return mask == MASK_ITEM ? CYCLES_G2_ITEM : mask == MASK_DATA ? CYCLES_G2 : CYCLES_REAL_TIME;
}

void
cycles_find(struct checker *checker)
{
    static const uint32_t masks[] = {MASK_G0, MASK_G1, MASK_ITEM, MASK_DATA, MASK_ALL};
    uint32_t *cycle;
    uint32_t length = 0;

    checker->component = cycles_new_array(checker->places, sizeof(uint32_t));
    checker->component_size = cycles_new_array(checker->places, sizeof(uint32_t));
    if (!has_cycle(checker, MASK_ALL)) {
        return;
    }
    cycle = cycles_new_array(checker->places + 1, sizeof(uint32_t));
    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        if (has_cycle(checker, masks[i])) {
            checker->report->anomaly = name_cycle(checker, masks[i], cycle, &length);
            describe(checker, cycle, length);
            break;
        }
    }
    free(cycle);
}
