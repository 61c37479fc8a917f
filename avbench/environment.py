"""Where a run is made: versions, hardware, and the commit of the source tree."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import avbench
from avbench import processes
from avbench.records import Environment

# What can change a score or a time. Those not installed (some are optional) are left out.
PACKAGES = (
    "avbench", "torch", "torchaudio", "torchvision", "timm", "avalanche-lib", "numpy", "av", "simplejpeg",
)  # fmt: skip


def environment(device: str) -> Environment:
    """Return what this process runs on, for a record.

    Args:
        device: where the model is, such as "cpu" or "cuda:0".
    """
    commit, dirty = source_commit(Path(avbench.__file__).resolve().parent)
    return Environment(
        versions=versions(), hardware=hardware(device), device=device, commit=commit, dirty=dirty
    )


def versions() -> dict[str, str]:
    """Return versions of Python and of the packages that can change a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hardware(device: str) -> dict[str, str]:
    """Return the processor, the cores this process may use, the memory, and the accelerator of `device`.

    Of a run that several processes make also their number.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(cores),
    }
    if processes.count() > 1:
        found["processes"] = str(processes.count())
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found["memory"] = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"
    if torch.device(device).type == "cuda":
        accelerator = torch.cuda.get_device_properties(torch.device(device))
        found["accelerator"] = f"{accelerator.name}, {accelerator.total_memory / 2**30:.1f} GiB"
        found["cuda"] = str(torch.version.cuda)
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def source_commit(folder: Path) -> tuple[str | None, bool | None]:
    """Return the git commit of the tree that holds the source in `folder`, and whether it has changes.

    Results do not count as changes. Both are None where `folder` is not under git: an installed package
    inside someone else's repository is not, though git finds a repository above it.
    """
    if _git(folder, "ls-files", "--error-unmatch", "--", "__init__.py") is None:
        return None, None
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--", ":/", ":(exclude,top)results")
    return (None, None) if commit is None else (commit, bool(changes))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
