/* query/catalog/information.c - information_schema, as the standard defines it. */
#include "query/catalog/system.h"

#include "engine/base/poison.h"

#define SCHEMA SYSTEM_INFORMATION

#define VIEW(number, called, names, sql)                                                           \
    {                                                                                              \
        .oid = (number), .name = (called), .columns = (names), .view_sql = (sql),                  \
        .schema = SCHEMA, .kind = 'v'                                                              \
    }

/* clang-format off */
static const struct system_relation relations[] = {
    VIEW(13227, "information_schema_catalog_name",
          "catalog_name name",
          "SELECT current_database()"),
};
/* clang-format on */

const struct system_part system_part_information = {relations,
                                                    sizeof(relations) / sizeof(relations[0])};
