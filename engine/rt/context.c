/* engine/rt/context.c - the context switch for x86-64, System V ABI.
 *
 * What a function must preserve is pushed on the stack that is left; everything else is the
 * caller's, since to the compiler the switch is an ordinary call. A saved stack:
 *
 *     stack_pointer -> | mxcsr, x87 control | r15 | r14 | r13 | r12 | rbx | rbp | return address |
 *
 * A new one looks as if it had been saved, with context_entry as return address, the argument in
 * r12 and the function in r13. */
#include "engine/rt/context.h"

#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/sanitize.h"

#ifdef ORBIT_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef ORBIT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#include "engine/base/poison.h"

void context_swap(void **stack_pointer_out, void *stack_pointer);
void context_entry(void);

/* The return is a pop and an indirect jump: a ret could never be predicted, as the processor's
 * return stack belongs to the other context. */
__asm__(".pushsection .text\n"
        ".balign 16\n"
        ".globl context_swap\n"
        ".hidden context_swap\n"
        ".type context_swap, @function\n"
        "context_swap:\n"
        ".cfi_startproc\n"
        "    pushq %rbp\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    .cfi_rel_offset %rbp, 0\n"
        "    pushq %rbx\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    .cfi_rel_offset %rbx, 0\n"
        "    pushq %r12\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    .cfi_rel_offset %r12, 0\n"
        "    pushq %r13\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    .cfi_rel_offset %r13, 0\n"
        "    pushq %r14\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    .cfi_rel_offset %r14, 0\n"
        "    pushq %r15\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    .cfi_rel_offset %r15, 0\n"
        "    subq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    stmxcsr (%rsp)\n"
        "    fnstcw 4(%rsp)\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    ldmxcsr (%rsp)\n"
        "    fldcw 4(%rsp)\n"
        "    addq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %r15\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    .cfi_restore %r15\n"
        "    popq %r14\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    .cfi_restore %r14\n"
        "    popq %r13\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    .cfi_restore %r13\n"
        "    popq %r12\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    .cfi_restore %r12\n"
        "    popq %rbx\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    .cfi_restore %rbx\n"
        "    popq %rbp\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    .cfi_restore %rbp\n"
        "    popq %rcx\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    .cfi_register %rip, %rcx\n"
        "    jmpq *%rcx\n"
        ".cfi_endproc\n"
        ".size context_swap, . - context_swap\n"
        "\n"
        ".balign 16\n"
        ".globl context_entry\n"
        ".hidden context_entry\n"
        ".type context_entry, @function\n"
        "context_entry:\n"
        ".cfi_startproc\n"
        "    .cfi_undefined %rip\n" /* Here backtraces end. */
        "    movq %r12, %rdi\n"
        "    callq *%r13\n"
        "    ud2\n"
        ".cfi_endproc\n"
        ".size context_entry, . - context_entry\n"
        ".popsection\n");

/* As context_swap pops it. */
struct context_frame {
    uint32_t mxcsr;
    uint16_t x87_control;
    uint16_t unused;
    uint64_t r15;
    uint64_t r14;
    uint64_t r13;
    uint64_t r12;
    uint64_t rbx;
    uint64_t rbp;
    uint64_t return_address;
    /* The caller's frame would begin here, 16-byte aligned; two zeroes end a walk by rbp. */
    uint64_t end[2];
};

enum { CONTEXT_MXCSR = 0x1f80, CONTEXT_X87_CONTROL = 0x037f }; /* The ABI's initial values. */

void
context_make(struct context *context, uint8_t *stack_low, size_t stack_bytes,
             void (*entry)(void *arg), void *arg)
{
    uint8_t *top = stack_low + stack_bytes;
    struct context_frame *frame = (struct context_frame *)(void *)top - 1;

    ASSERT((uintptr_t)top % 16 == 0);
    *frame = (struct context_frame){
        .mxcsr = CONTEXT_MXCSR,
        .x87_control = CONTEXT_X87_CONTROL,
        .r13 = (uint64_t)(uintptr_t)entry,
        .r12 = (uint64_t)(uintptr_t)arg,
        .return_address = (uint64_t)(uintptr_t)context_entry,
    };
    *context = (struct context){
        .stack_pointer = frame,
        .stack_low = stack_low,
        .stack_bytes = stack_bytes,
    };
#ifdef ORBIT_TSAN
    context->tsan_fiber = __tsan_create_fiber(0);
#endif
}

void
context_forget(struct context *context)
{
#ifdef ORBIT_TSAN
    if (context->tsan_fiber != NULL) {
        __tsan_destroy_fiber(context->tsan_fiber);
        context->tsan_fiber = NULL;
    }
#endif
    if (context->stack_low != NULL) {
        /* Frames that never returned leave their red zones behind. */
        SANITIZE_UNPOISON(context->stack_low, context->stack_bytes);
    }
}

void
context_entered(struct context *from)
{
#ifdef ORBIT_ASAN
    const void *bottom = NULL;

    __sanitizer_finish_switch_fiber(NULL, &bottom, &from->stack_bytes);
    from->stack_low = (uint8_t *)(uintptr_t)bottom;
#else
    (void)from;
#endif
}

void
context_modes_reset(void)
{
    uint32_t mxcsr = CONTEXT_MXCSR;
    uint16_t x87_control = CONTEXT_X87_CONTROL;

    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(x87_control));
}

void
context_switch(struct context *from, struct context *to)
{
#ifdef ORBIT_ASAN
    const void *bottom = NULL;
    size_t bytes = 0;

    __sanitizer_start_switch_fiber(&from->asan_fake_stack, to->stack_low, to->stack_bytes);
#endif
#ifdef ORBIT_TSAN
    from->tsan_fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->tsan_fiber, 0);
#endif
    context_swap(&from->stack_pointer, to->stack_pointer);
    /* Back in `from`, and it was `to` that switched here. */
#ifdef ORBIT_ASAN
    __sanitizer_finish_switch_fiber(from->asan_fake_stack, &bottom, &bytes);
    to->stack_low = (uint8_t *)(uintptr_t)bottom;
    to->stack_bytes = bytes;
#endif
}
