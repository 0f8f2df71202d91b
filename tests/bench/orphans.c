/* bench-orphans FILE COUNT - makes COUNT orphans, one after the other, for PID 1 to reap.
 *
 * Stamps record 0 of FILE and waits until the driver sets record 1's time, so that the
 * start of PID 1 isn't measured with it; stamps record 2 when the last orphan is made
 * and waits for a signal.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stamp.h"

/* A child that leaves a grandchild behind, which ends at once. */
static void orphan(void)
{
    pid_t child = fork();
    if (child == 0) {
        if (vfork() == 0)
            _exit(0);
        _exit(0);
    }
    if (child > 0)
        waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    /* floor-init appends a number, which means nothing here. */
    if (argc < 3)
        return 100;
    int fd = open(argv[1], O_RDWR | O_CLOEXEC);
    volatile struct stamp *stamps = mmap(NULL, 3 * sizeof *stamps, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || stamps == MAP_FAILED)
        return 111;
    stamps[0].at = now_ns();
    while (stamps[1].at == 0)
        usleep(1000);
    for (int i = atoi(argv[2]); i > 0; i--)
        orphan();
    stamps[2].at = now_ns();
    for (;;)
        pause();
}
