/* The scenarios of Hermitage, Martin Kleppmann's catalogue of what isolation levels of databases
 * really do, on the interface of txn/txn.h: three columns for READ COMMITTED, REPEATABLE READ and
 * SERIALIZABLE. docs/isolation.md has the table that these cases show. */
#include <criterion/criterion.h>

#include "tests/unit/txn/sessions.h"

/* A script has a line for each command. */
/* clang-format off */

Test(hermitage, G0_write_cycles_do_not_happen)
{
    SCRIPT(
        {"1 put x 11", {"ok"}},
        {"2 put x 12", {"waits"}},
        {"1 put y 21", {"ok"}},
        {"1 commit", {"ok; 2: ok", "ok; 2: serialization"}},
        {"3 scan", {"x=11 y=21"}},
        {"2 put y 22", {"ok", "aborted"}},
        {"2 commit", {"ok", "aborted"}},
        {"0 scan", {"x=12 y=22", "x=11 y=21"}});
}

Test(hermitage, G1a_what_is_aborted_is_not_read)
{
    SCRIPT(
        {"1 put x 101", {"ok"}},
        {"2 scan", {"x=10 y=20"}},
        {"1 abort", {"ok"}},
        {"2 scan", {"x=10 y=20"}},
        {"2 commit", {"ok"}});
}

Test(hermitage, G1b_what_lies_between_is_not_read)
{
    SCRIPT(
        {"1 put x 101", {"ok"}},
        {"2 scan", {"x=10 y=20"}},
        {"1 put x 11", {"ok"}},
        {"1 commit", {"ok"}},
        {"2 scan", {"x=11 y=20", "x=10 y=20"}},
        {"2 commit", {"ok"}});
}

Test(hermitage, G1c_information_does_not_flow_in_circles)
{
    SCRIPT(
        {"1 put x 11", {"ok"}},
        {"2 put y 22", {"ok"}},
        {"1 get y", {"20"}},
        {"2 get x", {"10"}},
        {"1 commit", {"ok"}},
        {"2 commit", {"ok", "ok", "serialization"}});
}

Test(hermitage, OTV_an_observed_transaction_does_not_vanish)
{
    SCRIPT(
        {"1 put x 11", {"ok"}},
        {"1 put y 19", {"ok"}},
        {"2 put x 12", {"waits"}},
        {"1 commit", {"ok; 2: ok", "ok; 2: serialization"}},
        {"3 get x", {"11"}},
        {"2 put y 18", {"ok", "aborted"}},
        {"3 get y", {"19"}},
        {"2 commit", {"ok", "aborted"}},
        {"3 get y", {"18", "19"}},
        {"3 get x", {"12", "11"}},
        {"3 commit", {"ok"}});
}

Test(hermitage, PMP_a_predicate_reads_one_state)
{
    SCRIPT(
        {"1 scan =30", {"none"}},
        {"2 put z 30", {"ok"}},
        {"2 commit", {"ok"}},
        {"1 scan %3", {"z=30", "none"}},
        {"1 commit", {"ok"}});
}

Test(hermitage, PMP_a_predicate_writes_what_is_newest)
{
    SCRIPT(
        {"1 add-all 10", {"ok"}},
        {"2 scan =20", {"y=20"}},
        {"2 delete-where 20", {"waits"}},
        {"1 commit", {"ok; 2: ok", "ok; 2: serialization"}},
        {"2 commit", {"ok", "aborted"}},
        {"3 scan", {"x=20 y=30"}});
}

Test(hermitage, P4_an_update_is_not_lost_from_repeatable_read_on)
{
    SCRIPT(
        {"1 get x", {"10"}},
        {"2 get x", {"10"}},
        {"1 put x 11", {"ok"}},
        {"2 put x 12", {"waits"}},
        {"1 commit", {"ok; 2: ok", "ok; 2: serialization"}},
        {"2 commit", {"ok", "aborted"}},
        {"3 get x", {"12", "11"}});
}

Test(hermitage, P4_an_update_that_locks_first_is_not_lost_at_read_committed_either)
{
    SCRIPT(
        {"1 add x 1", {"ok"}},
        {"2 add x 2", {"waits"}},
        {"1 commit", {"ok; 2: ok", "ok; 2: serialization"}},
        {"2 commit", {"ok", "aborted"}},
        {"3 get x", {"13", "11"}});
}

Test(hermitage, G_single_read_skew)
{
    SCRIPT(
        {"1 get x", {"10"}},
        {"2 get x", {"10"}},
        {"2 get y", {"20"}},
        {"2 put x 12", {"ok"}},
        {"2 put y 18", {"ok"}},
        {"2 commit", {"ok"}},
        {"1 get y", {"18", "20"}},
        {"1 commit", {"ok"}});
}

Test(hermitage, G_single_read_skew_with_predicates)
{
    SCRIPT(
        {"1 scan %5", {"x=10 y=20"}},
        {"2 put x 12", {"ok"}},
        {"2 commit", {"ok"}},
        {"1 scan %3", {"x=12", "none"}},
        {"1 commit", {"ok"}});
}

Test(hermitage, G_single_read_skew_and_a_predicate_that_writes)
{
    SCRIPT(
        {"1 get x", {"10"}},
        {"2 scan", {"x=10 y=20"}},
        {"2 put x 12", {"ok"}},
        {"2 put y 18", {"ok"}},
        {"2 commit", {"ok"}},
        {"1 delete-where 20", {"ok", "serialization"}},
        {"1 abort", {"ok"}},
        {"3 scan", {"x=12 y=18"}});
}

Test(hermitage, G_single_read_skew_and_a_write_that_waits)
{
    SCRIPT(
        {"1 get x", {"10"}},
        {"2 scan", {"x=10 y=20"}},
        {"2 put x 12", {"ok"}},
        {"1 delete-where 20", {"ok"}},
        {"2 put y 18", {"waits"}},
        {"1 abort", {"ok; 2: ok"}},
        {"2 commit", {"ok"}},
        {"3 scan", {"x=12 y=18"}});
}

Test(hermitage, G2_item_write_skew)
{
    SCRIPT(
        {"1 scan", {"x=10 y=20"}},
        {"2 scan", {"x=10 y=20"}},
        {"1 put x 11", {"ok"}},
        {"2 put y 21", {"ok"}},
        {"1 commit", {"ok"}},
        {"2 commit", {"ok", "ok", "serialization"}},
        {"3 scan", {"x=11 y=21", "x=11 y=21", "x=11 y=20"}});
}

Test(hermitage, G2_item_write_skew_of_two_point_reads)
{
    SCRIPT(
        {"1 get x", {"10"}},
        {"2 get y", {"20"}},
        {"1 put y 11", {"ok"}},
        {"2 put x 21", {"ok"}},
        {"1 commit", {"ok"}},
        {"2 commit", {"ok", "ok", "serialization"}});
}

Test(hermitage, G2_write_skew_of_two_ranges)
{
    SCRIPT(
        {"1 scan %3", {"none"}},
        {"2 scan %3", {"none"}},
        {"1 put z 30", {"ok"}},
        {"2 put w 42", {"ok"}},
        {"1 commit", {"ok"}},
        {"2 commit", {"ok", "ok", "serialization"}},
        {"3 scan %3", {"w=42 z=30", "w=42 z=30", "z=30"}});
}

Test(hermitage, G2_two_edges_the_read_only_anomaly)
{
    SCRIPT(
        {"1 scan", {"x=10 y=20"}},
        {"2 add y 5", {"ok"}},
        {"2 commit", {"ok"}},
        {"3 scan", {"x=10 y=25"}},
        {"3 commit", {"ok"}},
        {"1 put x 0", {"ok"}},
        {"1 commit", {"ok", "ok", "serialization"}});
}
