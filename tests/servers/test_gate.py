"""Where the proxy leads a request: rows of what was asked, and what became of it."""

from __future__ import annotations

import contextlib

import pytest
from counts import count
from hypothesis import given, settings
from hypothesis import strategies as st

from paysim.operators.wechat.hosts import WECHAT_DOMAINS, WECHAT_HOSTS
from paysim.servers.gate import Asked, Refused, Rules, judge, parse

ALLOW = ("*.example", "127.0.0.*", "::1", "*qq.com", "api.mch.weixin.qq.com", "[0-9a-z]*")
RULES = Rules(WECHAT_HOSTS, WECHAT_DOMAINS, ALLOW)
CLOSED = Rules(WECHAT_HOSTS, WECHAT_DOMAINS)


def way(target: str, rules: Rules = RULES, method: str = "CONNECT") -> str:
    """The way, or the status and the line that refuse it."""
    try:
        return judge(parse(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()), rules)
    except Refused as refused:
        return f"{refused.status} {refused}"


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        *((f"{host}:443", "wallet") for host in WECHAT_HOSTS),
        ("API.Mch.Weixin.QQ.com:443", "wallet"),
        ("api.mch.weixin.qq.com.:443", "wallet"),
        ("shop.example:443", "tunnel"),
        ("shop.example:8443", "tunnel"),
        ("SHOP.EXAMPLE:443", "tunnel"),
        ("127.0.0.1:9000", "tunnel"),
        ("[::1]:9000", "tunnel"),
        ("[0:0:0:0:0:0:0:1]:9000", "tunnel"),
        ("mp.weixin.qq.com:443", "tunnel"),
        # a wallet's, in a way that we do not answer: never let through
        ("api.mch.weixin.qq.com:80", "403 refused api.mch.weixin.qq.com:80: the wallets' hosts are"),
        ("api.mch.weixin.qq.com:8443", "403 refused"),
        ("api3.mch.weixin.qq.com:443", "403 refused api3.mch.weixin.qq.com:443: it is a wallet's"),
        ("fraud.mch.weixin.qq.com:443", "403 refused"),
        ("mch.weixin.qq.com:443", "403 refused"),
        ("pay.weixin.qq.com:443", "403 refused"),
        ("x.api.mch.weixin.qq.com:443", "403 refused"),
        ("PAY.WECHATPAY.CN.:443", "403 refused"),
        # addresses want a glob of addresses: 203.205.239.154 may be a wallet's
        ("203.205.239.154:443", "403 refused 203.205.239.154:443: only the wallets' hosts"),
        ("[2402:4e00::1]:443", "403 refused [2402:4e00::1]:443: only"),
        ("[::ffff:203.205.239.154]:443", "403 refused"),
        ("3419271066:443", "403 refused"),
        ("0xcbcdef9a:443", "403 refused"),
        ("203.0xcd.61338:443", "403 refused"),
        ("pypi.localdomain.10:443", "403 refused"),
    ],
)
def test_where_a_connection_goes(target: str, wanted: str) -> None:
    assert way(target).startswith(wanted)


@pytest.mark.parametrize(
    ("target", "glob"),
    [("shop.example:443", "shop.example"), ("10.1.2.3:443", "10.1.2.3"), ("[fe80::1]:443", "fe80::1")],
)
def test_the_line_names_the_option_that_helps(target: str, glob: str) -> None:
    assert way(target, CLOSED) == (
        f"403 refused {target}: only the wallets' hosts are simulated;"
        f" to let this one through untouched: --allow-host {glob}"
    )
    assert way(target, Rules(WECHAT_HOSTS, WECHAT_DOMAINS, (glob,))) == "tunnel"
    assert way(target, Rules(WECHAT_HOSTS, WECHAT_DOMAINS, (glob.upper(),))) == "tunnel"


def test_the_line_names_no_option_where_none_helps() -> None:
    for host in ("pay.weixin.qq.com:443", "api.mch.weixin.qq.com:80"):
        assert "--allow-host" not in way(host, CLOSED)


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("http://shop.example/a?b=c", "forward"),
        ("HTTP://shop.example:8080", "forward"),
        ("http://127.0.0.1:8080/", "forward"),
        ("http://api.mch.weixin.qq.com/v3/x", "403 refused http://api.mch.weixin.qq.com:80: the wallets'"),
        ("http://api.mch.weixin.qq.com:443/v3/x", "403 refused"),
        ("http://pay.weixin.qq.com/", "403 refused"),
        ("http://10.0.0.1/", "403 refused 10.0.0.1:80: only the wallets' hosts"),
        ("http://user@shop.example/", "400 a host is a name"),
        ("https://shop.example/", "400 this is a proxy"),
        ("/v3/pay/transactions/native", "400 this is a proxy"),
        ("*", "400 this is a proxy"),
        ("shop.example:443", "400 this is a proxy"),
    ],
)
def test_where_a_plain_request_goes(target: str, wanted: str) -> None:
    assert way(target, method="GET").startswith(wanted)


def test_what_a_host_is_sent() -> None:
    head = (
        b"POST http://Shop.example:8080/a?b=%20c HTTP/1.1\r\nHost: Shop.example:8080\r\n"
        b"Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nConnection: keep-alive\r\n"
        b"Content-Length: 2\r\nX: caf\xe9\r\n\r\n"
    )
    assert parse(head) == Asked(
        "shop.example",
        8080,
        b"POST /a?b=%20c HTTP/1.1\r\nHost: Shop.example:8080\r\nContent-Length: 2\r\nX: caf\xe9\r\n"
        b"Connection: close\r\n\r\n",
    )
    assert parse(b"GET http://e.example?a HTTP/1.0\r\n\r\n").head.startswith(b"GET /?a HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "line",
    [
        "CONNECT shop.example HTTP/1.1",
        "CONNECT shop.example: HTTP/1.1",
        "CONNECT shop.example:0 HTTP/1.1",
        "CONNECT shop.example:65536 HTTP/1.1",
        "CONNECT shop.example:+443 HTTP/1.1",
        "CONNECT shop.example:４４３ HTTP/1.1",
        "CONNECT :443 HTTP/1.1",
        "CONNECT a..b:443 HTTP/1.1",
        "CONNECT .a:443 HTTP/1.1",
        "CONNECT a%2eb:443 HTTP/1.1",
        "CONNECT a\x00b:443 HTTP/1.1",
        "CONNECT ａpi.mch.weixin.qq.com:443 HTTP/1.1",
        "CONNECT [::1:443 HTTP/1.1",
        "CONNECT [::g]:443 HTTP/1.1",
        "CONNECT ::1:443 HTTP/1.1",
        "CONNECT [127.0.0.1]:443 HTTP/1.1",
        f"CONNECT {'a' * 254}:443 HTTP/1.1",
        "CONNECT a:443 HTTP/2",
        "CONNECT a:443",
        "CONNECT  a:443 HTTP/1.1",
        "GET HTTP/1.1",
        "",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_request(line: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(f"{line}\r\n\r\n".encode())
    assert caught.value.status == 400


PIECES = st.sampled_from(
    ["CONNECT", "GET", " ", "\r\n", "\r\n\r\n", ":443", ":", "[", "]", "::1", "%", ".", "http://", "/", "@",
     "api.mch.weixin.qq.com", "HTTP/1.1", "0x7f", "127.0.0.1", "\x00", "é"]
)  # fmt: skip


@settings(max_examples=count(300))
@given(st.lists(PIECES | st.text(max_size=5), max_size=12).map(lambda parts: "".join(parts).encode()))
def test_any_head_is_asked_or_refused(head: bytes) -> None:
    with contextlib.suppress(Refused):
        assert judge(parse(head), RULES) in ("wallet", "tunnel", "forward")


@settings(max_examples=count(300))
@given(
    st.sampled_from([*WECHAT_HOSTS, *WECHAT_DOMAINS]),
    st.integers(1, 65535),
    st.text("ab.-", max_size=4),
    st.sampled_from(["", "."]),
    st.booleans(),
)
def test_no_wallet_ever_passes(host: str, port: int, below: str, dot: str, plain: bool) -> None:
    authority = f"{below}.{host}{dot}:{port}" if below else f"{host}{dot}:{port}"
    method, target = ("GET", f"http://{authority}/") if plain else ("CONNECT", authority)
    found = way(target, Rules(WECHAT_HOSTS, WECHAT_DOMAINS, ("*", "*.*", host, "0*")), method)
    assert found == "wallet" or found.startswith(("403", "400"))
