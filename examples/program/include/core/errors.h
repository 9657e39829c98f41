/* Errors that end the program: one sentence on stderr, exit code 1 (2 for a wrong call). */
#ifndef FIGURES_CORE_ERRORS_H
#define FIGURES_CORE_ERRORS_H

/* Says "figures: <sentence>" and ends the program with exit code 1. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says "FILE:LINE: <sentence>" and ends the program with exit code 1. */
_Noreturn void fail_at(const char *file, long line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Says what is wrong with the call and ends the program with exit code 2. */
_Noreturn void fail_call(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
