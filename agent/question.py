"""What a question is about: defects, which need references and anomaly tools, or the object itself, which they harm.

Measured by others on MMAD (AnomalyClaw, 2605.10397): a reference lifts defect questions and lowers object questions.
An inspection that is left out costs more than one too many, so only a short list of questions is about the object.
"""

from __future__ import annotations

import re

from agent.diagnosis import Inspection, Topic

_OBJECT = re.compile(
    r"\bmaterial\b|\bmade (?:of|from)\b|\bcolou?rs?\b"
    r"|what (?:kind|type|sort) of (?:an? )?(?:object|product|part|component|item|thing|device)"
    r"|what (?:object|product|part|component|device|item) is\b|what (?:is this|this is)\W*$"
    r"|\bname (?:of )?(?:the|this) (?:object|product|part)|identify the (?:object|product|part)"
    r"|\bused for\b|\b(?:purpose|function) of\b|what does (?:it|this|the \w+) do\b"
    r"|how many (?:\w+ )?(?:objects|parts|components|holes|screws|bolts|nuts|pins|legs|leads|teeth|buttons|slots|ports"
    r"|terminals|connectors|wires|cables|capsules|threads)\b"
    r"|这是什么(?:东西|物体|产品|零件|部件)?\W*$|什么(?:材料|材质|颜色|型号|产品|零件|部件|物体)|用途|干什么用|做什么用"
    r"|(?:几|多少)个?(?:孔|螺丝|螺栓|螺母|引脚|针脚|齿|按钮|端口|端子|零件|部件|物体)",
    re.IGNORECASE,
)
_DEFECT = re.compile(
    r"defect|anomal|normal|fault|flaw|damage|broken|break|crack|scratch|dent|stain|contaminat|missing|wrong|problem"
    r"|quality|reject|scrap|repair|rework|severity|cause|fix|good|bad|\bok\b|okay|pass|fail|wear|corro|rust|bent|differ"
    r"|deform|discolo|solder|\bpits?\b|mark|spot|burr|chip|leak|缺|异常|正常|损|裂|划|刮|污|错|质量|合格|报废|返工|维修"
    r"|原因|问题|不良|瑕疵|锈|变形|差别|不同|坏|毛刺|虚焊|气泡",
    re.IGNORECASE,
)


def topic_of(inspection: Inspection) -> Topic:
    """The stated topic, else the one that the question's words tell; in doubt, defects."""
    question = inspection.question or ""
    about_object = _OBJECT.search(question) and not _DEFECT.search(question)
    return inspection.topic or ("object" if about_object else "defects")
