"""Symbols, read back by zxing-cpp, and their pictures, taken apart."""

from __future__ import annotations

import io
import os
import random
import re
import struct
import sys
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from counts import count
from PIL import Image

from paysim.core.errors import ConfigError, LocalProtocolError, UsageError
from paysim.qr import symbol

if os.environ.get("PAYSIM_ALL") != "1":
    pytest.importorskip("zxingcpp", reason="zxing-cpp reads the symbols back: pip install 'paysim[scan]'")
import zxingcpp

RENDERERS = ("qrcode", "zxing")
LEVELS = ("L", "M", "Q", "H")

URL = "https://pay.example/7?amount=12.80"
# EMVCo QRCPS Merchant-Presented Mode, Annex B
ANNEX_B = (
    "00020101021229300012D156000000000510A93FO3230Q31280012D15600000001030812345678520441115802CN5914BEST"
    " TRANSPORT6007BEIJING64200002ZH0104最佳运输0202北京540523.7253031565502016233030412340603***0708A6008667"
    "0902ME91320016A0112233449988770708123456786304A13A"
)
TEXTS = {
    "url": URL,
    "annex-b": ANNEX_B,
    "digits": "130241379508743918",
    "one-character": "a",
    "emv-common-set": "".join(map(chr, range(0x20, 0x7F))),
    "latin": "Café Zoë",
    "chinese": "最佳运输北京",
    "thai-and-emoji": "ร้านชา 🍵",
    "control-characters": "a\x00b\x1dc\r\n",
    "looks-like-gs1": "[01]09501101530003(10)ABC",
}
OUTSIDE_THE_COMMON_SET = {"annex-b", "latin", "chinese", "thai-and-emoji", "control-characters"}

# ISO/IEC 18004 table 7: bytes in byte mode by version, for L M Q H; the count field grows at version 10.
CAPACITY = {
    1: (17, 14, 11, 7),
    2: (32, 26, 20, 14),
    9: (230, 180, 130, 98),
    10: (271, 213, 151, 119),
    27: (1465, 1125, 805, 625),
}
LARGEST = (2953, 2331, 1663, 1273)

REFUSED: dict[str, tuple[Callable[..., object], dict[str, Any], str]] = {
    "empty-text": (symbol.matrix, {"text": ""}, "empty text"),
    "half-a-surrogate-pair": (symbol.matrix, {"text": "ab\ud83c"}, "offset 2"),
    "unknown-level": (symbol.matrix, {"error": "m"}, "error is 'm'"),
    "level-is-a-number": (symbol.matrix, {"error": 1}, "error is 1"),
    "unknown-renderer": (symbol.matrix, {"renderer": "segno"}, "renderer is 'segno'"),
    "strict-zxing": (symbol.matrix, {"renderer": "zxing", "strict": True}, "byte mode"),
    "no-pixels": (symbol.png, {"module_px": 0}, "module_px is 0"),
    "negative-pixels": (symbol.svg, {"module_px": -1}, "module_px is -1"),
    "half-pixels": (symbol.png, {"module_px": 2.5}, "module_px is 2.5"),
    "boolean-pixels": (symbol.png, {"module_px": True}, "module_px is True"),
    "too-many-pixels": (symbol.png, {"module_px": 200}, "too large"),
    "far-too-many-pixels": (symbol.png, {"module_px": 10**30}, "module_px"),
    "negative-quiet-zone": (symbol.png, {"quiet_modules": -1}, "quiet_modules is -1"),
    "huge-quiet-zone": (symbol.terminal, {"quiet_modules": 10**9}, "quiet_modules"),
    "code128-empty": (symbol.code128_png, {"digits": ""}, "1 to 80 digits"),
    "code128-letters": (symbol.code128_png, {"digits": "fp1302"}, "1 to 80 digits"),
    "code128-thai-digits": (symbol.code128_svg, {"digits": "๑๒๓"}, "1 to 80 digits"),
    "code128-too-long": (symbol.code128_png, {"digits": "1" * 81}, "1 to 80 digits"),
    "code128-no-height": (symbol.code128_png, {"height_px": 0}, "height_px is 0"),
    "code128-too-high": (symbol.code128_png, {"height_px": 10**6}, "too large"),
}

PAYMENT_CODES = ("130241379508743918", "281234567890123456", "6212345678901234567", "7", "1" * 80)


def read(png: bytes) -> Any:
    """What zxing-cpp sees in the picture: exactly one code."""
    return read_as(zxingcpp.TextMode.Plain, png)


def read_as(text_mode: zxingcpp.TextMode, png: bytes) -> Any:
    formats = (zxingcpp.BarcodeFormat.QRCode, zxingcpp.BarcodeFormat.Code128)
    (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(png)), formats=formats, text_mode=text_mode)
    return found


def states_utf_8(png: bytes) -> bool:
    return read_as(zxingcpp.TextMode.HexECI, png).text.startswith(b"]Q2\\000026".hex(" ").upper())


# Read back


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("error", LEVELS)
@pytest.mark.parametrize("module_px", [1, 2, 4, 8])
@pytest.mark.parametrize("name", ["url", "annex-b"])
def test_a_code_reads_back_at_every_size_and_level(
    name: str, module_px: int, error: str, renderer: str
) -> None:
    found = read(symbol.png(TEXTS[name], error=error, module_px=module_px, renderer=renderer))
    assert (found.text, found.ec_level) == (TEXTS[name], error)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("name", TEXTS)
def test_any_text_reads_back_and_states_utf_8_outside_the_common_set(name: str, renderer: str) -> None:
    png = symbol.png(TEXTS[name], renderer=renderer)
    assert read(png).text == TEXTS[name]
    assert states_utf_8(png) == (name in OUTSIDE_THE_COMMON_SET)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_random_texts_read_back(renderer: str) -> None:
    draw = random.Random(18004)
    alphabets = ("0123456789", "ABC $%*+-./:", "abc{}~", "éß", "最佳运输", "🍵🥟", "\x00\x1b\x7f")
    for _ in range(count(300)):
        text = "".join(draw.choice(draw.choice(alphabets)) for _ in range(draw.randint(1, 60)))
        error = draw.choice(LEVELS)
        assert read(symbol.png(text, error=error, module_px=3, renderer=renderer)).text == text


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("version", CAPACITY)
@pytest.mark.parametrize("spare", [0, 1, 2])
def test_byte_mode_fills_a_version_to_its_last_codeword(version: int, level: int, spare: int) -> None:
    text = "x" * (CAPACITY[version][level] - spare)
    found = read(symbol.png(text, error=LEVELS[level], module_px=2, strict=True))
    assert (found.text, found.extra["Version"]) == (text, str(version))


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("first", ["x", "é"])
def test_the_longest_text_fits_and_one_byte_more_is_refused(first: str, level: int, renderer: str) -> None:
    at_most = LARGEST[level] - (first == "é")  # stating UTF-8 costs a byte
    text = first + "x" * (at_most - len(first.encode()))
    assert read(symbol.png(text, error=LEVELS[level], module_px=2, renderer=renderer)).text == text
    with pytest.raises(LocalProtocolError, match=f"at most {at_most}$") as refused:
        symbol.matrix(text + "x", error=LEVELS[level], renderer=renderer)
    assert refused.value.source == "ISO/IEC 18004 table 7"


def test_strict_is_byte_mode_and_fast_mixes_modes() -> None:
    # 41 digits: numeric mode fits version 1 at level L, byte mode needs version 3.
    digits = "1" * 41
    assert len(symbol.matrix(digits, error="L", strict=True)) == 29
    assert len(symbol.matrix(digits, error="L", renderer="zxing")) == 21
    assert symbol.matrix(digits, strict=True) == symbol.matrix(digits, renderer="qrcode")


# Pictures


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("draw", [symbol.png, symbol.svg, symbol.terminal, symbol.matrix])
def test_the_same_text_gives_the_same_picture(draw: Callable[..., object], renderer: str) -> None:
    assert draw(ANNEX_B, renderer=renderer) == draw(ANNEX_B, renderer=renderer)


def test_a_png_holds_the_picture_and_nothing_else() -> None:
    png, chunks, offset = symbol.png(URL), [], 8
    while offset < len(png):
        length, kind = struct.unpack_from(">I4s", png, offset)
        chunks.append(kind)
        offset += 12 + length
    assert [kind for kind in chunks if kind != b"IDAT"] == [b"IHDR", b"IEND"]
    assert png[24:26] == bytes([1, 0])  # one bit, shades of grey


@pytest.mark.parametrize("quiet_modules", [0, 1, 4, 7])
@pytest.mark.parametrize("module_px", [1, 3])
def test_the_png_shows_the_matrix_in_its_quiet_zone(quiet_modules: int, module_px: int) -> None:
    png = symbol.png(URL, quiet_modules=quiet_modules, module_px=module_px)
    assert dark_pixels(png, module_px) == in_quiet_zone(symbol.matrix(URL), quiet_modules)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("quiet_modules", [0, 4])
def test_the_svg_draws_the_matrix(quiet_modules: int, renderer: str) -> None:
    svg = symbol.svg(ANNEX_B, quiet_modules=quiet_modules, module_px=5, renderer=renderer)
    rows = in_quiet_zone(symbol.matrix(ANNEX_B, renderer=renderer), quiet_modules)
    assert drawn_modules(svg) == rows
    root = ElementTree.fromstring(svg)
    assert (root.get("width"), root.get("height")) == (str(5 * len(rows)), str(5 * len(rows)))


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("ansi", [False, True])
@pytest.mark.parametrize("quiet_modules", [0, 1, 4])
@pytest.mark.parametrize("name", ["url", "annex-b"])
def test_the_terminal_text_shows_the_matrix(name: str, quiet_modules: int, ansi: bool, invert: bool) -> None:
    text = symbol.terminal(TEXTS[name], quiet_modules=quiet_modules, ansi=ansi, invert=invert)
    rows = in_quiet_zone(symbol.matrix(TEXTS[name]), quiet_modules)
    beyond = [(False,) * len(rows[0])] * (len(rows) % 2)  # the lower half of the last line is light
    assert shown_modules(text, invert) == [*rows, *beyond]
    assert ("\x1b" in text) == ansi


def test_every_terminal_line_is_white_on_black_and_sets_the_colours_back() -> None:
    for line in symbol.terminal(URL).splitlines():
        assert re.fullmatch("\x1b\\[38;5;231;48;5;16m[█▀▄ ]+\x1b\\[0m", line)


def in_quiet_zone(matrix: tuple[tuple[bool, ...], ...], quiet_modules: int) -> list[tuple[bool, ...]]:
    side = (False,) * quiet_modules
    edge = [(False,) * (len(matrix) + 2 * quiet_modules)] * quiet_modules
    return [*edge, *(side + row + side for row in matrix), *edge]


def dark_pixels(png: bytes, module_px: int) -> list[tuple[bool, ...]]:
    """The modules of a picture in which each is a square of one colour."""
    picture = Image.open(io.BytesIO(png)).convert("L")
    columns, rows = picture.width // module_px, picture.height // module_px
    small = picture.resize((columns, rows), Image.Resampling.BOX).tobytes()
    assert set(small) == {0, 255}
    return [tuple(shade == 0 for shade in small[row * columns : (row + 1) * columns]) for row in range(rows)]


def drawn_modules(svg: str) -> list[tuple[bool, ...]]:
    root = ElementTree.fromstring(svg)
    columns, height = map(int, root.get("viewBox", "").split()[2:])
    light, dark = root
    assert light.attrib == {"fill": "#fff", "d": f"M0 0h{columns}v{height}H0z"}
    rows = [[False] * columns for _ in range(height)]
    for run in dark.get("d", "")[:-1].split("z"):
        x, y, width, back = map(int, re.fullmatch(r"M(\d+) (\d+)h(\d+)v1H(\d+)", run).groups())  # type: ignore[union-attr]
        assert back == x
        rows[y][x : x + width] = [True] * width
    return [tuple(row) for row in rows]


def shown_modules(text: str, invert: bool) -> list[tuple[bool, ...]]:
    """The modules that a terminal shows; a block is light, inverted a block is dark."""
    blocks = {"█": (True, True), "▀": (True, False), "▄": (False, True), " ": (False, False)}
    rows = []
    for line in re.sub("\x1b\\[[0-9;]*m", "", text).splitlines():
        for half in (0, 1):
            rows.append(tuple(blocks[character][half] == invert for character in line))
    return rows


# Code 128


@pytest.mark.parametrize("digits", PAYMENT_CODES)
@pytest.mark.parametrize("module_px", [1, 2, 3])
def test_a_payment_code_reads_back_from_code_128(digits: str, module_px: int) -> None:
    found = read(symbol.code128_png(digits, module_px=module_px))
    assert (found.text, found.format) == (digits, zxingcpp.BarcodeFormat.Code128)


def test_18_digits_take_134_modules_and_two_quiet_zones() -> None:
    picture = Image.open(io.BytesIO(symbol.code128_png(PAYMENT_CODES[0], module_px=2, height_px=60)))
    assert picture.size == ((134 + 2 * 10) * 2, 60)


def test_the_code_128_svg_draws_the_bars_of_the_png() -> None:
    png = symbol.code128_png(PAYMENT_CODES[2], module_px=3, height_px=3)
    svg = symbol.code128_svg(PAYMENT_CODES[2], module_px=3, height_px=90)
    assert drawn_modules(svg) == dark_pixels(png, 3)
    root = ElementTree.fromstring(svg)
    assert (root.get("height"), root.get("preserveAspectRatio")) == ("90", "none")


# Refused, missing


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_option_is_refused_with_its_name(name: str) -> None:
    draw, options, words = REFUSED[name]
    first = "digits" if draw in (symbol.code128_png, symbol.code128_svg) else "text"
    with pytest.raises(UsageError, match=re.escape(words)):
        draw(**{first: "12345678", **options})


def test_without_zxing_qrcode_draws_and_the_rest_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    assert symbol.png(URL) == symbol.png(URL, renderer="qrcode")
    for draw in (lambda: symbol.png(URL, renderer="zxing"), lambda: symbol.code128_png("1302")):
        with pytest.raises(ConfigError, match=re.escape("pip install 'paysim[scan]'")):
            draw()
