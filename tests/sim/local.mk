# tests/sim: the deterministic simulator's program. Plain make builds what stands in bin_PROGRAMS.
EXTRA_PROGRAMS += orbit-sim
orbit_sim_SOURCES =
orbit_sim_LDADD = $(program_libs)
