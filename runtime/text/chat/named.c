/* Templates by name, for models whose file has none: the forms that the families were trained on, in one table. With
 * add_generation_prompt the answer's turn is begun. */
#include "jinja.h"

#define TAIL(text) "{% if add_generation_prompt %}" text "{% endif %}"
#define EACH(body) "{% for m in messages %}" body "{% endfor %}"
#define CHATML     EACH("<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n") TAIL("<|im_start|>assistant\n")
/* Where the form has no turn for it, the system message goes before the first of the user's. */
#define SYSTEM_FIRST                                                                                         \
    "{% set system = '' %}"                                                                                  \
    "{% if messages and messages[0].role == 'system' %}"                                                     \
    "{% set system = messages[0].content %}{% set messages = messages[1:] %}"                                \
    "{% endif %}"

/* Tools, calls and thinking as in Qwen's models; earlier turns lose their thinking. */
static const char qwen3[] =
    "{% set system = '' %}"
    "{% if messages and messages[0].role == 'system' %}"
    "{% set system = messages[0].content %}"
    "{% endif %}"
    "{% if tools %}"
    "<|im_start|>system\n{% if system %}{{ system ~ '\\n\\n' }}{% endif %}"
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
    "{% for tool in tools %}{{ '\\n' ~ tool | tojson }}{% endfor %}"
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags:\n<tool_call>\n"
    "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n"
    "{% elif system %}<|im_start|>system\n{{ system }}<|im_end|>\n{% endif %}"
    "{% set ns = namespace(query=-1) %}"
    "{% for m in messages %}"
    "{% if m.role == 'user' and m.content is string and not m.content.startswith('<tool_response>') %}"
    "{% set ns.query = loop.index0 %}{% endif %}"
    "{% endfor %}"
    "{% for m in messages %}"
    "{% set content = m.content if m.content is string else '' %}"
    "{% if m.role == 'user' or (m.role == 'system' and not loop.first) %}"
    "<|im_start|>{{ m.role }}\n{{ content }}<|im_end|>\n"
    "{% elif m.role == 'assistant' %}"
    "{% set thought = m.reasoning_content if m.reasoning_content is string else '' %}"
    "{% if not thought and '</think>' in content %}"
    "{% set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}"
    "{% set content = content.split('</think>')[-1].lstrip('\\n') %}"
    "{% endif %}"
    "<|im_start|>assistant\n"
    "{% if loop.index0 > ns.query and (loop.last or thought) %}"
    "{{ '<think>\\n' ~ thought.strip('\\n') ~ '\\n</think>\\n\\n' ~ content.lstrip('\\n') }}"
    "{% else %}{{ content }}{% endif %}"
    "{% for call in m.tool_calls or [] %}"
    "{% if not loop.first or content %}{{ '\\n' }}{% endif %}"
    "{% set call = call.function or call %}"
    "{{ '<tool_call>\\n{\"name\": \"' ~ call.name ~ '\", \"arguments\": ' }}"
    "{{ call.arguments if call.arguments is string else call.arguments | tojson }}"
    "{{ '}\\n</tool_call>' }}"
    "{% endfor %}<|im_end|>\n"
    "{% elif m.role == 'tool' %}"
    "{% if loop.first or messages[loop.index0 - 1].role != 'tool' %}<|im_start|>user{% endif %}"
    "{{ '\\n<tool_response>\\n' ~ content ~ '\\n</tool_response>' }}"
    "{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}<|im_end|>\n{% endif %}"
    "{% endif %}"
    "{% endfor %}" //
    TAIL("<|im_start|>assistant\n"
         "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}");

static const struct {
    const char *name, *source;
} named[] = {
    {"chatml", CHATML},
    {"qwen3", qwen3},
    {"falcon-e", CHATML},
    {"minicpm4", "{{ bos_token }}" CHATML},
    {"bitnet", "{{ bos_token }}" EACH("{{ m.role | capitalize }}: {{ m.content | trim }}<|eot_id|>")
                   TAIL("Assistant: ")},
    {"llama3", "{{ bos_token }}" EACH("<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
                                      "{{ m.content | trim }}<|eot_id|>")
                   TAIL("<|start_header_id|>assistant<|end_header_id|>\n\n")},
    {"llama2",
     SYSTEM_FIRST EACH("{% if m.role == 'user' %}"
                       "{{ bos_token }}[INST] "
                       "{% if loop.first and system %}<<SYS>>\n{{ system }}\n<</SYS>>\n\n{% endif %}"
                       "{{ m.content | trim }} [/INST]"
                       "{% else %} {{ m.content | trim }} {{ eos_token }}{% endif %}")},
    {"mistral", "{{ bos_token }}" SYSTEM_FIRST EACH(
                    "{% if m.role == 'user' %}"
                    "[INST] {% if loop.first and system %}{{ system ~ '\\n\\n' }}{% endif %}"
                    "{{ m.content }}[/INST]"
                    "{% else %} {{ m.content | trim }}{{ eos_token }}{% endif %}")},
    {"gemma", "{{ bos_token }}" SYSTEM_FIRST EACH(
                  "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
                  "{% if loop.first and system %}{{ system ~ '\\n\\n' }}{% endif %}"
                  "{{ m.content | trim }}<end_of_turn>\n") TAIL("<start_of_turn>model\n")},
    {"falcon3",
     EACH("<|{{ m.role }}|>\n{{ m.content }}"
          "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}"
          "{% if m.role != 'assistant' or not loop.last %}{{ '\\n' }}{% endif %}") TAIL("<|assistant|>\n")},
    {"phi3", EACH("<|{{ m.role }}|>\n{{ m.content }}<|end|>\n") TAIL("<|assistant|>\n")},
    {"zephyr", EACH("<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n") TAIL("<|assistant|>\n")},
    {"minicpm", EACH("{% if m.role == 'user' %}<用户>{{ m.content | trim }}<AI>"
                     "{% else %}{{ m.content | trim }}{% endif %}")},
    {"vicuna", "{{ bos_token }}" EACH("{% if m.role == 'system' %}{{ m.content ~ '\\n\\n' }}"
                                      "{% elif m.role == 'user' %}USER: {{ m.content ~ '\\n' }}"
                                      "{% else %}ASSISTANT: {{ m.content ~ eos_token ~ '\\n' }}{% endif %}")
                   TAIL("ASSISTANT:")},
};

TernText tern_chat_template_find(const char *name) {
    for (size_t i = 0; name && i < TN_COUNT(named); i++)
        if (strcmp(name, named[i].name) == 0) return (TernText){named[i].source, strlen(named[i].source)};
    return (TernText){NULL, 0};
}
const char *tern_chat_template_name(size_t index) {
    return index < TN_COUNT(named) ? named[index].name : NULL;
}
