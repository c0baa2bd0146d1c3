"""Models that anomalib itself trained and wrote, read back through its own inferencers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.example_parts import draw_part
from tools.detectors import Pixels
from tools.detectors.features import BackboneError
from tools.detectors.methods import make_method
from tools.detectors.pretrained import Pretrained

if not os.environ.get("CI"):
    pytest.importorskip("anomalib")


def part(seed: int, defect: str = "good") -> Pixels:
    return draw_part("bracket", defect, seed=seed, size=200).pixels


def signal(*pictures: Pixels) -> Any:
    import torch

    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A PaDiM over random features, fitted to six brackets, as checkpoint, OpenVINO and torch export."""
    import torch
    from anomalib.models import Padim

    folder = tmp_path_factory.mktemp("anomalib")
    torch.manual_seed(0)
    padim = Padim(backbone="resnet18", layers=["layer1"], n_features=20, pre_trained=False)
    padim.model.train()
    with torch.no_grad():
        padim.model(padim.pre_processor(signal(*(part(seed) for seed in range(6)))))
    padim.model.fit()
    padim.eval()
    kept = {"state_dict": padim.state_dict(), "hyper_parameters": dict(padim.hparams)}
    torch.save({**kept, "pytorch-lightning_version": "2.5.0"}, folder / "padim.ckpt")
    return {
        "checkpoint": folder / "padim.ckpt",
        "openvino": padim.to_openvino(folder),
        "torch": padim.to_torch(folder),
    }


@pytest.fixture(scope="module")
def own(written: dict[str, Path]) -> Any:
    """The model as anomalib reads it back."""
    from anomalib.models import Padim

    return Padim.load_from_checkpoint(written["checkpoint"]).eval()


@pytest.mark.parametrize("kind", ["checkpoint", "openvino"])
def test_a_written_model_draws_the_map_that_anomalib_draws(written: dict[str, Path], own: Any, kind: str) -> None:
    import torch

    spec = f"anomalib:{written[kind]}{'#Padim' if kind == 'checkpoint' else ''}"
    detector = make_method(spec, device="cpu").fit([])
    picture = part(9, "stain")
    found = detector.score(picture)
    with torch.inference_mode():
        expected = own(signal(picture))
    assert found.image_score == pytest.approx(float(expected.pred_score), rel=0.05)
    assert found.scores.shape == picture.shape[:2]
    assert isinstance(detector, Pretrained)
    scores, _ = detector.reader.read(picture, detector.known)
    near = 1e-5 if kind == "checkpoint" else 0.05  # OpenVINO counts in bfloat16 where the processor can
    assert np.allclose(scores, expected.anomaly_map.squeeze().numpy(), rtol=near, atol=near)


def test_an_export_leaves_no_file_where_one_works(
    written: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_method(f"anomalib:{written['openvino']}", device="cpu")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_good_parts_set_the_range_and_a_stain_lies_beyond_it(written: dict[str, Path]) -> None:
    method = make_method(f"anomalib:{written['checkpoint']}#Padim", device="cpu")
    detector = method.fit([part(seed) for seed in range(6)])
    assert not detector.score(part(1)).above_normal
    assert detector.score(part(9, "stain")).above_normal
    assert method.restored(detector.fitted()).score(part(1)).image_score == detector.score(part(1)).image_score


def test_a_pickle_is_opened_only_where_somebody_said_to_trust_it(
    written: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRUST_REMOTE_CODE", raising=False)
    with pytest.raises(BackboneError, match="TRUST_REMOTE_CODE"):
        make_method(f"anomalib:{written['torch']}", device="cpu")
    monkeypatch.setenv("TRUST_REMOTE_CODE", "1")
    assert make_method(f"anomalib:{written['torch']}", device="cpu").fit([]).score(part(1)).scores.shape == (200, 200)


def test_what_cannot_be_opened_is_said(written: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "odd.xml").write_text("no network")
    for spec, cause in (
        (f"anomalib:{tmp_path / 'none.xml'}", "is not a file"),
        (f"anomalib:{tmp_path / 'odd.xml'}", "cannot be opened"),
        (f"anomalib:{written['checkpoint']}", "say which model it is"),
        (f"anomalib:{written['checkpoint']}#Patchcore", "cannot be opened"),
    ):
        with pytest.raises(BackboneError, match=cause):
            make_method(spec, device="cpu")
