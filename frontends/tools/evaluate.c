/* ternc_eval: evaluates a graph on made-up inputs. */
#include "frontends/api/call_options.h"
#include "frontends/tools/graphs.h"
#include "frontends/tools/show.h"

static bool needs_weights(const TnGraph *g) {
    for (TnRef r = 0; r < g->n; r++)
        if (g->nodes[r].op == TN_OP_gguf) return true;
    return false;
}

TernStatus ternc_eval(const TerncEval *given, TerncTextFn *text, void *user, TernError *err) {
    TerncEval taken, *eval = &taken;
    TN_TRY(tn_eval_take(given, eval, err));
    TN_NEED(text, err);
    TnGraphs s;
    TnGguf *file = NULL;
    TnBuf out = {0};
    if (eval->rows > TN_PAGE)
        return tn_fail(err, TERN_ERR_INPUT, "TerncEval.rows: %u, expected 1 to %d", eval->rows, TN_PAGE);
    TN_TRY(tn_graphs_open(eval->path, NULL, text, user, &s, err));
    TernStatus st = TERN_OK;
    if (eval->variant >= s.n)
        st = tn_fail(err, TERN_ERR_INPUT, "TerncEval.variant: %u, but %s has graphs 0 to %u", eval->variant,
                     s.path, s.n - 1);
    if (st == TERN_OK && eval->weights && !needs_weights(s.g[eval->variant]))
        st = tn_fail(err, TERN_ERR_INPUT, "TerncEval.weights: no node of %s takes a tensor from a file",
                     s.path);
    if (st == TERN_OK && eval->weights) {
        TerncSource source = {.size = sizeof source, .path = eval->weights};
        st = tn_source_open(&source, false, &file, err);
    }
    if (st == TERN_OK) {
        TnWeights w = tn_gguf_weights(file ? file : s.gguf);
        st = tn_eval_show(s.g[eval->variant], &w, eval->rows, &out, err);
    }
    if (st == TERN_OK) text(user, "result", out.data ? out.data : "", out.len);
    tn_buf_free(&out);
    tn_gguf_close(file);
    tn_graphs_close(&s);
    return st;
}
