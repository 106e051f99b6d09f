# tools/ctl: the operator's command. Plain make builds what stands in bin_PROGRAMS.
EXTRA_PROGRAMS += orbitctl
orbitctl_SOURCES = tools/ctl/main.c
orbitctl_LDADD = $(program_libs)
