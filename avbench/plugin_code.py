"""What names the code of a plugin that is not avbench's own, so that an edited plugin makes other runs.

That is package and version, where they settle what the code is; otherwise a digest of the file. What such a
file imports is not in it.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Mapping
from importlib.metadata import Distribution, distribution, packages_distributions
from pathlib import Path
from typing import Any


def owner_of(module: str) -> Distribution | None:
    """Return the distribution that a module is from; None where there is none, or several share its name."""
    names = set(_distributions().get(module.partition(".")[0], []))
    return distribution(names.pop()) if len(names) == 1 else None


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    # It reads what every installed package consists of, which takes a second.
    return packages_distributions()


def code_name(origin: str, cls: type[Any], owner: Distribution | None) -> str:
    """Return what names the code of `cls`, which is from `origin` and from the distribution `owner`."""
    # An editable installation keeps its version while its files are edited.
    settled = owner is not None and not _editable(owner)
    file = None if settled else inspect.getsourcefile(cls)
    return origin if file is None else f"{origin} {digest(Path(file))}"


def _editable(owner: Distribution) -> bool:
    told = json.loads(owner.read_text("direct_url.json") or "{}")
    return bool(told.get("dir_info", {}).get("editable"))


def digest(path: Path) -> str:
    """Return what names the content of a file."""
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
