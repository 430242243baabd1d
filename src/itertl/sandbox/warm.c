/* Loaded before a program (LD_PRELOAD), it stops the program once its libraries are loaded and linked, before main.
 * Then, for each message on descriptor 3, a child makes the list of system calls in the message and calls main: what a
 * new process would do after exec, without linking again. See warm.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CONTROL = 3, NOTICE = 3, FIRST = 100, MOST = 16 };

struct row { int64_t number, argument[6], result; uint64_t mask; };
struct job { int64_t argc; char **argv, **env; int64_t handles, fork; struct row rows[]; }; /* ends with number -1 */

typedef int (*program)(int, char **, char **);

static program real_main;
static char page[1 << 17] __attribute__((aligned(4096)));
static int received[MOST];

static inline long call(long n, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* In a child that shares memory with this process up to the list's clone, and is a copy from there on. */
static void __attribute__((noinline, noreturn)) live(struct job *job) {
    for (int at = 0; at < job->handles; at++) call(SYS_dup3, received[at], FIRST + at, 0, 0, 0, 0);
    for (int64_t at = 0; job->rows[at].number >= 0; at++) {
        struct row *row = &job->rows[at];
        const int64_t *a = row->argument;
        long result = call(row->number, a[0], a[1], a[2], a[3], a[4], a[5]);
        if (at == job->fork && result > 0) {
            row->result = result;
            call(SYS_exit_group, 0, 0, 0, 0, 0, 0);
        }
        if (result < 0) {
            int64_t failed[2] = {at, result};
            call(SYS_write, at <= job->fork ? FIRST : NOTICE, (long)failed, sizeof failed, 0, 0, 0);
            call(SYS_exit_group, 127, 0, 0, 0, 0, 0);
        }
        if (at == job->fork) call(SYS_dup3, FIRST, NOTICE, 0, 0, 0, 0);
    }
    close(NOTICE);
    environ = job->env;
    exit(real_main((int)job->argc, job->argv, job->env));
}

static int receive(void) {
    struct iovec place = {page, sizeof page};
    char control[CMSG_SPACE(sizeof(int) * MOST)];
    struct msghdr message = {.msg_iov = &place, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t length = recvmsg(CONTROL, &message, 0);
    struct cmsghdr *head = length > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head == NULL || head->cmsg_type != SCM_RIGHTS || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) return 0;
    memcpy(received, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
    return 1;
}

static int serve(int argc, char **argv, char **env) {
    struct job *job = (struct job *)page;
    uint64_t base = (uint64_t)(uintptr_t)page;
    char *names = getenv("ITERTL_MODULES");
    (void)argc, (void)argv, (void)env;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || prctl(PR_SET_DUMPABLE, 0)) _exit(1);
    for (char *name = names ? strtok(names, ":") : NULL; name; name = strtok(NULL, ":")) dlopen(name, RTLD_NOW);
    call(SYS_close_range, CONTROL + 1, ~0u, 0, 0, 0, 0);
    if (write(CONTROL, &base, sizeof base) != sizeof base) _exit(1);
    while (receive()) {
        long first = call(SYS_clone, 0x100 | 0x4000 | 0x8000 | SIGCHLD, 0, 0, 0, 0, 0); /* VM, VFORK, PARENT */
        if (first == 0) live(job);
        int64_t pids[2] = {first, first > 0 ? job->rows[job->fork].result : 0};
        for (int at = 0; at < job->handles; at++) close(received[at]);
        if (write(CONTROL, pids, sizeof pids) != sizeof pids) break;
    }
    _exit(0);
}

int __libc_start_main(program begin, int argc, char **argv, void (*init)(void), void (*end)(void), void (*linker)(void),
                      void *stack) {
    int (*start)(program, int, char **, void (*)(void), void (*)(void), void (*)(void), void *) =
        (int (*)(program, int, char **, void (*)(void), void (*)(void), void (*)(void), void *))dlsym(
            RTLD_NEXT, "__libc_start_main");
    real_main = begin;
    return start(serve, argc, argv, init, end, linker, stack);
}
