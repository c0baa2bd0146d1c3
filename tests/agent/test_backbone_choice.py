"""The backbone that was asked for is the one that works, and the run says which it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.__main__ import app
from agent.diagnosis import Inspection
from agent.inspector import Inspector
from agent.planners import make_planner
from tools.detectors.features import BackboneError


def test_a_timm_backbone_gives_the_same_verdict_and_is_named_in_the_run(parts: Path, tmp_path: Path) -> None:
    if not os.environ.get("CI"):
        pytest.importorskip("timm")
    inspection = Inspection(parts / "scratched.png", (parts / "good_1.png", parts / "good_2.png"), "bracket")
    onnx, timm = (
        Inspector(tmp_path, make_planner("rules"), "rules", backbone=backbone, device="cpu").inspect(inspection)
        for backbone in ("onnx", "timm:tf_efficientnet_lite0")
    )
    assert onnx.setup["detector"] == "few-shot 2, efficientnet_lite0-onnx"
    assert timm.setup["detector"].startswith("few-shot 2, timm:tf_efficientnet_lite0 (package")
    assert onnx.diagnosis is not None
    assert timm.diagnosis is not None
    assert onnx.diagnosis["scores"]["detector"] == pytest.approx(timm.diagnosis["scores"]["detector"], abs=1e-3)
    assert "timm:tf_efficientnet_lite0" in timm.diagnosis["evidence"][0]["finding"]


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--detector", "padim"], "choose few-shot, patchcore"),
        (["--backbone", "vgg"], "choose onnx or timm:NAME"),
        (["--backbone", "timm:no_such_model"], "timm"),
        (["--device", "tpu"], "choose auto, cpu, cuda or cuda:N"),
        (["--device", "cuda"], "choose timm:tf_efficientnet_lite0 for CUDA"),
    ],
)
def test_a_backbone_that_cannot_be_had_leaves_no_run_behind(
    parts: Path, tmp_path: Path, options: list[str], remedy: str
) -> None:
    done = CliRunner().invoke(app, ["inspect", str(parts / "good_1.png"), "--home", str(tmp_path), *options])
    assert isinstance(done.exception, BackboneError)
    assert remedy in str(done.exception)
    assert not (tmp_path / "runs").exists()
