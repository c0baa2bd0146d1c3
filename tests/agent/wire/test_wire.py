"""What goes over the wire: exact messages of both families, the common prefix, boxes in every scale, the canvas."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    convert_to_openai_messages,
)
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.function_calling import convert_to_openai_tool
from PIL import Image

from agent.diagnosis import Inspection
from agent.planners import PlannerError
from agent.submission import submit_tool
from agent.trace import Run
from agent.wire import Wire
from agent.wire.dialect import GENERIC, QWEN3_VL, QWEN25_VL, Dialect
from agent.wire.pictures import fitted
from agent.wire.schemas import calls_now
from agent.wire.sight import Sight
from evals.example_parts import draw_part
from tests.agent.conftest import ScriptedPlanner, inspected, says, submits
from tools.album import Album
from tools.evidence import Evidence, Region
from tools.image import Box, load_image, save_image
from tools.zoom import make_zoom

GOLDEN = Path(__file__).parent / "golden"
AS_JSON = replace(QWEN25_VL, protocol="json")
FAMILIES = {"qwen2.5-vl": QWEN25_VL, "qwen3-vl": QWEN3_VL, "qwen2.5-vl-json": AS_JSON}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def inspect(
    home: Path, image: Path, reference: Path, dialect: Dialect, *replies: AIMessage, product: str = "bracket"
) -> tuple[Run, ScriptedPlanner]:
    planner = ScriptedPlanner(replies=list(replies), dialect=dialect)
    return inspected(home, planner, Inspection(image, (reference,), product), turns=4), planner


def on_the_wire(messages: list[BaseMessage]) -> list[Any]:
    """Messages as OpenAI's API names them, without made-up ids and measured decimals; pictures numbered, with size."""
    pictures: dict[str, str] = {}

    def short(value: Any) -> Any:
        if isinstance(value, list):
            return [short(item) for item in value]
        if isinstance(value, dict):
            return {key: short(item) for key, item in value.items() if key not in ("id", "tool_call_id")}
        if isinstance(value, str) and value.startswith("data:image"):
            # encoders differ between versions, so their bytes would not be golden
            width, height = picture(value).size
            return pictures.setdefault(value, f"picture {len(pictures) + 1}, {width} x {height}")
        return re.sub(r"-?\d+\.\d+", "#", value) if isinstance(value, str) else value

    found: list[Any] = short(convert_to_openai_messages(messages))
    return found


def picture(url: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(url.partition(",")[2])))


def pictures_in(messages: list[BaseMessage]) -> list[Image.Image]:
    blocks = [block for message in messages if isinstance(message.content, list) for block in message.content]
    return [picture(block["image_url"]["url"]) for block in blocks if isinstance(block, dict) and "image_url" in block]


def test_pictures_are_the_right_ones(home: Path, parts: Path) -> None:
    look = says("", ("zoom", {"image": "part", "box": [400, 100, 800, 500]}))
    _, planner = inspect(home, parts / "scratched.png", parts / "good_1.png", QWEN3_VL, look, submits())
    reference, part, _, crop = pictures_in(planner.seen[1])  # the third is the map
    whole = load_image(parts / "scratched.png").pixels
    height, width = whole.shape[:2]
    cut = whole[height // 10 : height // 2, 2 * width // 5 : 4 * width // 5]
    for sent, pixels in ((reference, load_image(parts / "good_1.png").pixels), (part, whole), (crop, cut)):
        same_size = np.asarray(Image.fromarray(pixels).resize(sent.size, Image.Resampling.BILINEAR), int)
        assert np.abs(np.asarray(sent, int) - same_size).mean() < 6


@pytest.mark.parametrize("family", FAMILIES)
def test_the_messages_are_exactly_these(home: Path, parts: Path, family: str) -> None:
    scale = 0.25 if FAMILIES[family].boxes == "pixels" else 1
    box = [round(scale * edge) for edge in (440, 150, 760, 420)]
    replies = [
        says("Look at the mark.", ("zoom", {"image": "part", "box": box})),
        says("", ("zoom", {"image": "part", "box": [10, 10, 5000, 20]})),
        says("", ("search_knowledge", {"query": "bright thin line"})),
        submits("uncertain", 0.5),
    ]
    _, planner = inspect(home, parts / "scratched.png", parts / "good_1.png", FAMILIES[family], *replies)
    first, after_zoom, after_error, forced = (on_the_wire(messages) for messages in planner.seen)
    found = {
        "first turn": first,
        "after a tool's result with a picture": after_zoom[len(first) :],
        "after a tool's error": after_error[len(after_zoom) :],
        "forced final": forced[len(after_error) :],
        "offered": planner.offered,
    }
    path = GOLDEN / f"{family}.json"
    if os.environ.get("WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert found == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("dialect", [QWEN25_VL, QWEN3_VL, AS_JSON], ids=["qwen2.5-vl", "qwen3-vl", "json"])
def test_the_prefix_is_the_same_for_every_part_of_a_product(home: Path, parts: Path, dialect: Dialect) -> None:
    def asked(image: str) -> str:
        run = inspect(home, parts / image, parts / "good_1.png", dialect, submits(), product="screw")
        return json.dumps([convert_to_openai_messages(run[1].seen[0]), run[1].told])

    one, other = asked("scratched.png"), asked("good_2.png")
    before, *_ = one.split("\\n\\npart:")
    assert before == other.split("\\n\\npart:")[0]
    assert "typical defects of screw" in before or "Result of search_knowledge" in before
    assert "reference_1:" in before
    assert before.count("data:image") == 1
    assert before.endswith("You have 4 turns.")


def test_the_prefix_stays_while_tools_are_used_up_and_messages_only_grow(home: Path, parts: Path) -> None:
    looks = [says("", ("zoom", {"image": "part", "box": [0, 0, 100, 100 + n]})) for n in range(3)]
    _, planner = inspect(home, parts / "scratched.png", parts / "good_1.png", QWEN25_VL, *looks, submits())
    sent = [json.dumps(convert_to_openai_messages(messages))[:-1] for messages in planner.seen]
    assert all(later.startswith(earlier) for earlier, later in pairwise(sent))
    assert len({tuple(names) for names in planner.told}) == 1


def asked_in(dialect: Dialect, album: Album, *boxes: Any, image: str = "part") -> AIMessage:
    """What becomes of a reply that zooms into these boxes, on a wire of its own."""
    reply = says("", *(("zoom", {"image": image, "box": box}) for box in boxes))
    wire = Wire(ScriptedPlanner(replies=[reply], dialect=dialect), album, [make_zoom(album), submit_tool])
    task = HumanMessage([{"type": "image", "file_id": name} for name in album.views])
    return wire.ask([SystemMessage("inspect"), task], [make_zoom(album)], 10)[0]


def album_of(folder: Path, height: int, width: int) -> Album:
    pixels = np.random.default_rng(3).integers(0, 255, (height, width, 3), np.uint8)
    save_image(folder / "part.png", pixels)
    save_image(folder / "reference.png", draw_part("bracket", seed=1, size=128).pixels)
    return Album(folder, load_image(folder / "part.png"), [load_image(folder / "reference.png")])


SIZES = [(400, 100), (100, 400), (3000, 4000)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_same_region_crops_the_same_pixels_in_every_scale(tmp_path: Path, height: int, width: int) -> None:
    album = album_of(tmp_path, height, width)
    high, wide = fitted(height, width, 28, QWEN25_VL.least_pixels, QWEN25_VL.most_pixels)
    quarters = (0.25, 0.25, 0.75, 0.5)
    given = {
        QWEN25_VL: [quarters[0] * wide, quarters[1] * high, quarters[2] * wide, quarters[3] * high],
        QWEN3_VL: [250, 250, 750, 500],
        GENERIC: list(quarters),
        replace(GENERIC, boxes="unit"): list(quarters),
    }
    crops = []
    for dialect, box in given.items():
        (call,) = asked_in(dialect, album, box).tool_calls
        crops.append(album.view("part").inside(Box(*call["args"]["box"])).pixels())
    wanted = album.part[height // 4 : height // 2, width // 4 : 3 * width // 4]
    assert all(np.array_equal(crop, wanted) for crop in crops)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("dialect", [QWEN25_VL, QWEN3_VL], ids=["pixels", "thousand"])
def test_a_box_on_the_canvas_crops_the_part_beneath_it(
    tmp_path: Path, dialect: Dialect, height: int, width: int
) -> None:
    album = album_of(tmp_path, height, width)
    canvas = replace(dialect, most_pictures=1)
    sight = Sight(canvas, album)
    sight.canvas(["part", "reference_1"])
    (call,) = asked_in(canvas, album, sight.box_to((250, 250, 750, 500), "part")).tool_calls
    assert np.abs(np.subtract(call["args"]["box"], (250, 250, 750, 500))).max() <= 1000 / 60  # a cell's pixel


@pytest.mark.parametrize(
    ("dialect", "box"),
    [
        (QWEN25_VL, [0, 0, 4000, 3000]),  # of the original, not of the picture as sent
        (QWEN3_VL, [0, 0, 1200, 500]),
        (QWEN3_VL, [500, 0, 400, 500]),
        (replace(GENERIC, boxes="unit"), [0.1, 0.1, 1.4, 0.5]),
        (replace(QWEN3_VL, most_pictures=1), [600, 50, 900, 400]),  # in the reference's cell
    ],
)
def test_a_box_outside_its_picture_is_refused_and_not_bent(tmp_path: Path, dialect: Dialect, box: list[float]) -> None:
    reply = asked_in(dialect, album_of(tmp_path, 3000, 4000), box)
    assert "is no box inside image 'part'" in reply.additional_kwargs["refused"][reply.tool_calls[0]["id"]]


def test_a_model_for_text_gets_no_picture_and_is_told_so(home: Path, parts: Path) -> None:
    blind = replace(GENERIC, most_pictures=0, protocol="json")
    look = says("", ("zoom", {"image": "part", "box": [0, 0, 500, 500]}))
    _, planner = inspect(home, parts / "scratched.png", parts / "good_1.png", blind, look, submits())
    assert "data:image" not in str(planner.seen)
    assert "part: not shown, this model reads text only" in str(planner.seen[0])
    assert all(isinstance(message.content, str) for message in planner.seen[-1])


def test_a_server_for_one_picture_gets_one_canvas_with_the_latest_crops(home: Path, parts: Path) -> None:
    single = replace(QWEN3_VL, most_pictures=1)
    looks = [says("", ("zoom", {"image": "part", "box": [60, 60, 400, 300 + 10 * n]})) for n in range(3)]
    _, planner = inspect(home, parts / "scratched.png", parts / "good_1.png", single, *looks, submits())
    for messages in planner.seen:
        assert str(convert_to_openai_messages(messages)).count("data:image") == 1
    assert "crop_3: on the canvas" in str(planner.seen[-1])
    assert "crop_1: on the canvas" not in str(planner.seen[-1])


def test_a_normal_part_shows_no_map_to_the_model(home: Path, parts: Path) -> None:
    _, planner = inspect(home, parts / "good_2.png", parts / "good_1.png", QWEN3_VL, submits())
    assert "Nothing above the normal range" in str(planner.seen[0])
    assert "its regions boxed" not in str(planner.seen[0])


def test_many_references_are_shown_up_to_half_of_the_budget(home: Path, parts: Path) -> None:
    planner = ScriptedPlanner(replies=[submits()], dialect=QWEN3_VL)
    references = tuple(parts / f"good_{number}.png" for number in range(1, 6))
    inspected(home, planner, Inspection(parts / "scratched.png", references))
    shown = str(planner.seen[0])
    assert "reference_3:" in shown
    assert "reference_4:" not in shown


def test_past_calls_are_repeated_to_the_model_in_its_own_scale(home: Path, parts: Path) -> None:
    box = [100, 60, 200, 160]
    look = says("", ("zoom", {"image": "part", "box": box}))
    _, planner = inspect(home, parts / "scratched.png", parts / "good_1.png", QWEN25_VL, look, submits())
    said = [call for m in planner.seen[1] if isinstance(m, AIMessage) for call in m.tool_calls]
    assert said[-1]["args"]["box"] == box
    assert f"box {box}" in str(planner.seen[1][-2].content)


def test_a_refused_box_is_repeated_to_the_model_as_it_wrote_it(home: Path, parts: Path) -> None:
    look = says("", ("zoom", {"image": "part", "box": [100, 60, 5000, 160]}))
    _, planner = inspect(home, parts / "scratched.png", parts / "good_1.png", QWEN25_VL, look, submits())
    assert "[100, 60, 5000, 160]" in str(planner.seen[1][-2].tool_calls)


def test_a_refused_answer_is_repeated_with_all_boxes_as_they_were_written(home: Path, parts: Path) -> None:
    def defect(box: list[float]) -> dict[str, Any]:
        words = dict.fromkeys(("type", "place", "appearance", "effect", "cause"), "scratch")
        return {**words, "box": box, "severity": "minor", "evidence": ["E1"]}

    boxes = [[100, 100, 200, 200], [5000, 1, 5001, 2]]
    wrong = submits("defective", 0.9, defects=[*map(defect, boxes)])
    _, planner = inspect(home, parts / "scratched.png", parts / "good_1.png", QWEN25_VL, wrong, submits())
    said = [call for m in planner.seen[1] if isinstance(m, AIMessage) for call in m.tool_calls]
    assert [found["box"] for found in said[-1]["args"]["defects"]] == boxes


def test_a_box_on_a_crop_that_has_left_the_canvas_is_told_in_words(home: Path, parts: Path) -> None:
    single = replace(QWEN3_VL, most_pictures=1)
    on_part = [says("", ("zoom", {"image": "part", "box": [60, 60, 400, 300 + 10 * n]})) for n in range(3)]
    on_crop = says("", ("zoom", {"image": "crop_1", "box": [100, 680, 300, 760]}))
    replies = [on_part[0], on_crop, *on_part[1:], submits()]
    _, planner = inspect(home, parts / "scratched.png", parts / "good_1.png", single, *replies)
    assert "crop_2" in str(planner.seen[2])
    assert "on crop_1, which is no longer shown" in str(planner.seen[3])


def test_a_call_that_broke_off_in_a_stream_is_not_completed(parts: Path) -> None:
    class Broken(ScriptedPlanner):
        def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
            cut = '{"verdict": "normal", "probability": 0.1, "against": "the scra'
            piece = tool_call_chunk(name="submit_diagnosis", args=cut, id="c1", index=0)
            metadata = {"finish_reason": "stop"}
            yield ChatGenerationChunk(
                message=AIMessageChunk(content="", tool_call_chunks=[piece], response_metadata=metadata)
            )

    album = Album(parts, load_image(parts / "good_1.png"))
    wire = Wire(Broken(replies=[], dialect=QWEN3_VL), album, [submit_tool], hear=lambda _: None)
    reply, _ = wire.ask([HumanMessage("inspect")], [submit_tool], 10)
    assert reply.tool_calls == []
    assert reply.additional_kwargs["faults"]


def test_a_stream_that_breaks_off_is_asked_for_whole(parts: Path) -> None:
    class Dropping(ScriptedPlanner):
        def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
            yield ChatGenerationChunk(message=AIMessageChunk(content="half of"))
            raise PlannerError("broken off")

    heard: list[str] = []
    album = Album(parts, load_image(parts / "good_1.png"))
    planner = Dropping(replies=[submits()], dialect=QWEN3_VL)
    reply, _ = Wire(planner, album, [submit_tool], hear=heard.append).ask([HumanMessage("inspect")], [submit_tool], 10)
    assert heard == ["half of"]
    assert reply.tool_calls[0]["name"] == "submit_diagnosis"


def test_boxes_in_documents_are_left_as_they_are(home: Path, parts: Path) -> None:
    message = ToolMessage("see box [1, 2, 3, 4]", tool_call_id="1", name="search_knowledge")
    planner = ScriptedPlanner(replies=[submits()], dialect=QWEN25_VL)
    album = Album(parts, load_image(parts / "good_1.png"))
    call = ToolCall(name="search_knowledge", args={"query": "a"}, id="1")
    Wire(planner, album, [submit_tool]).ask([AIMessage("", tool_calls=[call]), message], [submit_tool], 10)
    assert planner.seen[0][1].content == "see box [1, 2, 3, 4]"


def test_schemas_offer_only_what_this_run_has(home: Path, parts: Path) -> None:
    (parts / "x").mkdir(exist_ok=True)
    album = Album(parts / "x", load_image(parts / "good_1.png"), [load_image(parts / "good_2.png")])
    region = Region(box=Box(100, 100, 200, 200), score=2.0)
    found = Evidence(id="E1", tool="anomaly_map", finding="", regions=[region], passages=[{"id": "scratch"}])
    messages = [ToolMessage("", tool_call_id="1", artifact=found.model_dump())]
    tools = [convert_to_openai_tool(tool) for tool in (make_zoom(album), submit_tool)]
    zoom, submit = calls_now(tools, Sight(QWEN3_VL, album), messages)
    assert zoom["arguments"]["properties"]["image"] == {"enum": ["part", "reference_1"]}
    variants = {v["properties"]["verdict"]["enum"][0]: v["properties"] for v in submit["arguments"]["anyOf"]}
    assert variants["normal"]["defects"] == {"enum": [[]]}
    assert max(variants["normal"]["probability"]["enum"]) < min(variants["defective"]["probability"]["enum"])
    defect = variants["defective"]["defects"]["items"]["properties"]
    assert defect["box"] == {"enum": [[100, 100, 200, 200]]}
    assert defect["evidence"]["items"] == {"enum": ["E1"]}
    assert variants["defective"]["repair"]["properties"]["knowledge"]["items"] == {"enum": ["scratch"]}
    assert "$ref" not in json.dumps([zoom, submit])
