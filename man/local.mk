# man: the manual pages, in mdoc.
dist_man_MANS += man/orbit-server.1 man/orbitctl.1 man/orbit-sim.1 man/orbit-bench.1 man/orbit.conf.5
