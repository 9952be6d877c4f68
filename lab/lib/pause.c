/* The first process of every pod: holds its namespaces open, and buries those whose parents died. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int number)
{
    (void)number;
    _exit(0);
}

static void bury(int number)
{
    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

int main(void)
{
    struct sigaction ends = {.sa_handler = end};
    struct sigaction dies = {.sa_handler = bury, .sa_flags = SA_NOCLDSTOP};

    if (sigaction(SIGINT, &ends, NULL) || sigaction(SIGTERM, &ends, NULL) || sigaction(SIGCHLD, &dies, NULL))
        return 1;
    for (;;)
        pause();
}
