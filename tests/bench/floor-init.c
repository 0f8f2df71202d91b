/* floor-init COUNT PROG ARGS... - the least that PID 1 of a tree can be.
 *
 * Starts `PROG ARGS... I` for I in 0..COUNT, starts again whatever ends, reaps strangers,
 * and on TERM passes TERM on, waits for all and leaves. With bench-service as PROG this
 * is the floor of one level, with floor-supervise that of two.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 4096, WORDS = 16 };

static pid_t children[MOST];

static pid_t start(char **argv, const sigset_t *clean)
{
    pid_t pid = vfork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, clean, NULL);
        execv(argv[0], argv);
        _exit(127);
    }
    return pid;
}

int main(int argc, char **argv)
{
    sigset_t waited, clean;
    char number[12], *words[WORDS + 2] = {NULL};
    int stopping = 0, signal = 0;
    int count = argc > 2 ? atoi(argv[1]) : 0, left = count;

    if (count < 1 || count > MOST || argc - 2 > WORDS)
        return 100;
    for (int i = 2; i < argc; i++)
        words[i - 2] = argv[i];
    words[argc - 2] = number;
    sigemptyset(&waited);
    sigaddset(&waited, SIGTERM);
    sigaddset(&waited, SIGCHLD);
    sigprocmask(SIG_BLOCK, &waited, &clean);
    for (int i = 0; i < count; i++) {
        snprintf(number, sizeof number, "%d", i);
        children[i] = start(words, &clean);
    }
    for (;;) {
        if (sigwait(&waited, &signal) != 0)
            continue;
        if (signal == SIGTERM) {
            stopping = 1;
            for (int i = 0; i < count; i++)
                if (children[i] > 0)
                    kill(children[i], SIGTERM);
            continue;
        }
        for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) {
            int i = 0;
            while (i < count && children[i] != pid)
                i++;
            if (i == count)
                continue;
            if (stopping) {
                children[i] = 0;
                if (--left == 0)
                    return 0;
            } else {
                snprintf(number, sizeof number, "%d", i);
                children[i] = start(words, &clean);
            }
        }
    }
}
