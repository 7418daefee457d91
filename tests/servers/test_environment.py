"""What a program started by `paysim run` finds in its environment."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import httpx
import pytest
import requests.utils

from paysim.operators.wechat.hosts import WECHAT_HOSTS
from paysim.servers.environment import environment, trusted_files

PROXY = "http://127.0.0.1:8521"
LOCAL = "localhost,127.0.0.1,::1"


def made(base: dict[str, str]) -> dict[str, str]:
    return environment(base, PROXY, "/keys/ca.pem", "/keys/bundle.pem")


def test_what_is_set() -> None:
    assert made({"HOME": "/home/me", "HTTPS_PROXY": "http://corporate:3128"}) == {
        "HOME": "/home/me",
        "HTTPS_PROXY": PROXY,
        "https_proxy": PROXY,
        "NO_PROXY": LOCAL,
        "no_proxy": LOCAL,
        "SSL_CERT_FILE": "/keys/bundle.pem",
        "REQUESTS_CA_BUNDLE": "/keys/bundle.pem",
        "CURL_CA_BUNDLE": "/keys/bundle.pem",
        "NODE_EXTRA_CA_CERTS": "/keys/ca.pem",
        "NODE_USE_ENV_PROXY": "1",
    }


def test_paths_do_not_depend_on_where_the_program_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = environment({}, PROXY, Path(".paysim/ca.pem"), ".paysim/bundle.pem")
    assert found["NODE_EXTRA_CA_CERTS"] == str(tmp_path / ".paysim" / "ca.pem")
    assert found["SSL_CERT_FILE"] == str(tmp_path / ".paysim" / "bundle.pem")


def test_the_base_stays_as_it_is() -> None:
    base = {"NO_PROXY": "intra"}
    made(base)
    assert base == {"NO_PROXY": "intra"}


@pytest.mark.parametrize(
    ("upper", "lower", "more"),
    [
        ("", "", ""),
        ("intra.example, 10.0.0.0/8", "", ",intra.example,10.0.0.0/8"),
        ("a.example", "b.example,a.example", ",a.example,b.example"),
        ("localhost,127.0.0.1", "", ""),
        ("*", "", ""),
        ("*,a.example", "", ",a.example"),
        (".qq.com", "qq.com", ""),
        ("*.weixin.qq.com", "weixin.qq.com:443", ""),
        ("API.mch.weixin.qq.com", ".", ""),
        ("mp.weixin.qq.com,eqq.com,qq.com.example", "", ",mp.weixin.qq.com,eqq.com,qq.com.example"),
        ("com", ".cn", ""),
        (",, ,", " ", ""),
    ],
)
def test_no_proxy_is_merged_and_lets_no_wallet_by(upper: str, lower: str, more: str) -> None:
    found = made({"NO_PROXY": upper, "no_proxy": lower})
    assert found["NO_PROXY"] == found["no_proxy"] == LOCAL + more


def test_what_is_trusted_besides_stays_trusted() -> None:
    base = {
        "SSL_CERT_FILE": "/etc/corporate.pem",
        "REQUESTS_CA_BUNDLE": "/etc/corporate.pem",
        "CURL_CA_BUNDLE": "",
        "NODE_EXTRA_CA_CERTS": "/etc/node.pem",
    }
    assert trusted_files(base) == ("/etc/corporate.pem", "/etc/node.pem")
    assert trusted_files({}) == ()
    assert made(base)["NODE_EXTRA_CA_CERTS"] == "/keys/bundle.pem"


@pytest.mark.parametrize("base", [{}, {"NO_PROXY": "*,intra.example"}])
def test_clients_read_it_as_we_mean_it(base: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in made(base).items():
        if "PROXY" in name.upper():
            monkeypatch.setenv(name, value)
    for host in WECHAT_HOSTS:
        url = f"https://{host}/v3/x"
        assert requests.utils.get_environ_proxies(url)["https"] == PROXY
        assert not urllib.request.proxy_bypass(host)
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert requests.utils.get_environ_proxies(f"http://{host}:8520/") == {}
    assert urllib.request.proxy_bypass("localhost:8520")
    with httpx.Client() as client:
        used = client._transport_for_url
        assert used(httpx.URL("https://api.mch.weixin.qq.com/v3/x")) is not client._transport
        for local in ("https://localhost:8520/", "https://127.0.0.1:8520/", "https://[::1]:8520/"):
            assert used(httpx.URL(local)) is client._transport
