/* GET /: the page, for people without a client of their own. One file goes out, with style and scripts inside, so that it asks
 * for nothing else; it is made of the four of page/, which this library holds as they are.
 *
 * The page shows what a model writes, so it must run nothing of it: it makes text nodes alone, and, should that ever fail, the
 * policy below lets a browser run only scripts with the word of this answer, fetch from this server alone, and send nothing
 * elsewhere. */
#include <stdio.h>
#include <string.h>
#include "frontends/serve/serve.h"

#define HOLD(name, file)                                                                                     \
    __asm__(".pushsection .rodata\n"                                                                         \
            ".globl tn_page_" #name "\n"                                                                     \
            ".hidden tn_page_" #name "\n"                                                                    \
            "tn_page_" #name ":\n"                                                                           \
            ".incbin \"" TERN_PAGE_FOLDER "/" file "\"\n"                                                    \
            ".byte 0\n"                                                                                      \
            ".popsection\n");                                                                                \
    __attribute__((visibility("hidden"))) extern const char tn_page_##name[]
HOLD(html, "page.html");
HOLD(style, "page.css");
HOLD(markdown, "markdown.js");
HOLD(chat, "chat.js");

/* Puts the part of *html before a mark, and goes on after it. */
static void put_before(TnBuf *out, const char **html, const char *mark) {
    const char *at = strstr(*html, mark);
    TN_CHECK(at);
    tn_buf_put(out, *html, (size_t)(at - *html));
    *html = at + strlen(mark);
}

void tn_route_page(TnCall *call) {
    const char *html = tn_page_html;
    char word[33], policy[260];
    TnBuf out = {0};
    snprintf(word, sizeof word, "%016llx%016llx", (unsigned long long)tn_os_random_seed(),
             (unsigned long long)tn_os_random_seed());
    snprintf(
        policy, sizeof policy,
        "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        word, word);
    put_before(&out, &html, "<!-- style -->");
    tn_buf_printf(&out, "<style nonce=\"%s\">\n%s</style>", word, tn_page_style);
    put_before(&out, &html, "<!-- script -->");
    /* One element each: what is declared in the first is seen in the second. */
    tn_buf_printf(&out, "<script nonce=\"%s\">\n%s</script>\n<script nonce=\"%s\">\n%s</script>", word,
                  tn_page_markdown, word, tn_page_chat);
    tn_buf_puts(&out, html);
    tn_call_header(call, "Content-Security-Policy", policy);
    tn_call_header(call, "X-Content-Type-Options", "nosniff");
    tn_call_header(call, "Cache-Control", "no-store");
    tn_call_answer(call, 200, "text/html; charset=utf-8", out.data, out.len);
    tn_buf_free(&out);
}
