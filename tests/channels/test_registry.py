"""Which channels there are: ours, those of installed packages, and those given to a sandbox."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from paysim import (
    CNY,
    Capabilities,
    Claim,
    DecodeError,
    Presented,
    PresentRequest,
    Sandbox,
    Unsupported,
    UsageError,
)
from paysim.channels import Registry, ShopFacts
from paysim.channels.channel import ALL_VERBS
from paysim.channels.qr import MerchantCode, PayerCode, StaticCode, payer_code
from paysim.channels.registry import GROUP

OURS = ("contactless", "in_app.wechat", "qr.merchant", "qr.payer", "qr.static", "qr.wechat")
SHOP = ShopFacts("tea", "Tea House")
REQUEST = PresentRequest(SHOP, "0000000001123456", CNY("12.80"), 0, "654321")


class Whistle:
    """A stranger's channel."""

    name = "sound.whistle"
    capabilities = Capabilities()

    def present(self, request: PresentRequest) -> Presented:
        return Presented(f"whistle {request.order}")

    def read(self, text: str) -> Claim | None:
        return Claim(self.name, order=text[8:]) if text.startswith("whistle ") else None


class Fresh(MerchantCode):
    """Ours, with other capabilities."""

    capabilities = Capabilities(manual_capture=False)


class Point(NamedTuple):
    """What `importlib.metadata` gives for an entry point."""

    name: str
    made: type

    def load(self) -> type:
        return self.made


def packages(monkeypatch: pytest.MonkeyPatch, *points: Point) -> list[str]:
    asked: list[str] = []

    def entry_points(group: str) -> Any:
        asked.append(group)
        return points

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    return asked


def test_ours_are_there_and_are_entry_points_too() -> None:
    assert set(OURS) <= set(Registry().names())
    for name in OURS:
        assert Registry().channel(name).name == name


def test_a_package_brings_a_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = packages(monkeypatch, Point("sound.whistle", Whistle), Point("qr.merchant", Fresh))
    registry = Registry()
    registry.channel("qr.merchant")
    assert asked == []
    assert registry.read("whistle 7") == Claim("sound.whistle", order="7")
    assert registry.channel("sound.whistle").name == "sound.whistle"
    assert registry.names() == tuple(sorted((*OURS, "sound.whistle")))
    assert asked == [GROUP]
    assert registry.channel("qr.merchant").capabilities.manual_capture


def test_a_channel_that_is_not_there_is_named_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    packages(monkeypatch)
    with pytest.raises(UsageError, match=r"no channel 'qr\.merchent'.*qr\.merchant, qr\.payer, qr\.static"):
        Registry().channel("qr.merchent")


def test_one_given_takes_the_place_of_one_with_its_name() -> None:
    registry = Registry()
    registry.register(Fresh())
    assert not registry.channel("qr.merchant").capabilities.manual_capture


def test_a_sandbox_has_its_own() -> None:
    with Sandbox() as one, Sandbox() as other:
        one.register(Whistle())
        assert "sound.whistle" in one.channels
        assert "sound.whistle" not in other.channels


# What our channels show and read. -------------------------------------------------------------------


def test_an_orders_code_says_whose_it_is() -> None:
    shown = MerchantCode().present(REQUEST)
    assert MerchantCode().read(shown.text) == Claim("qr.merchant", "tea", "0000000001123456")
    assert shown.lifetime_ms == 2 * 3_600_000


def test_a_standing_code_says_whose_it_is() -> None:
    shown = StaticCode().present(REQUEST._replace(order="", money=CNY("0")))
    assert Registry().read(shown.text) == Claim("qr.static", "tea", stand="654321")
    assert shown.lifetime_ms is None
    assert "12.80" not in shown.text


def test_a_payers_code() -> None:
    text = payer_code("0123456789012345")
    assert PayerCode().read(text) == Claim("qr.payer", code=text)
    assert PayerCode().present(REQUEST).text == ""


NOT_OURS = [
    "",
    "hello",
    "https://example.com/",
    "130123456789012345",  # a WeChat code
    "280123456789012345",  # an Alipay code
    "9912345678901234",  # too short
    "99123456789012345678",  # too long
    "99１２３４５６７８９０１２３４５６",
    "00020101021126210014com.unionpay.x",
]


@pytest.mark.parametrize("text", NOT_OURS)
def test_what_is_not_ours(text: str) -> None:
    assert Registry().read(text) is None


@pytest.mark.parametrize("position", range(0, 100, 3))
def test_a_damaged_code_of_ours_is_an_error_with_its_place(position: int) -> None:
    text = MerchantCode().present(REQUEST).text
    damaged = text[:position] + chr(ord(text[position]) ^ 1) + text[position + 1 :]
    try:
        assert Registry().read(damaged) is None
    except DecodeError as error:
        place = error.offset
        assert 0 <= place <= len(text)


@pytest.mark.parametrize("name", ["Café 茶", "A" * 40, "x" * 25, "Ünïcödé", "茶" * 60, "12345"])
def test_any_shop_can_show_its_code(name: str) -> None:
    with Sandbox() as sandbox:
        shop = sandbox.shop(name)
        alice = sandbox.person("Alice", balance=CNY("20"))
        order = shop.create(CNY("1.00"))
        assert alice.scan(order.present("qr.merchant").text).confirm().approved
        assert alice.scan(shop.static_code().text).pay(CNY("1.00")).approved


def test_capabilities_are_what_is_written_in_the_readme() -> None:
    assert MerchantCode().capabilities == Capabilities()
    assert StaticCode().capabilities.verbs == ALL_VERBS - {"create"}
    assert StaticCode().capabilities.standing
    assert PayerCode().capabilities == Capabilities(shown_by="payer", single_use=True)


def test_what_no_channel_takes_is_named_for_what_it_looks_like() -> None:
    with Sandbox() as sandbox:
        with pytest.raises(Unsupported, match="payment_code"):
            sandbox.person("Alice").scan("130123456789012345")
        with pytest.raises(Unsupported, match="unknown"):
            sandbox.person("Alice").scan("hello")
