# tools/docs: prints docs/protocol/resp.md from the server's own tables.
EXTRA_PROGRAMS += orbit-docs
orbit_docs_SOURCES = tools/docs/main.c
orbit_docs_LDADD = $(program_libs)
