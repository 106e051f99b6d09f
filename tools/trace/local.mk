# tools/trace: latencies by shard and level through BPF, with --with-bpf only.
if WITH_BPF
bin_PROGRAMS += orbit-trace
orbit_trace_SOURCES = tools/trace/main.c
orbit_trace_LDADD = libengine.a $(orbit_libs) $(BPF_LIBS)
nodist_orbit_trace_SOURCES = probes.skel.h
BUILT_SOURCES += probes.skel.h
dist_man_MANS += man/orbit-trace.1
CLEANFILES += probes.skel.h probes.bpf.o vmlinux.h

tools/trace/main.$(OBJEXT): probes.skel.h

vmlinux.h:
	$(BPFTOOL) btf dump file /sys/kernel/btf/vmlinux format c > $@.tmp
	@mv -f $@.tmp $@

probes.bpf.o: tools/trace/probes.bpf.c tools/trace/trace.h vmlinux.h
	$(BPF_CLANG) -target bpf -D__TARGET_ARCH_x86 -I/usr/include/x86_64-linux-gnu -O2 -g -I. -I$(top_srcdir) -c \
	    $(top_srcdir)/tools/trace/probes.bpf.c -o $@

probes.skel.h: probes.bpf.o
	$(BPFTOOL) gen skeleton probes.bpf.o name probes_bpf > $@.tmp
	@mv -f $@.tmp $@
endif
