/* query/catalog/depend.c - pg_depend: which sequence belongs to which column. */
#include "query/catalog/fill.h"

#include "engine/base/poison.h"

enum { DEPEND_OBJECT = 1, DEPEND_REFERENCED = 4, CLASS_OF_RELATIONS = 1259 };

err_t
fill_depend(struct system_rows *rows)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < rows->catalog->relation_count; i++) {
        const struct relation *relation = rows->catalog->relations[i];
        const struct sequence *sequence = &relation->sequence;

        if (relation->kind != RELATION_SEQUENCE || sequence->owner == 0 ||
            !rows_may(rows, DEPEND_OBJECT, relation->oid) ||
            !rows_may(rows, DEPEND_REFERENCED, sequence->owner)) {
            continue;
        }
        row_int(rows, CLASS_OF_RELATIONS);
        row_int(rows, relation->oid);
        row_int(rows, 0);
        row_int(rows, CLASS_OF_RELATIONS);
        row_int(rows, sequence->owner);
        row_int(rows, sequence->column + 1);
        row_int(rows, sequence->is_identity ? 'i' : 'a');
        err = row_end(rows);
    }
    return err;
}
