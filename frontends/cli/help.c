/* What the tables of verbs and flags become: the help, a manual page for each verb, and completion for bash. The last two are
 * made when Tern is built, by `tern help --man [VERB]` and `tern help --bash`, so no flag is described twice.
 *
 * A verb's table of flags exists only while the verb runs. So each form is printed where parse_args has the table and finds
 * --help, and the completion for all verbs comes from one child process for each. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "frontends/cli/cli.h"

static HelpForm form = HELP_TEXT;

/* A flag is hidden if an earlier one of the table has its name: a verb's own flag replaces that of
 * MODEL_FLAGS. */
static bool hidden(const Flag *flags, const Flag *f) {
    for (const Flag *a = flags; a < f; a++)
        if (flag_named(a->names, f->names, strcspn(f->names, " "))) return true;
    return false;
}

static void print_row(const Flag *f) {
    char left[80];
    snprintf(left, sizeof left, f->kind == FLAG_OPT ? "%s[=%s]" : "%s %s", f->names, f->arg ? f->arg : "");
    printf("  %-32s %s\n", left, f->help);
}

static void print_text(const Verb *verb, const Flag *flags) {
    printf("usage: tern %s %s [flags]\n%s\n\n", verb->name, verb->usage, verb->summary);
    for (const Flag *f = flags; f->names; f++)
        if (!hidden(flags, f)) print_row(f);
    printf("  %-32s %s\n", "--help", "print this help");
}

/* ---- manual pages, in the language of man(7) */

/* A dash is written so that it can be searched and copied; a dot or quote must not begin a line. */
static void man_text(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (i == 0 && (s[i] == '.' || s[i] == '\'')) printf("\\&");
        if (s[i] == '\\')
            printf("\\e");
        else if (s[i] == '-')
            printf("\\-");
        else
            putchar(s[i]);
    }
}

static void man_line(const char *s) {
    man_text(s, strlen(s));
    printf("\n");
}

static void man_title(const char *verb) {
    printf(".TH TERN%s", verb ? "\\-" : "");
    for (const char *p = verb; p && *p; p++) putchar(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
    printf(" 1 \"\" \"tern %s\" \"Tern\"\n.SH NAME\ntern%s%s \\- ", tern_version(), verb ? "\\-" : "",
           verb ? verb : "");
}

/* "-n, --predict=N" with the words in their fonts */
static void man_names(const Flag *f) {
    const char *end = f->kind == FLAG_OPT ? "]" : "";
    for (const char *p = f->names; *p; p += *p == ' ') {
        size_t n = strcspn(p, " ");
        printf("%s\\fB", p == f->names ? "" : ", ");
        man_text(p, n);
        printf("\\fR");
        p += n;
    }
    if (!f->arg) return;
    printf("%s\\fI", f->kind == FLAG_OPT ? "[=" : " ");
    man_text(f->arg, strlen(f->arg));
    printf("\\fR%s", end);
}

static void man_verb(const Verb *verb, const Flag *flags) {
    man_title(verb->name);
    man_line(verb->summary);
    printf(".SH SYNOPSIS\n.B tern %s\n", verb->name);
    if (*verb->usage) man_line(verb->usage);
    printf("[flags]\n.SH FLAGS\n");
    for (const Flag *f = flags; f->names; f++) {
        if (hidden(flags, f)) continue;
        printf(".TP\n");
        man_names(f);
        printf("\n");
        man_line(f->help);
    }
    printf(".TP\n\\fB\\-\\-help\\fR\nprint these flags\n.SH SEE ALSO\n.BR tern (1)\n");
}

static void man_program(void) {
    man_title(NULL);
    printf("compile and run ternary language models\n.SH SYNOPSIS\n.B tern\n.I VERB\n[words] [flags]\n"
           ".SH VERBS\n");
    for (const Verb *v = verbs; v->name; v++) {
        printf(".TP\n\\fB%s\\fR ", v->name);
        man_line(v->usage);
        man_line(v->summary);
    }
    printf(".SH EXIT STATUS\n0; 1 for a bad input or environment; 2 for a mistake in the command; 128 + N if "
           "signal N "
           "ended the program.\nIn \\fBdiff\\fR and \\fBverify\\fR 1 means a difference and 2 trouble.\n"
           "Only generated text goes to standard output.\n"
           ".SH ENVIRONMENT\n.TP\n\\fBTERN_KEEP\\fR\nGiB of models compiled at load that are kept; 0 keeps "
           "nothing\n"
           ".TP\n\\fBXDG_CACHE_HOME\\fR, \\fBHOME\\fR\nwhere they are kept: tern/kept in the first, or in "
           ".cache of the "
           "second\n.SH SEE ALSO\n");
    for (const Verb *v = verbs; v->name; v++) printf(".BR tern\\-%s (1)%s\n", v->name, v[1].name ? "," : "");
}

/* ---- completion for bash */

/* Two lines of a case: the verb's flags, and those of them that take a file. */
static void bash_verb(const Verb *verb, const Flag *flags) {
    printf("    %s)\n        flags='", verb->name);
    for (const Flag *f = flags; f->names; f++)
        if (!hidden(flags, f)) printf("%s ", f->names);
    printf("--help'\n        files='");
    for (const Flag *f = flags; f->names; f++)
        if (!hidden(flags, f) && f->arg && strstr(f->arg, "FILE")) printf(" %s", f->names);
    printf(" '\n        values='");
    for (const Flag *f = flags; f->names; f++)
        if (!hidden(flags, f) && f->arg && f->kind != FLAG_OPT && !strstr(f->arg, "FILE"))
            printf(" %s", f->names);
    printf(" '\n        ;;\n");
}

static int bash_program(void) {
    printf("# bash completion for tern; made from its tables by `tern help --bash`\n"
           "_tern() {\n    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} flags "
           "files values\n"
           "    if [ \"$COMP_CWORD\" = 1 ]; then\n        COMPREPLY=($(compgen -W '");
    for (const Verb *v = verbs; v->name; v++) printf("%s ", v->name);
    printf("help --help --version' -- \"$word\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n");
    static char flag[] = "--help";
    for (const Verb *v = verbs; v->name; v++) {
        char *words[] = {flag, NULL};
        int status = 0;
        fflush(stdout);
        pid_t child = fork_child();
        if (child == 0) exit(v->run(v, 1, words));
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            return fail_text("tern help --bash: no flags of %s: the child process failed", v->name);
    }
    printf("    help)\n        COMPREPLY=($(compgen -W '");
    for (const Verb *v = verbs; v->name; v++) printf("%s%s", v->name, v[1].name ? " " : "");
    printf("' -- \"$word\"))\n        return\n        ;;\n    esac\n"
           "    case $files in *\" $before \"*) COMPREPLY=($(compgen -f -- \"$word\")) && return ;; esac\n"
           "    case $values in *\" $before \"*) COMPREPLY=() && return ;; esac\n"
           "    case $word in\n    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$word\")) ;;\n"
           "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n    esac\n}\n"
           "complete -o filenames -F _tern tern\n");
    return EXIT_OK;
}

/* ---- which form */

bool help_form(const char *flag) {
    if (strcmp(flag, "--man") == 0) form = HELP_MAN;
    if (strcmp(flag, "--bash") == 0) form = HELP_BASH;
    return form != HELP_TEXT;
}

int help_program(void) {
    if (form == HELP_BASH) return bash_program();
    man_program();
    return EXIT_OK;
}

void help_verb(const Verb *verb, const Flag *flags) {
    static void (*const print[])(const Verb *, const Flag *) = {
        [HELP_TEXT] = print_text, [HELP_MAN] = man_verb, [HELP_BASH] = bash_verb};
    print[form](verb, flags);
    exit(close_output(verb, EXIT_OK));
}
