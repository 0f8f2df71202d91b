/* procfs.h - what the driver reads of other processes. */
#ifndef BENCH_PROCFS_H
#define BENCH_PROCFS_H

#include <sys/types.h>

/* The number behind KEY in a file of "Key:   number" lines below /proc/PID; -1 without one. */
long field(pid_t pid, const char *file, const char *key);

/* The processes of /proc but those that SKIP tells, at most MOST; their count, -1 on an error. */
int processes(pid_t *pids, int most, int (*skip)(pid_t));

#endif
