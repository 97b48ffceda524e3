/* Inside /v1/responses: what it is asked (responses_input.c), for responses.c. */
#ifndef TN_SERVE_RESPONSES_H
#define TN_SERVE_RESPONSES_H

#include "frontends/serve/serve.h"

/* The messages of a chat that the items are; instructions: data NULL: none. NULL: refused. */
const TnJsonNode *tn_responses_messages(TnCall *call, const TnJsonNode *input, TernText instructions);
/* The tools as a chat has them; NULL is none. False: refused. */
bool tn_responses_tools(TnCall *call, const TnJsonNode *tools, const TnJsonNode **out_tools);

#endif
