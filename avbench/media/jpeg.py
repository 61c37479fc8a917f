"""JPEG, by simplejpeg where it is installed and by torchvision else.

`LIBRARY` says by which; stores record it, because two libraries need not write the same bytes.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray

from avbench.errors import DataError

QUALITY = 90

_SIMPLEJPEG = find_spec("simplejpeg") is not None
if _SIMPLEJPEG:
    import simplejpeg

    LIBRARY = f"simplejpeg {version('simplejpeg')}"
else:
    from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

    LIBRARY = f"torchvision {version('torchvision')}"


def encode(frame: NDArray[np.uint8]) -> bytes:
    """Return a frame (H, W, 3), RGB, as JPEG of quality 90 with halved colour."""
    if _SIMPLEJPEG:
        encoded: bytes = simplejpeg.encode_jpeg(
            np.ascontiguousarray(frame), quality=QUALITY, colorspace="RGB", colorsubsampling="420"
        )
        return encoded
    planes = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1).contiguous()
    return bytes(encode_jpeg(planes, quality=QUALITY).numpy().tobytes())


def decode(data: bytes) -> NDArray[np.uint8]:
    """Return the frame (H, W, 3), RGB, in JPEG bytes; DataError if they are no JPEG."""
    try:
        if _SIMPLEJPEG:
            frame: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB")
            return frame
        planes = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
        return np.asarray(planes.permute(1, 2, 0).contiguous().numpy())
    except (ValueError, RuntimeError) as error:
        raise DataError(f"a frame is not a JPEG that {LIBRARY} can read: {error}") from error
