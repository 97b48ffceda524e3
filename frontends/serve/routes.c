/* Which handler answers a request, and its call: the same for connections and for the lines of a batch. */
#include <string.h>
#include "frontends/serve/serve.h"

static const TnRoute routes[] = {
#define ROUTE(method, path, handler, flags) {method, path, tn_route_##handler, flags},
#include "frontends/serve/routes.def"
};

bool tn_route_find(TnCall *call, const char *method, const char *path) {
    char allow[64] = "";
    if (strcmp(method, "HEAD") == 0) method = "GET";
    for (size_t i = 0; i < TN_COUNT(routes); i++) {
        if (strcmp(routes[i].path, path) != 0) continue;
        if (strcmp(routes[i].method, method) == 0) {
            call->route = &routes[i];
            return true;
        }
        size_t n = strlen(allow);
        snprintf(allow + n, sizeof allow - n, "%s%s", n ? ", " : "", routes[i].method);
    }
    if (!*allow)
        return tn_call_refuse(call, 404, "not_found", NULL,
                              "got the path '%s', which is none of the server's", path);
    tn_call_header(call, "Allow", allow);
    return tn_call_refuse(call, 405, "method_not_allowed", NULL, "%s: got the method '%s', expected %s", path,
                          method, allow);
}

void tn_route_handle(TnCall *call) {
    call->route->handle(call);
    tn_arena_free(&call->parsed); /* a tree is many times its text, and a call may wait long */
    call->json = NULL;
    TN_CHECK(call->submitted || call->status);
}
