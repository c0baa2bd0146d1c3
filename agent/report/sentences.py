"""Sentences that the product itself writes into a diagnosis, in Chinese; a test compares them with their authors."""

from __future__ import annotations

from collections.abc import Mapping

CHINESE: Mapping[str, str] = {
    "the question is about the object: the part was not inspected for defects": (
        "问题只涉及物体本身：未对零件做缺陷检验"
    ),
    "the audit came to another verdict, but not in a valid form: the verdict stays open": (
        "复核得出了另一结论，但格式无效：结论待定"
    ),
    "the evidence against the verdict was not weighed: the audit got no valid answer or no turn": (
        "未权衡反面证据：复核没有得到有效回答或没有机会进行"
    ),
    "the question was not answered": "所提问题没有得到回答",
    "no reference of a good part: the anomaly map is weak evidence": "没有良品参考图：异常图只是弱证据",
    "unknown: no knowledge entry fits": "未知：没有相符的知识条目",
    "Set the part aside and have a person look at it": "将零件单独放置，由人工检查",
    "Nothing in the evidence speaks against it.": "证据中没有与结论相反的内容。",
    "No tool could say anything about this part.": "没有工具能对该零件作出判断。",
}
BEGINNINGS: Mapping[str, str] = {
    "the planner gave no valid answer ": "规划模型没有给出有效回答 ",
    "the planner failed: ": "规划模型出错：",
}
