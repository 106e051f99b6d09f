# tests/unit/models: the unit tests of models/, which link it and what lies below it.
if HAVE_CRITERION
check_PROGRAMS += test_models
endif
test_models_SOURCES =
test_models_LDADD = libtestlib.a $(models_libs) $(CRITERION_LIBS)
