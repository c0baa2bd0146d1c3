"""Three numbers in, one verdict out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.diagnosis import Defect, Repair, Submission
from agent.fusion import detector_probability, fuse, settle, verdict_of
from tools.evidence import Evidence

probability = st.floats(0, 1)


@given(probability, probability)
def test_the_fused_number_lies_between_its_sources(detector: float, planner: float) -> None:
    fused = fuse(detector, planner)
    assert fused is not None
    low, high = sorted((min(max(detector, 0.001), 0.999), min(max(planner, 0.001), 0.999)))
    assert low - 1e-9 <= fused <= high + 1e-9


def test_one_source_is_taken_as_it_is_and_none_gives_none() -> None:
    assert fuse(0.8, None) == pytest.approx(0.8)
    assert fuse(None, 0.2) == pytest.approx(0.2)
    assert fuse(None, None) is None


def test_a_score_of_zero_counts() -> None:
    assert fuse(0.0, 0.5) == pytest.approx(0.0307, abs=1e-3)
    evidence = [Evidence(tool="anomaly_map", finding="", numbers={"probability": 0.0})]
    assert detector_probability(evidence) == 0.0


@pytest.mark.parametrize(
    ("fused", "verdict"), [(0.0, "normal"), (0.4, "normal"), (0.5, "uncertain"), (0.6, "defective"), (1.0, "defective")]
)
def test_around_one_half_a_person_is_asked(fused: float, verdict: str) -> None:
    assert verdict_of(fused, "submitted")[0] == verdict


@given(probability)
def test_without_an_answer_nothing_is_normal(fused: float) -> None:
    assert verdict_of(fused, "no_call") == ("uncertain", 0.0)
    assert verdict_of(fused, "turn_limit") == ("uncertain", 0.0)
    assert verdict_of(None, "submitted") == ("uncertain", 0.0)


def test_the_answer_follows_the_fused_verdict() -> None:
    defect = Defect(
        type="scratch",
        box=[0, 0, 10, 10],
        place="upper left",
        appearance="line",
        severity="minor",
        effect="looks",
        cause="handling",
        evidence=["E1"],
    )
    answer = Submission(
        verdict="defective", probability=0.7, defects=[defect], repair=Repair(disposition="scrap"), summary="s"
    )
    assert settle(answer, "defective").repair.disposition == "scrap"
    assert settle(answer, "uncertain").repair.disposition == "hold"
    assert settle(answer, "uncertain").defects
    normal = settle(answer, "normal")
    assert (normal.defects, normal.repair.disposition) == ([], "accept")
