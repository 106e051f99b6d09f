# tests/unit/net: the unit tests of net/, which link it and what lies below it.
if HAVE_CRITERION
check_PROGRAMS += test_net
endif
test_net_SOURCES = tests/unit/net/test_resp.c
test_net_SOURCES += tests/unit/net/net_fixture.c tests/unit/net/fake_conn.c
test_net_SOURCES += tests/unit/net/test_acl.c tests/unit/net/test_cluster.c
test_net_SOURCES += tests/unit/net/test_blocking.c tests/unit/net/test_command.c tests/unit/net/test_config.c tests/unit/net/test_feed.c \
    tests/unit/net/test_monitor.c tests/unit/net/test_pubsub.c tests/unit/net/test_session.c tests/unit/net/test_tracking.c \
    tests/unit/net/test_transaction.c tests/unit/net/test_txn_limits.c tests/unit/net/test_txns.c
test_net_LDADD = libtestlib.a $(net_libs) $(CRITERION_LIBS)
