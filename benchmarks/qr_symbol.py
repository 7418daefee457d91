"""QR codes: the matrix, the PNG and the SVG, beside the bare `qrcode` package in the same run.

Run: python benchmarks/qr_symbol.py

The text is a 60-character payment URL at level M: a symbol of 33 modules in all three renderings, the
mask chosen by penalty points in all three. The pictures have 10 pixels a module, which is `qrcode`'s
default. Figures are medians over rounds; in a round each side runs a batch, one after the other.
Budget: the matrix with the scan extra at least 35 times as fast as `qrcode`. What zxing-cpp itself
takes (its call alone, no paysim) is printed too: it is the limit.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Iterable

import qrcode
import zxingcpp
from qrcode.image.svg import SvgPathImage

from paysim.qr import symbol

TEXT = "https://qr.example.com/pay/1234567890abcdefABCDEF?x=12.80&id"
MODULE_PX = 10
ROUNDS = 9
BATCH_SECONDS = 0.05
BUDGET_MATRIX_ZXING = 35


def bare() -> qrcode.QRCode:
    code = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_M, box_size=MODULE_PX)
    code.add_data(TEXT)
    code.make()
    return code


def bare_png() -> bytes:
    file = io.BytesIO()
    bare().make_image().save(file)
    return file.getvalue()


def bare_svg() -> bytes:
    return bare().make_image(image_factory=SvgPathImage).to_string()


def bare_zxing() -> object:
    return zxingcpp.create_barcode(TEXT, zxingcpp.BarcodeFormat.QRCode, ec_level="M")


ROWS: dict[str, tuple[Callable[[], object], Callable[[], object], Callable[[], object]]] = {
    "matrix": (
        bare,
        lambda: symbol.matrix(TEXT, renderer="zxing"),
        lambda: symbol.matrix(TEXT, renderer="qrcode"),
    ),
    "PNG": (
        bare_png,
        lambda: symbol.png(TEXT, module_px=MODULE_PX, renderer="zxing"),
        lambda: symbol.png(TEXT, module_px=MODULE_PX, renderer="qrcode"),
    ),
    "SVG": (
        bare_svg,
        lambda: symbol.svg(TEXT, module_px=MODULE_PX, renderer="zxing"),
        lambda: symbol.svg(TEXT, module_px=MODULE_PX, renderer="qrcode"),
    ),
}


def batch_us(call: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls * 1e6


def medians_us(calls: Iterable[Callable[[], object]]) -> list[float]:
    batches = [(call, max(1, int(BATCH_SECONDS * 1e6 / batch_us(call, 3)))) for call in calls]
    rounds = [[batch_us(call, count) for call, count in batches] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def main() -> None:
    print("us, median    qrcode alone  ours, zxing   ratio  ours, qrcode   ratio")
    for name, calls in ROWS.items():
        bare_us, zxing_us, qrcode_us = medians_us(calls)
        print(
            f"{name:<12}{bare_us:>14.0f}{zxing_us:>13.0f}{bare_us / zxing_us:>8.1f}"
            f"{qrcode_us:>14.0f}{bare_us / qrcode_us:>8.2f}"
        )
        if name == "matrix":
            matrix_ratio = bare_us / zxing_us
    bare_us, limit_us = medians_us((bare, bare_zxing))
    print(
        f"{'limit':<12}{bare_us:>14.0f}{limit_us:>13.0f}{bare_us / limit_us:>8.1f}   zxing-cpp's call alone"
    )
    verdict = "met" if matrix_ratio >= BUDGET_MATRIX_ZXING else "missed"
    print(f"budget: matrix >= {BUDGET_MATRIX_ZXING} x qrcode: {verdict} ({matrix_ratio:.1f})")


if __name__ == "__main__":
    main()
