/* net/config_rows_orbit.h - the rows of the parameter table that Redis does not have, in the order
 * of their names. For net/config_table.c. */
#pragma once

#include "net/config_table.h"

#define CONFIG_TIMEOUT_MS_MAX (INT64_C(31) * 24 * 3600 * 1000)

/* Milliseconds. */
#define CONFIG_ROW_TIMEOUT(title, at_start, why)                                                   \
    {                                                                                              \
        .name = (title), .type = CONFIG_NUMBER, .min = 0, .max = CONFIG_TIMEOUT_MS_MAX,            \
        .start = (at_start), .effect = CONFIG_APPLIED, .reason = (why)                             \
    }

/* clang-format off */
#define CONFIG_ROWS_ORBIT \
    CONFIG_ROW_TIMEOUT( \
        "orbit-lock-timeout", "30000", \
        "Milliseconds that a command waits for the lock of a transaction of ORBIT.BEGIN, and " \
        "such a transaction for another; 0: without end."), \
        {.name = "orbit-retention", \
         .type = CONFIG_NUMBER, \
         .min = 0, \
         .max = CONFIG_RETENTION_S_MAX, \
         .start = "0", \
         .effect = CONFIG_APPLIED, \
         .reason = "Seconds for which history is kept: for ORBIT.ASOF and ORBIT.FEED. The option " \
                   "--retention sets it over restarts."}, \
        {.name = "orbit-retention-bytes", \
         .type = CONFIG_MEMORY, \
         .min = 0, \
         .max = INT64_MAX, \
         .start = "10737418240", \
         .effect = CONFIG_APPLIED, \
         .reason = "What all logs together may hold of that history; beyond it the oldest goes " \
                   "(INFO: history_from_us, history_cuts). 0: no limit."}, \
        {.name = "orbit-scrub-rate", \
         .type = CONFIG_MEMORY, \
         .min = 0, \
         .max = INT64_MAX, \
         .start = "8388608", \
         .effect = CONFIG_APPLIED, \
         .reason = "Bytes a second that each shard re-reads and checks of its tables and large " \
                   "values in the background, once a day; 0: none."}, \
        CONFIG_ROW_TIMEOUT( \
            "orbit-statement-timeout", "0", \
            "Milliseconds that one command in a transaction of ORBIT.BEGIN may take; 0: as many " \
            "as its transaction."), \
        CONFIG_ROW_TIMEOUT( \
            "orbit-txn-idle-timeout", "60000", \
            "Milliseconds after which a transaction of ORBIT.BEGIN that has no command to run is " \
            "rolled back; 0: never."), \
        CONFIG_ROW_TIMEOUT( \
            "orbit-txn-timeout", "86400000", \
            "Milliseconds after which a transaction of ORBIT.BEGIN or ORBIT.ASOF is rolled back, " \
            "idle or not; 0: never."),
/* clang-format on */
