# tools/server: the server.
bin_PROGRAMS += orbit-server
orbit_server_SOURCES = tools/server/main.c tools/server/options.c
orbit_server_LDADD = $(program_libs)
