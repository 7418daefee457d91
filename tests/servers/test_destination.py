"""Where callbacks may go: notify_url rules, rewrites by whole hosts and segments, addresses judged."""

from __future__ import annotations

import pytest
from counts import count
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paysim.core.errors import ConfigError
from paysim.servers.destination import Policy, check_notify_url, is_loopback, parse_rewrite, refusal

LONGEST = "https://shop.example/" + "n" * 234

NOTIFY_URLS = (
    # url, word of the refusal or "", word of the strict refusal or "" where it is the same
    ("https://shop.example/notify", "", ""),
    ("https://shop.example", "", ""),
    ("https://shop.example:8443/notify", "", ""),
    ("https://xn--bnq875c.example/notify", "", ""),
    ("https://支付.example/通知", "", ""),
    ("http://93.184.216.34/notify", "", ""),
    ("https://[2606:2800:21f::1]/notify", "", ""),
    (LONGEST, "", ""),
    ("http://127.0.0.1:8000/notify", "", "internet"),
    ("http://127.1:8000/notify", "", "internet"),
    ("http://2130706433/notify", "", "internet"),
    ("http://0x7f.1/notify", "", "internet"),
    ("http://localhost:8000/notify", "", "internet"),
    ("http://LOCALHOST./notify", "", "internet"),
    ("http://shop.localhost/notify", "", "internet"),
    ("http://intranet/notify", "", "internet"),
    ("http://printer.local/notify", "", "internet"),
    ("http://10.1.2.3/notify", "", "internet"),
    ("http://192.168.1.5/notify", "", "internet"),
    ("http://100.100.100.200/notify", "", "internet"),
    ("http://169.254.169.254/notify", "", "internet"),
    ("http://[::1]/notify", "", "internet"),
    ("http://[::ffff:10.0.0.1]/notify", "", "internet"),
    ("http://[fd00::1]/notify", "", "internet"),
    ("https://shop.example/notify?x=1", "query", "query"),
    ("https://shop.example/notify?", "query", "query"),
    ("https://shop.example/notify#x", "fragment", "fragment"),
    (LONGEST + "n", "255", "255"),
    ("", "http://", "http://"),
    ("shop.example/notify", "http://", "http://"),
    ("ftp://shop.example/notify", "http://", "http://"),
    ("javascript:alert(1)", "http://", "http://"),
    ("https:///notify", "no host", "no host"),
    ("https://a b/notify", "no host", "no host"),
    ("https://a%2eb/notify", "no host", "no host"),
    ("https://-/notify", "no host", "no host"),
    ("https://user:secret@shop.example/notify", "user name", "user name"),
    ("https://127.0.0.1\\@shop.example/notify", "user name", "user name"),
    ("https://shop.example:0/notify", "port", "port"),
    ("https://shop.example:65536/notify", "port", "port"),
    ("https://shop.example:x/notify", "not a URL", "not a URL"),
    ("https://256.1.1.1/notify", "not a URL", "not a URL"),
    ("https://[::1/notify", "not a URL", "not a URL"),
    ("https://shop.example/no\ntify", "not a URL", "not a URL"),
    ("https://shop.example/\ud800", "not a URL", "not a URL"),
    ("https://１２７.0.0.1/notify", "not a URL", "not a URL"),
)


@pytest.mark.parametrize(("url", "word", "strict_word"), NOTIFY_URLS)
def test_which_notify_urls_an_order_may_name(url: str, word: str, strict_word: str) -> None:
    for strict, expected in ((False, word), (True, strict_word)):
        why = check_notify_url(url, strict)
        assert bool(why) == bool(expected)
        assert expected in why


@settings(max_examples=count(2000))
@given(st.text(max_size=60) | st.text("htps:/@[]%.#?01x\\\0é。", max_size=30).map("http://".__add__))
@example("http://" + "a" * 300)
@example("http://é" + "." * 300)
def test_any_text_is_judged_in_words(url: str) -> None:
    assert isinstance(check_notify_url(url, strict=True), str)
    try:
        place = Policy(rewrites=(("http://x", "http://y"),)).destination(url).place
    except ValueError:
        return
    assert place.scheme in ("http", "https")
    assert place.host.isascii()
    assert "@" not in place.host
    assert 0 < place.port < 65536
    assert Policy().destination(str(place)).place == place


REWRITES = (
    # prefix, its end, url, where it goes ("" = nowhere else)
    (
        "https://shop.example",
        "http://127.0.0.1:8000",
        "https://shop.example/notify",
        "http://127.0.0.1:8000/notify",
    ),
    (
        "https://shop.example",
        "http://127.0.0.1:8000",
        "https://SHOP.example:443/n",
        "http://127.0.0.1:8000/n",
    ),
    ("https://shop.example", "http://127.0.0.1:8000", "https://shop.example./n", "http://127.0.0.1:8000/n"),
    ("https://shop.example", "http://127.0.0.1:8000", "https://shop.example", "http://127.0.0.1:8000/"),
    ("https://shop.example/", "http://[::1]:8000/", "https://shop.example/n", "http://[::1]:8000/n"),
    ("https://shop.example/pay", "http://127.0.0.1", "https://shop.example/pay/n", "http://127.0.0.1/n"),
    ("https://shop.example/pay", "http://127.0.0.1", "https://shop.example/pay", "http://127.0.0.1/"),
    (
        "https://shop.example/pay/",
        "http://127.0.0.1/in",
        "https://shop.example/pay/n",
        "http://127.0.0.1/in/n",
    ),
    (
        "https://shop.example/pay",
        "http://127.0.0.1/in/",
        "https://shop.example/pay/n/",
        "http://127.0.0.1/in/n/",
    ),
    (
        "https://shop.example",
        "http://127.0.0.1:8000",
        "https://shop.example/n?a=b",
        "http://127.0.0.1:8000/n?a=b",
    ),
    (
        "https://支付.example",
        "http://127.0.0.1:8000",
        "https://xn--bnq875c.example/n",
        "http://127.0.0.1:8000/n",
    ),
    ("https://shop.example:8443", "http://localhost", "https://shop.example:8443/n", "http://localhost/n"),
    ("https://shop.example", "http://127.0.0.1:8000", "https://shop.example.evil/n", ""),
    ("https://shop.example", "http://127.0.0.1:8000", "https://evil-shop.example/n", ""),
    ("https://shop.example", "http://127.0.0.1:8000", "https://shop.example:8443/n", ""),
    ("https://shop.example", "http://127.0.0.1:8000", "http://shop.example/n", ""),
    ("https://shop.example/pay", "http://127.0.0.1", "https://shop.example/payment", ""),
    ("https://shop.example/pay", "http://127.0.0.1", "https://shop.example/PAY/n", ""),
    ("https://shop.example/pay", "http://127.0.0.1", "https://shop.example/", ""),
)


@pytest.mark.parametrize(("prefix", "end", "url", "goes"), REWRITES)
def test_a_rewrite_matches_whole_hosts_and_segments(prefix: str, end: str, url: str, goes: str) -> None:
    destination = Policy(rewrites=((prefix, end),)).destination(url)
    assert str(destination.place) == (goes or str(destination.asked))


def test_the_first_rewrite_that_matches_counts_and_none_follows_it() -> None:
    policy = Policy(
        rewrites=(
            ("https://shop.example/pay", "http://127.0.0.1:1"),
            ("https://shop.example", "http://127.0.0.1:2"),
            ("http://127.0.0.1:2", "http://127.0.0.1:3"),
        )
    )
    assert str(policy.destination("https://shop.example/pay/n").place) == "http://127.0.0.1:1/n"
    assert str(policy.destination("https://shop.example/n").place) == "http://127.0.0.1:2/n"


PATTERNS = (
    # pattern, hosts that it names, hosts that it does not
    ("shop.example", ("shop.example", "shop.example."), ("a.shop.example", "shop.example.evil")),
    ("*.shop.example", ("a.shop.example", "a.b.shop.example"), ("shop.example", "shopXexample")),
    ("SHOP.example", ("shop.example",), ()),
    ("支付.example", ("xn--bnq875c.example",), ()),
    ("*.支付.example", ("a.xn--bnq875c.example",), ()),
    ("192.168.1.*", ("192.168.1.7",), ("192.168.2.7",)),
    ("fd00:*:7", ("fd00::7",), ("fd01::7",)),
    ("[fd00::7]", ("fd00::7",), ("f", "fd00::8")),
    ("*", ("shop.example", "192.168.1.7", "fd00::7"), ()),
)


@pytest.mark.parametrize(("pattern", "named", "others"), PATTERNS)
def test_which_hosts_a_pattern_names(pattern: str, named: tuple[str, ...], others: tuple[str, ...]) -> None:
    policy = Policy(hosts=("unrelated.example", pattern))
    assert [host for host in (*named, *others) if policy.names(host)] == list(named)


WRONG_POLICIES = (
    {"hosts": ("",)},
    {"hosts": ("https://shop.example",)},
    {"hosts": ("shop.example/n",)},
    {"hosts": ("shop.example:8443",)},
    {"hosts": ("a b",)},
    {"hosts": ("支付\u3000x.example",)},
    {"rewrites": (("shop.example", "http://127.0.0.1"),)},
    {"rewrites": (("https://shop.example", "127.0.0.1:8000"),)},
    {"rewrites": (("https://shop.example?x", "http://127.0.0.1"),)},
    {"rewrites": (("https://shop.example", "http://127.0.0.1/#x"),)},
    {"rewrites": (("https://u@shop.example", "http://127.0.0.1"),)},
)


@pytest.mark.parametrize("wrong", WRONG_POLICIES, ids=str)
def test_a_wrong_policy_is_refused_at_birth(wrong: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ConfigError, match=r"--notify-(host|rewrite)"):
        Policy(**wrong)  # type: ignore[arg-type]


def test_a_rewrite_as_it_is_typed() -> None:
    assert parse_rewrite("https://a.example/x=y=http://[::1]:8000/z=1") == (
        "https://a.example/x=y",
        "http://[::1]:8000/z=1",
    )
    for wrong in ("", "https://a.example", "=http://127.0.0.1", "https://a.example=", "https://a=127.0.0.1"):
        with pytest.raises(ConfigError, match="--notify-rewrite"):
            parse_rewrite(wrong)


ADDRESSES = (
    # address, refused by default, refused where its host is named, refused where only public ones count
    ("127.0.0.1", "", "", "not public"),
    ("127.255.255.254", "", "", "not public"),
    ("::1", "", "", "not public"),
    ("::ffff:127.0.0.1", "", "", "not public"),
    ("93.184.216.34", "not loopback", "", ""),
    ("2606:2800:21f::1", "not loopback", "", ""),
    ("10.0.0.1", "not loopback", "", "not public"),
    ("192.168.1.5", "not loopback", "", "not public"),
    ("fd00::1", "not loopback", "", "not public"),
    ("::ffff:10.0.0.1", "not loopback", "", "not public"),
    ("169.254.169.254", "link-local", "link-local", "link-local"),
    ("169.254.0.1", "link-local", "link-local", "link-local"),
    ("::ffff:169.254.169.254", "link-local", "link-local", "link-local"),
    ("::ffff:a9fe:a9fe", "link-local", "link-local", "link-local"),
    ("::a9fe:a9fe", "link-local", "link-local", "link-local"),
    ("2002:a9fe:a9fe::1", "link-local", "link-local", "link-local"),
    ("64:ff9b::169.254.169.254", "link-local", "link-local", "link-local"),
    ("2001:0:a9fe:a9fe::", "link-local", "link-local", "link-local"),
    ("fe80::1", "link-local", "link-local", "link-local"),
    ("fe80::1%eth0", "link-local", "link-local", "link-local"),
    ("febf::1", "link-local", "link-local", "link-local"),
    ("0.0.0.0", "unspecified", "unspecified", "unspecified"),
    ("0.0.0.1", "unspecified", "unspecified", "unspecified"),
    ("::", "unspecified", "unspecified", "unspecified"),
    ("::ffff:0.0.0.0", "unspecified", "unspecified", "unspecified"),
    ("100.100.100.200", "metadata", "metadata", "metadata"),
    ("168.63.129.16", "metadata", "metadata", "metadata"),
    ("192.0.0.192", "metadata", "metadata", "metadata"),
    ("fd00:ec2::254", "metadata", "metadata", "metadata"),
    ("fd20:ce::254", "metadata", "metadata", "metadata"),
    ("224.0.0.1", "multicast", "multicast", "multicast"),
    ("ff02::1", "multicast", "multicast", "multicast"),
    ("255.255.255.255", "reserved", "reserved", "reserved"),
    ("shop.example", "not an address", "not an address", "not an address"),
)


@pytest.mark.parametrize(("address", "by_default", "named", "public_only"), ADDRESSES)
def test_which_addresses_are_called(address: str, by_default: str, named: str, public_only: str) -> None:
    judged = (
        (by_default, refusal(address, named=False, public_only=False)),
        (named, refusal(address, named=True, public_only=False)),
        (public_only, refusal(address, named=True, public_only=True)),
    )
    for expected, why in judged:
        assert bool(why) == bool(expected)
        assert expected in why


def test_mapped_loopback_is_loopback() -> None:
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("::ffff:10.0.0.1")
    assert not is_loopback("::127.0.0.1")
