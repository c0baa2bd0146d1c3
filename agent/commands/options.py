"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from agent.inspector import Inspector

DEFAULT_HOME = Path("~/.flawlens")
DEFAULT_PIXELS = 1_003_520
BAD_INPUT = 2
KEYWORD = Parameter.KEYWORD_ONLY
DETECTOR_HELP = "few-shot (the default), patchcore, winclip, anomalyclip:FILE or anomalib:FILE; see `detectors list`."
PLANNER_HELP = (
    "rules (embedded, no language model), qwen:MODEL (a folder or a hub's id of a Qwen-VL), or openai:URL#MODEL (vLLM,"
    " llama.cpp, Ollama, SGLang, a hosted API), whose key is read from FLAWLENS_API_KEY."
)
DIALECT_HELP = (
    "auto (the model's name tells), or the family of an openai: model: qwen2-vl, qwen2.5-vl, qwen3-vl, generic"
    " (boxes in 0-1000)."
)

Switch = Literal["on", "off"]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
Backbone = Annotated[str, typer.Option(help="onnx (packaged), or timm:NAME with the extra torch.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda[:N], for torch models.")]
Home = Annotated[
    Path,
    typer.Option(envvar="FLAWLENS_HOME", help="Folder for products, knowledge and runs.", file_okay=False),
]
Product = Annotated[str | None, typer.Option(help="Product name; limits the knowledge to it and its family.")]
RunId = Annotated[str, typer.Argument(help="Id of the run, or its beginning.")]

Reference = Annotated[
    list[Path] | None,
    typer.Option("--reference", "-r", help="A good part, or a folder of them; repeatable."),
]
Planner = Annotated[str, typer.Option(help=PLANNER_HELP)]
Hub = Annotated[Literal["huggingface", "modelscope"], typer.Option(help="Where qwen:ID is fetched from.")]
Attention = Annotated[
    Literal["auto", "flash_attention_2", "sdpa", "eager"], typer.Option(help="Attention of qwen: models.")
]
Dialect = Annotated[str, typer.Option(help=DIALECT_HELP)]
ImagePixels = Annotated[int, typer.Option(help="Most pixels of a picture shown to a model.", min=50_176)]
ReplyTokens = Annotated[int, typer.Option(help="Most tokens of one reply of a model.", min=64)]
Detector = Annotated[str | None, typer.Option(help=f"{DETECTOR_HELP} By default that of the enrolled product.")]
ProductBackbone = Annotated[str | None, typer.Option(help="onnx (packaged), or timm:NAME with the extra torch.")]
Language = Annotated[Literal["en", "zh"], typer.Option(help="Language of the answer.")]
Notation = Annotated[
    Literal["bbox", "contour", "highlight", "mask", "heatmap"],
    typer.Option(help="How an anomaly map is drawn for a model and for the trace."),
]
Audit = Annotated[Switch, typer.Option(help="Ask for the evidence against the verdict.")]
Cot = Annotated[Switch, typer.Option(help="Ask the model to think aloud before a call.")]
Turns = Annotated[int, typer.Option(help="Most turns of the planner.", min=1, max=50)]
Tokens = Annotated[int, typer.Option(help="Most tokens the planner generates.", min=64)]
Seconds = Annotated[float, typer.Option(help="Most seconds of an inspection.", min=1)]


def chosen_home(context: typer.Context, home: Path) -> Path:
    """The command's own --home, else the one before the command, else the default."""
    chosen: Path = context.obj if home == DEFAULT_HOME else home
    return chosen.expanduser()


def nothing_known(words: str) -> NoReturn:
    """Say on stderr what there is not and where to look, and leave."""
    from agent.shown import visible

    print(visible(f"flawlens: {words}"), file=sys.stderr)
    raise typer.Exit(BAD_INPUT)


def _inspector_options(
    planner: Planner = "rules",
    hub: Hub = "huggingface",
    attention: Attention = "auto",
    dialect: Dialect = "auto",
    image_pixels: ImagePixels = DEFAULT_PIXELS,
    reply_tokens: ReplyTokens = 2048,
    detector: Detector = None,
    backbone: ProductBackbone = None,
    device: Device = "auto",
    language: Language = "en",
    notation: Notation = "heatmap",
    audit: Audit = "on",
    cot: Cot = "on",
    turns: Turns = 10,
    tokens: Tokens = 16_384,
    seconds: Seconds = 900,
    home: Home = DEFAULT_HOME,
) -> None:
    """What `inspector_of` reads."""


def takes_an_inspector(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of `inspector_of` after its own; they are in its context and not passed to it."""
    added = signature(_inspector_options, eval_str=True).parameters
    whole = {**signature(command, eval_str=True).parameters, **added}

    @wraps(command)
    def called(**given: Any) -> None:
        command(**{name: value for name, value in given.items() if name not in added})

    # what typer reads
    called.__signature__ = Signature([one.replace(kind=KEYWORD) for one in whole.values()])  # type: ignore[attr-defined]
    called.__annotations__ = {name: one.annotation for name, one in whole.items()}
    return called


def inspector_of(context: typer.Context, named: str | None = None) -> Inspector:
    """The inspector that the options of a command with `takes_an_inspector` ask for, or one with another planner."""
    from agent.diagnosis import Procedure
    from agent.inspector import Inspector
    from agent.planners import make_planner

    asked = context.params | ({"planner": named} if named else {})
    procedure = Procedure(
        turns=asked["turns"],
        tokens=asked["tokens"],
        seconds=asked["seconds"],
        audit=asked["audit"] == "on",
        reasoning=asked["cot"] == "on",
        language=asked["language"],
        notation=asked["notation"],
    )
    planner = make_planner(
        asked["planner"],
        hub=asked["hub"],
        attention=asked["attention"],
        device=asked["device"],
        dialect=None if asked["dialect"] == "auto" else asked["dialect"],
        most_pixels=asked["image_pixels"],
        reply_tokens=asked["reply_tokens"],
        reasoning=procedure.reasoning,
        api_key=context.meta["api_key"],
    )
    return Inspector(
        chosen_home(context, Path(asked["home"])),
        planner,
        asked["planner"],
        procedure=procedure,
        detector=asked["detector"],
        backbone=asked["backbone"],
        device=asked["device"],
    )
