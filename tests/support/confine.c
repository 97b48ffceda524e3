/* confine RULE.. -- COMMAND..: runs a command under what hardened systems impose. RULE is one of
 *
 *   mdwe      PR_SET_MDWE: memory cannot become executable (Linux 6.3)
 *   mprotect  a seccomp filter: mprotect and pkey_mprotect with PROT_EXEC give EPERM, and so does mmap with PROT_EXEC and
 *             PROT_WRITE, as under systemd's MemoryDenyWriteExecute
 *   memfd     a seccomp filter: memfd_create gives EPERM, as under systemd's SystemCallFilter=~memfd_create
 *
 * Exits with 77 and a line if the kernel does not know a rule. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
enum { REFUSE_EXEC_GAIN = 1 };

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define REFUSE      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
#define ALLOW       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
/* Refuses the call if its third argument has all of these bits. The low half of an argument is read: PROT_* fit in it. */
#define REFUSE_PROT(call, bits)                                                                              \
    LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 4), LOAD(args[2]),                          \
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (bits)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (bits), 0, 1),      \
        REFUSE

static const struct sock_filter no_gain[] = {REFUSE_PROT(mprotect, PROT_EXEC),
                                             REFUSE_PROT(pkey_mprotect, PROT_EXEC),
                                             REFUSE_PROT(mmap, PROT_EXEC | PROT_WRITE), ALLOW};
static const struct sock_filter no_memfd[] = {
    LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 1), REFUSE, ALLOW};

static int filter(const struct sock_filter *f, size_t n) {
    struct sock_fprog program = {.len = (unsigned short)n, .filter = (struct sock_filter *)(uintptr_t)f};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static int impose(const char *rule) {
    if (strcmp(rule, "mdwe") == 0) return prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0);
    if (strcmp(rule, "mprotect") == 0) return filter(no_gain, sizeof no_gain / sizeof *no_gain);
    if (strcmp(rule, "memfd") == 0) return filter(no_memfd, sizeof no_memfd / sizeof *no_memfd);
    fprintf(stderr, "confine: got '%s', expected mdwe, mprotect, memfd or --\n", rule);
    _exit(2);
}

int main(int argc, char **argv) {
    int i = 1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return perror("confine"), 77;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (impose(argv[i]) != 0) {
            printf("skipped: this kernel has no %s: %s\n", argv[i], strerror(errno));
            return 77;
        }
    if (i + 1 >= argc) return fprintf(stderr, "usage: confine RULE.. -- COMMAND..\n"), 2;
    execvp(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return 2;
}
