# ORBIT_NEED(NAME, DEBIAN-PACKAGE, HEADER, FUNCTION-CALL, LIBS)
# -----------------------------------------------------------
# Compile and link a call. On success NAME_LIBS holds LIBS; on failure the Debian package joins
# orbit_missing, which ORBIT_REPORT_MISSING names at the end, all at once. pkg-config is not
# used, so that a machine without it gets the same single message.
AC_DEFUN([ORBIT_NEED], [
AC_CACHE_CHECK([for $2], [orbit_cv_have_$1], [
orbit_saved_libs=$LIBS
LIBS="$5 $LIBS"
AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
$3]], [[$4;]])], [orbit_cv_have_$1=yes], [orbit_cv_have_$1=no])
LIBS=$orbit_saved_libs])
AS_IF([test "$orbit_cv_have_$1" = yes], [$1_LIBS="$5"],
      [$1_LIBS=; orbit_missing="$orbit_missing $2"])
AC_SUBST([$1_LIBS])
])

# ORBIT_REPORT_MISSING
# --------------------
# Stop with one message and one command when anything that the build needs is missing.
AC_DEFUN([ORBIT_REPORT_MISSING], [
AS_IF([test -n "$orbit_missing"], [AC_MSG_ERROR([packages are missing:$orbit_missing

To install all of them:

    apt-get install$orbit_missing
])])
])

# ORBIT_PEER(NAME, DEBIAN-PACKAGE, HEADER, FUNCTION-CALL, LIBS)
# -----------------------------------------------------------
# As ORBIT_NEED, for what the build can do without: defines HAVE_NAME for C and for automake, or
# adds the package to orbit_absent_peers.
AC_DEFUN([ORBIT_PEER], [
ORBIT_NEED([$1], [$2], [$3], [$4], [$5])
AS_IF([test "$orbit_cv_have_$1" = yes],
      [AC_DEFINE([HAVE_$1], [1], [orbit-bench measures against it.])],
      [orbit_absent_peers="$orbit_absent_peers $2"])
AM_CONDITIONAL([HAVE_$1], [test "$orbit_cv_have_$1" = yes])
])
