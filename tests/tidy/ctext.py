"""C source with its comments and string contents blanked, so that checks see code alone."""

import re

_TOKEN = re.compile(
    r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)


def _blank(match):
    text = match.group(0)
    if text[0] in "\"'":
        return text[0] + " " * (len(text) - 2) + text[-1]
    return re.sub(r"[^\n]", " ", text)


def code_only(text):
    """Same length and line breaks as `text`; comments and the insides of literals are spaces."""
    return _TOKEN.sub(_blank, text)


def first_sentence(text):
    """The first sentence of the file's opening comment, in one line; '' when it has none."""
    match = re.match(r"\s*/\*+\s*(.*?)\*/", text, re.DOTALL)
    if not match:
        return ""
    words = re.sub(r"(?m)^\s*\*? ?", "", match.group(1)).strip().split("\n\n")[0]
    words = " ".join(words.split())
    end = re.search(r"(?<=[a-z0-9)\]\"'])\.(?= |$)", words)
    return words[:end.start()] if end else words.rstrip(".:")
