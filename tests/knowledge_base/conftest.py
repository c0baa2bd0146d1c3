"""A few entries of our own, so that the tests do not depend on the shipped ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from knowledge_base.embed_entries import embed_entries
from knowledge_base.store import KnowledgeBase

WriteEntry = Callable[..., Path]

BODY = """\
## English

### How it looks
{looks_en}

### Look-alikes
A hair lies on the surface.

### Effect
Looks bad.

### Causes
- Hard contact.
- Grit on the
  conveyor

### Disposition
Rework.

### Repair
- Polish it

### Prevention
* Keep the line clean

## 中文

### 外观
{looks_zh}

### 易混淆
毛发浮在表面。

### 影响
影响外观。

### 原因
- 硬物接触

### 处置
返工。

### 修复
- 抛光

### 预防
- 保持产线清洁
"""


def _write(
    folder: Path,
    name: str,
    *,
    en: str,
    zh: str,
    looks: tuple[str, str] = ("A thin bright line.", "细长的亮线。"),
    products: str = "[]",
    family: str = "general",
) -> Path:
    """An entry file `name`.md with these titles."""
    head = (
        f"id: {name}\ntitle: {{en: {en}, zh: {zh}}}\nproducts: {products}\nfamily: {family}\n"
        f"defect: {name}\naliases: {{en: [], zh: []}}\nseverity: minor\ndisposition: rework\nsource: our own\n"
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    body = BODY.format(looks_en=looks[0], looks_zh=looks[1])
    path.write_text(f"---\n{head}---\n{body}", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def write_entry() -> WriteEntry:
    """Writes an entry file: write_entry(folder, name, en=title, zh=title, looks=, products=, family=)."""
    return _write


@pytest.fixture(scope="session")
def some_entries(tmp_path_factory: pytest.TempPathFactory, write_entry: WriteEntry) -> Path:
    """A folder of five entries with their vectors: scratch and stain in general, the others of products."""
    folder = tmp_path_factory.mktemp("entries")
    write_entry(folder, "scratch", en="Scratch", zh="划痕")
    write_entry(folder, "stain", en="Stain", zh="污渍", looks=("A dark spot of oil.", "深色油斑。"))
    rust = ("Brown powder on steel.", "钢材上的褐色粉末。")
    write_entry(folder, "rust", en="Rust", zh="生锈", looks=rust, family="metal")
    thread = ("The crest of the thread is flattened.", "螺纹牙顶被压平。")
    screw = {"products": "[mvtec_screw, screw]", "family": "metal"}
    write_entry(folder, "thread", en="Damaged thread", zh="螺纹损伤", looks=thread, **screw)
    biscuit = ("A dark gap runs through the biscuit.", "饼干上有一道深色缝隙。")
    write_entry(
        folder, "biscuit", en="Broken biscuit", zh="饼干碎裂", looks=biscuit, products="[cookie]", family="food"
    )
    embed_entries(folder)
    return folder


@pytest.fixture
def knowledge(tmp_path: Path, some_entries: Path) -> KnowledgeBase:
    """A knowledge base of those five entries in an empty home."""
    return KnowledgeBase(tmp_path / "home", shipped=some_entries)


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    """A knowledge base of the shipped entries in an empty home."""
    return KnowledgeBase(tmp_path_factory.mktemp("home"))
