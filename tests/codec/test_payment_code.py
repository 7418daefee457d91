"""Payment codes: whose they are, and that nobody reads one in a log."""

from __future__ import annotations

import re
import string

import pytest
from counts import count
from hypothesis import given
from hypothesis import strategies as st
from strategies_qr import mutated

from paysim.codec import payment_code
from paysim.codec.payment_code import SCHEMES, PaymentCode
from paysim.core.errors import LocalProtocolError

KNOWN = [
    ("100123456789012345", "wechat"),
    ("150123456789012345", "wechat"),
    ("160123456789012345", None),
    ("10012345678901234", None),
    ("1001234567890123456", None),
    ("250123456789012345", "alipay"),
    ("2501234567890123", "alipay"),
    ("250123456789012", None),
    ("300123456789012345678901", "alipay"),
    ("3001234567890123456789012", None),
    ("310123456789012345", None),
    ("6212345678901234567", "unionpay"),
    ("621234567890123456", None),
    ("990123456789012345", "paysim"),
    ("99012345678901234", None),
    ("hQVDUFYwMWEaTwegAAAAVVVVVw8SNFZ4kBI0WNGRIgESNF8=", "emv"),
    ("hQVDUFYwMmE", "emv"),
    ("hqvdufy", None),
    ("10012345678901234x", None),
    ("١٠0123456789012345", None),
    ("10٠123456789012345", None),
    (" 100123456789012345", None),
    ("100123456789012345\n", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "scheme"), KNOWN)
def test_prefix_and_length_decide(text, scheme):
    code = payment_code.decode(text)
    assert (code.scheme if code else None) == scheme


@pytest.mark.parametrize("row", SCHEMES.values(), ids=list(SCHEMES))
@given(data=st.data())
def test_decode_gives_back_what_was_encoded(row, data):
    prefix = data.draw(st.sampled_from(row.prefixes))
    digits = data.draw(st.text(string.digits, min_size=row.least - 2, max_size=row.most - 2))
    code = payment_code.decode(payment_code.encode(row.name, digits, prefix=prefix))
    assert (code.scheme, code.text, code.digits) == (row.name, prefix + digits, digits)


@pytest.mark.parametrize(
    ("scheme", "digits", "prefix"),
    [
        ("wechat", "012345678901234", None),
        ("wechat", "01234567890123456", None),
        ("wechat", "012345678901234x", None),
        ("wechat", "٠123456789012345", None),
        ("wechat", "0123456789012345", "25"),
        ("emv", "0123456789012345", None),
        ("other", "0123456789012345", None),
    ],
)
def test_what_no_wallet_shows_is_not_written(scheme, digits, prefix):
    with pytest.raises(LocalProtocolError):
        payment_code.encode(scheme, digits, prefix=prefix)


def test_a_code_refuses_another_schemes_text():
    with pytest.raises(LocalProtocolError, match="alipay"):
        PaymentCode("alipay", "100123456789012345")


def test_prefixes_belong_to_one_scheme_each():
    prefixes = [prefix for row in SCHEMES.values() for prefix in row.prefixes]
    assert len(prefixes) == len(set(prefixes))


@pytest.mark.parametrize("text", [text for text, scheme in KNOWN if scheme])
def test_the_middle_is_never_shown(text):
    shown = repr(payment_code.decode(text))
    assert text not in shown
    assert not re.search(r"[0-9]{5}", shown)
    assert "VVVV" not in shown


def test_an_error_does_not_show_the_code_either():
    with pytest.raises(LocalProtocolError) as caught:
        PaymentCode("alipay", "100123456789012345")
    assert "1001234" not in str(caught.value)


def test_random_and_changed_texts_are_codes_or_none():
    seeds = [text for text, scheme in KNOWN if scheme]
    for text in mutated(seeds, string.digits + "hQVDUFY+/=٠ \n", count(200_000), seed=20260102):
        code = payment_code.decode(text)
        assert code is None or (code.text == text and code.scheme in (*SCHEMES, "emv"))
