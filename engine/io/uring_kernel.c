/* engine/io/uring_kernel.c - what the kernel refuses, in words that say what to change. */
#include "engine/io/uring_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "engine/base/poison.h"

static const struct {
    uint32_t op;
    const char *name;
} needed_ops[] = {
    {IORING_OP_READ, "READ"},         {IORING_OP_WRITE, "WRITE"},
    {IORING_OP_FSYNC, "FSYNC"},       {IORING_OP_FALLOCATE, "FALLOCATE"},
    {IORING_OP_OPENAT, "OPENAT"},     {IORING_OP_CLOSE, "CLOSE"},
    {IORING_OP_RENAMEAT, "RENAMEAT"}, {IORING_OP_LINKAT, "LINKAT"},
    {IORING_OP_UNLINKAT, "UNLINKAT"}, {IORING_OP_MKDIRAT, "MKDIRAT"},
    {IORING_OP_ACCEPT, "ACCEPT"},     {IORING_OP_RECV, "RECV"},
    {IORING_OP_SEND, "SEND"},         {IORING_OP_ASYNC_CANCEL, "ASYNC_CANCEL"},
    {IORING_OP_POLL_ADD, "POLL_ADD"}, {IORING_OP_TIMEOUT, "TIMEOUT"},
    {IORING_OP_MSG_RING, "MSG_RING"},
};

/* The first number after `key` at the start of a line of a small file; -1 when there is none. */
static long
number_in_file(const char *path, const char *key)
{
    char text[4096];
    const char *at;
    ssize_t size;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return -1;
    }
    size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size <= 0) {
        return -1;
    }
    text[size] = '\0';
    at = strstr(text, key);
    return at == NULL ? -1 : strtol(at + strlen(key), NULL, 10);
}

static err_t
refused_by_permission(const char *call)
{
    long disabled = number_in_file("/proc/sys/kernel/io_uring_disabled", "");

    if (disabled == 2) {
        return err_set(ERR_KERNEL,
                       "%s: the system forbids io_uring: kernel.io_uring_disabled is 2; allow it "
                       "with: sysctl kernel.io_uring_disabled=0",
                       call);
    }
    if (disabled == 1 && geteuid() != 0) {
        return err_set(ERR_KERNEL,
                       "%s: the system allows io_uring to one group only: "
                       "kernel.io_uring_disabled is 1; put this user into the group whose number "
                       "is in kernel.io_uring_group, or: sysctl kernel.io_uring_disabled=0",
                       call);
    }
    return err_set(ERR_KERNEL,
                   "%s: not permitted: %s; let the container's seccomp profile allow "
                   "io_uring_setup, io_uring_enter and io_uring_register (docker and podman: "
                   "--security-opt seccomp=FILE; systemd: SystemCallFilter=@io-event)",
                   call,
                   number_in_file("/proc/self/status", "\nSeccomp:") > 0
                       ? "this process runs under a seccomp filter"
                       : "a security module (such as SELinux or AppArmor) or a seccomp filter "
                         "forbids it");
}

static err_t
refused_by_memory(const char *call)
{
    struct rlimit limit = {0};

    getrlimit(RLIMIT_MEMLOCK, &limit);
    return err_set(ERR_KERNEL,
                   "%s: no memory for the ring: the limit of locked memory is %llu KiB; raise it "
                   "(systemd: LimitMEMLOCK=64M; shell: ulimit -l 65536; docker: --ulimit "
                   "memlock=67108864), or free memory of the machine",
                   call, (unsigned long long)limit.rlim_cur / 1024);
}

static void
kernel_release(char *text, size_t size)
{
    struct utsname name;

    snprintf(text, size, "%s", uname(&name) == 0 ? name.release : "unknown");
}

err_t
uring_kernel_refusal(const char *call, int negative_errno)
{
    char release[80];

    switch (-negative_errno) {
    case ENOSYS:
        return err_set(ERR_KERNEL,
                       "%s: this kernel has no io_uring (built without CONFIG_IO_URING), or the "
                       "container's seccomp profile hides it: let the profile allow "
                       "io_uring_setup, io_uring_enter and io_uring_register (docker and podman: "
                       "--security-opt seccomp=FILE)",
                       call);
    case EPERM:
    case EACCES:
        return refused_by_permission(call);
    case ENOMEM:
        return refused_by_memory(call);
    case EINVAL:
        kernel_release(release, sizeof(release));
        return err_set(ERR_KERNEL,
                       "%s: this kernel (%s) does not know a needed feature of io_uring: Linux "
                       "%d.%d or later is needed",
                       call, release, URING_KERNEL_MAJOR, URING_KERNEL_MINOR);
    case EMFILE:
    case ENFILE:
        return err_set(ERR_KERNEL,
                       "%s: no file descriptor is left; raise the limit (systemd: LimitNOFILE=, "
                       "shell: ulimit -n)",
                       call);
    default:
        return err_set(ERR_KERNEL, "%s: %s", call, strerror(-negative_errno));
    }
}

bool
uring_kernel_has_op(uint32_t op)
{
    struct io_uring_probe *probe = io_uring_get_probe();
    bool has = probe != NULL && op <= probe->last_op &&
               (probe->ops[op].flags & IO_URING_OP_SUPPORTED) != 0;

    io_uring_free_probe(probe);
    return has;
}

static err_t
version_check(void)
{
    char release[80];
    int major = 0;
    int minor = 0;

    kernel_release(release, sizeof(release));
    /* A release that cannot be read is left to the checks by trying. */
    if (sscanf(release, "%d.%d", &major, &minor) == 2 &&
        (major < URING_KERNEL_MAJOR ||
         (major == URING_KERNEL_MAJOR && minor < URING_KERNEL_MINOR))) {
        return err_set(
            ERR_KERNEL,
            "this is Linux %s; %d.%d or later is needed (for IORING_SETUP_DEFER_TASKRUN)", release,
            URING_KERNEL_MAJOR, URING_KERNEL_MINOR);
    }
    return ERR_OK;
}

static err_t
ops_check(struct io_uring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    err_t err = ERR_OK;

    if (probe == NULL) {
        return uring_kernel_refusal("io_uring_register", -EPERM);
    }
    for (size_t i = 0; i < ARRAY_COUNT(needed_ops); i++) {
        if (needed_ops[i].op > probe->last_op ||
            (probe->ops[needed_ops[i].op].flags & IO_URING_OP_SUPPORTED) == 0) {
            err = err_set(ERR_KERNEL, "this kernel's io_uring lacks the operation %s",
                          needed_ops[i].name);
            break;
        }
    }
    io_uring_free_probe(probe);
    return err;
}

err_t
uring_kernel_check(void)
{
    struct io_uring ring;
    err_t err;
    int result;

    TRY(version_check());
    result = io_uring_queue_init(8, &ring,
                                 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                     IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL);
    if (result < 0) {
        return uring_kernel_refusal("io_uring_setup", result);
    }
    err = ops_check(&ring);
    if (err == ERR_OK && (result = io_uring_submit_and_get_events(&ring)) < 0) {
        err = uring_kernel_refusal("io_uring_enter", result);
    }
    io_uring_queue_exit(&ring);
out:
    return err;
}
