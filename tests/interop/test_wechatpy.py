"""wechatpy's pay.v3, where its release has it.

No release on PyPI does: not 1.8.18, and not the pre-release 2.0.0a26. It stands in the project's repository
alone (partner orders and the open calls `get` and `post`), and this is written against that.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from shop_front import ShopFront

from paysim.testing.server import RunningServer

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("wechatpy.pay.v3") is None,
    reason=f"wechatpy {importlib.metadata.version('wechatpy')} has no pay.v3, nor has 2.0.0a26",
)

NUMBER = "T-000001"


@contextlib.contextmanager
def opened(server: RunningServer, folder: Path) -> Iterator[Any]:
    """Its client, in certificate mode: the only one it has."""
    wechat = server.description["wechat"]
    pay = importlib.import_module("wechatpy.pay.v3").WeChatPay(
        appid=wechat["appid"],
        apiv3_key=wechat["apiv3_key"],
        mch_id=wechat["mchid"],
        apiclient_cert_path=str(server.keys / wechat["certificate"]),
        apiclient_key_path=str(server.keys / wechat["private_key"]),
        wechat_cert_dir=str(folder),
    )
    pay.API_BASE_URL = f"{server.base_url}/v3/"
    with pay._http:
        pay.update_certificates(skip_check_signature=True)
        yield pay


def test_a_native_order_is_paid_and_told(paysim_server: RunningServer, tmp_path: Path) -> None:
    with opened(paysim_server, tmp_path) as pay, ShopFront() as front:

        def callback(headers: Mapping[str, str], body: bytes) -> Any:
            true = pay.check_response_signature(headers, body.decode())
            return json.loads(pay.parse_message(body)) if true else None

        front.callback = callback
        order = {
            "appid": pay.appid,
            "mchid": pay.mch_id,
            "description": "tea",
            "out_trade_no": NUMBER,
            "notify_url": front.url,
            "amount": {"total": 1280, "currency": "CNY"},
        }
        paysim_server.pay(pay.post("pay/transactions/native", json=order)["code_url"])
        told = front.next().event
        found = pay.get(f"pay/transactions/out-trade-no/{NUMBER}", params={"mchid": pay.mch_id})
    assert told is not None
    assert told["transaction_id"] == found["transaction_id"]
    assert (found["trade_state"], found["amount"]["total"]) == ("SUCCESS", 1280)


def test_refusals_are_its_own_exceptions(paysim_server: RunningServer, tmp_path: Path) -> None:
    refused = importlib.import_module("wechatpy.exceptions").WeChatPayV3Exception
    with opened(paysim_server, tmp_path) as pay:
        with pytest.raises(refused, match="ORDER_NOT_EXIST"):
            pay.get(f"pay/transactions/out-trade-no/{NUMBER}", params={"mchid": pay.mch_id})
        partner = {"sp_mchid": pay.mch_id, "sub_mchid": "1900000000"}
        with pytest.raises(refused, match="NO_AUTH"):
            pay.get(f"pay/partner/transactions/out-trade-no/{NUMBER}", params=partner)
