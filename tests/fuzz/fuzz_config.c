/* tests/fuzz/fuzz_config.c - any bytes as orbit.conf: read or refused with a message. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/server/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct options options;
    char path[64];
    char program[] = "orbit-server", flag[] = "--config";
    char *argv[] = {program, flag, path, NULL};
    int fd = memfd_create("orbit.conf", MFD_CLOEXEC);
    err_t err;

    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        abort();
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    err = options_parse(3, argv, &options);
    if (err == ERR_OK && (options.server.shards == 0 || options.server.shards > SHARDS_MAX ||
                          options.server.memory_bytes < SERVER_MEMORY_MIN)) {
        abort();
    }
    if (err != ERR_OK && err_message(err)[0] == '\0') {
        abort();
    }
    close(fd);
    return 0;
}
