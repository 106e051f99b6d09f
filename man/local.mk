# man: the manual pages, in mdoc.
dist_man_MANS += man/orbit-server.1 man/orbit.conf.5 man/orbit-sim.1
