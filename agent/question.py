"""What a question is about: defects, which need references and anomaly tools, or the object itself, which they harm.

Measured by others on MMAD (AnomalyClaw, 2605.10397): a reference lifts defect questions and lowers object questions.
"""

from __future__ import annotations

import re

from agent.diagnosis import Inspection, Topic

_OBJECT = re.compile(
    r"^\W*(what (?:is|are|kind|type|sort|material|colou?r|object|product|does)|which|who|how (?:many|big|large|long)"
    r"|where (?:is|are)|name|identify|describe the (?:object|product|part)\b)"
    r"|这是什么|是什么(?:物体|产品|零件|材料|材质|颜色)|什么(?:材料|材质|颜色|型号|产品)|多少个?|几个|哪(?:一?种|个)|用途|作用",
    re.IGNORECASE,
)
_DEFECT = re.compile(
    r"defect|anomal|abnormal|normal|fault|flaw|damage|broken|break|crack|scratch|dent|stain|contaminat|missing|wrong"
    r"|quality|reject|scrap|repair|rework|severity|cause|fix|good|bad|\bok\b|okay|pass|fail|wear|corro|rust|bent|differ|mark|spot|burr|chip|leak"
    r"|缺陷|异常|正常|损|裂|划|刮|污|缺|错|质量|合格|报废|返工|维修|原因|问题|不良|瑕疵|锈|变形|差别|不同|坏",
    re.IGNORECASE,
)


def topic_of(inspection: Inspection) -> Topic:
    """The stated topic, else the one that the question's words tell; in doubt, defects."""
    question = inspection.question or ""
    about_object = _OBJECT.search(question) and not _DEFECT.search(question)
    return inspection.topic or ("object" if about_object else "defects")
