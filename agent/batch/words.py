"""The words of a folder's summary, in English and in Chinese: the same keys in both."""

from __future__ import annotations

from collections.abc import Mapping

from agent.diagnosis import Language

Words = Mapping[str, str]

ENGLISH: Words = {
    "title": "Inspection of a folder",
    "normal": "normal",
    "defective": "defective",
    "uncertain": "uncertain",
    "failed": "failed",
    "yield": "yield",
    "yield_means": (
        "Yield is the number of normal parts divided by all {inspected} inspected pictures. Uncertain and failed ones"
        " stay in the number divided by and are never counted as normal."
    ),
    "stopped": "Stopped early: {inspected} of {pictures} pictures were inspected. All numbers are of these.",
    "attention": "{count} pictures need a person: the uncertain and failed ones, listed first.",
    "pareto": "Defects by type",
    "pareto_means": "{defects} defects on {parts} defective parts. A suspicion on an uncertain part is not counted.",
    "no_defects": "No defective part.",
    "dispositions": "Proposed dispositions",
    "parts": "Parts",
    "count": "count",
    "cumulative": "cumulative",
    "none": "none",
    "no_picture": "no picture",
    "confidence": "confidence",
    "run": "run",
    "seconds": "s",
    "product": "product",
    "planner": "planner",
    "made": "made",
    "nothing": "no defect reported",
    "undecided": "the evidence does not decide",
    "suspected": "suspected",
}

CHINESE: Words = {
    "title": "文件夹检验汇总",
    "normal": "正常",
    "defective": "有缺陷",
    "uncertain": "不确定",
    "failed": "失败",
    "yield": "合格率",
    "yield_means": ("合格率＝正常零件数除以全部已检图像数 {inspected}。不确定和失败的图像保留在分母中，绝不计为正常。"),
    "stopped": "提前停止：{pictures} 张图像中已检 {inspected} 张，所有数字只针对已检图像。",
    "attention": "{count} 张图像需要人工检查：不确定和失败的，列在最前。",
    "pareto": "缺陷类型排列图",
    "pareto_means": "{parts} 个缺陷零件上共 {defects} 处缺陷。不确定零件上的疑点不计入。",
    "no_defects": "没有缺陷零件。",
    "dispositions": "建议处置",
    "parts": "零件",
    "count": "数量",
    "cumulative": "累计",
    "none": "无",
    "no_picture": "无图像",
    "confidence": "置信度",
    "run": "运行编号",
    "seconds": "秒",
    "product": "产品",
    "planner": "规划模型",
    "made": "生成时间",
    "nothing": "未报告缺陷",
    "undecided": "证据不足以下结论",
    "suspected": "疑似",
}

WORDS: Mapping[Language, Words] = {"en": ENGLISH, "zh": CHINESE}
