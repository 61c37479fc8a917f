"""Starts: the backbone and matching module that a stream begins from, as safetensors with a fingerprint.

Like the paper's, a run starts from a model pre-trained on classes outside the stream. avbench ships such
a start for the `tiny` backbone on rendered clips; `avbench pretrain` remakes it, and makes others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import xxhash
from safetensors.torch import save
from torch import Tensor, nn

from avbench.backbone.importing import ImportReport, load_published
from avbench.backbone.model import CAVMAE
from avbench.backbone.sizes import BACKBONES
from avbench.clips import ClipGeometry
from avbench.errors import DataError, InputError
from avbench.matching import AudioVideoMatching
from avbench.randomness import Randomness

RANDOM, SHIPPED = "random", "shipped"


@dataclass(frozen=True)
class Start:
    """What a run started from.

    Attributes:
        fingerprint: xxh3-128, in hex, over all parameters as they were when training began.
        report: what a checkpoint gave, None for a random start.
    """

    fingerprint: str
    report: ImportReport | None


def shipped_start(backbone: str) -> Path:
    """Return the file of the start shipped for a backbone size; InputError if none is."""
    path = Path(str(files("avbench") / "starts" / f"{backbone}.safetensors"))
    if not path.is_file():
        raise InputError(
            f"no start is shipped for the {backbone} backbone: give a checkpoint with --start FILE "
            f"(a published one, or one made by `avbench pretrain --backbone {backbone}`), or --start random"
        )
    return path


def load_start(start: str, size: str, backbone: CAVMAE, matching: AudioVideoMatching) -> Start:
    """Load what a run starts from into both modules.

    Args:
        start: "shipped", "random" (both stay as they are), or the path of a checkpoint.
        size: name of the backbone's size.

    Raises:
        InputError: there is no such start, or the shipped one is for clips of another geometry.
        DataError: the file cannot be read, or nothing in it fits.
    """
    report = None
    if start != RANDOM:
        path = shipped_start(size) if start == SHIPPED else Path(start)
        report = load_published(path, backbone, matching)
        if start == SHIPPED and not report.complete:
            raise InputError(
                f"the start shipped for the {size} backbone is for rendered clips; these are of another "
                f"geometry ({backbone.geometry}): give a checkpoint with --start FILE, or --start random"
            )
    return Start(fingerprint(_parameters(backbone, matching)), report)


def make_modules(
    start: str, size: str, geometry: ClipGeometry, *, mask_ratio: float, randomness: Randomness
) -> tuple[CAVMAE, AudioVideoMatching, Start]:
    """Return backbone and matching module as a run begins with them.

    Args:
        start, size: see `load_start`.
        geometry: of the clips.
        mask_ratio: of the backbone's masked passes.
        randomness: of the run; draws a random start.

    Raises:
        InputError, DataError: see `load_start`.
    """
    backbone = CAVMAE(BACKBONES[size], geometry, mask_ratio=mask_ratio)
    matching = AudioVideoMatching(BACKBONES[size].width, BACKBONES[size].heads)
    # What a checkpoint leaves out is drawn too, alike for all seeds: its parts belong to the start.
    drawing = randomness if start == RANDOM else Randomness(0)
    backbone.initialise(drawing.torch("start/backbone"))
    matching.initialise(drawing.torch("start/matching"))
    return backbone, matching, load_start(start, size, backbone, matching)


def save_start(
    path: Path, backbone: CAVMAE, matching: AudioVideoMatching, provenance: Mapping[str, str]
) -> str:
    """Write both modules under the published names, atomically; return the fingerprint.

    Args:
        provenance: how the start was made; kept in the file's header.

    Raises:
        DataError: it could not be written, for instance because the disk is full; what was there stays.
    """
    parameters = _parameters(backbone, matching)
    digest = fingerprint(parameters)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.writelines(_serialised(parameters, {**provenance, "fingerprint": digest}))
        partial.replace(path)
    except OSError as error:
        raise DataError(
            f"the start {path} could not be written: {error.strerror}; free space or choose another folder"
        ) from error
    return digest


def fingerprint(parameters: Mapping[str, Tensor]) -> str:
    """Return the xxh3-128, in hex, of tensors by name: of names, shapes, types and values."""
    digest = xxhash.xxh3_128()
    for name in sorted(parameters):
        value = parameters[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _serialised(parameters: Mapping[str, Tensor], provenance: Mapping[str, str]) -> list[bytes | memoryview]:
    """Return a safetensors file in pieces, the same for the same contents.

    safetensors itself writes metadata in another order every time.
    """
    data = save(dict(parameters), metadata=dict(provenance))
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    # Tensors begin at a multiple of 8 bytes.
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little"), text, memoryview(data)[end:]]


def _parameters(backbone: nn.Module, matching: nn.Module) -> dict[str, Tensor]:
    named = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    named |= {f"avmatching.{name}": value for name, value in matching.state_dict().items()}
    return {name: value.detach().cpu().contiguous() for name, value in named.items()}
