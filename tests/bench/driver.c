/* driver - starts one init as PID 1 of a fresh PID and mount namespace with an empty
 * tmpfs on /run, takes the figures asked for, and leaves nothing behind.
 *
 * driver -f FIGURES -s STAMPS [OPTIONS] -- INIT ARGS...
 *   -f LIST   of start memory restart exec status list restart-wait shutdown tail idle reap,
 *             separated by commas; taken in the order of the table at the end
 *   -s FILE   the stamp file, emptied first
 *   -n N      services that INIT starts (default 1)
 *   -p CMD    run before INIT, with its /run
 *   -c F=CMD  what the figure F runs: exec, status, list, restart-wait (of service 0), shutdown
 *   -S NUM    the signal that ends INIT (default TERM), after shutdown's command if there is one
 *   -r NUM    repetitions of what is cheap (default 50)
 *   -t SEC    how long idle looks (default 60)
 *   -e FILE   stderr of everything that is started
 * Commands are split at blanks; no quoting. One line "FIGURE VALUE" a sample on stdout: times in
 * ms (reap: µs), memory in kB, switches as a count. Exit: 0; 1 a figure is missing; 2 so is
 * everything after it. stderr says which and why.
 *
 * The driver stays outside of the PID namespace but sees its /proc, so it reads what it
 * wants without taking part; what it forks after unshare() is inside.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "procfs.h"
#include "stamp.h"

enum {
    SLOTS = 4096,
    WORDS = 1100,      /* of a command: `sv status` names 1000 services */
    START_S = 60,      /* how long INIT may take to start or to stop everything */
    PATIENCE_S = 5,    /* what one figure may spend on repetitions */
    SETTLE_MS = 1200,  /* after the last stamp; runit and s6 delay a restart of what is younger than 1 s */
    ORPHANS = 5000,
};

extern char **environ;

static const char *figures = "", *log_path = "/dev/null", *prepare, *commands[5];
static const char *const command_names[] = {"exec", "status", "list", "restart-wait", "shutdown"};
static int services = 1, repetitions = 50, idle_s = 60, end_signal = SIGTERM;
static volatile struct stamp *stamps;
static volatile int64_t *exec_at; /* shared with the child that becomes INIT */
static volatile int64_t *last_death; /* shared with the watcher; -1: it watches, 0: it does not */
static pid_t init_pid;
static int missed;

static void end_init(void)
{
    if (init_pid > 0) {
        kill(init_pid, SIGKILL);
        waitpid(init_pid, NULL, 0);
        init_pid = 0;
    }
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    fflush(stdout);
    end_init();
    exit(2);
}

/* One figure less; the others go on. */
__attribute__((format(printf, 1, 2))) static void miss(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    missed = 1;
}

static void sleep_ms(int64_t ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

static void sample(const char *figure, double value)
{
    printf("%s %.4f\n", figure, value);
}

static double ms_since(int64_t start, int64_t end)
{
    return (double)(end - start) / 1e6;
}

/* ---- processes ---------------------------------------------------------------------- */

static char **split(const char *command)
{
    static char *words[WORDS + 1];
    static char text[65536];
    int count = 0;

    if (snprintf(text, sizeof text, "%s", command) >= (int)sizeof text)
        die("command too long: %.60s...", command);
    for (char *word = strtok(text, " "); word != NULL && count < WORDS; word = strtok(NULL, " "))
        words[count++] = word;
    words[count] = NULL;
    return words;
}

/* Runs a command to its end; its wall time in ms, start and exit included. */
static double run(const char *command, int *status)
{
    static posix_spawn_file_actions_t files;
    static int ready;
    char **words = split(command);
    pid_t pid;

    if (!ready) {
        posix_spawn_file_actions_init(&files);
        posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_addopen(&files, 2, log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        ready = 1;
    }
    int64_t start = now_ns();
    int error = posix_spawnp(&pid, words[0], &files, NULL, words, environ);
    if (error != 0)
        die("cannot run %s: %s", words[0], strerror(error));
    waitpid(pid, status, 0);
    return ms_since(start, now_ns());
}

__attribute__((noreturn)) static void become_init(char **argv)
{
    sigset_t none;

    /* The namespace must not outlive the driver. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int signal = 1; signal < 32; signal++)
        (void)sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (mount("proc", "/proc", "proc", 0, NULL) != 0) {
        perror("mount /proc");
        _exit(111);
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dup2(null, 0);
    dup2(null, 1);
    dup2(log, 2);
    *exec_at = now_ns();
    execvp(argv[0], argv);
    dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static void launch(char **argv)
{
    int status;

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        die("no mount namespace: %s", strerror(errno));
    if (mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0)
        die("cannot mount a tmpfs on /run: %s", strerror(errno));
    if (prepare != NULL && (run(prepare, &status), status != 0))
        die("preparing with \"%s\" failed", prepare);
    if (unshare(CLONE_NEWPID) != 0)
        die("no PID namespace: %s", strerror(errno));
    init_pid = fork();
    if (init_pid == 0)
        become_init(argv);
    if (init_pid < 0)
        die("fork: %s", strerror(errno));
}

/* INIT must still be there; its end is an error at any time but in shutdown. */
static void check_init(void)
{
    int status;
    if (waitpid(init_pid, &status, WNOHANG) != init_pid)
        return;
    init_pid = 0;
    if (WIFSIGNALED(status))
        die("PID 1 died of signal %d", WTERMSIG(status));
    die("PID 1 ended with code %d", WEXITSTATUS(status));
}

/* ---- /proc of the namespace --------------------------------------------------------- */

/* By its stamp, because its name is the link's with some of the inits. */
static int is_service(pid_t pid)
{
    for (int i = 0; i < services; i++)
        if (stamps[i].pid == pid)
            return 1;
    return 0;
}

/* Every process of the namespace that is no service, PID 1 among them; their count. */
static int supervising(pid_t *pids)
{
    int count = processes(pids, SLOTS, is_service);
    if (count < 0)
        die("cannot read /proc: %s", strerror(errno));
    return count;
}

static int ascending(const void *a, const void *b)
{
    const long *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(long *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return count % 2 ? (double)values[count / 2] : (double)(values[count / 2 - 1] + values[count / 2]) / 2;
}

/* ---- figures ------------------------------------------------------------------------ */

static const char *command_of(const char *figure)
{
    for (int i = 0; i < 5; i++)
        if (strcmp(command_names[i], figure) == 0)
            return commands[i];
    return NULL;
}

/* From exec of INIT until the last service runs. */
static void wait_start(int print)
{
    int64_t last = 0, deadline = now_ns() + START_S * INT64_C(1000000000);

    for (int i = 0; i < services; i++) {
        while (stamps[i].at == 0) {
            if (now_ns() > deadline)
                die("only %d of %d services started in %d s", i, services, START_S);
            check_init();
            sleep_ms(services > 100 ? 10 : 2);
        }
        if (stamps[i].at > last)
            last = stamps[i].at;
    }
    if (print)
        sample("start", ms_since(*exec_at, last));
}

/* Memory of the supervisors, and of all that is no service. */
static void memory(void)
{
    static pid_t pids[SLOTS];
    static long uss[SLOTS], pss[SLOTS], pte[SLOTS];
    int count = supervising(pids), supervisors = 0;
    long uss_all = 0, pte_all = 0;

    for (int i = 0; i < count; i++) {
        long own = field(pids[i], "smaps_rollup", "Private_Clean");
        if (own < 0)
            return miss("memory: no /proc/%d/smaps_rollup", pids[i]);
        own += field(pids[i], "smaps_rollup", "Private_Dirty");
        long tables = field(pids[i], "status", "VmPTE");
        uss_all += own;
        pte_all += tables;
        if (pids[i] == 1)
            continue;
        uss[supervisors] = own;
        pss[supervisors] = field(pids[i], "smaps_rollup", "Pss");
        pte[supervisors++] = tables;
    }
    sample("uss-all", (double)uss_all);
    sample("pte-all", (double)pte_all);
    if (supervisors == 0)
        return;
    sample("uss", median(uss, supervisors));
    sample("pss", median(pss, supervisors));
    sample("pte", median(pte, supervisors));
}

/* Waits until service I was started after BEFORE under another pid; when, or 0. */
static int64_t restarted(int i, int64_t before, int64_t pid)
{
    int64_t deadline = now_ns() + PATIENCE_S * INT64_C(1000000000);

    while (stamps[i].at <= before || stamps[i].pid == pid) {
        if (now_ns() > deadline)
            return 0;
        sleep_ms(1);
    }
    return stamps[i].at;
}

/* From SIGKILL of a service until it runs again; every service at most once. */
static void restart(void)
{
    int64_t begin = now_ns();
    int rounds = repetitions < services ? repetitions : services;

    for (int i = 0; i < rounds && now_ns() - begin < PATIENCE_S * INT64_C(1000000000); i++) {
        char path[64];
        int64_t pid = stamps[i].pid;
        snprintf(path, sizeof path, "/proc/%d", (int)pid);
        int process = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int64_t killed = now_ns();
        if (process < 0 || syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0) != 0)
            die("cannot kill service %d, pid %d: %s", i, (int)pid, strerror(errno));
        close(process);
        int64_t again = restarted(i, killed, pid);
        if (again == 0)
            return miss("restart: service %d was not started again within %d s", i, PATIENCE_S);
        sample("restart", ms_since(killed, again));
        sleep_ms(5);
    }
}

/* Wall time of a client's command. */
static void client(const char *figure)
{
    const char *command = command_of(figure);
    int64_t begin = now_ns();
    int restarts = strcmp(figure, "restart-wait") == 0, status;

    if (command == NULL)
        return;
    for (int i = 0; i < repetitions && now_ns() - begin < PATIENCE_S * INT64_C(1000000000); i++) {
        int64_t before = now_ns(), pid = stamps[0].pid;
        double took = run(command, &status);
        if (status != 0)
            return miss("%s: \"%.60s\" ended with %s %d", figure, command, WIFSIGNALED(status) ? "signal" : "code",
                        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        if (restarts && restarted(0, before, pid) == 0)
            return miss("%s: \"%.60s\" started nothing", figure, command);
        /* The first one pays for what isn't in the page cache yet. */
        if (i > 0 || repetitions == 1)
            sample(figure, took);
    }
}

/* Context switches of all that is no service, and the processes that come in between. */
static void idle(void)
{
    static pid_t pids[SLOTS];
    static const char *const kinds[] = {"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"};
    long switches[2] = {0, 0};

    for (int look = 0; look < 2; look++) {
        int count = supervising(pids);
        for (int i = 0; i < count; i++)
            for (int kind = 0; kind < 2; kind++) {
                long value = field(pids[i], "status", kinds[kind]);
                switches[look] += value > 0 ? value : 0;
            }
        if (look == 0)
            sleep_ms(idle_s * INT64_C(1000));
    }
    sample("idle", (double)(switches[1] - switches[0]));
}

/* Processor time of PID 1 per orphan that it reaped. */
static void reap(void)
{
    static pid_t pids[SLOTS];
    double used[2] = {0, 0};
    int64_t deadline = now_ns() + START_S * INT64_C(1000000000);
    int quiet = supervising(pids);

    for (int look = 0; look < 2; look++) {
        FILE *times = fopen("/proc/1/schedstat", "re");
        if (times == NULL || fscanf(times, "%lf", &used[look]) != 1)
            die("reap: no /proc/1/schedstat");
        fclose(times);
        if (look == 1)
            break;
        stamps[1].at = 1;
        while (stamps[2].at == 0 || supervising(pids) > quiet) {
            check_init();
            if (now_ns() > deadline)
                die("%d orphans are left", supervising(pids) - quiet);
            sleep_ms(20);
        }
    }
    sample("reap", (used[1] - used[0]) / 1e3 / ORPHANS);
}

static void interrupted(int signal)
{
    (void)signal;
}

static int wanted(const char *figure)
{
    size_t length = strlen(figure);

    for (const char *at = figures; (at = strstr(at, figure)) != NULL; at += length)
        if ((at == figures || at[-1] == ',') && (at[length] == '\0' || at[length] == ','))
            return 1;
    return 0;
}

/* Stamps when the last service has died. It is inside, so it goes with PID 1. */
static void watch_deaths(void)
{
    static struct pollfd service[SLOTS];
    pid_t watcher = fork();

    if (watcher == 0) {
        for (int i = 0; i < services; i++) {
            service[i] = (struct pollfd){.fd = (int)syscall(SYS_pidfd_open, stamps[i].pid, 0), .events = POLLIN};
            if (service[i].fd < 0)
                _exit(1);
        }
        *last_death = -1;
        for (int i = 0; i < services; i++)
            while (poll(&service[i], 1, -1) != 1)
                ;
        *last_death = now_ns();
        _exit(0);
    }
    while (watcher > 0 && *last_death == 0 && waitpid(watcher, NULL, WNOHANG) == 0)
        sleep_ms(1);
    if (*last_death == 0)
        die("cannot watch the services");
}

/* From the signal until PID 1, and with it the namespace, is gone. */
static void shut_down(void)
{
    const char *command = command_of("shutdown");
    pid_t ended;
    int status;

    if (wanted("tail"))
        watch_deaths();
    int64_t begin = now_ns();
    if (command != NULL)
        run(command, &status);
    kill(init_pid, end_signal);
    /* The alarm only interrupts the wait. */
    (void)sigaction(SIGALRM, &(struct sigaction){.sa_handler = interrupted}, NULL);
    alarm(START_S);
    /* The watcher too is waited for: PID 1 is not gone before it. */
    do
        ended = waitpid(-1, NULL, 0);
    while (ended > 0 && ended != init_pid);
    if (ended != init_pid)
        die("PID 1 was still there %d s after signal %d", START_S, end_signal);
    alarm(0);
    int64_t gone = now_ns();
    init_pid = 0;
    if (wanted("shutdown"))
        sample("shutdown", ms_since(begin, gone));
    /* Whoever kills everything in the namespace has killed the watcher, too. */
    if (wanted("tail") && *last_death > 0)
        sample("tail", ms_since(*last_death, gone));
}

static void options(int argc, char **argv)
{
    int stamp_file = -1;

    for (int option; (option = getopt(argc, argv, "+f:s:n:p:c:S:r:t:e:")) != -1;) {
        switch (option) {
        case 'f': figures = optarg; break;
        case 's': stamp_file = open(optarg, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666); break;
        case 'n': services = atoi(optarg); break;
        case 'p': prepare = optarg; break;
        case 'S': end_signal = atoi(optarg); break;
        case 'r': repetitions = atoi(optarg); break;
        case 't': idle_s = atoi(optarg); break;
        case 'e': log_path = optarg; break;
        case 'c':
            for (int i = 0; i < 5; i++) {
                size_t length = strlen(command_names[i]);
                if (strncmp(optarg, command_names[i], length) == 0 && optarg[length] == '=')
                    commands[i] = optarg + length + 1;
            }
            break;
        default: die("usage: driver -f FIGURES -s STAMPS [OPTIONS] -- INIT ARGS...");
        }
    }
    if (optind >= argc || services < 1 || services > SLOTS)
        die("usage: driver -f FIGURES -s STAMPS [-n 1..%d] [OPTIONS] -- INIT ARGS...", SLOTS);
    size_t size = SLOTS * sizeof(struct stamp);
    if (stamp_file < 0 || ftruncate(stamp_file, (off_t)size) != 0)
        die("no stamp file: %s", strerror(errno));
    stamps = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, stamp_file, 0);
    exec_at = mmap(NULL, sizeof *exec_at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    last_death = mmap(NULL, sizeof *last_death, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stamps == MAP_FAILED || exec_at == MAP_FAILED || last_death == MAP_FAILED)
        die("mmap: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    options(argc, argv);
    /* Dies with the script, whatever that dies of, and PID 1 with it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    launch(argv + optind);
    wait_start(wanted("start"));
    if (strcmp(figures, "start") != 0 && strcmp(figures, "start,shutdown") != 0)
        sleep_ms(SETTLE_MS);
    if (wanted("memory"))
        memory();
    if (wanted("idle"))
        idle();
    if (wanted("restart"))
        restart();
    for (int i = 0; i < 4; i++)
        if (wanted(command_names[i]))
            client(command_names[i]);
    if (wanted("reap"))
        reap();
    check_init();
    if (wanted("shutdown") || wanted("tail"))
        shut_down();
    end_init();
    return missed;
}
