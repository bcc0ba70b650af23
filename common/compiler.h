/*
 * Compiler attributes and small macros that every file may use.
 */
#ifndef WATCHPOST_COMMON_COMPILER_H
#define WATCHPOST_COMMON_COMPILER_H

#include <stddef.h>

/* The caller must look at the result: dropping it is a compile error. */
#define MUSTCHECK __attribute__((warn_unused_result))

/* printf-checked: the format is argument fmt_arg, its first value is first_arg (both from 1). */
#define PRINTF_LIKE(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))

#define NORETURN __attribute__((noreturn))

/* Number of elements of an array (never of a pointer). */
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct of `type` that embeds `member` at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
