#!/usr/bin/env python3
"""Writes the general categories of Unicode as Python's unicodedata knows them, and the script Han by the names of its
characters: unicode.py > unicode.txt. A line a run: first and last code point, category, and h for Han."""
import sys
import unicodedata

HAN = ("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH", "CJK RADICAL", "KANGXI RADICAL", "HANGZHOU NUMERAL",
       "IDEOGRAPHIC ITERATION MARK", "IDEOGRAPHIC NUMBER ZERO", "VERTICAL IDEOGRAPHIC ITERATION MARK", "OLD CHINESE",
       "VIETNAMESE ALTERNATE READING MARK")


def what(c):
    name = unicodedata.name(chr(c), "")
    han = name.startswith(HAN) and c != 0x3006
    return unicodedata.category(chr(c)) + (" h" if han else "")


def main():
    print("unicode", unicodedata.unidata_version)
    start = 0
    for c in range(1, 0x110001):
        if c == 0x110000 or what(c) != what(start):
            print("%x %x %s" % (start, c - 1, what(start)))
            start = c
    sys.stdout.flush()


main()
