/* models/relational/catalog.c - the catalog in memory, and its entries in the store. */
#include "models/relational/catalog.h"

#include "engine/base/assert.h"
#include "models/relational/catalog_code.h"
#include "models/relational/catalog_type.h"

#include "engine/base/poison.h"

enum {
    CATALOG_SLOT = 0,
    CATALOG_STORAGE = 0,
    RELATIONS_FIRST = 64,
    ENTRY_KEY_BYTES = STORAGE_PREFIX_BYTES + 9,
};

void
storage_prefix(uint8_t out[STORAGE_PREFIX_BYTES], uint32_t storage)
{
    out[0] = RELATIONAL_TAG;
    put_be32(out + 1, storage);
}

static struct slice
entry_key(uint8_t out[ENTRY_KEY_BYTES], uint8_t class, oid_t oid, uint32_t part)
{
    storage_prefix(out, CATALOG_STORAGE);
    out[STORAGE_PREFIX_BYTES] = class;
    put_be32(out + STORAGE_PREFIX_BYTES + 1, oid);
    put_be32(out + STORAGE_PREFIX_BYTES + 5, part);
    return slice_of(out, ENTRY_KEY_BYTES);
}

/* ---- The tree ---- */

static struct catalog *
catalog_new(void)
{
    struct catalog *catalog = MEM_NEW(MEM_RUNTIME, struct catalog);

    catalog->references = 1;
    catalog->next_oid = OID_FIRST_USER;
    catalog->next_storage = 1;
    arena_init(&catalog->arena, MEM_RUNTIME);
    return catalog;
}

struct catalog *
catalog_hold(struct catalog *catalog)
{
    ASSERT(catalog->references > 0);
    catalog->references++;
    return catalog;
}

void
catalog_drop(struct catalog **catalog)
{
    struct catalog *dropped = *catalog;

    *catalog = NULL;
    if (dropped == NULL || --dropped->references > 0) {
        return;
    }
    arena_fini(&dropped->arena);
    MEM_FREE(MEM_RUNTIME, dropped);
}

static uint32_t
relation_search(const struct catalog *catalog, oid_t oid)
{
    uint32_t low = 0, high = catalog->relation_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (catalog->relations[middle]->oid < oid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void
relations_grow(struct catalog *catalog)
{
    uint32_t capacity = MAX((uint32_t)RELATIONS_FIRST, catalog->relation_capacity * 2);
    struct relation **grown;

    if (catalog->relation_count < catalog->relation_capacity) {
        return;
    }
    grown = arena_alloc(&catalog->arena, capacity * sizeof(struct relation *));
    ASSERT(grown != NULL);
    if (catalog->relation_count > 0) {
        memcpy(grown, catalog->relations, catalog->relation_count * sizeof(struct relation *));
    }
    catalog->relations = grown;
    catalog->relation_capacity = capacity;
}

static void
relation_insert(struct catalog *catalog, struct relation *relation)
{
    uint32_t place = relation_search(catalog, relation->oid);

    if (place < catalog->relation_count && catalog->relations[place]->oid == relation->oid) {
        catalog->relations[place] = relation;
        return;
    }
    relations_grow(catalog);
    memmove(catalog->relations + place + 1, catalog->relations + place,
            (catalog->relation_count - place) * sizeof(struct relation *));
    catalog->relations[place] = relation;
    catalog->relation_count++;
}

static void
schema_insert(struct catalog *catalog, const struct schema *schema)
{
    struct schema *grown;

    for (uint32_t i = 0; i < catalog->schema_count; i++) {
        if (catalog->schemas[i].oid == schema->oid) {
            catalog->schemas[i] = *schema;
            catalog->schemas[i].name = arena_copy(&catalog->arena, schema->name);
            return;
        }
    }
    grown = arena_alloc(&catalog->arena, (catalog->schema_count + 1) * sizeof(*grown));
    for (uint32_t i = 0; i < catalog->schema_count; i++) {
        grown[i] = catalog->schemas[i];
    }
    grown[catalog->schema_count] = *schema;
    grown[catalog->schema_count].name = arena_copy(&catalog->arena, schema->name);
    catalog->schemas = grown;
    catalog->schema_count++;
}

/* ---- Objects of other classes ---- */

static int
object_compare(const struct object *object, uint8_t class, oid_t oid, uint32_t part)
{
    if (object->class != class) {
        return object->class < class ? -1 : 1;
    }
    if (object->oid != oid) {
        return object->oid < oid ? -1 : 1;
    }
    return object->part == part ? 0 : object->part < part ? -1 : 1;
}

/* The first that is not below. */
static uint32_t
object_search(const struct catalog *catalog, uint8_t class, oid_t oid, uint32_t part)
{
    uint32_t low = 0, high = catalog->object_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (object_compare(&catalog->objects[middle], class, oid, part) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void
objects_grow(struct catalog *catalog)
{
    uint32_t capacity = MAX((uint32_t)RELATIONS_FIRST, catalog->object_capacity * 2);
    struct object *grown;

    if (catalog->object_count < catalog->object_capacity) {
        return;
    }
    grown = arena_alloc(&catalog->arena, capacity * sizeof(*grown));
    ASSERT(grown != NULL);
    if (catalog->object_count > 0) {
        memcpy(grown, catalog->objects, catalog->object_count * sizeof(*grown));
    }
    catalog->objects = grown;
    catalog->object_capacity = capacity;
}

/* Reads what the class keeps decoded. */
static err_t
object_decode(struct catalog *catalog, struct object *object)
{
    const struct enum_type *type;
    err_t err;

    object->decoded = NULL;
    if (object->class != CATALOG_TYPE) {
        return ERR_OK;
    }
    err = enum_type_decode(object->body, object->oid, catalog->version, &catalog->arena, &type);
    object->decoded = err == ERR_OK ? type : NULL;
    return err;
}

/* The body is copied. */
static err_t
object_insert(struct catalog *catalog, uint8_t class, oid_t oid, uint32_t part, struct slice body)
{
    struct object object = {.class = class, .oid = oid, .part = part};
    uint32_t at;
    err_t err;

    object.body = arena_copy(&catalog->arena, body);
    TRY(object_decode(catalog, &object));
    at = object_search(catalog, class, oid, part);
    if (at == catalog->object_count ||
        object_compare(&catalog->objects[at], class, oid, part) != 0) {
        objects_grow(catalog);
        memmove(catalog->objects + at + 1, catalog->objects + at,
                (catalog->object_count - at) * sizeof(object));
        catalog->object_count++;
    }
    catalog->objects[at] = object;
out:
    return err;
}

/* Which relations foreign keys refer to. */
static void
references_derive(struct catalog *catalog)
{
    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        catalog->relations[i]->is_referenced = false;
    }
    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        const struct relation *relation = catalog->relations[i];

        for (uint32_t j = 0; j < relation->constraint_count; j++) {
            oid_t other = relation->constraints[j].other;
            uint32_t place = relation_search(catalog, other);

            if (other != 0 && place < catalog->relation_count &&
                catalog->relations[place]->oid == other) {
                catalog->relations[place]->is_referenced = true;
            }
        }
    }
}

/* Types that users made belong to a catalog: to this one from now on. */
static void
relation_types_renew(const struct catalog *catalog, struct relation *relation)
{
    for (uint32_t i = 0; i < relation->column_count; i++) {
        relation->columns[i].type = catalog_type(catalog, relation->columns[i].type->oid);
        ASSERT(relation->columns[i].type != NULL);
    }
    for (uint32_t i = 0; i < relation->virtual_count; i++) {
        relation->virtuals[i].type = catalog_type(catalog, relation->virtuals[i].type->oid);
        ASSERT(relation->virtuals[i].type != NULL);
    }
}

struct catalog *
catalog_clone(const struct catalog *catalog)
{
    struct catalog *clone = catalog_new();

    clone->version = catalog->version;
    clone->next_oid = catalog->next_oid;
    clone->next_storage = catalog->next_storage;
    for (uint32_t i = 0; i < catalog->schema_count; i++) {
        schema_insert(clone, &catalog->schemas[i]);
    }
    /* They were decoded before, and types come before the relations that name them. */
    for (uint32_t i = 0; i < catalog->object_count; i++) {
        const struct object *object = &catalog->objects[i];
        err_t err = object_insert(clone, object->class, object->oid, object->part, object->body);

        ASSERT(err == ERR_OK);
    }
    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        struct relation *copy = relation_copy(&clone->arena, catalog->relations[i]);

        relation_types_renew(clone, copy);
        relation_insert(clone, copy);
    }
    return clone;
}

/* ---- Lookup ---- */

const struct schema *
catalog_schema(const struct catalog *catalog, struct slice name)
{
    for (uint32_t i = 0; i < catalog->schema_count; i++) {
        if (slice_equal(catalog->schemas[i].name, name)) {
            return &catalog->schemas[i];
        }
    }
    return NULL;
}

const struct relation *
catalog_relation(const struct catalog *catalog, oid_t schema, struct slice name)
{
    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        const struct relation *relation = catalog->relations[i];

        if (relation->schema == schema && slice_equal(relation->name, name)) {
            return relation;
        }
    }
    return NULL;
}

const struct relation *
catalog_relation_by_oid(const struct catalog *catalog, oid_t oid)
{
    uint32_t place = relation_search(catalog, oid);

    return place < catalog->relation_count && catalog->relations[place]->oid == oid
               ? catalog->relations[place]
               : NULL;
}

const struct schema *
catalog_schema_by_oid(const struct catalog *catalog, oid_t oid)
{
    for (uint32_t i = 0; i < catalog->schema_count; i++) {
        if (catalog->schemas[i].oid == oid) {
            return &catalog->schemas[i];
        }
    }
    return NULL;
}

const struct object *
catalog_object(const struct catalog *catalog, enum catalog_class class, oid_t oid, uint32_t part)
{
    uint32_t at = object_search(catalog, class, oid, part);

    return at < catalog->object_count &&
                   object_compare(&catalog->objects[at], class, oid, part) == 0
               ? &catalog->objects[at]
               : NULL;
}

const struct object *
catalog_objects(const struct catalog *catalog, enum catalog_class class, uint32_t *count_out)
{
    uint32_t first = object_search(catalog, class, 0, 0);

    *count_out = object_search(catalog, class + 1, 0, 0) - first;
    return *count_out > 0 ? catalog->objects + first : NULL;
}

const struct type *
catalog_type(const struct catalog *catalog, oid_t oid)
{
    const struct object *object;
    const struct enum_type *made;

    if (oid < OID_FIRST_USER) {
        return type_by_oid(oid);
    }
    object = catalog_object(catalog, CATALOG_TYPE, oid - oid % 2, 0);
    if (object == NULL) {
        return NULL;
    }
    made = object->decoded;
    return oid % 2 == 0 ? &made->type : &made->array;
}

const struct type *
catalog_type_named(const struct catalog *catalog, oid_t schema, struct slice name)
{
    uint32_t count;
    const struct object *objects = catalog_objects(catalog, CATALOG_TYPE, &count);

    for (uint32_t i = 0; i < count; i++) {
        const struct enum_type *made = objects[i].decoded;

        if (made->schema == schema && slice_equal(made->name, name)) {
            return &made->type;
        }
        if (made->schema == schema && slice_equal(made->array_name, name)) {
            return &made->array;
        }
    }
    return NULL;
}

const struct constraint *
relation_constraint(const struct relation *relation, struct slice name)
{
    for (uint32_t i = 0; i < relation->constraint_count; i++) {
        if (slice_equal(relation->constraints[i].name, name)) {
            return &relation->constraints[i];
        }
    }
    return NULL;
}

const struct index *
relation_index_by_oid(const struct relation *relation, oid_t oid)
{
    for (uint32_t i = 0; i < relation->index_count; i++) {
        if (relation->indexes[i].oid == oid) {
            return &relation->indexes[i];
        }
    }
    return NULL;
}

uint16_t
relation_column(const struct relation *relation, struct slice name)
{
    for (uint16_t i = 0; i < relation->column_count; i++) {
        if (!relation->columns[i].is_dropped && slice_equal(relation->columns[i].name, name)) {
            return i;
        }
    }
    return UINT16_MAX;
}

const struct relation *
catalog_index(const struct catalog *catalog, oid_t schema, struct slice name,
              const struct index **index_out)
{
    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        const struct relation *relation = catalog->relations[i];

        for (uint32_t j = 0; relation->schema == schema && j < relation->index_count; j++) {
            if (slice_equal(relation->indexes[j].name, name)) {
                *index_out = &relation->indexes[j];
                return relation;
            }
        }
    }
    return NULL;
}

/* ---- Changes ---- */

oid_t
catalog_oid_take(struct catalog *catalog)
{
    return catalog->next_oid++;
}

oid_t
catalog_type_oid_take(struct catalog *catalog)
{
    oid_t oid = catalog->next_oid + catalog->next_oid % 2;

    catalog->next_oid = oid + 2;
    return oid;
}

uint32_t
catalog_storage_take(struct catalog *catalog)
{
    return catalog->next_storage++;
}

void
catalog_relation_put(struct catalog *catalog, struct txn *txn, const struct relation *relation)
{
    struct relation *copy = relation_copy(&catalog->arena, relation);
    uint8_t key[ENTRY_KEY_BYTES];
    struct buf encoded;

    relation_insert(catalog, copy);
    references_derive(catalog);
    buf_init(&encoded, MEM_RUNTIME);
    relation_encode(&encoded, copy);
    txn_put(txn, CATALOG_SLOT, entry_key(key, CATALOG_RELATION, relation->oid, 0),
            buf_slice(&encoded), 0);
    buf_fini(&encoded);
}

void
catalog_relation_delete(struct catalog *catalog, struct txn *txn, oid_t oid)
{
    uint32_t place = relation_search(catalog, oid);
    uint8_t key[ENTRY_KEY_BYTES];

    ASSERT(place < catalog->relation_count);
    ASSERT(catalog->relations[place]->oid == oid);
    catalog->relation_count--;
    memmove(catalog->relations + place, catalog->relations + place + 1,
            (catalog->relation_count - place) * sizeof(struct relation *));
    references_derive(catalog);
    catalog_notes_delete(catalog, txn, oid, 0);
    txn_delete(txn, CATALOG_SLOT, entry_key(key, CATALOG_RELATION, oid, 0));
}

static void
schema_write(struct txn *txn, const struct schema *schema)
{
    uint8_t key[ENTRY_KEY_BYTES];
    struct buf encoded;

    buf_init(&encoded, MEM_RUNTIME);
    buf_append_varint(&encoded, schema->owner);
    buf_append(&encoded, schema->name.data, schema->name.size);
    txn_put(txn, CATALOG_SLOT, entry_key(key, CATALOG_SCHEMA, schema->oid, 0), buf_slice(&encoded),
            0);
    buf_fini(&encoded);
}

void
catalog_schema_put(struct catalog *catalog, struct txn *txn, const struct schema *schema)
{
    schema_insert(catalog, schema);
    schema_write(txn, schema);
}

void
catalog_schema_delete(struct catalog *catalog, struct txn *txn, oid_t oid)
{
    uint8_t key[ENTRY_KEY_BYTES];
    uint32_t kept = 0;

    for (uint32_t i = 0; i < catalog->schema_count; i++) {
        if (catalog->schemas[i].oid != oid) {
            catalog->schemas[kept++] = catalog->schemas[i];
        }
    }
    catalog->schema_count = kept;
    txn_delete(txn, CATALOG_SLOT, entry_key(key, CATALOG_SCHEMA, oid, 0));
}

err_t
catalog_object_put(struct catalog *catalog, struct txn *txn, enum catalog_class class, oid_t oid,
                   uint32_t part, struct slice body)
{
    uint8_t key[ENTRY_KEY_BYTES];
    err_t err = object_insert(catalog, (uint8_t) class, oid, part, body);

    /* Columns mean the type as it is now. */
    for (uint32_t i = 0; err == ERR_OK && class == CATALOG_TYPE && i < catalog->relation_count;
         i++) {
        relation_types_renew(catalog, catalog->relations[i]);
    }
    if (err == ERR_OK) {
        txn_put(txn, CATALOG_SLOT, entry_key(key, (uint8_t) class, oid, part), body, 0);
    }
    return err;
}

void
catalog_object_delete(struct catalog *catalog, struct txn *txn, enum catalog_class class, oid_t oid,
                      uint32_t part)
{
    uint32_t at = object_search(catalog, class, oid, part);
    uint8_t key[ENTRY_KEY_BYTES];

    if (at == catalog->object_count ||
        object_compare(&catalog->objects[at], class, oid, part) != 0) {
        return;
    }
    catalog->object_count--;
    memmove(catalog->objects + at, catalog->objects + at + 1,
            (catalog->object_count - at) * sizeof(struct object));
    txn_delete(txn, CATALOG_SLOT, entry_key(key, (uint8_t) class, oid, part));
}

void
catalog_notes_delete(struct catalog *catalog, struct txn *txn, oid_t oid, uint32_t part)
{
    static const enum catalog_class classes[] = {CATALOG_COMMENT, CATALOG_ACL};

    for (uint32_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        uint32_t at = object_search(catalog, classes[i], oid, part);

        while (at < catalog->object_count && catalog->objects[at].class == classes[i] &&
               catalog->objects[at].oid == oid &&
               (part == 0 || catalog->objects[at].part == part)) {
            catalog_object_delete(catalog, txn, classes[i], oid, catalog->objects[at].part);
        }
    }
}

err_t
catalog_version_put(struct catalog *catalog, struct txn *txn)
{
    uint8_t key[ENTRY_KEY_BYTES];
    struct buf encoded;

    for (uint32_t i = 0; catalog->version == 0 && i < catalog->schema_count; i++) {
        if (catalog->schemas[i].oid == OID_SCHEMA_PUBLIC) {
            schema_write(txn, &catalog->schemas[i]);
        }
    }
    catalog->version++;
    buf_init(&encoded, MEM_RUNTIME);
    buf_append_varint(&encoded, catalog->version);
    buf_append_varint(&encoded, catalog->next_oid);
    buf_append_varint(&encoded, catalog->next_storage);
    txn_put(txn, CATALOG_SLOT, entry_key(key, CATALOG_VERSION, 0, 0), buf_slice(&encoded), 0);
    buf_fini(&encoded);
    return txn_flush(txn);
}

/* ---- Loading ---- */

static err_t
version_decode(struct slice stored, struct catalog *catalog)
{
    const uint8_t *at = stored.data, *end = stored.data + stored.size;
    uint64_t numbers[3];

    for (uint32_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        size_t used = get_varint(at, end, &numbers[i]);

        if (used == 0) {
            return err_set(ERR_CORRUPT, "the catalog's version is malformed");
        }
        at += used;
    }
    catalog->version = numbers[0];
    catalog->next_oid = (oid_t)numbers[1];
    catalog->next_storage = (uint32_t)numbers[2];
    return ERR_OK;
}

static err_t
schema_decode(struct slice stored, oid_t oid, struct catalog *catalog)
{
    struct schema schema = {.oid = oid};
    uint64_t owner;
    size_t used = get_varint(stored.data, stored.data + stored.size, &owner);

    schema.owner = (oid_t)owner;
    schema.name = slice_of(stored.data + used, stored.size - used);
    if (used == 0) {
        return err_set(ERR_CORRUPT, "the catalog's entry of schema %u is malformed", oid);
    }
    schema_insert(catalog, &schema);
    return ERR_OK;
}

static err_t
entry_load(struct catalog *catalog, struct slice key, struct slice value)
{
    struct relation *relation;
    uint32_t part;
    oid_t oid;
    err_t err;

    if (key.size != ENTRY_KEY_BYTES) {
        return err_set(ERR_CORRUPT, "a key of the catalog has %zu bytes", key.size);
    }
    oid = get_be32(key.data + STORAGE_PREFIX_BYTES + 1);
    part = get_be32(key.data + STORAGE_PREFIX_BYTES + 5);
    switch (key.data[STORAGE_PREFIX_BYTES]) {
    case CATALOG_VERSION:
        return version_decode(value, catalog);
    case CATALOG_SCHEMA:
        return schema_decode(value, oid, catalog);
    case CATALOG_RELATION:
        relation = arena_alloc(&catalog->arena, sizeof(*relation));
        err = relation_decode(catalog, value, oid, &catalog->arena, relation);
        if (err == ERR_OK) {
            relation_insert(catalog, relation);
        }
        return err;
    case CATALOG_TYPE:
    case CATALOG_COMMENT:
    case CATALOG_ACL:
    case CATALOG_DEFAULT_ACL:
    case CATALOG_ROLE:
    case CATALOG_MEMBER:
    case CATALOG_DATABASE:
        return object_insert(catalog, key.data[STORAGE_PREFIX_BYTES], oid, part, value);
    default:
        return err_set(ERR_CORRUPT, "an entry of the catalog has the unknown class %u",
                       key.data[STORAGE_PREFIX_BYTES]);
    }
}

static void
initial_add(struct catalog *catalog)
{
    const struct schema pg_catalog = {
        .oid = OID_SCHEMA_CATALOG, .owner = 10, .name = SLICE("pg_catalog")};
    const struct schema public = {.oid = OID_SCHEMA_PUBLIC, .owner = 10, .name = SLICE("public")};

    schema_insert(catalog, &pg_catalog);
    if (catalog->version == 0) {
        schema_insert(catalog, &public);
    }
}

err_t
catalog_load(struct txn *txn, struct catalog **catalog_out)
{
    struct catalog *catalog = catalog_new();
    uint8_t lower[STORAGE_PREFIX_BYTES], upper[STORAGE_PREFIX_BYTES];
    struct txn_scan *scan = NULL;
    err_t err;

    storage_prefix(lower, CATALOG_STORAGE);
    storage_prefix(upper, CATALOG_STORAGE + 1);
    TRY(txn_scan_open(txn, CATALOG_SLOT, slice_of(lower, sizeof(lower)),
                      slice_of(upper, sizeof(upper)), &scan));
    for (err = txn_scan_first(scan); err == ERR_OK && txn_scan_is_valid(scan);
         err = txn_scan_next(scan)) {
        const struct lsm_entry *entry = txn_scan_entry(scan);
        struct slice value;

        TRY(txn_scan_value(scan, &catalog->arena, &value));
        TRY(entry_load(catalog, entry->key, value));
    }
    if (err == ERR_OK) {
        initial_add(catalog);
        references_derive(catalog);
        *catalog_out = catalog;
        catalog = NULL;
    }
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    catalog_drop(&catalog);
    return err;
}
