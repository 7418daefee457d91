"""Pictures as cameras, printers and enemies make them."""

from __future__ import annotations

import functools
import io
import os
import random
import re
import struct
import sys
import zlib
from collections.abc import Callable

import pytest
from counts import count
from PIL import Image

from paysim.core.errors import ConfigError, DecodeError, Unsupported, UsageError
from paysim.qr import scan as scanning
from paysim.qr import symbol
from paysim.qr.scan import scan

if os.environ.get("PAYSIM_ALL") != "1":
    pytest.importorskip("zxingcpp", reason="zxing-cpp reads the pictures: pip install 'paysim[scan]'")
import zxingcpp

URL = "https://pay.example/7?amount=12.80&reference=T-1001"
CODE = "6212345678901234567"
CHINESE = "最佳运输 BEIJING"

Picture = Image.Image


@functools.cache
def code_png(text: str = URL, module_px: int = 6) -> bytes:
    return symbol.png(text, module_px=module_px, renderer="qrcode")


@functools.cache
def bars_png(digits: str = CODE) -> bytes:
    return symbol.code128_png(digits, module_px=3, height_px=160)


def grey(png: bytes) -> Picture:
    return Image.open(io.BytesIO(png)).convert("L")


def saved(picture: Picture, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def turned(picture: Picture, degrees: int) -> Picture:
    return picture.rotate(degrees, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC)


def noisy(picture: Picture, sigma: float, seed: int) -> Picture:
    """The picture with Gaussian noise, the same for the same seed."""
    gauss = random.Random(seed).gauss
    shades = bytes(min(255, max(0, int(shade + gauss(0, sigma)))) for shade in picture.tobytes())
    return Image.frombytes("L", picture.size, shades)


# What a camera does


@pytest.mark.parametrize("degrees", [3, 15, 45, 90, 135, 170, 180, 270])
def test_a_turned_code_is_read(degrees: int) -> None:
    assert scan(turned(grey(code_png()), degrees)) == (URL,)


@pytest.mark.parametrize("degrees", [3, 15, 90, 170, 180])
def test_a_turned_bar_code_is_read(degrees: int) -> None:
    assert scan(turned(grey(bars_png()), degrees)) == (CODE,)


def test_a_light_code_on_dark_is_read() -> None:
    assert scan(grey(code_png()).point(lambda shade: 255 - shade)) == (URL,)


@pytest.mark.parametrize("png", [code_png(), bars_png()])
@pytest.mark.parametrize("options", [{"quality": 10}, {"quality": 10, "progressive": True}])
def test_a_coarse_jpeg_is_read(png: bytes, options: dict[str, object]) -> None:
    (text,) = scan(png)
    for picture in (grey(png), grey(png).convert("RGB"), grey(png).convert("CMYK")):
        assert scan(saved(picture, "JPEG", **options)) == (text,)


def test_a_mirrored_code_is_read() -> None:
    assert scan(grey(code_png()).transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == (URL,)


@pytest.mark.parametrize(("module_px", "sigma"), [(2, 60), (3, 90), (6, 60), (8, 40), (8, 90)])
@pytest.mark.parametrize("seed", range(4))
def test_noise_is_smoothed_away(module_px: int, sigma: float, seed: int) -> None:
    assert scan(noisy(grey(code_png(module_px=module_px)), sigma, seed)) == (URL,)


def test_the_retries_read_what_the_first_try_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [noisy(grey(code_png(module_px=8)), 40, seed) for seed in range(8)]
    assert all(scan(picture) == (URL,) for picture in pictures)
    monkeypatch.setattr(scanning, "_TRIES", scanning._TRIES[:1])
    assert [scan(picture) for picture in pictures].count(()) >= 4


def test_a_picture_without_a_code_ends_after_four_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, read = [], zxingcpp.read_barcodes
    monkeypatch.setattr(zxingcpp, "read_barcodes", lambda *a, **k: looks.append(a) or read(*a, **k))
    assert scan(Image.new("L", (300, 200), 200)) == ()
    assert len(looks) == 4


# Several codes

# name: the codes with their upper left corners, and the texts in the order of reading
SHEETS: dict[str, tuple[list[tuple[str, int, int]], tuple[str, ...]]] = {
    "side-by-side": ([("b", 400, 20), ("a", 20, 20)], ("a", "b")),
    "side-by-side-uneven": ([("b", 400, 20), ("a", 20, 70)], ("a", "b")),
    "one-below-the-other": ([("b", 20, 300), ("a", 300, 20)], ("a", "b")),
    "two-lines": ([("d", 400, 400), ("c", 20, 430), ("b", 400, 20), ("a", 20, 60)], ("a", "b", "c", "d")),
    "twice-the-same": ([("a", 20, 20), ("a", 400, 20), ("b", 20, 400)], ("a", "b")),
}


@pytest.mark.parametrize("name", SHEETS)
def test_several_codes_come_once_each_in_reading_order(name: str) -> None:
    codes, texts = SHEETS[name]
    sheet = Image.new("L", (700, 700), 255)
    for text, x, y in codes:
        sheet.paste(grey(code_png(text)), (x, y))
    assert scan(sheet) == texts


def test_a_code_and_a_bar_code_in_one_picture() -> None:
    sheet = Image.new("L", (700, 560), 255)
    sheet.paste(grey(bars_png()), (50, 20))
    sheet.paste(grey(code_png()), (50, 220))
    assert scan(saved(sheet)) == (CODE, URL)


def test_other_symbologies_are_not_ours() -> None:
    for kind in ("DataMatrix", "EAN13", "MicroQRCode"):
        barcode = zxingcpp.create_barcode("4006381333931", zxingcpp.BarcodeFormat[kind])
        pixels = memoryview(barcode.to_image(scale=4))
        picture = Image.frombytes("L", pixels.shape[::-1], bytes(pixels))
        assert zxingcpp.read_barcodes(picture)
        assert scan(picture) == ()


# Kinds of pictures

MODES: dict[str, Callable[[Picture], Picture]] = {
    "one-bit": lambda picture: picture.convert("1"),
    "grey": lambda picture: picture,
    "grey-and-alpha": lambda picture: picture.convert("LA"),
    "palette": lambda picture: picture.convert("P"),
    "colour": lambda picture: picture.convert("RGB"),
    "16-bit-grey": lambda picture: picture.point(lambda shade: shade * 257, "I").convert("I;16"),
    "faint-16-bit-grey": lambda picture: picture.point(lambda shade: 9000 + shade * 99, "I").convert("I;16"),
    "black-on-transparent": lambda picture: _on_transparent(picture, 0),
}


def _on_transparent(picture: Picture, shade: int) -> Picture:
    """Dark modules opaque, all else black and transparent, as logos are saved."""
    sheet = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    sheet.paste((shade, shade, shade, 255), mask=picture.point(lambda shade: 255 - shade))
    return sheet


@pytest.mark.parametrize("name", MODES)
def test_any_depth_of_colour_is_read_as_an_image_and_as_png(name: str) -> None:
    picture = MODES[name](grey(code_png()))
    assert scan(picture) == (URL,)
    assert scan(saved(picture)) == (URL,)


def test_a_palette_with_a_transparent_colour_is_read() -> None:
    picture = grey(code_png()).point(lambda shade: shade // 255).convert("P")
    picture.putpalette([0, 0, 0, 0, 0, 0])
    assert scan(saved(picture, transparency=1)) == (URL,)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3000, 1), (2, 2)])
def test_a_tiny_picture_holds_no_code(size: tuple[int, int]) -> None:
    assert scan(Image.new("L", size)) == ()


def test_any_bytes_will_do() -> None:
    assert scan(bytearray(code_png())) == scan(memoryview(code_png())) == (URL,)


# bytes in a symbol that states no character set -> the text
UNDECLARED = {
    "utf-8": (CHINESE.encode(), CHINESE),
    "shift-jis": ("日本語".encode("shift_jis"), "日本語"),
    "latin-1": ("Café".encode("latin-1"), "Café"),
    "binary": (b"\xff\xfe\x00\x80abc", "\xff\xfe\x00\x80abc"),
}


@pytest.mark.parametrize("name", UNDECLARED)
def test_bytes_without_a_character_set_come_as_text(name: str) -> None:
    from qrcode import QRCode, util

    payload, text = UNDECLARED[name]
    code = QRCode(box_size=4)
    code.add_data(util.QRData(payload, mode=util.MODE_8BIT_BYTE))
    assert scan(code.make_image().get_image()) == (text,)


# Files that lie


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))


def png_with(*extra: bytes, times: int = 1) -> bytes:
    """The code's PNG with further chunks after its header."""
    return code_png()[:33] + b"".join(extra) * times + code_png()[33:]


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    """The code's JPEG with further segments at its start."""
    jpeg = saved(grey(code_png()), "JPEG")
    extra = (struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return jpeg[:2] + b"".join(extra) + jpeg[2:]


def jpeg_frame(width: int, height: int) -> tuple[int, bytes]:
    return 0xC0, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"


def scanned_often(times: int) -> bytes:
    jpeg = saved(grey(code_png()), "JPEG", progressive=True)
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + last * times + jpeg[-2:]


REFUSED = {
    "nothing": (b"", "nothing"),
    "text": (b"https://pay.example/7", "PNG or JPEG"),
    "gif": (saved(Image.new("L", (9, 9)), "GIF"), "47 49 46 38"),
    "bmp": (saved(Image.new("L", (9, 9)), "BMP"), "42 4d"),
    "tiff": (saved(Image.new("L", (9, 9)), "TIFF"), "PNG or JPEG"),
    "svg": (symbol.svg(URL).encode(), "3c 73 76 67"),
    "magic-cut": (PNG_MAGIC[:7], "PNG or JPEG"),
    "png-bomb": (PNG_MAGIC + header(100_000, 100_000) + chunk(b"IEND", b""), "100000 x 100000 pixels"),
    "png-bomb-largest": (PNG_MAGIC + header(2**32 - 1, 2**32 - 1), "4294967295 x 4294967295 pixels"),
    "jpeg-bomb": (jpeg_with(jpeg_frame(65_535, 65_535)), "65535 x 65535 pixels"),
    "one-pixel-too-many": (PNG_MAGIC + header(50_000_001, 1), "50000001 x 1 pixels"),
    "too-many-bytes": (PNG_MAGIC + bytes(32 * 1024 * 1024), "33554440 bytes"),
    "too-many-chunks": (png_with(chunk(b"tEXt", b""), times=65_536), "65536 chunks"),
    "too-many-segments": (jpeg_with(*[(0xFE, b"")] * 65_536), "65536 segments"),
    "too-many-scans": (scanned_often(32), "32 scans"),
}

DAMAGED = {
    "png-magic-alone": PNG_MAGIC,
    "png-without-header": PNG_MAGIC + chunk(b"IDAT", b"") + chunk(b"IEND", b""),
    "png-with-two-headers": png_with(header(9, 9)),
    "png-header-too-short": PNG_MAGIC + chunk(b"IHDR", b"\x00\x00") + chunk(b"IEND", b""),
    "png-of-no-pixels": PNG_MAGIC + header(0, 0) + chunk(b"IEND", b""),
    "png-without-data": PNG_MAGIC + header(9, 9) + chunk(b"IEND", b""),
    "png-chunk-beyond-the-end": PNG_MAGIC + header(9, 9) + b"\xff\xff\xff\xffIDAT\x00\x00\x00\x00",
    "png-wrong-checksum": code_png()[:-20] + bytes([code_png()[-20] ^ 1]) + code_png()[-19:],
    "jpeg-magic-alone": b"\xff\xd8\xff",
    "jpeg-without-frame": b"\xff\xd8\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\xff\xd9",
    "jpeg-with-two-frames": jpeg_with(jpeg_frame(9, 9)),
    "jpeg-segment-beyond-the-end": b"\xff\xd8\xff\xe0\xff\xff",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_outside_the_limits_never_reaches_pillow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, words = REFUSED[name]
    monkeypatch.setattr(Image, "open", lambda *a, **k: pytest.fail("pillow was asked"))
    with pytest.raises(Unsupported, match=re.escape(words)):
        scan(file)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_a_decode_error(name: str) -> None:
    with pytest.raises(DecodeError):
        scan(DAMAGED[name])


def test_an_image_above_the_limit_is_refused_before_its_pixels_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture = Image.open(io.BytesIO(code_png()))
    monkeypatch.setattr(scanning, "MAX_PICTURE_PIXELS", 1000)
    monkeypatch.setattr(picture, "load", lambda: pytest.fail("the pixels were read"))
    with pytest.raises(Unsupported, match="pixels"):
        scan(picture)


@pytest.mark.parametrize("name", ["code.png", "png-path", "number", "nothing"])
def test_what_is_no_picture_is_a_usage_error(name: str) -> None:
    things = {"code.png": "code.png", "png-path": io.BytesIO(code_png()), "number": 7, "nothing": None}
    with pytest.raises(UsageError, match="PNG or JPEG bytes or a pillow image"):
        scan(things[name])  # type: ignore[arg-type]


SEALED_EXIF = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + b"\x12\x01\x03\x00\xff\xff\xff\xff" * 9
CARRIED_ALONG = {
    "png-text-bomb": png_with(chunk(b"zTXt", b"k\x00\x00" + zlib.compress(bytes(80_000_000)))),
    "png-profile-bomb": png_with(chunk(b"iCCP", b"k\x00\x00" + zlib.compress(bytes(80_000_000)))),
    "png-broken-exif": png_with(chunk(b"eXIf", SEALED_EXIF)),
    "png-unknown-chunk": png_with(chunk(b"paYm", b"1302")),
    "png-animation": png_with(chunk(b"acTL", struct.pack(">II", 9, 0))),
    "png-bytes-after-the-end": code_png() + code_png(),
    "jpeg-broken-exif": jpeg_with((0xE1, SEALED_EXIF)),
    "jpeg-broken-multi-picture": jpeg_with((0xE2, b"MPF\x00II*\x00\xff\xff\xff\xff")),
    "jpeg-broken-profile": jpeg_with((0xE2, b"ICC_PROFILE\x00\x07\x01")),
    "jpeg-broken-resources": jpeg_with((0xED, b"Photoshop 3.0\x008BIM\x04\x04\xff")),
    "jpeg-comment-with-a-frame": jpeg_with((0xFE, b"\xff\xc0" + jpeg_frame(60_000, 60_000)[1])),
    "jpeg-fill-bytes": saved(grey(code_png()), "JPEG").replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1),
    "jpeg-many-scans": scanned_often(20),
}


@pytest.mark.parametrize("name", CARRIED_ALONG)
def test_what_a_file_carries_along_does_not_matter(name: str) -> None:
    # A warning of pillow would be an error here (filterwarnings in pyproject.toml).
    assert scan(CARRIED_ALONG[name]) == (URL,)


@pytest.mark.parametrize(
    "whole", [code_png(module_px=3), saved(grey(code_png(module_px=3)), "JPEG", quality=20)]
)
def test_every_cut_of_a_file_is_named(whole: bytes) -> None:
    kind = {b"\x89": "PNG", b"\xff": "JPEG"}[whole[:1]]
    magic_bytes = {"PNG": 8, "JPEG": 3}[kind]
    for length in range(len(whole) - 2):
        with pytest.raises(DecodeError if length >= magic_bytes else Unsupported):
            scan(whole[:length])


# Random files: an error of ours, no code, or the code that is there; nothing else, and no warning.


def outcome(file: bytes) -> tuple[str, ...]:
    try:
        return scan(file)
    except (DecodeError, Unsupported):
        return ()


@pytest.mark.parametrize("magic", [b"", PNG_MAGIC, PNG_MAGIC + header(40, 40), b"\xff\xd8\xff"])
def test_random_bytes_hold_no_code(magic: bytes) -> None:
    draw = random.Random(7)
    for _ in range(count(5000)):
        assert outcome(magic + draw.randbytes(draw.randint(0, 400))) == ()


@pytest.mark.parametrize(
    "whole",
    [
        code_png(module_px=3),
        saved(grey(code_png(module_px=3)).convert("P")),
        saved(grey(code_png(module_px=3)), "JPEG", quality=30),
        saved(grey(code_png(module_px=3)).convert("RGB"), "JPEG", quality=30, progressive=True),
    ],
    ids=["png", "png-palette", "jpeg", "jpeg-progressive"],
)
def test_a_mutated_file_gives_its_code_or_an_error(whole: bytes) -> None:
    draw = random.Random(11)
    for _ in range(count(3000)):
        assert outcome(mutated(whole, draw)) in {(), (URL,)}


def mutated(whole: bytes, draw: random.Random) -> bytes:
    """The file with up to four bytes changed, runs cut out or doubled; checksums of a PNG made good again."""
    file = bytearray(whole)
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(2, len(file))
        end = min(len(file), start + draw.randint(1, 12))
        change = draw.randrange(4)
        if change == 0:
            del file[start:end]
        elif change == 1:
            file[start:start] = file[start:end]
        else:
            file[start] = draw.randrange(256)
    return checksums_mended(bytes(file)) if draw.random() < 0.5 else bytes(file)


def checksums_mended(file: bytes) -> bytes:
    parts, offset = [file[:8]], 8
    while file[:4] == PNG_MAGIC[:4] and offset + 12 <= len(file):
        (length,) = struct.unpack_from(">I", file, offset)
        parts.append(chunk(file[offset + 4 : offset + 8], file[offset + 8 : offset + 8 + length]))
        offset += 12 + length
    return b"".join(parts) if len(parts) > 1 else file


def test_without_zxing_the_line_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'paysim[scan]'")):
        scan(code_png())
