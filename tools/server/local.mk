# tools/server: the server. Plain make builds what stands in bin_PROGRAMS.
EXTRA_PROGRAMS += orbit-server
orbit_server_SOURCES =
orbit_server_LDADD = $(program_libs)
