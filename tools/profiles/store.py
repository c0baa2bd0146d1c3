"""The profiles of a home, one folder each: `profile.json` names the other files and is replaced last.

Killed at any moment, a writer leaves the old profile or the new one, each with all its files. Nothing is unpickled:
JSON, safetensors and PNG.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from knowledge_base.files import write_atomically
from tools.detectors import Detector, Fitted, Method
from tools.profiles import Profile, ProfileError, checked_name

RECORD = "profile.json"
LARGEST = 2_000_000_000  # bytes of an imported profile, unpacked
REBUILD = "enroll the product again"


class Profiles:
    """The profiles in `folder`, by the product's name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """The enrolled products, sorted."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{RECORD}"))

    def read(self, name: str) -> Profile | None:
        """The profile of a product, None where there is none; ProfileError for a damaged one."""
        path = self.place(name) / RECORD
        try:
            return _parsed(path.read_bytes(), path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ProfileError(path, error.strerror or "cannot be read", "check the permissions") from error

    def find(self, name: str | None) -> Profile | None:
        """The profile of whatever a person calls a product, None where there is none."""
        try:
            return self.read(checked_name(name or ""))
        except ValueError:
            return None

    def get(self, name: str) -> Profile:
        """The profile of a product; ProfileError names the products that there are."""
        profile = self.read(name)
        if profile is None:
            known = ", ".join(self.names()) or "none"
            raise ProfileError(name, f"no such product (there are: {known})", "flawlens enroll NAME --normals DIR")
        return profile

    def place(self, name: str) -> Path:
        """The folder of a product; ProfileError for a name that no folder can have."""
        try:
            return self.folder / checked_name(name)
        except ValueError as error:
            raise ProfileError("product", str(error), "choose another name") from error

    def detector(self, profile: Profile, method: Method) -> Detector:
        """The stored detector; ProfileError when its file is missing or changed or does not fit the method."""
        path = self.place(profile.name) / profile.arrays
        try:
            return method.restored(Fitted(load(_whole(path)), profile.settings))
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ProfileError(path, f"is no detector of {method.name}", REBUILD) from error

    def save(self, profile: Profile, files: Mapping[str, bytes]) -> None:
        """Write or replace a profile with the content of its files; ProfileError when the home cannot be written."""
        place = self.place(profile.name)
        try:
            place.mkdir(parents=True, exist_ok=True)
            with FileLock(place / ".lock"):
                for name in profile.files:
                    write_atomically(place / name, files[name])
                write_atomically(place / RECORD, _text(profile))
                _sweep(place, {RECORD, *profile.files})
        except OSError as error:
            raise ProfileError(place, error.strerror or "cannot be written", "choose another --home") from error

    def remove(self, name: str) -> None:
        """Forget a product; ProfileError when there is none."""
        self.get(name)
        place = self.place(name)
        (place / RECORD).unlink()
        shutil.rmtree(place)

    def export(self, name: str, path: Path) -> Path:
        """Write a product as one file to carry to another computer."""
        profile, packed = self.get(name), io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(RECORD, _text(profile))
            for file in profile.files:
                archive.writestr(file, _whole(self.place(name) / file))
        try:
            write_atomically(path, packed.getvalue())
        except OSError as error:
            raise ProfileError(path, error.strerror or "cannot be written", "choose another file with --out") from error
        return path

    def take_in(self, path: Path) -> Profile:
        """Read an exported product into the home; ProfileError for anything that is not one, whole and unchanged."""
        try:
            with zipfile.ZipFile(path) as archive:
                content = _unpacked(archive, path)
        except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise ProfileError(path, f"not an exported product ({error})", "export it again") from error
        profile = _parsed(content.get(RECORD, b""), path)
        if set(content) != {RECORD, *profile.files}:
            raise ProfileError(path, "files are missing or do not belong to it", "export it again")
        for name in profile.files:
            if _named(content[name], Path(name).suffix) != name:
                raise ProfileError(path, f"{name} has changed since the export", "export it again")
        self.save(profile, content)
        return profile


def arrays_of(fitted: Fitted) -> tuple[str, bytes]:
    """Name and content of the file that holds a detector's arrays; the name is made from the content."""
    content = save(dict(fitted.arrays))
    return _named(content, ".safetensors"), content


def picture_of(content: bytes) -> str:
    """Name of a kept picture, made from its bytes."""
    return _named(content, ".png")


def _whole(path: Path) -> bytes:
    """The content of a profile's file; ProfileError when it is not what was written."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ProfileError(path, error.strerror or "cannot be read", REBUILD) from error
    if _named(content, path.suffix) != path.name:
        raise ProfileError(path, "changed since it was written", REBUILD)
    return content


def _named(content: bytes, suffix: str) -> str:
    return f"{hashlib.sha256(content).hexdigest()[:24]}{suffix}"


def _text(profile: Profile) -> bytes:
    return json.dumps(profile.model_dump(mode="json"), ensure_ascii=False, indent=1).encode()


def _parsed(content: bytes, path: Path) -> Profile:
    try:
        profile = Profile.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ProfileError(path, f"not a profile of this version ({where}: {first['msg']})", REBUILD) from error
    try:
        _ = profile.calibration
    except (KeyError, TypeError) as error:
        raise ProfileError(path, "has no normal range", REBUILD) from error
    if any("/" in name or "\\" in name or name.startswith(".") for name in profile.files):
        raise ProfileError(path, "names files outside its folder", REBUILD)
    return profile


def _unpacked(archive: zipfile.ZipFile, path: Path) -> dict[str, bytes]:
    if sum(member.file_size for member in archive.infolist()) > LARGEST:
        raise ProfileError(path, f"larger than {LARGEST / 1e9:.0f} GB", "enroll the product here")
    return {member.filename: archive.read(member) for member in archive.infolist()}


def _sweep(place: Path, kept: set[str]) -> None:
    for path in place.iterdir():
        if path.name not in kept and path.name != ".lock":
            path.unlink(missing_ok=True)
