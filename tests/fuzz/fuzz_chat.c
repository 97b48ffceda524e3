/* Any bytes are a chat template or are refused, in a line. The input is a template, and after a NUL the messages as JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/base/status.h"
#include "runtime/text/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char usual[] =
    "[{\"role\": \"system\", \"content\": \"Be kind.\"}, {\"role\": \"user\", \"content\": \"Hi\\n\\u00e9\", "
    "\"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"x\": [1, 2.5, null]}}}]}]";

static void check_spans(const TernChatText *text) {
    size_t sum = 0;
    for (size_t i = 0; i < text->n_spans; i++) {
        TN_CHECK(text->spans[i].size > 0 && (i == 0 || text->spans[i].user != text->spans[i - 1].user));
        sum += text->spans[i].size;
    }
    TN_CHECK(sum == text->size && text->data[sum] == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const char *text = (const char *)data, *end = n ? memchr(text, 0, n) : NULL;
    size_t size = end ? (size_t)(end - text) : n;
    TernChatTemplate *chat;
    TernError err;
    TernStatus st = tern_chat_template_create((TernText){text, size}, &chat, &err);
    TN_CHECK((st == TERN_OK) == (err.text[0] == 0) && (st == TERN_OK || st == TERN_ERR_INPUT));
    if (st != TERN_OK) return 0;
    TernChatInput in = TERN_CHAT_INPUT;
    in.messages = end ? (TernText){end + 1, n - size - 1} : (TernText){usual, sizeof usual - 1};
    in.tools = (TernText){"[{\"b\": 1, \"a\": {}}]", 19};
    in.bos = (TernText){"<s>", 3};
    in.max_steps = 30000, in.max_output = 1 << 16, in.max_memory = 16 << 20;
    TernChatText out, again;
    st = tern_chat_render(chat, &in, &out, &err);
    TN_CHECK((st == TERN_OK) == (err.text[0] == 0) && (st == TERN_OK || st == TERN_ERR_INPUT));
    if (st == TERN_OK) {
        check_spans(&out);
        TN_CHECK(tern_chat_render(chat, &in, &again, &err) == TERN_OK);
        TN_CHECK(again.size == out.size && memcmp(again.data, out.data, out.size) == 0);
        tern_chat_text_free(&again);
    }
    tern_chat_text_free(&out);
    tern_chat_template_destroy(chat);
    return 0;
}
