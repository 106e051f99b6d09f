/* query/exec/foreign.h - foreign keys and deferrable unique keys: what a statement has changed is
 * looked at when it has ended, or at the transaction's end.
 *
 * Rows that refer and rows that are referred to meet at a lock on a name made of the key: who adds
 * a reference shares it, who takes the key away has it alone. It is taken before the look, and the
 * look is at a snapshot that is newer, so that neither misses the other. */
#pragma once

#include "models/relational/rtable.h"
#include "query/exec/exec.h"

struct foreign_events;

struct foreign_events *foreign_events_new(void);
void foreign_events_free(struct foreign_events **events); /* Accepts NULL. */
bool foreign_events_are_none(const struct foreign_events *events);

/* A row was inserted (old NULL), changed, or deleted (new NULL). */
err_t foreign_note(struct exec *exec, struct foreign_events *events,
                   const struct relation *relation, const struct row *old, const struct row *new);
/* The row must have a referenced one. */
err_t foreign_note_child(struct foreign_events *events, const struct relation *relation,
                         const struct constraint *constraint, const struct row *row);
/* Looks at what was noted and does what the constraints say, until nothing is left; what is
 * deferred goes to the session. 23503, 23505, and errors of changed rows. Takes new snapshots. */
YIELDS err_t foreign_run(struct exec *exec, struct foreign_events *events);

/* ---- Of a session's transaction ---- */

struct foreign_session;
struct foreign_session *foreign_session_new(void);
void foreign_session_free(struct foreign_session **session);
/* The transaction is over. */
void foreign_session_clear(struct foreign_session *session);
/* Savepoints: what was deferred since is forgotten. */
uint32_t foreign_session_mark(const struct foreign_session *session);
void foreign_session_return(struct foreign_session *session, uint32_t mark);
bool foreign_session_is_idle(const struct foreign_session *session);
/* SET CONSTRAINTS; oid 0: all. Those that become immediate are looked at. */
YIELDS err_t foreign_session_set(struct exec *exec, struct foreign_session *session,
                                 const oid_t *oids, uint32_t count, bool is_deferred);
/* Before the commit: everything that was deferred. */
YIELDS err_t foreign_session_run(struct exec *exec, struct foreign_session *session);
