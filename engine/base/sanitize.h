/* engine/base/sanitize.h - what the sanitizers must be told about memory and stacks that are
 * managed here. Every macro is empty in a build without them. */
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ORBIT_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define ORBIT_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ORBIT_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define ORBIT_TSAN 1
#endif

#ifdef ORBIT_ASAN
#include <sanitizer/asan_interface.h>
#define SANITIZE_POISON(start, size)   __asan_poison_memory_region((start), (size))
#define SANITIZE_UNPOISON(start, size) __asan_unpoison_memory_region((start), (size))
#else
#define SANITIZE_POISON(start, size)   ((void)(start), (void)(size))
#define SANITIZE_UNPOISON(start, size) ((void)(start), (void)(size))
#endif
