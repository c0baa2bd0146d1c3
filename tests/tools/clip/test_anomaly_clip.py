"""AnomalyCLIP against the published mathematics, written down a second time step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tools.clip.conftest import TINY
from tools.detectors import Floats, Pixels
from tools.detectors.clip.anomaly_clip import AnomalyClip, anomaly_clip
from tools.detectors.features import BackboneError
from tools.detectors.methods import make_method
from tools.detectors.pretrained import Pretrained, PretrainedMethod

torch: Any = pytest.importorskip("torch")
functional = torch.nn.functional


def picture(height: int = 90, width: int = 140) -> Pixels:
    return np.random.default_rng(height).integers(0, 255, (height, width, 3), np.uint8)


def made(published: Path, tiny: Path, layers: tuple[int, ...] = (24,)) -> PretrainedMethod:
    return anomaly_clip(published, tiny, layers=layers, device="cpu", architecture=TINY)


def softmax_attention(q: Any, k: Any, v: Any) -> Any:
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1) @ v


def by_the_paper(  # noqa: PLR0915
    published: Path, tiny: Path, pixels: Pixels, layers: tuple[int, ...]
) -> tuple[Floats, float, Floats]:
    """Text directions, image score and the map at 518 pixels, without any code of the product."""
    import open_clip
    from PIL import Image
    from safetensors.torch import load_file
    from scipy.ndimage import gaussian_filter

    model = open_clip.create_model(TINY, pretrained=None).eval()
    model.load_state_dict(load_file(tiny))
    learnt = torch.load(published, weights_only=True)["prompt_learner"]
    # section 4.2: the sentence's own tokens around twelve learnt ones, four more before blocks 2 to 9
    directions = []
    for context, sentence in ((learnt["ctx_pos"], "object."), (learnt["ctx_neg"], "damaged object.")):
        tokens = open_clip.tokenize([" ".join(["X"] * 12) + " " + sentence])
        x = model.token_embedding(tokens)[0]
        x[1:13] = context[0, 0]
        x = x + model.positional_embedding
        mask = torch.full((77, 77), float("-inf")).triu(1)
        for number, block in enumerate(model.transformer.resblocks):
            if 1 <= number <= 8:
                x[1:5] = learnt[f"compound_prompts_text.{number - 1}"]
            heads = block.attn.num_heads
            y = functional.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)
            q, k, v = (part.reshape(77, heads, -1).transpose(0, 1) for part in y.chunk(3, dim=-1))
            weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + mask).softmax(dim=-1)
            x = x + block.attn.out_proj((weights @ v).transpose(0, 1).reshape(77, -1))
            x = x + block.mlp(block.ln_2(x))
        end = int(tokens[0].argmax())
        found = model.ln_final(x)[end] @ model.text_projection
        directions.append(found / found.norm())
    texts = torch.stack(directions)
    # section 4.3: the second path starts at the sixth block and sees values against values
    visual = model.visual
    square = np.asarray(Image.fromarray(pixels).resize((518, 518), Image.BICUBIC), np.float32) / 255
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    signal = torch.from_numpy((square - np.float32(mean)) / np.float32(std)).permute(2, 0, 1)[None]
    x = visual.conv1(signal)[0].reshape(visual.conv1.out_channels, -1).T
    places = visual.positional_embedding
    grid = places[1:].T.reshape(1, -1, 24, 24)
    stretched = (
        functional.interpolate(grid, (37, 37), mode="bilinear", align_corners=False)[0].reshape(grid.shape[1], -1).T
    )
    x = torch.cat([visual.class_embedding[None], x]) + torch.cat([places[:1], stretched])
    x = visual.ln_pre(x)
    second, maps = None, []
    for number, block in enumerate(visual.transformer.resblocks, start=1):
        y = functional.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)
        heads = block.attn.num_heads
        q, k, v = (part.reshape(len(x), heads, -1).transpose(0, 1) for part in y.chunk(3, dim=-1))
        own, values = (
            block.attn.out_proj(part.transpose(0, 1).reshape(len(x), -1))
            for part in (softmax_attention(q, k, v), softmax_attention(v, v, v))
        )
        if number >= 6:
            second = (x if second is None else second) + values
        x = x + own
        x = x + block.mlp(block.ln_2(x))
        if number in layers:
            patches = (visual.ln_post(second) @ visual.proj)[1:]
            patches = patches / patches.norm(dim=1, keepdim=True)
            chances = (patches @ texts.T / 0.07).softmax(dim=1).T.reshape(1, 2, 37, 37)
            large = functional.interpolate(chances, (518, 518), mode="bilinear", align_corners=False)[0]
            maps.append((large[1] + 1 - large[0]) / 2)
    whole = x[0] @ visual.proj
    score = ((whole / whole.norm()) @ texts.T / 0.07).softmax(dim=0)[1]
    return texts.numpy(), float(score), gaussian_filter(sum(maps).numpy(), 4)


@pytest.mark.parametrize("layers", [(24,), (6, 12, 18, 24)])
def test_maps_and_scores_equal_the_published_mathematics(published: Path, tiny: Path, layers: tuple[int, ...]) -> None:
    with torch.inference_mode():
        texts, score, scores = by_the_paper(published, tiny, picture(), layers)
    method = made(published, tiny, layers)
    reader = method.reader
    assert isinstance(reader, AnomalyClip)
    assert np.abs(reader.known(None) - texts).max() < 1e-5
    found, found_score = reader.read(picture(), reader.known(None))
    assert np.abs(found - scores).max() < 1e-4
    assert found_score == pytest.approx(score, abs=1e-4)
    assert scores.std() > 1e-3  # random weights still draw a map that can be wrong


@pytest.mark.parametrize("shape", [(1, 1), (31, 640), (518, 518), (700, 900)])
def test_the_map_has_the_size_of_the_picture(published: Path, tiny: Path, shape: tuple[int, int]) -> None:
    detector = made(published, tiny).fit([])
    found = detector.score(picture(*shape))
    assert found.scores.shape == shape
    assert np.isfinite(found.scores).all()
    assert 0 <= found.probability <= 1
    assert found.calibration.normals == 0


def test_good_parts_set_the_range_of_score_and_map(published: Path, tiny: Path) -> None:
    goods = [picture(90, width) for width in (100, 120, 140)]
    method = made(published, tiny)
    detector = method.fit(goods)
    assert not any(detector.score(good).above_normal for good in goods)
    range_ = detector.calibration
    assert range_.normals == 3
    assert range_.pixel_limit != range_.limit
    again = method.restored(detector.fitted())
    assert isinstance(again, Pretrained)
    assert again.calibration == range_
    assert np.array_equal(again.score(goods[0]).scores, detector.score(goods[0]).scores)


def test_a_checkpoint_is_chosen_by_name_and_bad_files_are_refused(
    published: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.detectors.clip.anomaly_clip.ARCHITECTURE", TINY)
    monkeypatch.setitem(anomaly_clip.__kwdefaults__, "architecture", TINY)
    method = make_method(f"anomalyclip:{published}@{tiny.with_suffix('.pt')}#6,24", device="cpu")
    assert "layers 6 24" in method.name
    for spec, cause in (
        (f"anomalyclip:{tmp_path / 'missing.pth'}@{tiny}", "not a file of weights"),
        (f"anomalyclip:{tiny}@{tiny}", "no checkpoint of AnomalyCLIP"),
        (f"anomalyclip:{published}@{published}", "does not hold the weights"),
        (f"anomalyclip:{published}@{tiny}#5", "no such layers"),
        (f"anomalyclip:{published}@{tiny}#six", "are no layers"),
    ):
        with pytest.raises(BackboneError, match=cause):
            make_method(spec, device="cpu")


def test_a_checkpoint_with_code_in_it_is_not_run(tiny: Path, tmp_path: Path) -> None:
    import os

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"prompt_learner": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(BackboneError, match="not a file of weights alone"):
        make_method(f"anomalyclip:{tmp_path / 'trap.pth'}@{tiny}", device="cpu")
    assert not (tmp_path / "sprung").exists()
