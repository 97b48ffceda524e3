/* Embeds the trained model of models/ in this library. */
#include "frontends/api/source.h"

__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        ".globl tn_embedded_model\n"
        ".hidden tn_embedded_model\n"
        "tn_embedded_model:\n"
        ".incbin \"" TERN_EMBEDDED_MODEL "\"\n"
        ".globl tn_embedded_model_end\n"
        ".hidden tn_embedded_model_end\n"
        "tn_embedded_model_end:\n"
        ".byte 0\n"
        ".popsection\n");
