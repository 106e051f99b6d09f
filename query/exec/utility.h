/* query/exec/utility.h - statements that are no queries: definitions of tables and their like. */
#pragma once

#include "query/exec/exec.h"
#include "query/session.h"

struct utility {
    struct exec *exec;
    const struct sql_sink *sink; /* For notices. */
    struct catalog *catalog;     /* A clone of the transaction's own: it is changed. */
    const char *search_path;
    struct slice text;  /* Of the statement. */
    const char *tag;    /* Out. */
    int32_t position;   /* Out, on errors: byte offset in the whole text, -1: none. */
    int32_t text_start; /* Offset of `text` in the whole text. */
    bool is_block;      /* Within BEGIN and COMMIT. */
    uint64_t client;    /* Of the session: names its temporary schema. */
};

/* Does the statement change the catalog? */
bool utility_is_definition(const void *node);
/* Runs a definition. */
YIELDS err_t utility_run(struct utility *utility, const void *node);
/* "CREATE TABLE", of any node; for messages. */
const char *utility_name(const void *node);
