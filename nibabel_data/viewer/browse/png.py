"""Writing PNG: 8 bits, grey or red, green and blue, not interlaced.

Source: https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR = {1: 0, 3: 2}  # the type of a pixel, by its samples


def png(pixels: NDArray[np.uint8]) -> bytes:
    r"""Return a picture as PNG.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (height, width) or (height, width, 3)
        Neither side is 0.

    Examples
    --------
    >>> import numpy as np
    >>> png(np.zeros((2, 3), 'uint8'))[:8]
    b'\x89PNG\r\n\x1a\n'
    """
    height, width, *samples = pixels.shape
    depth = samples[0] if samples else 1
    head = struct.pack(">IIBBBBB", width, height, 8, _COLOUR[depth], 0, 0, 0)
    lines = pixels.reshape(height, width * depth)
    rows = b"".join(b"\0" + line.tobytes() for line in lines)  # 0: a row as it is
    return b"".join(
        (_SIGNATURE, _part(b"IHDR", head), _part(b"IDAT", zlib.compress(rows)), _part(b"IEND", b""))
    )


def _part(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)
