"""What a camera reads: the texts of the codes in a picture.

A picture comes from outside, so little of it is trusted. Its format is told by its first bytes and its
size by its header, before anything is decoded. Of a PNG or JPEG only the parts that make the picture
reach pillow: profiles, comments, thumbnails and Exif stay out (an orientation among them does not
matter, a code is read at any angle).

Source: PNG 3rd edition 5; ITU-T T.81 B.1
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from paysim.core.errors import DecodeError, Unsupported, UsageError
from paysim.qr.symbol import load_zxing

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_PICTURE_BYTES", "MAX_PICTURE_PIXELS", "scan"]

MAX_PICTURE_BYTES = 32 * 1024 * 1024
MAX_PICTURE_PIXELS = 50_000_000
"""The largest picture that is decoded. Assumed: the photo of a 48-megapixel phone must pass."""

_MAX_PARTS = 65_536  # chunks of a PNG, segments of a JPEG
_MAX_JPEG_SCANS = 32  # each scan of a progressive JPEG goes over the whole picture once more

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}

_JPEG_MAGIC = b"\xff\xd8\xff"
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff])")
_JPEG_START_OF_SCAN = 0xDA
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_JFIF, _JPEG_ADOBE = 0xE0, 0xEE  # these two say what the colours mean
_JPEG_LEFT_OUT = {*range(0xE0, 0xF0), 0xFE} - {_JPEG_JFIF, _JPEG_ADOBE}


def scan(picture: bytes | Image) -> tuple[str, ...]:
    """Return the texts of the QR and Code 128 codes in the picture, each once, in reading order.

    `picture` is the bytes of a PNG or JPEG, or a pillow image; transparent parts count as white. A QR
    code may be turned, mirrored or light on dark, a Code 128 turned. No code gives an empty tuple. At
    most four tries are made: the picture as it is, smoothed a little, at half size, smoothed more; the
    first that reads anything ends it.

    A text is decoded by the character set that its symbol states (ECI). Assumed: where it states none,
    zxing-cpp's guess holds: UTF-8 where the bytes are that, else Shift_JIS or Latin-1. Bytes that are no
    text come as Latin-1, one character a byte.

    Raises `DecodeError` for a damaged or cut picture, `Unsupported` for another format and for more
    than `MAX_PICTURE_PIXELS` pixels or `MAX_PICTURE_BYTES` bytes, `ConfigError` with the line that
    installs zxing-cpp where it is missing.
    """
    zxing = load_zxing()
    grey = _grey(picture)
    for prepare in _TRIES:
        barcodes = zxing.read_barcodes(
            prepare(grey),
            formats=(zxing.BarcodeFormat.QRCodeModel2, zxing.BarcodeFormat.Code128),
            text_mode=zxing.TextMode.Plain,
        )
        if barcodes:
            return tuple(dict.fromkeys(barcode.text for barcode in _in_reading_order(barcodes)))
    return ()


def _as_it_is(grey: Image) -> Image:
    return grey


def _smoothed(radius: int) -> Callable[[Image], Image]:
    """Return a mean over `2 * radius + 1` pixels square: noise goes, modules wider than that stay."""

    def smooth(grey: Image) -> Image:
        from PIL import ImageFilter

        return grey.filter(ImageFilter.BoxBlur(radius))

    return smooth


def _halved(grey: Image) -> Image:
    return grey.reduce(2)


_TRIES: tuple[Callable[[Image], Image], ...] = (_as_it_is, _smoothed(1), _halved, _smoothed(2))


def _in_reading_order(barcodes: Iterable[Any]) -> list[Any]:
    """Return the codes line by line from the top, in each line from the left.

    A code is on the line of a higher one when its middle is above that one's lower edge.
    """
    lines: list[list[tuple[int, int, Any]]] = []
    lower_edge = 0
    for top, bottom, left, barcode in sorted(map(_box, barcodes), key=lambda box: box[:3]):
        if not lines or (top + bottom) / 2 > lower_edge:
            lines.append([])
            lower_edge = bottom
        lines[-1].append((left, top, barcode))
    return [barcode for line in lines for _, _, barcode in sorted(line, key=lambda entry: entry[:2])]


def _box(barcode: Any) -> tuple[int, int, int, Any]:
    position = barcode.position
    corners = (position.top_left, position.top_right, position.bottom_right, position.bottom_left)
    rows, columns = [corner.y for corner in corners], [corner.x for corner in corners]
    return min(rows), max(rows), min(columns), barcode


# A picture to shades of grey


def _grey(picture: bytes | Image) -> Image:
    from PIL import Image

    if isinstance(picture, bytes | bytearray | memoryview):
        picture = _opened(bytes(picture))
    elif not isinstance(picture, Image.Image):
        raise UsageError(f"a picture is PNG or JPEG bytes or a pillow image, not {type(picture).__name__}")
    _refuse_too_large(*picture.size)
    with _damage_named():
        return _flattened(picture)


def _opened(data: bytes) -> Image:
    """Return the picture with its header read and no pixel decoded."""
    from PIL import Image

    if len(data) > MAX_PICTURE_BYTES:
        raise Unsupported(f"a picture of {len(data)} bytes: at most {MAX_PICTURE_BYTES} are read")
    for magic, format_name, essentials in _FORMATS:
        if data.startswith(magic):
            file = io.BytesIO(essentials(data))
            with _damage_named():
                picture = Image.open(file, formats=[format_name])
                picture.draft("L", None)  # a JPEG decoder can leave the colours out
                return picture
    raise Unsupported(f"a picture is PNG or JPEG; this one begins with {data[:8].hex(' ') or 'nothing'}")


@contextmanager
def _damage_named() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a broken file leads pillow to OSError, SyntaxError, ValueError and others
        raise DecodeError(f"the picture is damaged: {error}") from error


def _flattened(picture: Image) -> Image:
    """Return the picture as shades of grey in one byte a pixel, what is transparent on white."""
    from PIL import Image

    if picture.mode.startswith("I;16"):
        return picture.point(lambda shade: shade / 256).convert("L")
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    grey = picture.convert("L")
    if "A" not in picture.getbands():
        return grey
    white = Image.new("L", picture.size, 255)
    white.paste(grey, mask=picture.getchannel("A"))
    return white


def _refuse_too_large(width_px: int, height_px: int) -> None:
    if width_px * height_px > MAX_PICTURE_PIXELS:
        raise Unsupported(
            f"a picture of {width_px} x {height_px} pixels: at most {MAX_PICTURE_PIXELS} pixels are decoded"
        )


# The parts of a file that make the picture


def _png_essentials(data: bytes) -> bytes:
    kept = [_PNG_MAGIC]
    offset = len(_PNG_MAGIC)
    for number in range(_MAX_PARTS):
        if len(data) < offset + 12:
            raise DecodeError("the PNG is cut", offset=len(data))
        length, kind = struct.unpack_from(">I4s", data, offset)
        end = offset + 12 + length
        if len(data) < end:
            raise DecodeError("the PNG is cut", offset=len(data), path=kind.decode("latin-1"))
        if (kind == b"IHDR") != (number == 0):
            raise DecodeError("a PNG begins with its only IHDR", offset=offset)
        if kind == b"IHDR" and length == 13:
            _refuse_too_large(*struct.unpack_from(">II", data, offset + 8))
        if kind in _PNG_KEPT:
            kept.append(data[offset:end])
        if kind == b"IEND":
            return b"".join(kept)
        offset = end
    raise Unsupported(f"a PNG of more than {_MAX_PARTS} chunks")


def _jpeg_essentials(data: bytes) -> bytes:
    kept = [b"\xff\xd8"]
    frames = 0
    offset = 2
    for _ in range(_MAX_PARTS):
        found = _JPEG_MARKER.search(data, offset)
        if found is None or len(data) < found.end() + 2:
            raise DecodeError("the JPEG is cut", offset=len(data))
        start, marker = found.end() - 2, found[1][0]
        if marker == _JPEG_START_OF_SCAN:
            break
        offset = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
        if len(data) < offset:
            raise DecodeError("the JPEG is cut", offset=len(data), path=f"FF{marker:02X}")
        if marker in _JPEG_FRAMES and offset - start >= 9:
            frames += 1
            _refuse_too_large(*struct.unpack_from(">HH", data, start + 5))
        if marker not in _JPEG_LEFT_OUT:
            kept.append(data[start:offset])
    else:
        raise Unsupported(f"a JPEG of more than {_MAX_PARTS} segments")
    if frames != 1:
        raise DecodeError(f"a JPEG has one frame header, this one {frames}", offset=start)
    if data.count(bytes([0xFF, _JPEG_START_OF_SCAN]), start) > _MAX_JPEG_SCANS:
        raise Unsupported(f"a JPEG of more than {_MAX_JPEG_SCANS} scans")
    return b"".join((*kept, data[start:]))


_FORMATS = (
    (_PNG_MAGIC, "PNG", _png_essentials),
    (_JPEG_MAGIC, "JPEG", _jpeg_essentials),
)
