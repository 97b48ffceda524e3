/* Inside /v1/messages: what it is asked (anthropic_input.c), for anthropic.c. */
#ifndef TN_SERVE_ANTHROPIC_H
#define TN_SERVE_ANTHROPIC_H

#include "frontends/serve/serve.h"

/* The messages of a chat that `system` and `messages` are; system NULL: none. NULL: refused. */
const TnJsonNode *tn_anthropic_messages(TnCall *call, const TnJsonNode *system, const TnJsonNode *messages);
/* The tools as a chat has them; NULL is none. False: refused. */
bool tn_anthropic_tools(TnCall *call, const TnJsonNode *tools, const TnJsonNode **out_tools);

#endif
