/* floor-supervise PROG ARGS... - the least that a supervisor of one service can be.
 *
 * Starts PROG in a session of its own, starts it again whenever it ends, and on TERM passes TERM on, waits and
 * leaves. No status, no control, no policy: what is left is what one supervisor per
 * service costs at least on this machine. The session is part of it because Linux schedules
 * sessions apart (sched_autogroup_enabled): on a busy machine the first slice of a new one
 * comes a millisecond or more later, in any supervisor that gives its service a session.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t start(char **argv, const sigset_t *clean)
{
    pid_t pid = vfork();
    if (pid == 0) {
        setsid();
        sigprocmask(SIG_SETMASK, clean, NULL);
        execv(argv[0], argv);
        _exit(127);
    }
    return pid;
}

int main(int argc, char **argv)
{
    sigset_t waited, clean;
    int stopping = 0, signal = 0;

    if (argc < 2)
        return 100;
    sigemptyset(&waited);
    sigaddset(&waited, SIGTERM);
    sigaddset(&waited, SIGCHLD);
    sigprocmask(SIG_BLOCK, &waited, &clean);
    /* Whoever started us blocks the same two; the service gets neither. */
    sigdelset(&clean, SIGTERM);
    sigdelset(&clean, SIGCHLD);
    pid_t service = start(argv + 1, &clean);
    for (;;) {
        if (sigwait(&waited, &signal) != 0)
            continue;
        if (signal == SIGTERM) {
            stopping = 1;
            kill(service, SIGTERM);
            continue;
        }
        for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) {
            if (pid != service)
                continue;
            if (stopping)
                return 0;
            service = start(argv + 1, &clean);
        }
    }
}
