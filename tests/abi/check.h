/* What the C tests share: expectations that name their line, and a model. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "r1core.h"

static int checks, failures;

/* The condition holds. */
#define CHECK(condition)                                                     \
    do {                                                                     \
        checks++;                                                            \
        if (!(condition)) {                                                  \
            failures++;                                                      \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);   \
        }                                                                    \
    } while (0)

/* The call gives this status; an error object comes with errors and only with them. `err` is its last argument. */
#define EXPECT(status, ...)                                                                               \
    do {                                                                                                  \
        r1_error* err = NULL;                                                                             \
        r1_status got = (__VA_ARGS__);                                                                    \
        checks++;                                                                                         \
        if (got != (status) || (err != NULL) != (got > R1_OK) || (err != NULL && r1_error_code(err) != got)) { \
            failures++;                                                                                   \
            printf("%s:%d: %s instead of %s: %s\n", __FILE__, __LINE__, r1_status_str(got),                 \
                   r1_status_str(status), r1_error_message(err));                                         \
        }                                                                                                 \
        r1_error_free(err);                                                                               \
    } while (0)

/* As EXPECT, for functions that give no error object. */
#define EXPECT_BARE(status, call)                                                                     \
    do {                                                                                              \
        r1_status got = (call);                                                                       \
        checks++;                                                                                     \
        if (got != (status)) {                                                                        \
            failures++;                                                                               \
            printf("%s:%d: %s instead of %s\n", __FILE__, __LINE__, r1_status_str(got),               \
                   r1_status_str(status));                                                            \
        }                                                                                             \
    } while (0)

static int report(void) {
    printf("%d checks, %d failures\n", checks, failures);
    return failures != 0;
}

#endif
