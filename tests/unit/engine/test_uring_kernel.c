/* Each case installs a seccomp filter in a forked child, and reads its message. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/err.h"
#include "engine/io/uring.h"
#include "engine/io/uring_internal.h"

TestSuite(uring_kernel, .timeout = 20);

static bool
deny_syscall(uint32_t number, uint32_t negative_result)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | negative_result),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* What uring_kernel_check says where `number` is denied. */
static err_t
check_where_denied(uint32_t number, uint32_t error, char *message, size_t size)
{
    struct {
        err_t err;
        char message[ERR_MESSAGE_BYTES_MAX];
    } result = {0};
    int pipes[2];
    int status;
    pid_t child;

    cr_assert_eq(pipe(pipes), 0);
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        if (!deny_syscall(number, error)) {
            _exit(1);
        }
        result.err = uring_kernel_check();
        snprintf(result.message, sizeof(result.message), "%s", err_message(result.err));
        _exit(write(pipes[1], &result, sizeof(result)) == sizeof(result) ? 0 : 2);
    }
    close(pipes[1]);
    cr_assert_eq(read(pipes[0], &result, sizeof(result)), sizeof(result));
    close(pipes[0]);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    snprintf(message, size, "%s", result.message);
    return result.err;
}

Test(uring_kernel, this_kernel_passes)
{
    cr_assert_eq(uring_kernel_check(), ERR_OK, "%s", err_message(ERR_KERNEL));
}

Test(uring_kernel, a_filter_that_forbids_is_named_with_what_to_allow)
{
    char message[ERR_MESSAGE_BYTES_MAX];

    cr_assert_eq(check_where_denied(SYS_io_uring_setup, EPERM, message, sizeof(message)),
                 ERR_KERNEL);
    cr_assert(strstr(message, "io_uring_setup: not permitted") != NULL, "%s", message);
    cr_assert(strstr(message, "runs under a seccomp filter") != NULL, "%s", message);
    cr_assert(strstr(message, "--security-opt seccomp=FILE") != NULL, "%s", message);
}

Test(uring_kernel, a_filter_that_hides_the_call_is_named_beside_the_kernel)
{
    char message[ERR_MESSAGE_BYTES_MAX];

    cr_assert_eq(check_where_denied(SYS_io_uring_setup, ENOSYS, message, sizeof(message)),
                 ERR_KERNEL);
    cr_assert(strstr(message, "CONFIG_IO_URING") != NULL, "%s", message);
    cr_assert(strstr(message, "seccomp") != NULL, "%s", message);
}

Test(uring_kernel, lack_of_locked_memory_names_the_limit_and_how_to_raise_it)
{
    char message[ERR_MESSAGE_BYTES_MAX];

    cr_assert_eq(check_where_denied(SYS_io_uring_setup, ENOMEM, message, sizeof(message)),
                 ERR_KERNEL);
    cr_assert(strstr(message, "LimitMEMLOCK") != NULL, "%s", message);
    cr_assert(strstr(message, "ulimit -l") != NULL, "%s", message);
}

Test(uring_kernel, missing_features_name_the_kernel_that_has_them)
{
    char message[ERR_MESSAGE_BYTES_MAX];

    cr_assert_eq(check_where_denied(SYS_io_uring_setup, EINVAL, message, sizeof(message)),
                 ERR_KERNEL);
    cr_assert(strstr(message, "Linux 6.1 or later") != NULL, "%s", message);
}

Test(uring_kernel, a_filter_on_the_other_calls_is_found_at_the_start_too)
{
    char message[ERR_MESSAGE_BYTES_MAX];

    cr_assert_eq(check_where_denied(SYS_io_uring_enter, EPERM, message, sizeof(message)),
                 ERR_KERNEL);
    cr_assert(strstr(message, "io_uring_enter") != NULL, "%s", message);
    cr_assert_eq(check_where_denied(SYS_io_uring_register, EPERM, message, sizeof(message)),
                 ERR_KERNEL);
    cr_assert(strstr(message, "io_uring_register") != NULL, "%s", message);
}

Test(uring_kernel, running_out_of_descriptors_is_not_taken_for_a_missing_feature)
{
    cr_assert_eq(uring_kernel_refusal("io_uring_setup", -EMFILE), ERR_KERNEL);
    cr_assert(strstr(err_message(ERR_KERNEL), "LimitNOFILE") != NULL);
}
