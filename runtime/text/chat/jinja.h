/* What the files of this folder share: values, tree, and the state of one reading or rendering.
 *
 * Everything lies in one arena (chat_memory.c) that is freed when the rendering ends. An error, out of memory too, leaves
 * through longjmp: tn_j_fail never returns, so no function here holds anything that must be freed.
 *
 * Every byte of a string is the template's or the user's (chat.h). A string carries a byte of mark for each of its bytes,
 * side by side with them, so a part of a string is a part of both; most strings have no marks and are the template's. */
#ifndef TN_TEXT_CHAT_JINJA_H
#define TN_TEXT_CHAT_JINJA_H

#include <setjmp.h>
#include <stdbool.h>
#include <string.h>
#include "runtime/base/arena.h"
#include "runtime/base/status.h"
#include "runtime/text/chat.h"

typedef struct TnStr {
    const char *p; /* UTF-8 */
    size_t n;
    const uint8_t *m; /* [n]: 1 is the user's; NULL: all are the template's */
} TnStr;
#define TN_LIT(text)                                                                                         \
    (TnStr) {                                                                                                \
        text, sizeof(text) - 1, NULL                                                                         \
    }
static inline TnStr tn_j_plain(const char *p, size_t n) {
    return (TnStr){p, n, NULL};
}
/* A string that grows. */
typedef struct TnOut {
    struct TnJinja *j;
    char *p;
    uint8_t *m;
    size_t n, cap;
} TnOut;
typedef enum TnKind {
    JV_UNDEFINED,
    JV_NONE,
    JV_BOOL,
    JV_INT,
    JV_FLOAT,
    JV_STR,
    JV_LIST,
    JV_TUPLE,
    JV_MAP,
    JV_NAMESPACE,
    JV_MACRO,
    JV_LOOP,
    JV_FUNC,   /* a global function, named by str */
    JV_METHOD, /* str of *self */
    JV_CYCLER,
    JV_JOINER,
} TnKind;
typedef struct TnVal {
    TnKind kind;
    union {
        int64_t i;
        double f;
        TnStr s; /* UNDEFINED: its name; METHOD, FUNC: which */
        struct TnList *list;
        struct TnMap *map;
        struct TnMacro *macro;
        struct TnLoop *loop;
    };
    struct TnVal *self;
    bool safe; /* STR: jinja2's Markup */
} TnVal;
typedef enum TnListKind { JL_PLAIN, JL_GENERATOR, JL_VIEW, JL_RANGE } TnListKind;
typedef struct TnList {
    TnVal *v;
    size_t n, cap;
    TnListKind kind;     /* a generator can be gone through once, and has no length */
    struct TnLazy *lazy; /* of a generator whose items are not made yet */
    bool group;          /* a tuple of groupby: its parts are called grouper and list */
    size_t at;           /* of a cycler; joiner: used; VIEW: 0 keys, 1 values, 2 items */
} TnList;
typedef struct TnMap {
    TnVal *k, *v;
    size_t n, cap;
} TnMap;
typedef struct TnScope {
    struct TnScope *up;
    TnMap vars;
} TnScope;
typedef struct TnMacro {
    const struct TnNode *node; /* MACRO, CALLBLOCK */
    TnScope *scope;
} TnMacro;
typedef struct TnLoop {
    const struct TnNode *node; /* FOR */
    TnScope *scope;            /* around it */
    TnList *items;
    size_t at, depth;
    bool changed_set;
    TnVal changed;
} TnLoop;

typedef enum TnTokenKind {
    JT_TEXT,
    JT_NAME,
    JT_INT,
    JT_FLOAT,
    JT_STR,
    JT_OP,
    JT_BEGIN,
    JT_END,
    JT_VAR,
    JT_VAR_END,
    JT_EOF
} TnTokenKind;
typedef struct TnToken {
    TnTokenKind kind;
    TnStr s; /* STR: unescaped */
    int64_t i;
    double f;
    int line;
} TnToken;

typedef enum TnNodeKind {
    JN_TEXT,
    JN_PRINT,
    JN_IF,
    JN_FOR,
    JN_SET,
    JN_SETBLOCK,
    JN_MACRO,
    JN_CALLBLOCK,
    JN_FILTERBLOCK,
    JN_BLOCK,
    JN_WITH,
    JN_BREAK,
    JN_CONTINUE,
    JN_CONST,
    JN_NAME,
    JN_LISTLIT,
    JN_TUPLELIT,
    JN_MAPLIT,
    JN_ATTR,
    JN_ITEM,
    JN_SLICE,
    JN_CALL,
    JN_FILTER,
    JN_TEST,
    JN_NOT,
    JN_NEG,
    JN_POS,
    JN_AND,
    JN_OR,
    JN_COND,
    JN_CONCAT,
    JN_BIN,
    JN_COMPARE,
    JN_KWARG,
    JN_STAR
} TnNodeKind;
/* The fields are used as the parser's functions say. */
typedef struct TnNode {
    TnNodeKind kind;
    int line;
    TnStr s;
    TnVal value;
    struct TnNode *a, *b, *c;
    struct TnNode **list;
    size_t n, cap;
    struct TnNode **body, **other; /* ended by NULL */
    struct TnNode **unset,
        **unset_other; /* names that begin undefined in body and other (chat_scope.c); ended by NULL, or NULL */
    bool varargs, kwargs, caller; /* of a MACRO: used in its body */
    bool recursive;               /* of a FOR: its body may call loop */
} TnNode;

/* Zeroed memory that is freed all at once. */
typedef struct TnMem {
    struct TnMemBlock *head;
    size_t used, cap; /* of the head */
    size_t total;     /* bytes asked for */
} TnMem;
struct TernChatTemplate {
    TnMem mem;
    TnNode **tree, **unset; /* as body and unset of a node */
};

typedef struct TnJinja {
    TnMem mem;
    TnArena json; /* a text of JSON while it is read */
    jmp_buf leave;
    TernError *err;
    int line; /* of the node being evaluated, for errors */
    uint64_t steps, max_steps, max_output, max_memory;
    int depth;
    int64_t now;
    TnToken *tokens;
    size_t n_tokens, cap_tokens, at;
    TnNode *in_macro;
    int in_loop;
    TnScope *scope;
    TnOut *out; /* of the innermost block */
} TnJinja;

/* Positional arguments, then those with names. */
typedef struct TnArgs {
    TnVal *v;
    size_t n;
    TnMap kw;
} TnArgs;

/* A filter; args has the arguments after the value. */
typedef struct TnFilterRow {
    const char *name;
    TnVal (*run)(TnJinja *j, TnVal v, const TnArgs *args);
} TnFilterRow;
typedef struct TnLazy {
    const TnFilterRow *filter;
    TnVal v;
    TnArgs args;
} TnLazy;
/* How tojson prints. */
typedef struct TnJson {
    TnJinja *j;
    TnOut *out;
    bool ascii, sort, lines;
    TnStr indent, item, key; /* indent of a level, with lines; separators */
} TnJson;
typedef enum TnCase { JC_UPPER, JC_LOWER, JC_CAPITALIZE, JC_TITLE } TnCase;

_Noreturn void tn_j_fail(TnJinja *j, const char *fmt, ...) TN_PRINTF(2, 3);
void tn_j_step(TnJinja *j, uint64_t n);
TnStr tn_j_checked(TnJinja *j, TernText t, const char *what); /* UTF-8, else it fails */
void tn_j_nest(TnJinja *j);                                   /* one level deeper; j->depth-- leaves it */

/* chat_memory.c */
void *tn_j_alloc(TnJinja *j, size_t count, size_t bytes); /* zeroed; within the bound of memory */
void tn_mem_free(TnMem *mem);
TnOut *tn_j_open(TnJinja *j);
void tn_o_put(TnOut *o, TnStr s);
void tn_o_puts(TnOut *o, const char *text); /* the template's */
void tn_o_bytes(TnOut *o, const char *p, size_t n, uint8_t mark);
void tn_o_printf(TnOut *o, const char *fmt, ...) TN_PRINTF(2, 3); /* at most 99 bytes */
TnVal tn_j_close(TnOut *o);
TnStr tn_j_cut(TnStr s, size_t from, size_t to); /* bytes */
/* chat_json.c: a JSON text as a value; `what` names it. The user's, or the template's */
TnVal tn_j_json(TnJinja *j, TernText text, bool user, const char *what);

/* lexer.c */
void tn_j_lex(TnJinja *j, TnStr source);
size_t tn_j_utf8(uint32_t point, char out[4]); /* gives the number of bytes */
size_t tn_j_space(const char *p, size_t n);    /* bytes of the white space at p, as Python sees it; 0: none */
size_t tn_j_space_back(const char *p, size_t n); /* the same for the end */
/* parser.c, parse_expr.c */
TnNode **tn_j_parse(TnJinja *j);
TnNode *tn_j_node(TnJinja *j, TnNodeKind kind);
void tn_j_push(TnJinja *j, TnNode *to, TnNode *item);
const TnToken *tn_j_peek(TnJinja *j);
bool tn_j_is(TnJinja *j, TnTokenKind kind, const char *text); /* text NULL: any */
bool tn_j_accept(TnJinja *j, TnTokenKind kind, const char *text);
const TnToken *tn_j_expect(TnJinja *j, TnTokenKind kind, const char *text);
TnNode *tn_j_expr(TnJinja *j, bool with_if);
TnNode *tn_j_tuple(TnJinja *j, bool with_if);
TnNode *tn_j_target(TnJinja *j, bool with_ns);
TnNode *tn_j_filters(TnJinja *j, TnNode *node, bool begin); /* begin: the first | is missing */
TnNode *tn_j_unary(TnJinja *j, bool with_filter);
void tn_j_call_args(TnJinja *j, TnNode *call); /* after the ( */

/* chat_value.c, chat_print.c */
TnVal tn_j_of(TnStr s);
TnVal tn_j_int(int64_t i);
TnVal tn_j_bool(bool b);
TnVal tn_j_undefined(TnStr name);
TnVal tn_j_list(TnJinja *j, TnKind kind);
TnVal tn_j_map(TnJinja *j);
void tn_j_add(TnJinja *j, TnList *list, TnVal v);
void tn_j_put(TnJinja *j, TnMap *map, TnVal key, TnVal v);
bool tn_j_hashable(TnVal v);
TnVal *tn_j_get(TnJinja *j, const TnMap *map, TnVal key); /* NULL: absent */
TnVal *tn_j_name(const TnMap *map, const char *name);     /* NULL: absent */
bool tn_j_equal(TnJinja *j, TnVal a, TnVal b);
int tn_j_order(TnJinja *j, TnVal a, TnVal b);
bool tn_j_truth(TnVal v);
bool tn_j_same(TnStr s, const char *text);
TnList *tn_j_iterate(TnJinja *j, TnVal v); /* the items; uses up a generator */
size_t tn_j_length(TnJinja *j, TnVal v);
size_t tn_j_chars(TnStr s);
TnStr tn_j_char_range(TnStr s, size_t from, size_t to);
const char *tn_j_type(TnVal v);
bool tn_j_number(TnVal v, double *out);
void tn_j_print(TnJinja *j, TnVal v, TnOut *out); /* as str() */
void tn_j_repr(TnJinja *j, TnVal v, TnOut *out);
void tn_j_float(double f, TnOut *out);
void tn_j_tojson(const TnJson *how, TnVal v, int level);
TnVal tn_j_string(TnJinja *j, TnVal v); /* str(v) */

/* letters.c */
/* The character at byte `at` < s.n; *end is where the next one begins. */
uint32_t tn_j_point(TnStr s, size_t at, size_t *end);
TnStr tn_j_cased(TnJinja *j, TnStr s, TnCase how);
bool tn_j_is_cased(TnJinja *j, TnStr s,
                   TnCase how); /* UPPER or LOWER, with at least one letter that has case */

/* filters.c and filters_*.c, is_tests.c. `names`: "width first blank"; *out holds the defaults, and the first `required` have
 * none. */
void tn_j_bind(TnJinja *j, const char *what, const TnArgs *args, const char *names, size_t required,
               TnVal *out);
void tn_j_positional(TnJinja *j, const char *what, const TnArgs *args, size_t required, size_t most,
                     TnVal *out);
int64_t tn_j_whole(TnJinja *j, TnVal v, const char *what); /* of an integer or bool */
extern const TnFilterRow tn_j_value_filters[], tn_j_list_filters[], tn_j_text_filters[];
TnVal tn_j_filter(TnJinja *j, TnStr name, TnVal v, const TnArgs *args);
bool tn_j_test(TnJinja *j, TnStr name, TnVal v, const TnArgs *args);
bool tn_j_filter_known(TnStr name); /* to jinja2; perhaps not supported here */
bool tn_j_test_known(TnStr name);

/* chat_check.c: refuses what jinja2 refuses of a tree before it runs it */
void tn_j_check(TnJinja *j, TnNode **tree);

/* chat_scope.c: sets `unset` of the nodes of a tree, and returns that of the tree */
TnNode **tn_j_scopes(TnJinja *j, TnNode **tree);

/* chat_eval.c, access.c, methods.c, globals.c */
void tn_j_run(TnJinja *j, const TernChatTemplate *chat); /* the scope has the given variables */
TnVal tn_j_eval(TnJinja *j, const TnNode *n);
TnVal tn_j_call(TnJinja *j, TnVal f, const TnArgs *args);
TnVal tn_j_attr(TnJinja *j, TnVal v, TnStr name);
TnVal tn_j_item(TnJinja *j, TnVal v, TnVal key);
TnVal tn_j_binary(TnJinja *j, TnStr op, TnVal a, TnVal b);
bool tn_j_contains(TnJinja *j, TnVal item, TnVal in);
TnVal tn_j_slice(TnJinja *j, TnVal v, TnVal from, TnVal to, TnVal step);
bool tn_j_has_method(TnVal v, TnStr name);
TnVal tn_j_method(TnJinja *j, TnVal self, TnStr name, const TnArgs *args);
TnVal tn_j_format(TnJinja *j, TnVal format, TnVal args);
TnVal tn_j_global(TnJinja *j, TnStr name, const TnArgs *args);
bool tn_j_is_global(TnStr name);
TnStr tn_j_strip(TnStr s, TnStr set, bool left, bool right);                 /* set.p NULL: white space */
TnVal tn_j_replace(TnJinja *j, TnStr s, TnStr from, TnStr to, int64_t most); /* most < 0: all */
TnVal tn_j_lines(TnJinja *j, TnStr s, bool keep);                            /* keep: their ends too */
_Noreturn void tn_j_no_part(TnJinja *j, TnVal v);                            /* 'name' is undefined */

#endif
