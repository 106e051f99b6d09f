# tools/ctl: the operator's command.
bin_PROGRAMS += orbitctl
orbitctl_SOURCES = tools/ctl/main.c tools/ctl/inspect.c tools/ctl/verify.c tools/ctl/rows.c tools/ctl/shards.c tools/ctl/stats.c tools/ctl/txns.c
orbitctl_LDADD = $(program_libs)
