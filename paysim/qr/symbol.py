"""Symbols to look at: a text as a QR code, a payment code as Code 128.

A QR code comes as PNG bytes, SVG text, terminal text or bare modules; the same text and options give
the same result every time. All four take:

    error          L, M, Q or H: about 7, 15, 25 or 30 % of the symbol may be lost
    quiet_modules  width of the light border in modules; the standard wants 4
    module_px      side of one module in pixels (PNG and SVG)
    strict         True: byte mode only, as EMVCo asks of a merchant's code
    renderer       "qrcode" or "zxing"; None takes zxing-cpp where it is installed, else qrcode

What the renderers do. Both state the character set (ECI 26, UTF-8) when a character lies outside the
EMV common set, printable ASCII, and both score the eight masks and take the best.

    qrcode   one segment in byte mode
    zxing    some thirty times faster; mixes numeric, alphanumeric and byte segments to make the symbol
             small, and has no switch against it, so `strict` always draws with qrcode

Readers take both. Whether a text fits is judged for byte mode in both, so a text that is
accepted here is accepted on a machine without zxing-cpp.

Code 128 is drawn by zxing-cpp alone (`pip install 'paysim[scan]'`).

Source: EMV QRCPS Merchant-Presented Mode 1.1 3.1 and ISO/IEC 18004 7.4
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import cycle, islice, zip_longest
from typing import Any, NamedTuple

from paysim.core.errors import ConfigError, LocalProtocolError, UsageError

__all__ = [
    "BYTES_AT_MOST",
    "MAX_PICTURE_PIXELS",
    "code128_png",
    "code128_svg",
    "load_zxing",
    "matrix",
    "png",
    "svg",
    "terminal",
]

BYTES_AT_MOST = {"L": 2953, "M": 2331, "Q": 1663, "H": 1273}
"""What a symbol of version 40 holds in byte mode, by error level. Source: ISO/IEC 18004 table 7"""

MAX_PICTURE_PIXELS = 16_777_216
"""4096 x 4096: what we draw at most. Assumed: no screen, print or test needs more."""

MAX_QUIET_MODULES = 100
MAX_CODE128_DIGITS = 80

_ECI_UTF_8 = 26
_PAD_CODEWORDS = (0xEC, 0x11)
_RENDERERS = ("qrcode", "zxing")
_OUTSIDE_COMMON_SET = re.compile(r"[^ -~]")
_DARK_RUN = re.compile(rb"\x01+")
_LIGHT_TO_0_DARK_TO_1 = bytes([1]) + bytes(255)
_0_TO_LIGHT_1_TO_DARK = bytes([255]) + bytes(255)

# One character is two modules, the upper and the lower; 1 is dark. The blocks are the light modules.
_HALF_BLOCKS = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
# Colours 231 and 16 of the 256-colour cube are white and black; a theme does not touch them.
_WHITE_ON_BLACK = "\x1b[38;5;231;48;5;16m"
_COLOURS_OFF = "\x1b[0m"


class _Modules(NamedTuple):
    """A grid of modules, row by row: one byte a module, 1 is dark."""

    cells: bytes
    columns: int
    rows: int

    def row(self, number: int) -> bytes:
        return self.cells[number * self.columns : (number + 1) * self.columns]


def matrix(
    text: str, *, error: str = "M", strict: bool = False, renderer: str | None = None
) -> tuple[tuple[bool, ...], ...]:
    """Return the modules of the QR code, row by row, dark is True, without a quiet zone.

    Raises `LocalProtocolError` for a text that is too long for the error level, `UsageError` for an
    empty text or a bad option, `ConfigError` for a renderer that is not installed.

    >>> modules = matrix("https://pay.example/7", renderer="qrcode")
    >>> len(modules), modules[0][:8]
    (25, (True, True, True, True, True, True, True, False))
    """
    modules = _qr_modules(text, error, strict, renderer)
    return tuple(struct.iter_unpack(f"{modules.columns}?", modules.cells))


def png(
    text: str,
    *,
    error: str = "M",
    quiet_modules: int = 4,
    module_px: int = 8,
    strict: bool = False,
    renderer: str | None = None,
) -> bytes:
    """Return the QR code as a PNG: one bit a pixel, nothing in it but the picture.

    Raises what `matrix` raises, and `UsageError` for a picture above `MAX_PICTURE_PIXELS`.

    >>> png("https://pay.example/7", renderer="qrcode")[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    modules = _with_quiet_zone(_qr_modules(text, error, strict, renderer), quiet_modules, quiet_modules)
    return _png(modules, *_pixels(modules, module_px))


def svg(
    text: str,
    *,
    error: str = "M",
    quiet_modules: int = 4,
    module_px: int = 8,
    strict: bool = False,
    renderer: str | None = None,
) -> str:
    """Return the QR code as an SVG document; its user unit is one module, its size is in pixels.

    Raises what `png` raises.

    >>> svg("https://pay.example/7", renderer="qrcode")[:75]
    '<svg xmlns="http://www.w3.org/2000/svg" width="264" height="264" viewBox="0'
    """
    modules = _with_quiet_zone(_qr_modules(text, error, strict, renderer), quiet_modules, quiet_modules)
    return _svg(modules, *_pixels(modules, module_px))


def terminal(
    text: str,
    *,
    error: str = "M",
    quiet_modules: int = 4,
    ansi: bool = True,
    invert: bool = False,
    strict: bool = False,
    renderer: str | None = None,
) -> str:
    """Return the QR code for a terminal: one character is two modules, one above the other.

    The blocks `█ ▀ ▄` are the light modules, drawn in white on black by escape sequences, so a dark
    and a light terminal show the same dark-on-light symbol and any phone reads it. With `ansi=False`
    (a log, a pipe) the characters are the same without the escapes: right on a dark terminal.
    `invert` swaps light and dark: right for `ansi=False` on a light terminal or on paper.

    Raises what `matrix` raises.
    """
    modules = _with_quiet_zone(_qr_modules(text, error, strict, renderer), quiet_modules, quiet_modules)
    if invert:
        modules = modules._replace(cells=modules.cells.translate(_LIGHT_TO_0_DARK_TO_1))
    lines = _half_block_lines(modules, beyond=int(invert))
    if ansi:
        lines = (f"{_WHITE_ON_BLACK}{line}{_COLOURS_OFF}" for line in lines)
    return "\n".join(lines) + "\n"


def code128_png(digits: str, *, quiet_modules: int = 10, module_px: int = 2, height_px: int = 80) -> bytes:
    """Return the payment code `digits` as a Code 128 bar code, a PNG of one bit a pixel.

    `digits` are 1 to 80 ASCII digits, `quiet_modules` the light space left and right (the standard
    wants 10), `height_px` the height of the bars. Raises `UsageError` for anything else and
    `ConfigError` without zxing-cpp.
    """
    modules = _with_quiet_zone(_code128_modules(digits), quiet_modules, 0)
    return _png(modules, *_pixels(modules, module_px, height_px))


def code128_svg(digits: str, *, quiet_modules: int = 10, module_px: int = 2, height_px: int = 80) -> str:
    """Return the payment code `digits` as a Code 128 bar code, an SVG document.

    The arguments and errors are those of `code128_png`.
    """
    modules = _with_quiet_zone(_code128_modules(digits), quiet_modules, 0)
    return _svg(modules, *_pixels(modules, module_px, height_px))


def load_zxing() -> Any:
    """Return the module `zxingcpp`; raises `ConfigError` with the line that installs it."""
    try:
        import zxingcpp
    except ImportError as error:
        raise ConfigError("zxing-cpp is not installed: pip install 'paysim[scan]'") from error
    return zxingcpp


# Text to modules


def _qr_modules(text: str, error: str, strict: bool, renderer: str | None) -> _Modules:
    if error not in BYTES_AT_MOST:
        raise UsageError(f"error is {error!r}: not one of {', '.join(BYTES_AT_MOST)}")
    payload, eci = _payload(text, error)
    if _renderer(strict, renderer) == "zxing":
        return _zxing_modules(text, error, eci)
    return _qrcode_modules(payload, error, eci)


def _renderer(strict: bool, renderer: str | None) -> str:
    if renderer is None:
        return "qrcode" if strict or find_spec("zxingcpp") is None else "zxing"
    if renderer not in _RENDERERS:
        raise UsageError(f"renderer is {renderer!r}: not one of {', '.join(_RENDERERS)}")
    if strict and renderer == "zxing":
        raise UsageError("zxing-cpp cannot be held to byte mode: a strict symbol is drawn by qrcode")
    return renderer


def _payload(text: str, error: str) -> tuple[bytes, bool]:
    """Return the UTF-8 bytes, and whether the symbol must state that they are UTF-8."""
    try:
        payload = text.encode()
    except UnicodeEncodeError as fault:
        raise UsageError(f"the text is not Unicode text: {fault.reason} (offset {fault.start})") from fault
    if not payload:
        raise UsageError("an empty text makes no symbol")
    eci = _OUTSIDE_COMMON_SET.search(text) is not None
    # The 12 bits of the ECI designator cost the last byte.
    at_most = BYTES_AT_MOST[error] - eci
    if len(payload) > at_most:
        raise LocalProtocolError(
            f"{len(payload)} bytes do not fit a QR code of error level {error}: at most {at_most}",
            source="ISO/IEC 18004 table 7",
        )
    return payload, eci


def _zxing_modules(text: str, error: str, eci: bool) -> _Modules:
    zxing = load_zxing()
    options = {"eci": str(_ECI_UTF_8)} if eci else {}
    barcode = zxing.create_barcode(text, zxing.BarcodeFormat.QRCode, ec_level=error, **options)
    return _zxing_image_modules(barcode)


def _zxing_image_modules(barcode: Any) -> _Modules:
    """Return zxing-cpp's picture at one pixel a module, 0 is dark, as modules."""
    pixels = memoryview(barcode.to_image(add_quiet_zones=False))
    rows, columns = pixels.shape or (0, 0)
    return _Modules(bytes(pixels).translate(_LIGHT_TO_0_DARK_TO_1), columns, rows)


def _qrcode_modules(payload: bytes, error: str, eci: bool) -> _Modules:
    from qrcode import QRCode, base, constants, util

    level = getattr(constants, f"ERROR_CORRECT_{error}")
    for version in range(1, 41):
        blocks = base.rs_blocks(version, level)
        codewords_at_most = sum(block.data_count for block in blocks)
        if _byte_mode_bits(len(payload), eci, version) <= 8 * codewords_at_most:
            break
    codewords = util.BitBuffer()
    codewords.buffer = _codewords(payload, eci, version, codewords_at_most)
    code = QRCode(version=version, error_correction=level)
    code.data_cache = util.create_bytes(codewords, blocks)
    code.make(fit=False)
    return _Modules(b"".join(map(bytes, code.modules)), code.modules_count, code.modules_count)


def _byte_mode_bits(length: int, eci: bool, version: int) -> int:
    return 12 * eci + 4 + _count_bits(version) + 8 * length


def _count_bits(version: int) -> int:
    return 8 if version < 10 else 16


def _codewords(payload: bytes, eci: bool, version: int, codewords_at_most: int) -> list[int]:
    """Return the data codewords of one byte-mode segment.

    Source: ISO/IEC 18004 7.4
    """
    # 7.4.2 the ECI designator: mode 0111, assignment number in 8 bits
    bits = 0b0111 << 8 | _ECI_UTF_8 if eci else 0
    # 7.4.5 byte mode: mode 0100, character count, the bytes
    bits = bits << 4 | 0b0100
    bits = bits << _count_bits(version) | len(payload)
    bits = bits << 8 * len(payload) | int.from_bytes(payload)
    # 7.4.9 the terminator: four zeros, fewer where the symbol is full, then zeros up to a whole byte
    length = _byte_mode_bits(len(payload), eci, version)
    filled = min((length + 4 + 7) // 8, codewords_at_most)
    codewords = (bits << 8 * filled - length).to_bytes(filled)
    # 7.4.10 the pad codewords, by turns
    return [*codewords, *islice(cycle(_PAD_CODEWORDS), codewords_at_most - filled)]


def _code128_modules(digits: str) -> _Modules:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MAX_CODE128_DIGITS):
        raise UsageError(f"a payment code for Code 128 is 1 to {MAX_CODE128_DIGITS} digits")
    zxing = load_zxing()
    modules = _zxing_image_modules(zxing.create_barcode(digits, zxing.BarcodeFormat.Code128))
    return _Modules(modules.row(0), modules.columns, 1)


# Modules to pictures


def _with_quiet_zone(modules: _Modules, across: int, down: int) -> _Modules:
    """Return the modules with `across` light columns left and right, `down` light rows above and below."""
    _refuse_unless_whole("quiet_modules", across, 0, MAX_QUIET_MODULES)
    columns = modules.columns + 2 * across
    side, edge = bytes(across), bytes(columns * down)
    middle = (side + modules.row(number) + side for number in range(modules.rows))
    return _Modules(b"".join((edge, *middle, edge)), columns, modules.rows + 2 * down)


def _pixels(modules: _Modules, module_px: int, height_px: int | None = None) -> tuple[int, int]:
    """Return the width and height of the picture; without `height_px` a module is as high as wide."""
    _refuse_unless_whole("module_px", module_px, 1, MAX_PICTURE_PIXELS)
    if height_px is None:
        height_px = modules.rows * module_px
    _refuse_unless_whole("height_px", height_px, 1, MAX_PICTURE_PIXELS)
    width_px = modules.columns * module_px
    if width_px * height_px > MAX_PICTURE_PIXELS:
        raise UsageError(
            f"a picture of {width_px} x {height_px} pixels is too large: at most {MAX_PICTURE_PIXELS} pixels"
        )
    return width_px, height_px


def _refuse_unless_whole(name: str, value: int, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"{name} is {value!r}: not a whole number from {least} to {most}")


def _png(modules: _Modules, width_px: int, height_px: int) -> bytes:
    from PIL import Image

    cells = modules.cells.translate(_0_TO_LIGHT_1_TO_DARK)
    small = Image.frombytes("L", (modules.columns, modules.rows), cells)
    large = small.resize((width_px, height_px), Image.Resampling.NEAREST)
    file = io.BytesIO()
    large.convert("1", dither=Image.Dither.NONE).save(file, "PNG")
    return file.getvalue()


def _svg(modules: _Modules, width_px: int, height_px: int) -> str:
    columns, rows = modules.columns, modules.rows
    dark = "".join(
        f"M{run.start()} {number}h{len(run.group())}v1H{run.start()}z"
        for number in range(rows)
        for run in _DARK_RUN.finditer(modules.row(number))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width_px}" height="{height_px}"'
        f' viewBox="0 0 {columns} {rows}" preserveAspectRatio="none" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{columns}v{rows}H0z"/><path d="{dark}"/></svg>\n'
    )


def _half_block_lines(modules: _Modules, beyond: int) -> Iterator[str]:
    """Yield the lines; where the number of rows is odd, the last line is filled with `beyond`."""
    filling = bytes([beyond]) * modules.columns
    rows = [modules.row(number) for number in range(modules.rows)]
    for upper, lower in zip_longest(rows[::2], rows[1::2], fillvalue=filling):
        yield "".join(map(_HALF_BLOCKS.__getitem__, zip(upper, lower, strict=True)))
