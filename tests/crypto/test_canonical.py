"""The strings that are signed, against the operators' examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paysim.core.errors import DecodeError, UsageError
from paysim.crypto import canonical
from paysim.crypto.canonical import LineRule, SortedRule

VECTORS = Path(__file__).parent.parent / "vectors"
ALIPAY = {item["id"]: item for item in json.loads((VECTORS / "alipay.json").read_text("utf-8"))["items"]}
UNIONPAY = json.loads((VECTORS / "unionpay.json").read_text("utf-8"))["items"]
WECHAT = {one["id"]: one for one in json.loads((VECTORS / "wechat.json").read_text("utf-8"))["vectors"]}


@pytest.mark.parametrize("name", [name for name, one in ALIPAY.items() if one["kind"] == "request_sign"])
def test_alipay_requests(name: str) -> None:
    item = ALIPAY[name]
    assert canonical.ALIPAY_REQUEST.string(item["params"]).decode() == item["string_to_sign"]
    signed = {**item["params"], "sign": "of an earlier try"}
    assert canonical.ALIPAY_REQUEST.string(signed).decode() == item["string_to_sign"]


@pytest.mark.parametrize(
    "name", [name for name, one in ALIPAY.items() if "covers_sign_type" in one and one["valid"]]
)
def test_alipay_notifications(name: str) -> None:
    item = ALIPAY[name]
    rule = canonical.ALIPAY_NOTIFY_WITH_TYPE if item["covers_sign_type"] else canonical.ALIPAY_NOTIFY
    assert rule.string(item["params"]).decode() == item["string_to_sign"]


@pytest.mark.parametrize("item", UNIONPAY, ids=lambda item: item["id"])
def test_unionpay_forms(item: dict[str, Any]) -> None:
    assert canonical.UNIONPAY.string(item["params"]).decode() == item["string_to_sign"]


@pytest.mark.parametrize("name", [name for name, one in ALIPAY.items() if one["kind"] == "response_sign"])
def test_alipay_answers_are_signed_as_they_stand(name: str) -> None:
    item = ALIPAY[name]
    assert canonical.json_member(item["raw_body"], item["response_key"]) == item["signed_substring"]


LINES: list[tuple[LineRule, tuple[str, ...], str]] = [
    (
        canonical.WECHAT_REQUEST,
        tuple(WECHAT["v3-request-sign-body"][key] for key in ("method", "url", "timestamp", "nonce", "body")),
        WECHAT["v3-request-sign-body"]["message"],
    ),
    (
        canonical.WECHAT_RESPONSE,
        tuple(WECHAT["v3-response-verify"][key] for key in ("timestamp", "nonce", "body")),
        WECHAT["v3-response-verify"]["message"],
    ),
    (
        canonical.WECHAT_REQUEST,
        ("GET", "test", "1651854037", "1E3A8D73B5A4AEE787C0F68B5DAB8520", ""),
        WECHAT["v3-request-sign-get-emptybody"]["message"],
    ),
    (
        canonical.WECHAT_JSAPI,
        ("wx2421b1c4370ec43b", "1554208460", "593BEC0C930BF1AFEB40B4A08C8FB242",
         "prepay_id=wx201410272009395522657a690389285100"),
        WECHAT["v3-paysign-jsapi"]["message"],
    ),
    (
        canonical.WECHAT_APP,
        ("wx2421b1c4370ec43b", "1554208460", "593BEC0C930BF1AFEB40B4A08C8FB242",
         "wx201410272009395522657a690389285100"),
        WECHAT["v3-paysign-app"]["message"],
    ),
    (
        canonical.ALIPAY_V3_REQUEST,
        tuple(ALIPAY["v3-request"][key] for key in ("auth_string", "method", "path", "body")),
        ALIPAY["v3-request"]["string_to_sign"],
    ),
    (
        canonical.ALIPAY_V3_RESPONSE,
        tuple(ALIPAY["v3-response"][key] for key in ("timestamp", "nonce", "body")),
        ALIPAY["v3-response"]["string_to_sign"],
    ),
    (canonical.ALIPAY_V3_REQUEST_WITH_TOKEN, ("a", "GET", "/p", "", "token"), "a\nGET\n/p\n\ntoken\n"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "values", "message"), LINES, ids=lambda one: getattr(one, "name", ""))
def test_lines(rule: LineRule, values: tuple[str, ...], message: str) -> None:
    assert rule.string(*values).decode() == message
    assert rule.string(*(value.encode() for value in values)).decode() == message


def test_the_length_that_wechat_tells_a_client() -> None:
    item = WECHAT["sign-error-detail-length"]
    method, path, timestamp, nonce, body, _ = item["sign_message"].split("\n")
    assert (
        len(canonical.WECHAT_REQUEST.string(method, path, timestamp, nonce, body))
        == item["sign_message_length"]
    )


def test_a_body_may_hold_line_feeds_and_a_nonce_may_not() -> None:
    assert canonical.WECHAT_RESPONSE.string("1", "n", '{\n"a"\n}') == b'1\nn\n{\n"a"\n}\n'
    with pytest.raises(UsageError, match="nonce holds a line feed"):
        canonical.WECHAT_RESPONSE.string("1", "n\nn", "")
    with pytest.raises(UsageError, match="package holds a line feed"):
        canonical.WECHAT_JSAPI.string("a", "1", "n", "p\n")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (("1", "n"), "timestamp, nonce, body; 2 values"),
        (("1", 5, ""), "nonce is text"),
        (("1", "n", "\ud800"), "body is text"),
    ],
)
def test_values_that_are_no_lines(values: tuple[Any, ...], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        canonical.WECHAT_RESPONSE.string(*values)


@pytest.mark.parametrize(
    ("parameters", "charset", "text"),
    [
        ({"total": 100}, "utf-8", "'total' is int"),
        ({"total": None}, "utf-8", "'total' is NoneType"),
        ({1: "a"}, "utf-8", "1 is str|names and values are text"),
        ([("a", "b")], "utf-8", "mapping"),
        ({"a": "茶"}, "ascii", "U\\+8336 does not exist in ascii"),
        ({"a": "b"}, "klingon", "no charset 'klingon'"),
    ],
)
def test_parameters_that_cannot_be_signed(parameters: Any, charset: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        canonical.WECHAT_V2.string(parameters, charset)


def test_a_charset_other_than_utf_8() -> None:
    assert canonical.ALIPAY_REQUEST.string({"subject": "茶"}, "gbk") == "subject=茶".encode("gbk")


def test_the_number_0_is_a_value() -> None:
    assert canonical.WECHAT_V2.string({"total_fee": "0", "attach": ""}) == b"total_fee=0"
    assert canonical.ALIPAY_NOTIFY.string({"b": "", "a": "1", "sign": "x"}) == b"a=1&b="


BAD_JSON = [
    "",
    "[]",
    "{",
    '{"a":',
    '{"a" 1}',
    '{"b":1}',
    '{"b":1',
    "{1:2}",
    '{"a":}',
    "null",
    '{"b":' + "[" * 100_000,
]


@pytest.mark.parametrize("text", BAD_JSON, ids=lambda text: text[:10])
def test_no_json_member(text: str) -> None:
    with pytest.raises(DecodeError):
        canonical.json_member(text, "a")


@given(
    st.dictionaries(st.text(max_size=5), st.recursive(st.text() | st.integers() | st.booleans(), st.lists))
)
def test_a_member_is_found_as_it_stands(value: dict[str, Any]) -> None:
    for indent in (None, 2):
        text = json.dumps(value, indent=indent)
        for name, member in value.items():
            found = canonical.json_member(text, name)
            assert json.loads(found) == member
            assert found in text


def test_every_rule_has_its_name() -> None:
    assert all(rule.name == name for name, rule in canonical.RULES.items())
    rules = [one for one in vars(canonical).values() if isinstance(one, SortedRule | LineRule)]
    assert len(rules) == len(canonical.RULES)


@pytest.mark.parametrize(
    "charset", ["idna", "punycode", "undefined", "a\0b", "\ud800", "hex", "rot13", "x" * 9999]
)
def test_a_charset_that_is_none_ended_in_an_error_of_pythons_or_took_seconds(charset: str) -> None:
    with pytest.raises(UsageError, match="charset") as caught:
        canonical.ALIPAY_REQUEST.string({"a": "茶" * 100_000}, charset)
    assert len(ascii(str(caught.value))) < 200


@pytest.mark.parametrize("text", ['{"a": 1, "sign": "s", "a": 2}', '{"a": 1, "\\u0061": 2}'])
def test_a_member_that_stands_twice_was_verified_by_its_first_and_read_by_its_last(text: str) -> None:
    assert json.loads(text)["a"] == 2
    with pytest.raises(DecodeError, match="the member a stands twice"):
        canonical.json_member(text, "a")


@pytest.mark.parametrize("text", ['{"a": 1 x', '{"a": 1}{', '{"a": 1} x', '{"a": 1', '{"a": 1,}', '{"a": 1]'])
def test_a_member_was_read_from_what_is_no_whole_object(text: str) -> None:
    with pytest.raises(DecodeError):
        canonical.json_member(text, "a")


def test_json_as_bytes_ended_in_an_error_of_pythons() -> None:
    with pytest.raises(UsageError, match="from text, not from bytes"):
        canonical.json_member(b"{}", "a")  # type: ignore[arg-type]
