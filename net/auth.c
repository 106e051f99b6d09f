/* net/auth.c - see the header. */
#include "net/auth.h"

#include "net/config.h"
#include "net/net.h"

#include "engine/base/poison.h"

/* The time depends on the lengths alone. */
static bool
bytes_equal(struct slice a, struct slice b)
{
    uint8_t difference = a.size != b.size;

    for (size_t i = 0; i < a.size; i++) {
        difference |= a.data[i] ^ (b.size > 0 ? b.data[i % b.size] : 0xff);
    }
    return difference == 0;
}

bool
auth_check(const struct net *net, struct slice user, struct slice password)
{
    struct slice expected = slice_from_text(config_values(net->config)->password);

    if (!slice_equal(user, SLICE("default"))) {
        return false;
    }
    return expected.size == 0 || bytes_equal(password, expected);
}
