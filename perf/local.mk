# perf: the scripts and small programs of the comparisons. `make null-server` builds the ceiling;
# the scripts ask for it.
EXTRA_PROGRAMS += null-server
null_server_SOURCES = perf/null-server.c
