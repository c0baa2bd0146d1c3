"""Two readers of a reply: the benchmark's own, for comparison with published rows, and one that never guesses."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

_ONLY = re.compile(r"^\W*([A-E])\W*$", re.IGNORECASE)
_LEADING = re.compile(r"^[\s*(\"']*([A-E])\s*[.):,](?=\s|\*|$)")
_STATED = re.compile(
    r"(?i:\b(?:answer|option|choice|letter)\b(?:\s+(?:is|would be|should be)|\s*[:=])?\s*(?:option\s+)?)"
    r"[*(\"'\[]*([A-Ea-e])(?![\w'])"
)
_ANOTHER = re.compile(r"^[*)\"'\].]*\s*(?:or|and|/|,)\s*[*(\"'\[]*[A-Ea-e](?![\w'])")
_HEDGE = re.compile(
    r"\b(?:not (?:sure|certain|clear)|unsure|uncertain|unclear|cannot|can't|unable|maybe|perhaps|might|possibly"
    r"|sorry)\b",
    re.IGNORECASE,
)
_FAULT = r"(?:defect|anomal|flaw|damage|fault|abnormal)"
_NONE = re.compile(
    rf"\b(?:no|not|without|free (?:of|from)|isn't|doesn't|does not)\b[^.;,]{{0,40}}\b{_FAULT}", re.IGNORECASE
)
_SOME = re.compile(
    rf"\b(?:there (?:is|are)|has|have|shows?|contains?|with)\b[^.;,]{{0,40}}\b{_FAULT}|\bis defective\b", re.IGNORECASE
)


def benchmark_reader(reply: str, options: Mapping[str, str]) -> str:
    """The letter that MMAD's script takes: the last of A-E that stands alone, else the option most like the reply.

    It reads the article "A" as a letter, and always picks something (jam-cc/MMAD, GPT4/gpt4v.py, parse_answer).
    """
    letters = re.findall(r"\b([A-E])\b", reply)
    if letters:
        return str(letters[-1])
    like = difflib.get_close_matches(reply, list(options.values()), n=1, cutoff=0.0)
    return next(letter for letter, text in options.items() if text == like[0])


def strict_reader(reply: str, options: Mapping[str, str]) -> str | None:
    """The letter that a reply states, None where it states none, several, or one that is not offered."""
    text = reply.strip()
    letter = _stated(text)
    if letter is not None:
        return letter if letter in options else None
    named = {key for key, option in options.items() if _plain(option) and _plain(option) == _plain(text)}
    if len(named) == 1:
        return named.pop()
    if _HEDGE.search(text):
        return None
    return _yes_or_no(text, options) or _quoted(text, options)


def _stated(text: str) -> str | None:
    """The letter that a reply consists of, says to be the answer, or begins with; "" for several."""
    if only := _ONLY.match(text):
        return only[1].upper()
    stated = list(_STATED.finditer(text))
    stated += [] if stated else list(filter(None, [_LEADING.match(text)]))
    letters = {match[1].upper() for match in stated}
    if not letters:
        return None
    several = len(letters) > 1 or any(_ANOTHER.match(text[match.end() :]) for match in stated)
    return "" if several else letters.pop()


def _yes_or_no(text: str, options: Mapping[str, str]) -> str | None:
    """Under the options yes and no: what the reply begins with, else whether it says that there is a defect."""
    plain = {_plain(option): letter for letter, option in options.items()}
    if set(plain) != {"yes", "no"}:
        return None
    begins = re.match(r"\W*(yes|no)\b(?! (?:opinion|idea|answer))", text, re.IGNORECASE)
    if begins:
        return plain[begins[1].lower()]
    if _NONE.search(text):
        return plain["no"]
    return plain["yes"] if _SOME.search(text) else None


def _quoted(text: str, options: Mapping[str, str]) -> str | None:
    """The one option whose whole text stands in the reply, unless it is denied."""
    whole = f" {_plain(text)} "
    if re.search(r" (?:not|no|neither|nor|isn t) ", whole):
        return None
    found = [letter for letter, option in options.items() if _plain(option) and f" {_plain(option)} " in whole]
    longest = [
        one for one in found if not any(_within(options[one], options[other]) for other in found if other != one)
    ]
    return longest[0] if len(longest) == 1 else None


def _within(text: str, other: str) -> bool:
    return f" {_plain(text)} " in f" {_plain(other)} "


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
