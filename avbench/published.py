"""Figures of the paper, to set beside one's own; `results/published` holds them and tells their source."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from avbench.errors import DataError

# Where `results/published` is installed.
PACKAGE = "avbench.published_figures"

PUBLISHED_NAMES = {
    "finetune": "Finetune",
    "er": "ER",
    "mir": "MIR",
    "der-pp": "DER++",
    "gmed": "GMED",
    "cls-er": "CLS-ER",
    "lump": "LUMP",
    "esmer": "ESMER",
    "avcl": "STELLA",
    "avcl-plus": "STELLA+",
    "multitask": "Multitask",
}
"""What the paper calls each strategy."""


@dataclass(frozen=True)
class PublishedScore:
    """One score after a stream's last task: A or F in percent, of a direction and metric."""

    stream: str
    method: str
    direction: str
    metric: str
    measure: str
    percent: float


@dataclass(frozen=True)
class PublishedCost:
    """What training took on one V100 with ViT-B: peak memory in GB, and clips per second where given."""

    method: str
    batch_size: int
    gigabytes: float
    clips_per_second: float | None


@dataclass(frozen=True)
class PublishedVariant:
    """A row of the paper's ablation, on the VGGSound stream.

    Attributes:
        name: which patches are trained with, in words.
        lpis, rca: whether the method's two ideas are used.
        scores: percent by direction and measure, A or F, of the mean of the three recalls.
        gigabytes: peak memory.
    """

    name: str
    lpis: bool
    rca: bool
    scores: dict[tuple[str, str], float]
    gigabytes: float


def published_scores(folder: Traversable | None = None) -> list[PublishedScore]:
    """Return the paper's main table.

    Args:
        folder: where the figures are; None for those that are installed with avbench.

    Raises:
        DataError: the file is missing or not as expected.
    """
    names = ("stream", "method", "direction", "metric", "measure", "percent")
    return [
        PublishedScore(
            stream=row["stream"],
            method=row["method"],
            direction=row["direction"],
            metric=row["metric"],
            measure=row["measure"],
            percent=float(row["percent"]),
        )
        for row in _rows(folder, "retrieval.csv", names)
    ]


def published_costs(folder: Traversable | None = None) -> dict[str, PublishedCost]:
    """Return the paper's memory and throughput by its name of the method.

    Args:
        folder: where the figures are; None for those that are installed with avbench.

    Raises:
        DataError: the file is missing or not as expected.
    """
    figures: dict[tuple[str, int], dict[str, float]] = {}
    for row in _rows(folder, "efficiency.csv", ("method", "batch_size", "quantity", "value")):
        key = row["method"], int(row["batch_size"])
        figures.setdefault(key, {})[row["quantity"]] = float(row["value"])
    return {
        method: PublishedCost(method, size, found["peak memory"], found.get("training throughput"))
        for (method, size), found in figures.items()
    }


def published_ablation(folder: Traversable | None = None) -> list[PublishedVariant]:
    """Return the paper's ablation, in its order.

    Args:
        folder: where the figures are; None for those that are installed with avbench.

    Raises:
        DataError: the file is missing or not as expected.
    """
    columns = ("variant", "lpis", "rca", "direction", "measure", "value")
    figures: dict[tuple[str, bool, bool], dict[tuple[str, str], float]] = {}
    for row in _rows(folder, "ablation.csv", columns):
        variant = row["variant"], row["lpis"] == "yes", row["rca"] == "yes"
        figures.setdefault(variant, {})[row["direction"], row["measure"]] = float(row["value"])
    return [
        PublishedVariant(name, lpis, rca, found, found.pop(("", "peak memory")))
        for (name, lpis, rca), found in figures.items()
    ]


def _rows(folder: Traversable | None, name: str, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    try:
        path = (folder or files(PACKAGE)) / name
    except ModuleNotFoundError as error:
        raise DataError(
            f"{PACKAGE} is missing: install avbench again, with pip install -e . in a clone"
        ) from error
    if not path.is_file():
        raise DataError(
            f"the published figures {path} are missing: install avbench again, or restore the file with "
            "git checkout in a clone"
        )
    with path.open("r", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = set(columns) - set(reader.fieldnames or ())
        if missing:
            raise DataError(f"{path} lacks the columns {', '.join(sorted(missing))}: restore it with git")
        yield from reader
