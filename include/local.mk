# include: the public C API. A header listed in include_HEADERS is installed.
include_HEADERS +=
api_sources +=
