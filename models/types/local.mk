# models/types: values of SQL.
models_sources += models/types/calendar.c models/types/datetime.c models/types/datetime_io.c \
    models/types/datetime_parse.c models/types/datetime_words.c models/types/enum.c \
    models/types/interval_text.c \
    models/types/zone.c models/types/zone_abbreviation.c
models_sources += models/types/numeric.c models/types/numeric_math.c models/types/numeric_text.c \
    models/types/sql_error.c models/types/type.c models/types/type_io.c
models_sources += models/types/tuple.c
models_sources += models/types/array.c models/types/array_io.c models/types/array_part.c
models_sources += models/types/reg.c
models_sources += models/types/json_text.c models/types/jsonb.c models/types/jsonb_io.c
