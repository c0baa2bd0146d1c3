"""A report put into the words of one language: the same headings and blocks for every format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent.diagnosis import Language
from agent.report.blocks import Block, Card, Facts, Figure, Figures, Grid, Lines, Paragraph, Section, Sheet, Signature
from agent.report.content import Action, Applied, Finding, Flaw, Report, Size
from agent.report.pictures import drawn
from agent.report.told import Told
from agent.report.words import WORDS
from agent.submission import GENERAL_PRACTICE
from agent.terminal import chance
from knowledge_base.limits import Limit

DECISIONS = ("accept", "rework", "scrap", "hold")
UNITS = {"mm": "mm", "mm2": "mm²", "px": "px"}
SETUP = ("run", "started", "seconds", "planner", "detector", "version", "prompts", "picture", "sha256")


def sheet_of(report: Report, language: Language) -> Sheet:
    """The report in a language."""
    writer = _Writer(report, language)
    sections = tuple(writer.sections())
    return Sheet(
        language=language,
        title=writer.words["title"],
        kind=report.state,
        banner=writer.words[f"state.{report.state}"],
        statement=writer.statement(),
        head=writer.head(),
        sections=sections,
        missing=writer.words["picture.missing"],
        page=writer.words["page"],
        footer=f"flawlens {report.setup['run']}",
    )


class _Writer:
    """Puts one report into words; `foreign` is set when a text had to stay in its own language."""

    def __init__(self, report: Report, language: Language) -> None:
        self.report, self.language, self.words = report, language, WORDS[language]
        self.foreign = False

    def said(self, told: Told) -> str:
        self.foreign = self.foreign or told.foreign(self.language)
        return told.said(self.language)

    def word(self, kind: str, code: str) -> str:
        """The word for a code; one that no table knows stands as it is."""
        return self.words.get(f"{kind}.{code}", code)

    def rows(self, *pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        return tuple((self.words[f"label.{name}"], text) for name, text in pairs if text)

    def joined(self, texts: Iterable[str]) -> str:
        return self.words["comma"].join(texts)

    def aside(self, text: str) -> str:
        return f"{self.words['open']}{text}{self.words['close']}"

    def statement(self) -> str:
        report, state = self.report, self.report.state
        if state == "normal":
            known = any(finding.above is False for finding in report.findings)
            state_words = "normal_above" if report.above else "normal" if known else "normal_unknown"
            return self.words[f"statement.{state_words}"].format(ids=self.joined(report.above))
        why = self.word("outcome", report.outcome)
        return self.words[f"statement.{state}"].format(count=len(report.flaws), why=why)

    def head(self) -> Facts:
        report, setup = self.report, self.report.setup
        decided = report.state in ("normal", "defective")
        return Facts(
            self.rows(
                ("part", setup["part"]),
                ("product", setup["product"] or self.words["not_named"]),
                ("references", setup["references"]),
                ("started", setup["started"]),
                ("run", setup["run"]),
                ("confidence", f"{100 * report.confidence:.1f} %" if decided else ""),
                ("scores", "" if report.state == "answered" else self.scores()),
                ("disposition", self.word("disposition", report.disposition) if report.disposition else ""),
            )
        )

    def scores(self) -> str:
        told = ((self.words[f"label.{name}_score"], value) for name, value in self.report.scores.items())
        return self.joined(f"{name} {self.words['none'] if value is None else chance(value)}" for name, value in told)

    def sections(self) -> Iterator[Section]:
        report = self.report
        yield from self.section("trust", self.lines(report.degraded), kind="warning")
        yield from self.section("pictures", self.figures())
        yield from self.section("notes", self.lines(report.notes))
        yield from self.section("answer", *self.asked())
        yield from self.section("operator", self.case())
        if report.state != "answered":
            yield from self.diagnosed()
        yield from self.section("why", Paragraph(text) if (text := self.said(report.summary)) else None)
        yield from self.section("against", Paragraph(text) if (text := self.said(report.against)) else None)
        yield from self.section("evidence", self.evidence(report.findings))
        yield from self.section("sources", self.sources())
        yield from self.section("sign", self.signature(), Paragraph(self.words["machine"]))
        yield from self.section("setup", self.setup(), *([Paragraph(self.words["foreign"])] if self.foreign else []))

    def section(self, name: str, *blocks: Block | None, kind: str = "") -> Iterator[Section]:
        """A section, or nothing where there is nothing to say."""
        inside = tuple(block for block in blocks if block is not None)
        if inside:
            yield Section(self.words[f"section.{name}"], inside, kind)

    def diagnosed(self) -> Iterator[Section]:
        report = self.report
        name = "defects" if report.state == "defective" else "suspected"
        if report.flaws or report.state != "normal":
            none = [] if report.flaws else [Paragraph(self.words["no_defects"])]
            yield from self.section(name, *none, *map(self.flaw, report.flaws))
        yield from self.section("limits", self.limits(report.limits))
        yield from self.section("actions", self.actions(report.actions))
        yield from self.section("prevention", self.actions(report.prevention))

    def lines(self, items: Sequence[Told]) -> Lines | None:
        return Lines(tuple(map(self.said, items))) if items else None

    def figures(self) -> Figures:
        report = self.report
        shown = "plain"
        if report.part and report.part.boxes:
            shown = "marked" if report.state == "defective" else "suspected"
        elif report.state != "normal":
            shown = "part"
        figures = [Figure(self.words[f"picture.{shown}"], drawn(report.part))]
        if report.heat:
            figures.append(Figure(self.words["picture.heat"].format(id=report.heat.evidence), drawn(report.heat)))
        return Figures(tuple(figures))

    def asked(self) -> Iterator[Facts]:
        for one in self.report.asked:
            by = self.words[f"asked.{one.by}"]
            question = f"{self.said(one.question)}{self.aside(by)}" if one.question.written else ""
            yield Facts(self.rows(("question", question), ("answer", self.said(one.answer) or self.words["none"])))

    def case(self) -> Facts | None:
        case = self.report.case
        if case is None:
            return None
        told = f"{self.word('verdict', case.verdict)}{self.aside(self.word('case', case.outcome))}"
        said = self.word("verdict", case.said)
        named = [("operator_said", told), ("agent_said", said), ("type", case.type), ("note", case.note)]
        return Facts(self.rows(*named, ("at", case.at)))

    def flaw(self, flaw: Flaw) -> Card:
        place = self.words.get(f"place.{flaw.place.written}")
        if place is None:
            place = f"{self.word('place', flaw.middle)}{self.aside(self.said(flaw.place))}"
        return Card(
            flaw.number,
            self.type(flaw.type),
            flaw.severity,
            self.rows(
                ("severity", self.word("severity", flaw.severity)),
                ("place", place),
                ("size", self.joined(map(self.size, flaw.sizes)) + _cited(size.evidence for size in flaw.sizes)),
                ("appearance", self.said(flaw.appearance)),
                ("effect", self.said(flaw.effect)),
                ("cause", self.said(flaw.cause)),
                ("evidence", self.joined(flaw.evidence)),
            ),
        )

    def type(self, told: Told) -> str:
        said = self.said(told)
        return said if said == told.written else said + self.aside(told.written)

    def size(self, size: Size) -> str:
        name, _, unit = size.name.partition("_")
        return f"{self.words[f'measure.{name}']} {size.value:g} {self.unit(unit)}"

    def unit(self, unit: str) -> str:
        return UNITS.get(unit) or self.word("unit", unit)

    def limits(self, limits: Sequence[Applied]) -> Grid | None:
        header = tuple(self.words[f"label.{name}"] for name in ("defect", "limit", "measured", "stands", "source"))
        rows = tuple(
            (
                str(one.defect),
                self.rule(one.rule) if one.rule and self.language == "zh" else self.said(one.text),
                "-" if one.measured is None else f"{one.measured:g}" + _cited([one.evidence]),
                self.words["exceeded." + {True: "yes", False: "no", None: "unknown"}[one.exceeded]],
                f"[{one.source}]",
            )
            for one in limits
        )
        return Grid(header, rows, (0.09, 0.42, 0.15, 0.17, 0.17)) if rows else None

    def rule(self, limit: Limit) -> str:
        """The limit of an entry, in this language."""
        name, _, unit = limit.measure.partition("_")
        place = self.words["limit.on"].format(place=limit.place) if limit.place else ""
        if limit.zone and not place:
            place = self.words["limit.zone"]
        asked = [("severity", limit.severity), ("disposition", limit.disposition)]
        return self.words["limit.over"].format(
            measure=self.words[f"measure.{name}"],
            value=f"{limit.over:g} {self.unit(unit) if unit else ''}".strip(),
            place=place,
            asked=self.joined(self.word(kind, code) for kind, code in asked if code),
        )

    def actions(self, actions: Sequence[Action]) -> Grid | None:
        titles = {source.id: source for source in self.report.sources}

        def source(id_: str) -> str:
            if id_ == GENERAL_PRACTICE:
                return self.words[GENERAL_PRACTICE]
            return f"{self.said(titles[id_].title)} [{id_}]" if id_ in titles else f"[{id_}]"

        header = ("", self.words["head.action"], self.words["label.source"])
        rows = tuple(
            (str(number), self.said(action.text), source(action.source)) for number, action in enumerate(actions, 1)
        )
        return Grid(header, rows, (0.06, 0.69, 0.25)) if rows else None

    def evidence(self, findings: Sequence[Finding]) -> Grid | None:
        header = tuple(self.words[f"head.{name}"] for name in ("id", "tool", "finding", "range"))
        stands = {True: "above", False: "within", None: "none"}
        rows = tuple(
            (one.id, self.word("tool", one.tool), self.said(one.text), self.words[f"range.{stands[one.above]}"])
            for one in findings
        )
        return Grid(header, rows, (0.07, 0.18, 0.56, 0.19)) if rows else None

    def sources(self) -> Facts | None:
        rows = tuple(
            (f"[{one.id}]", self.said(one.title) + (self.aside(one.source) if one.source else ""))
            for one in self.report.sources
        )
        return Facts(rows) if rows else None

    def signature(self) -> Signature:
        lines = (self.words["label.inspector"], self.words["label.date"])
        choices = tuple(self.words[f"disposition.{code}"] for code in DECISIONS)
        return Signature(lines, self.words["label.decision"], choices)

    def setup(self) -> Facts:
        setup = {**self.report.setup}
        setup["planner"] = self.words["rules"] if setup["planner"] == "rules" else setup["planner"]
        return Facts(self.rows(*((name, setup[name] or self.words["not_kept"]) for name in SETUP)))


def _cited(ids: Iterable[str]) -> str:
    """Ids in brackets, each once."""
    named = list(dict.fromkeys(id_ for id_ in ids if id_))
    return f" [{', '.join(named)}]" if named else ""
