# models/relational: tables as keys of the store.
models_sources += models/relational/catalog.c models/relational/catalog_code.c \
    models/relational/catalog_type.c \
    models/relational/relational.c models/relational/rtable.c models/relational/sequence.c \
    models/relational/slots.c models/relational/table_lock.c \
    models/relational/temp_file.c
