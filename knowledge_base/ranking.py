"""Whether an item answers a query at all, and which of those that do comes first.

The constants were chosen on one half of the queries in evals/knowledge; the other half is measured only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from knowledge_base.entry import Language

FLOOR: Final = 0.28
"""Relevance below which an item does not answer a query."""

_SPAN: Final = 0.25
# Chinese pairs overlap: a word counts several times.
_WEIGHT: Final[Mapping[Language, float]] = {"en": 0.03, "zh": 0.02}
# What unrelated texts reach: e5 puts them at a cosine of about 0.8, and a few words they always share. All readings of
# a translated word may be shared, so there it is more.
_UNRELATED: Final[Mapping[Language, float]] = {"en": 0.831, "zh": 0.845}
_UNRELATED_READINGS: Final = 0.84
_SHARE: Final = 0.15
# Chinese texts are nearer to each other than English ones, translated queries farther from everything.
_CHINESE_LEAD: Final = 0.02
_TRANSLATED_LAG: Final = 0.01
_NAMED: Final = 0.1
_CALLED: Final = 0.6  # relevance of what a query just names
_NEARLY: Final = 0.0375

# What people ask of somebody else: a passage that has no word of the topic does not answer, however alike it is.
_TOPICS: Final = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        r"\b(?:costs?|prices?|expensive)\b|多少钱|价格|报价|单价",
        r"\b(?:phone|telephone|e-?mail|suppliers?|vendors?|customers?)\b|电话|地址|邮箱|供应商|供货|客户",
        r"\b(?:delivery time|warranty|licen[cs]e)\b|purchase order|采购|订购|交货|保修|授权",
        r"\b(?:salary|wages|parental leave|days of leave|vacation|expenses|overtime|night shift)\b"
        r"|工资|请假|年假|报销|加班|排班|夜班|审批",
        r"\b(?:password|laptop|wi-?fi|vpn|headset|login|spreadsheet|mailbox)\b|密码|电脑|登录|邮件",
        r"\b(?:electricity|kwh|cycle time)\b|用电|电费|节拍",
        r"\b(?:neural|learning rate|plc|python|download)\b|神经网络|学习率|编程|下载",
        r"\b(?:torque|lubricant)\b|力矩|扭矩|润滑",
    )
)


@dataclass(frozen=True)
class Match:
    """How an item stands to a query: cosine of meaning, the words they share as weight and as share (0-1).

    `named`: the query is just its name.
    """

    cosine: float
    weight: float
    share: float
    language: Language
    translated: bool
    named: bool

    @property
    def relevance(self) -> float:
        """0 to 1; the root makes the first shared words count most, so that long descriptions are answered too."""
        unrelated = _UNRELATED_READINGS if self.translated else _UNRELATED[self.language]
        score = self.cosine + _WEIGHT[self.language] * math.sqrt(self.weight) - unrelated
        return min(1.0, max(_CALLED if self.named else 0.0, score / _SPAN))

    @property
    def fit(self) -> float:
        """What the answers to one query are ranked by."""
        lead = (_CHINESE_LEAD if self.language == "zh" else 0.0) - (_TRANSLATED_LAG if self.translated else 0.0)
        return self.cosine + _SHARE * self.share - lead + _NAMED * self.named


def order(matches: Mapping[str, Match], steps: Mapping[str, int] | None) -> list[str]:
    """The best fit first; of a product, those that fit nearly as well as the best and are closest to it first."""
    if steps is None:
        return sorted(matches, key=lambda id_: -matches[id_].fit)
    nearly = max((match.fit for match in matches.values()), default=0.0) - _NEARLY
    return sorted(matches, key=lambda id_: (matches[id_].fit < nearly, steps[id_], -matches[id_].fit))


def off_topic(query: str, texts: Iterable[str]) -> bool:
    """Whether a query is about something that none of the texts speaks of, such as a price."""
    asked = [topic for topic in _TOPICS if topic.search(query)]
    return bool(asked) and not all(any(topic.search(text) for text in texts) for topic in asked)
