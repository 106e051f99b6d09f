/* query/parameter.h - a session's configuration parameters: SET and SHOW. */
#pragma once

#include "models/types/type.h"
#include "txn/txn.h"

struct parameters;

/* What the session's statements may use, in bytes. */
struct sql_memory {
    uint64_t work_bytes;     /* work_mem */
    uint64_t file_bytes_max; /* temp_file_limit; UINT64_MAX: none. */
};

/* 0: none. */
struct sql_timeouts {
    uint64_t statement_us, lock_us, idle_us, idle_in_transaction_us;
};

/* zones: borrowed; NULL: only UTC and POSIX strings. */
struct parameters *parameters_new(struct zones *zones);
void parameters_free(struct parameters **parameters);
/* NULL: there is no such parameter. Names in any case. */
/* By place; NULL: there are no more. */
const char *parameter_name(uint32_t index);
const char *parameter_initial(uint32_t index);
const char *parameter_description(uint32_t index);
const char *parameters_get(const struct parameters *parameters, const char *name);
/* As it is written: "TimeZone". NULL: there is none. */
const char *parameters_name(const char *name);
/* For this session; or to the end of the transaction. 42704, 22023, 55P02. */
err_t parameters_set(struct parameters *parameters, const char *name, const char *value);
err_t parameters_set_local(struct parameters *parameters, const char *name, const char *value);
err_t parameters_reset(struct parameters *parameters, const char *name);
err_t parameters_reset_local(struct parameters *parameters, const char *name);
/* Another one whenever a value may have changed. */
uint64_t parameters_version(const struct parameters *parameters);
/* Another one whenever a value may have changed that binding or planning a statement asks. */
uint64_t parameters_plan_version(const struct parameters *parameters);
/* The client has said what it begins with: RESET goes back to the values of now. */
void parameters_started(struct parameters *parameters);
err_t parameters_reset_all(struct parameters *parameters);
/* Of those that clients cannot change. */
void parameters_fix(struct parameters *parameters, const char *name, struct slice value);
/* The transaction has ended: with its commit what was set locally ends, otherwise all that it has
 * set. */
YIELDS void parameters_transaction_end(struct parameters *parameters, bool has_committed);
/* A place to return to: what is set after it is taken back. It ends with the transaction. */
uint32_t parameters_mark(const struct parameters *parameters);
YIELDS void parameters_return(struct parameters *parameters, uint32_t mark);
const struct sql_timeouts *parameters_timeouts(const struct parameters *parameters);
const struct sql_memory *parameters_memory(const struct parameters *parameters);

/* Borrowed: what the settings give to types. */
void parameters_names_set(struct parameters *parameters, const struct type_names *names);
/* When the transaction began: what "now" in a text means. */
void parameters_now_set(struct parameters *parameters, int64_t unix_us);
const struct type_settings *parameters_settings(const struct parameters *parameters);
enum txn_isolation parameters_isolation(const struct parameters *parameters);
bool parameters_read_only(const struct parameters *parameters);
