#!/bin/sh
# Prints engine/base/commit.c for the checkout in $1.
set -eu
# The checkout may belong to another user than the one who builds.
git_here() {
    git -c safe.directory='*' -C "$root" "$@" 2>/dev/null
}

root=$1
commit=$(git_here rev-parse --short=12 HEAD) || commit=unknown
if [ "$commit" != unknown ] && ! git_here diff-index --quiet HEAD --; then
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
