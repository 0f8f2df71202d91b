/* bench-service - the service that every subject of the benchmark runs.
 *
 * bench-service FILE SLOT    stamps record SLOT of FILE and waits for a signal.
 * bench-service              the same; FILE is $BENCH_STAMPS, SLOT the number at the
 *                            end of the working directory's name. So s6 and runit can
 *                            link it as `run`, and no shell is measured with them.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stamp.h"

int main(int argc, char **argv)
{
    struct stamp stamp = {now_ns(), getpid()};
    const char *file = getenv("BENCH_STAMPS");
    const char *slot = NULL;
    char cwd[256];

    if (argc == 3) {
        file = argv[1];
        slot = argv[2];
    } else if (getcwd(cwd, sizeof cwd) != NULL) {
        slot = cwd + strcspn(cwd, "0123456789");
    }
    if (file == NULL || slot == NULL || *slot == '\0')
        return 100;
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || pwrite(fd, &stamp, sizeof stamp, (off_t)atol(slot) * (off_t)sizeof stamp) != sizeof stamp)
        return 111;
    close(fd);
    for (;;)
        pause();
}
