/* tests/unit/models/zset_check.c - see the header. */
#include "tests/unit/models/zset_check.h"

#include "models/kv/zset_tree.h"
#include "tests/lib/fiber_test.h"

struct check {
    struct kv_request request; /* For its arena. */
    struct kv_collection collection;
    int64_t pages;
    uint64_t members;
    struct slice last; /* Sort key of the last member seen. */
};

static YIELDS struct slice
element_get(struct check *check, uint8_t kind, struct slice element)
{
    uint8_t *key = arena_alloc(check->request.arena, KV_ELEMENT_PREFIX_BYTES + element.size);
    const struct kv_collection *collection = &check->collection;
    struct lsm_value value;
    size_t size = kv_element_encode(key, collection->keyspace, collection->slot, collection->id,
                                    kind, element);

    cr_assert_eq(store_get(store_self(), slice_of(key, size), check->request.arena, &value),
                 ERR_OK);
    cr_assert(value.is_found, "an element of kind %u is missing", kind);
    return value.value;
}

static YIELDS void
member_check(struct check *check, const struct zset_item *item)
{
    struct slice key = zset_sort_key(&check->request, item->score, item->bytes);
    struct slice bits =
        element_get(check, ZSET_BY_MEMBER, zset_member_element(&check->request, item->bytes));

    cr_assert_eq(bits.size, sizeof(item->score));
    cr_assert_eq(memcmp(bits.data, &item->score, sizeof(item->score)), 0, "another score");
    cr_assert(check->members == 0 || slice_compare(check->last, key) < 0, "not in order");
    check->last = key;
    check->members++;
}

/* Returns the members below; all are at or behind `low`, and before `high` unless it is empty. */
static YIELDS uint64_t
page_check(struct check *check, uint64_t number, int level, struct slice low, struct slice high)
{
    struct slice stored =
        element_get(check, ZSET_PAGES, zset_page_element(&check->request, number));
    uint64_t before = check->members;
    struct zset_page page = {0};

    cr_assert_eq(zset_page_decode(&check->request, stored, number, &page), ERR_OK);
    cr_assert(level < 0 || page.level == level, "page %llu at level %u", (unsigned long long)number,
              page.level);
    cr_assert_leq(page.count, page.level == 0 ? ZSET_LEAF_ITEMS_MAX : ZSET_INNER_ITEMS_MAX);
    check->pages++;
    for (uint32_t i = 0; i < page.count; i++) {
        const struct zset_item *item = &page.at[i];

        if (page.level == 0) {
            member_check(check, item);
            cr_assert(slice_compare(low, check->last) <= 0, "before its page");
            cr_assert(high.size == 0 || slice_compare(check->last, high) < 0, "behind its page");
        } else {
            struct slice from = i == 0 ? low : item->bytes;
            struct slice to = i + 1 == page.count ? high : page.at[i + 1].bytes;

            cr_assert_eq(page_check(check, item->page, page.level - 1, from, to), item->members,
                         "page %llu is counted wrongly", (unsigned long long)item->page);
        }
    }
    return check->members - before;
}

int64_t
zset_check(uint32_t keyspace, uint64_t id, const struct kv_head *head)
{
    struct check check = {
        .collection = {.keyspace = keyspace, .slot = kv_id_slot(id), .id = head->collection},
    };
    struct slice none = slice_of(NULL, 0);
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    check.request.arena = &arena;
    cr_assert_eq(page_check(&check, ZSET_ROOT, -1, none, none), head->count);
    arena_fini(&arena);
    return (int64_t)check.members + check.pages;
}
