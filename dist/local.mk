# dist: the systemd unit, the example configuration, the pkg-config file.

# Paths are put in by make and not by configure, so that `make prefix=...` is right as well.
dist_substitute = $(AM_V_GEN)$(MKDIR_P) dist && $(SED) \
    -e 's|@prefix[@]|$(prefix)|g' -e 's|@bindir[@]|$(bindir)|g' \
    -e 's|@libdir[@]|$(libdir)|g' -e 's|@includedir[@]|$(includedir)|g' \
    -e 's|@sysconfdir[@]|$(sysconfdir)|g' -e 's|@version[@]|$(PACKAGE_VERSION)|g' \
    -e 's|@libs[@]|$(orbit_libs)|g'

dist/orbit-server.service: $(top_srcdir)/dist/orbit-server.service.in Makefile
	$(dist_substitute) $(top_srcdir)/dist/orbit-server.service.in > $@.tmp && mv -f $@.tmp $@

dist/orbit.pc: $(top_srcdir)/dist/orbit.pc.in Makefile
	$(dist_substitute) $(top_srcdir)/dist/orbit.pc.in > $@.tmp && mv -f $@.tmp $@

systemdsystemunit_DATA = dist/orbit-server.service
pkgconfig_DATA = dist/orbit.pc
CLEANFILES += dist/orbit-server.service dist/orbit.pc

# A configuration that is there already is the administrator's.
install-data-local:
	$(MKDIR_P) "$(DESTDIR)$(sysconfdir)/orbit"
	test -e "$(DESTDIR)$(sysconfdir)/orbit/orbit.conf" || \
	    $(INSTALL_DATA) $(top_srcdir)/dist/orbit.conf "$(DESTDIR)$(sysconfdir)/orbit/orbit.conf"
