"""No PIN, card number, key or cryptogram anywhere; no payer's code where people look: reprs, errors."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tap_counter import PAYING, Counter

from paysim import CNY, Fault, PaysimError, Sandbox, UsageError
from paysim.crypto.pin import format_0
from paysim.crypto.triple_des import encrypt_ecb

PIN, WRONG = "246813", "975312"


def traded(sandbox: Sandbox) -> tuple[str, list[str]]:
    """Business with a PIN typed right and wrong; the payer's code, and what people see of it."""
    shop = sandbox.shop("Tea House")
    alice = sandbox.person("Alice", balance=CNY("5000.00"), pin=PIN)
    seen = [repr(shop), repr(alice)]
    order = shop.create(CNY("12.80"))
    prompt = alice.scan(order.present("qr.merchant"))
    seen += [repr(prompt), str(prompt.confirm(pin=WRONG)), str(prompt.confirm(pin=PIN)), repr(prompt)]
    seen += [repr(order), order.timeline(), order.receipt()]
    order = shop.create(CNY("1500.00"))
    sandbox.faults.add(Fault("request", "delay", verb="authorize"))
    code = alice.payment_code()
    operation = order.authorize(code)
    seen += [repr(code), repr(operation), repr(order), order.timeline(), repr(sandbox)]
    sandbox.advance(seconds=59)
    other = shop.create(CNY("1500.00"))
    code = alice.payment_code()
    other.authorize(code)
    [prompt] = alice.prompts()
    seen += [
        repr(prompt),
        repr(code),
        str(prompt.confirm(pin=WRONG)),
        other.timeline(),
        repr(other.operations),
    ]
    seen += [str(other.authorize(code).outcome), other.receipt(), repr(other.outcome)]
    return code.text, seen


def test_no_pin_is_in_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Sandbox(store=path) as sandbox:
        traded(sandbox)
        events = "\n".join(repr(record) for record in sandbox.journal.records())
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for pin in (PIN, WRONG):
        assert pin not in events
        assert pin.encode() not in stored


def test_no_pin_and_no_code_is_where_people_look(paysim_sandbox: Sandbox) -> None:
    code, seen = traded(paysim_sandbox)
    for text in seen:
        assert code not in text
        assert code[2:-2] not in text
        assert PIN not in text
        assert WRONG not in text


@pytest.mark.parametrize("pin", ["12345", "1234567", "24681x"])
def test_an_error_about_a_pin_does_not_show_it(paysim_sandbox: Sandbox, pin: str) -> None:
    with pytest.raises(UsageError) as caught:
        paysim_sandbox.person("Alice", pin=pin)
    assert pin not in str(caught.value)


def test_what_a_code_claims_does_not_show_it(paysim_sandbox: Sandbox) -> None:
    text = paysim_sandbox.person("Alice").payment_code().text
    claim = paysim_sandbox._engine.channels.read(text)
    assert claim
    assert claim.code == text
    assert text not in repr(claim)
    assert text not in str(claim)


def test_an_error_about_a_code_does_not_show_it(paysim_sandbox: Sandbox) -> None:
    alice = paysim_sandbox.person("Alice")
    text = alice.payment_code().text
    with pytest.raises(PaysimError) as caught:
        alice.scan(text)
    assert text not in str(caught.value)


def test_a_key_of_one_payer_does_not_tell_the_pin_of_another(paysim_sandbox: Sandbox) -> None:
    for name in ("Alice", "Bob"):
        paysim_sandbox.person(name, pin=PIN)
    hashes = {
        event.data["pin_hash"]
        for name in ("alice", "bob")
        for event in paysim_sandbox.journal.stream(f"person/{name}")
    }
    assert len(hashes) == 2


# Cards. ---------------------------------------------------------------------------------------------------


def tapped(sandbox: Sandbox) -> tuple[set[bytes], list[str]]:
    """Taps of every kind; what must stay out of sight, and what people see."""
    counter = Counter(sandbox)
    seen, hidden = [repr(counter.terminal)], set()
    keys = sandbox._engine.cards.keys
    for profile in PAYING:
        card = counter.card(profile)
        counter.bought(990, card, tear_at=3, heard=True)
        sandbox.faults.add(Fault("request", "delay", verb="authorize", delay_s=5))
        taps = [counter.bought(minor, card) for minor in (990, 990, 100_001)]
        taps.append(counter.bought(100_001, card, pin=WRONG))
        held = sandbox._engine.cards.held(card.id)
        made = held.card.made
        seen += [repr(card), repr(held), repr(held.card), repr(made), repr(sandbox._engine.cards.host)]
        scheme = keys.scheme(made.profile.scheme)
        hidden |= {made.pan.encode(), scheme.imk, scheme.script_imk, keys.secret("emv-pin"), made.data[0x57]}
        hidden |= {encrypt_ecb(keys.secret("emv-pin"), format_0(WRONG, made.pan))}
        for order, tap in taps:
            record = (tap.result.data_record or {}) if tap.result else {}
            hidden |= {record[tag] for tag in (0x9F26,) if tag in record}
            seen += [repr(tap), repr(tap.result), order.timeline(), order.receipt(), repr(order)]
    seen += [repr(issued) for issued in sandbox._engine.cards.host.cards._by_token.values()]
    sandbox.advance(days=1)
    return hidden, seen


def spellings(secrets: set[bytes]) -> list[str]:
    """A secret as digits, as hex, and as Python shows bytes."""
    found = []
    for secret in secrets:
        found += (
            [secret.decode()]
            if secret.isdigit()
            else [secret.hex(), secret.hex().upper(), repr(secret)[2:-1]]
        )
    return found


def test_no_card_data_is_in_the_journal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Sandbox(store=tmp_path / "journal.db") as sandbox:
        hidden, seen = tapped(sandbox)
        events = "\n".join(repr(record) for record in sandbox.journal.records())
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    text = stored.decode("latin-1") + events + caplog.text
    assert len(hidden) > 20
    for secret in spellings(hidden):
        assert secret not in text
        assert not [one for one in seen if secret in one]


def test_nothing_of_a_tap_is_left_once_it_is_cleared(tmp_path: Path) -> None:
    """Numbers and cryptograms of taps that wait are in the keys folder, for its owner alone."""
    keys = tmp_path / "keys"
    with Sandbox(keys=keys) as sandbox:
        counter = Counter(sandbox)
        counter.bought(990, "unionpay-ecash")
        [file] = keys.glob("emv-record-*")
        assert file.stat().st_mode & 0o077 == 0
        counter.terminal.clear()
        assert not list(keys.glob("emv-record-*"))
