/* net/auth.h - who may use this server: the one user "default", with the password of the
 * configuration. */
#pragma once

#include <stdbool.h>

#include "engine/base/slice.h"

struct net;

/* Does the password fit the user? Without a configured password any fits "default". Takes the same
 * time whatever part of the password differs. */
bool auth_check(const struct net *net, struct slice user, struct slice password);
