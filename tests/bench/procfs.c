#define _GNU_SOURCE
#include "procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

long field(pid_t pid, const char *file, const char *key)
{
    char path[64], line[256];
    size_t length = strlen(key);
    long value = -1;

    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    FILE *lines = fopen(path, "re");
    if (lines == NULL)
        return -1;
    while (value < 0 && fgets(line, sizeof line, lines) != NULL)
        if (strncmp(line, key, length) == 0 && line[length] == ':')
            value = atol(line + length + 1);
    fclose(lines);
    return value;
}

int processes(pid_t *pids, int most, int (*skip)(pid_t))
{
    int count = 0;
    DIR *proc = opendir("/proc");

    if (proc == NULL)
        return -1;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL && count < most;) {
        pid_t pid = atoi(entry->d_name);
        if (isdigit((unsigned char)entry->d_name[0]) && !skip(pid))
            pids[count++] = pid;
    }
    closedir(proc);
    return count;
}
