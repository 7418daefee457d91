"""WeChat Pay's keys in a sandbox: who is suspected when a signature is wrong, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from paysim import Sandbox
from paysim.codec.http import Request
from paysim.operators.wechat.signing import authorization

TARGET = "/v3/pay/transactions/native"


def test_another_merchants_key_was_not_named_before_that_merchant_had_asked_for_anything(
    tmp_path: Path,
) -> None:
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    with Sandbox(store=store, keys=tmp_path / "keys") as sandbox:
        ours, theirs = (sandbox.wechat.onboard(sandbox.shop(name).facts) for name in ("Ours", "Theirs"))
        sandbox.wechat.keys(theirs.mchid)
    with Sandbox(store=store, keys=tmp_path / "keys") as sandbox:
        wechat = sandbox.wechat
        body, now_s = b'{"mchid":"1"}', wechat.wall_ms() // 1000
        keys = wechat.keys(ours.mchid)
        assert keys is not None
        with Sandbox(keys=tmp_path / "keys") as other:
            signer = other.wechat.secrets.merchant(theirs.mchid).signer
        mistaken = replace(keys, signer=signer)
        signed = authorization(mistaken, "POST", TARGET, body, "0" * 32, now_s)
        headers = {"authorization": signed, "user-agent": "test", "accept": "*/*"}
        answer = wechat.receive(Request("POST", TARGET, headers, body))
        assert answer.code == "SIGN_ERROR"
        assert f"{theirs.mchid}'s API key" in answer.why


def test_an_explanation_mints_no_keys(tmp_path: Path) -> None:
    with Sandbox(keys=tmp_path / "keys") as sandbox:
        merchants = [sandbox.wechat.onboard(sandbox.shop(f"Shop {n}").facts) for n in range(3)]
        names = sandbox.wechat.others().keys()
        assert not any(merchant.mchid in name for merchant in merchants for name in names)
        assert not list((tmp_path / "keys").glob("wechat-19*"))
