"""Reading published checkpoints into a backbone, with a report of what matched and what did not.

Known are: STELLA's checkpoints and avbench's own (the names of `CAVMAE` and `AudioVideoMatching`, under
any of the prefixes below), releases of CAV-MAE, and image MAE weights. Files are `.safetensors`, or
PyTorch files read with `weights_only`: a pickle that would run code is refused.
"""

from __future__ import annotations

import pickle
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from avbench.backbone.adapting import Adapted, from_cav_mae, from_image_mae
from avbench.backbone.model import CAVMAE
from avbench.errors import DataError, InputError

if TYPE_CHECKING:  # the module builds on this package
    from avbench.matching import AudioVideoMatching

# The prefixes of the matching module first: "module." begins both kinds.
MATCHING_PREFIXES = ("module.avmatching_module.", "avmatching_module.", "avmatching.")
BACKBONE_PREFIXES = (
    "module.backbone.transformer.",
    "backbone.transformer.",
    "backbone.",
    "module.transformer.",
    "transformer.",
    "module.",
    "",
)
CONTAINERS = ("model", "state_dict")


@dataclass
class ImportReport:
    """What became of each parameter: names of the matching module begin with `avmatching.`.

    Attributes:
        source: which kind of checkpoint it was.
        matched: parameters taken as they are, by the name they have there and here.
        adapted: parameters made from others, and how.
        missing: parameters the checkpoint has nothing for; they keep what they had.
        unexpected: the checkpoint's tensors that have no place.
        mismatched: parameters whose shape differs, and both shapes; they keep what they had.
    """

    source: str
    matched: list[str] = field(default_factory=list)
    adapted: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every parameter was found."""
        return not self.missing and not self.mismatched

    def __str__(self) -> str:
        lines = [f"{self.source}: {len(self.matched)} parameters matched, {len(self.adapted)} adapted"]
        lines += _section("adapted", (f"{name} <- {how}" for name, how in self.adapted.items()))
        lines += _section("missing, left as they were", self.missing)
        lines += _section(
            "of another shape, left as they were", (f"{n}: {s}" for n, s in self.mismatched.items())
        )
        lines += _section("without a place", self.unexpected)
        return "\n".join(lines)


def read_state(path: Path | str) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint file by name; a `model` or `state_dict` inside is opened.

    Raises:
        InputError: where there is no such file.
        DataError: where it cannot be read, holds more than plain data, or holds no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}")
    content: object
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path} is not a checkpoint of plain tensors; reading it could run code, so it is refused. "
            "If you trust it, save its state dict alone, as safetensors."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read as a checkpoint: {error}") from error
    for container in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(container), Mapping):
            content = content[container]
    tensors = (
        {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise DataError(f"{path} holds no tensors by name: is it a checkpoint?")
    return tensors


def load_published(
    source: Path | str | Mapping[str, Tensor], backbone: CAVMAE, matching: AudioVideoMatching | None = None
) -> ImportReport:
    """Load a published checkpoint into `backbone`, and `matching` if given; return what matched.

    Args:
        source: a file, or tensors by name.

    Raises:
        InputError: where there is no such file.
        DataError: where the file cannot be read, or nothing in it fits.
    """
    where = "the checkpoint" if isinstance(source, Mapping) else str(source)
    state = source if isinstance(source, Mapping) else read_state(source)
    for_matching, for_backbone = _split(state)

    kind, adapted = _adapt(for_backbone, backbone)
    report = ImportReport(kind)
    _copy(backbone, adapted, "", report)
    report.unexpected = [name for name in for_backbone if name not in adapted.used]
    if matching is None:
        report.unexpected += [f"avmatching.{name}" for name in for_matching]
    else:
        _copy(matching, _as_named(for_matching, matching), "avmatching.", report)
        known = matching.state_dict().keys()
        report.unexpected += [f"avmatching.{name}" for name in for_matching if name not in known]
    # Biases do not count: the patch decoders' fit a backbone of any width.
    if all(name.endswith("bias") for name in (*report.matched, *report.adapted)):
        raise DataError(f"nothing in {where} fits this backbone.\n{report}")
    return report


def _split(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tensors of the matching module and of the backbone, prefixes taken off."""
    for_matching: dict[str, Tensor] = {}
    for_backbone: dict[str, Tensor] = {}
    for name, tensor in state.items():
        prefix = next((known for known in MATCHING_PREFIXES if name.startswith(known)), None)
        if prefix is not None:
            for_matching[name.removeprefix(prefix)] = tensor
        else:
            prefix = next(known for known in BACKBONE_PREFIXES if name.startswith(known))
            for_backbone[name.removeprefix(prefix)] = tensor
    return for_matching, for_backbone


def _adapt(state: Mapping[str, Tensor], backbone: CAVMAE) -> tuple[str, Adapted]:
    """Tell the kind of checkpoint by names that only it has, and bring it to our names."""
    if "patch_embed.proj.weight" in state:
        return "image MAE", from_image_mae(state, backbone.size, backbone.geometry)
    if "modality_a" in state and "inter_pos_embed_a" not in state:
        return "CAV-MAE release", from_cav_mae(state, backbone.size, backbone.geometry)
    return "STELLA or avbench checkpoint", _as_named(state, backbone)


def _as_named(state: Mapping[str, Tensor], module: nn.Module) -> Adapted:
    adapted = Adapted()
    for name in module.state_dict().keys() & state.keys():
        adapted.take(state, name)
    return adapted


@torch.no_grad()
def _copy(module: nn.Module, adapted: Adapted, prefix: str, report: ImportReport) -> None:
    """Copy what fits into `module` and write down what happened to each parameter."""
    for name, parameter in module.state_dict().items():
        found = adapted.tensors.get(name)
        if found is None:
            report.missing.append(prefix + name)
        elif found.shape != parameter.shape:
            report.mismatched[prefix + name] = f"{tuple(found.shape)} there, {tuple(parameter.shape)} here"
        else:
            parameter.copy_(found)
            if adapted.origin[name] == name:
                report.matched.append(prefix + name)
            else:
                report.adapted[prefix + name] = adapted.origin[name]


def _section(title: str, names: Iterable[str]) -> list[str]:
    """Lines for a report: the tensors of a block share one line, with their count."""
    alike = Counter(re.sub(r"(blocks\w*\.\d+)\.[\w.]+", r"\1.*", name) for name in names)
    if not alike:
        return []
    return [f"{title}:"] + [f"  {name}" + (f"  ({n} tensors)" if n > 1 else "") for name, n in alike.items()]
