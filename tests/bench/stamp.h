/* stamp.h - the shared file through which a service tells when it started.
 *
 * One record a service, record i at byte i * sizeof(struct stamp). Times are
 * nanoseconds of CLOCK_MONOTONIC, which every process of the machine shares.
 */
#ifndef BENCH_STAMP_H
#define BENCH_STAMP_H

#include <stdint.h>
#include <time.h>

struct stamp {
    int64_t at;  /* ns; 0: never started */
    int64_t pid; /* in the namespace of the service; written together with `at` */
};

/* Now, in ns of CLOCK_MONOTONIC. */
static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

#endif
