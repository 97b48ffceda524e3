#!/usr/bin/env python3
"""Trains a small SentencePiece model (python3-sentencepiece 0.1.97) and writes spm.vocab, spm.inp and spm.out: its
tokens as the plain text that tests/text reads, and what the library answers to made-up texts; spm-unused.out: the
same with every fifth token of two characters or more unused (id % 5 == 3).
The lines of the vocabulary are those of from_gguf.py, with `s SCORE TYPE TEXT` for a token that has a score."""
import io
import os
import random
import sentencepiece

# Shakespeare, Keats, Laozi, Confucius, Verlaine, Pushkin: long in the public domain.
TEXT = """Shall I compare thee to a summer's day? Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May, And summer's lease hath all too short a date;
Sometime too hot the eye of heaven shines, And often is his gold complexion dimm'd;
And every fair from fair sometime declines, By chance or nature's changing course untrimm'd;
But thy eternal summer shall not fade, Nor lose possession of that fair thou ow'st;
Nor shall death brag thou wander'st in his shade, When in eternal lines to time thou grow'st:
So long as men can breathe or eyes can see, So long lives this, and this gives life to thee.
When I have fears that I may cease to be Before my pen has gleaned my teeming brain,
Before high-piled books, in charactery, Hold like rich garners the full ripened grain;
道可道，非常道。名可名，非常名。無名天地之始，有名萬物之母。
學而時習之，不亦說乎？有朋自遠方來，不亦樂乎？人不知而不慍，不亦君子乎？
天下皆知美之為美，斯惡已。皆知善之為善，斯不善已。有無相生，難易相成，長短相較，高下相傾。
Les sanglots longs des violons de l'automne blessent mon cœur d'une langueur monotone.
Il pleure dans mon cœur comme il pleut sur la ville; quelle est cette langueur qui pénètre mon cœur?
Мороз и солнце; день чудесный! Ещё ты дремлешь, друг прелестный. Я вас любил: любовь ещё, быть может,
В душе моей угасла не совсем; но пусть она вас больше не тревожит; я не хочу печалить вас ничем.
    In 1609  the   sonnets    were printed;     154 of them,  in    2,155 lines.  1 2 3 4 10 100 1000
\twhile (1) {  puts("a  b");   }  \t\t // 3.14159 == pi ?  ////  ----  ....  !!!!
"""
BITS = ["the", " ", "  ", "   ", "        ", "summer", "'s", "a", "b", "e", "th", "thee", "ee", "\t", "\n", "\n\n", "1", "10",
        "1609", "道", "名", "非常", "不亦", "君子", "œ", "cœur", "é", "ль", "любовь", "ещё", "龍", "ß", "😀", "\u2581",
        "\u2581\u2581", "e\u0301", "<s>", "</s>", "<unk>", "<0x0A>", "!", "!!", "//", "----", "....", "(", "{", "\u00a0",
        "\u3000", "가", "\U0001f468\u200d\U0001f469", "A", "Shall", "When", "Q", "x", "yz", "\u0000"]


def main():
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.split("\n")), model_writer=out, model_type="bpe", vocab_size=900, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=True, split_digits=True,
        allow_whitespace_only_pieces=True, character_coverage=0.98, num_threads=1, minloglevel=2)
    sp = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "spm.vocab"), "w") as f:
        f.write("model llama\nbos %d\neos %d\n" % (sp.bos_id(), sp.eos_id()))
        for i in range(sp.get_piece_size()):
            kind = 2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 5 if sp.is_unused(i) else 1
            f.write("s %.9g %d %s\n" % (sp.get_score(i), kind, sp.id_to_piece(i)))
    random.seed(1609)
    lines = [line for line in TEXT.split("\n") if line]
    texts = lines + [""] + BITS[:-1]
    while len(texts) < 1200:
        texts.append("".join(random.choice(BITS[:-1]) for _ in range(random.randint(1, 12))))
    while len(texts) < 1300:
        line = random.choice(lines)
        at = random.randrange(len(line))
        texts.append(line[at:at + random.randint(1, 40)])
    with open(os.path.join(here, "spm.inp"), "w", newline="") as f:
        f.write("\n__ggml_vocab_test__\n".join(texts) + "\n__ggml_vocab_test__\n")
    with open(os.path.join(here, "spm.out"), "w") as f:
        for text in texts:
            f.write(" ".join(str(i) for i in sp.encode(text)) + "\n")
    for text in texts:
        assert sp.decode(sp.encode(text)) == text.replace("\u2581", " "), text
    pieces = [sp.id_to_piece(i) for i in range(259, sp.get_piece_size())]
    sp.set_vocabulary([p for i, p in enumerate(pieces, 259) if i % 5 != 3 or len(p) == 1])
    with open(os.path.join(here, "spm-unused.out"), "w") as f:
        for text in texts:
            f.write(" ".join(str(i) for i in sp.encode(text)) + "\n")


main()
