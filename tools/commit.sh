#!/bin/sh
# Prints engine/base/commit.c for the checkout in $1.
set -eu
commit=$(git -C "$1" rev-parse --short=12 HEAD 2>/dev/null) || commit=unknown
if [ "$commit" != unknown ] && ! git -C "$1" diff-index --quiet HEAD -- 2>/dev/null; then
    commit="$commit+"
fi
cat <<EOF
#include "engine/base/commit.h"

const char *
orbit_commit(void)
{
    return "$commit";
}
EOF
