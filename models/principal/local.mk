# models/principal: the catalog of those who may use the database.
models_sources += models/principal/principal.c models/principal/scram.c models/principal/sha256.c
