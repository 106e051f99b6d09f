# tests/sim: the deterministic simulator's program.
bin_PROGRAMS += orbit-sim
orbit_sim_SOURCES = tests/sim/main.c tests/sim/jobs.c tests/sim/run.c tests/sim/scenarios.c
orbit_sim_SOURCES += tests/sim/scenario_disk.c tests/sim/scenario_wal.c
orbit_sim_SOURCES += tests/sim/model.c tests/sim/scenario_store.c
orbit_sim_SOURCES += tests/sim/scenario_commit.c tests/sim/scenario_store_rot.c
orbit_sim_SOURCES += tests/sim/kv_collections.c tests/sim/kv_model.c tests/sim/kv_words.c tests/sim/scenario_kv.c tests/sim/scenario_multi.c
orbit_sim_SOURCES += tests/sim/history.c tests/sim/trees.c tests/sim/trees_read.c
orbit_sim_SOURCES += tests/sim/trees_changes.c tests/sim/trees_checkpoint.c tests/sim/trees_ingest.c
orbit_sim_SOURCES += tests/sim/scenario_lsm.c
orbit_sim_SOURCES += tests/sim/txn_history.c tests/sim/txn_steps.c tests/sim/txn_clients.c
orbit_sim_SOURCES += tests/sim/scenario_feed.c tests/sim/scenario_txn.c
orbit_sim_SOURCES += tests/sim/scenario_claims.c tests/sim/scenario_groups.c tests/sim/waiting.c
orbit_sim_SOURCES += tests/lib/cycles.c tests/lib/cycles_graph.c
orbit_sim_LDADD = $(program_libs)
