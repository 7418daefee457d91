"""A recorded tap: written, read, lived through again, and every way in which the file can be wrong."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from counts import count

from paysim import CNY, Sandbox
from paysim.core.errors import DecodeError, LinkClosed, LinkTimeout
from paysim.drivers import replay, session
from paysim.drivers.dialogue import Exchange, decode_answer, encode_answer
from paysim.drivers.replay import Replay
from paysim.drivers.session import Session, SessionError
from paysim.emv.outcome import IssuerResponse
from paysim.sandbox.terminal import Tap

PAYMENTS = {
    "visa": "9.90",
    "visa-online": "2000.00",
    "unionpay": "9.90",
    "unionpay-ecash": "9.90",
    "two-applications": "1000.01",
    "expired": "9.90",
    "blocked": "9.90",
    "unknown": "9.90",
    "flaky": "9.90",
}


def tapped(card: str, amount: str, **options: object) -> Tap:
    with Sandbox(seed=7) as sandbox:
        shop = sandbox.shop("Tea House")
        alice = sandbox.person("Alice", balance=CNY("5000.00"))
        return shop.terminal().tap(shop.create(CNY(amount)), alice.card(card), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def taps() -> dict[str, Tap]:
    return {card: tapped(card, amount) for card, amount in PAYMENTS.items()}


@pytest.fixture(scope="module")
def ecash(taps: dict[str, Tap]) -> Session:
    return session.decode(taps["unionpay-ecash"].record())


@pytest.fixture(scope="module")
def online(taps: dict[str, Tap]) -> Session:
    return session.decode(taps["unionpay"].record())


# Playing. -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("card", PAYMENTS)
def test_a_tap_lives_through_its_record_as_it_was(card: str, taps: dict[str, Tap]) -> None:
    text = taps[card].record()
    recorded = session.decode(text)
    assert session.encode(recorded) == text
    played = replay.play(recorded)
    assert played.differences == ()
    assert played.trace == taps[card].trace
    assert played.result == taps[card].result
    assert played.approved is taps[card].approved


@pytest.mark.parametrize("at", range(1, 9))
@pytest.mark.parametrize("heard", [True, False])
def test_a_torn_tap_is_torn_again(at: int, heard: bool) -> None:
    tap = tapped("unionpay-ecash", "9.90", tear_at=at, heard=heard)
    played = replay.play(session.decode(tap.record()))
    assert (played.differences, played.trace, played.result) == ((), tap.trace, tap.result)


def test_two_cards_in_the_field_are_two_again() -> None:
    with Sandbox(seed=7) as sandbox:
        shop, alice = sandbox.shop("Tea House"), sandbox.person("Alice", balance=CNY("50.00"))
        cards = alice.card("visa"), alice.card("unionpay")
        tap = shop.terminal().tap(shop.create(CNY("1.00")), *cards)
    recorded = session.decode(tap.record())
    assert (recorded.cards, recorded.outcome) == (2, {})
    played = replay.play(recorded)
    assert (played.result, played.differences, played.approved) == (None, (), False)


def test_a_record_holds_no_key_but_the_schemes_public_ones(taps: dict[str, Tap]) -> None:
    head = json.loads(taps["visa"].record().splitlines()[0])
    assert set(head) == {"paysim", "version", "purchase", "reader", "cards"}
    assert {key for row in head["reader"]["ca_keys"] for key in row} == {
        *("rid", "index", "modulus", "exponent", "sha1", "expires")
    }


def with_combinations(recorded: Session, **changes: object) -> Session:
    """The same session at a reader with other limits."""
    [(kind, combinations)] = recorded.reader.combinations.items()
    changed = tuple(replace(one, **changes) for one in combinations)  # type: ignore[arg-type]
    return replace(recorded, reader=replace(recorded.reader, combinations={kind: changed}))


def test_another_reader_leaves_the_record_where_it_asks_something_else(ecash: Session) -> None:
    played = replay.play(with_combinations(ecash, cvm_limit=500))
    command, said, *outcome = played.differences
    assert (command.command, command.what) == (3, "the command")
    assert command.recorded[:8] == command.now[:8] == "80A80000"
    assert "P8 990 >= CVM limit 500: exceeded" in str(said)
    assert "the outcome: recorded APPROVED, now DECLINED" in map(str, outcome)
    assert not played.approved


def test_another_amount_is_another_command(ecash: Session) -> None:
    played = replay.play(replace(ecash, purchase=replace(ecash.purchase, amount_minor=991)))
    assert played.differences[0].command == 3
    assert not played.approved  # the card has signed another amount


def test_an_altered_answer_is_found_out_by_the_terminal(ecash: Session) -> None:
    trace = list(ecash.trace)
    at = next(n for n, one in enumerate(trace) if one.kind == "response" and b"\x9f\x4b" in one.data)
    data = bytearray(trace[at].data)
    data[-10] ^= 1
    trace[at] = trace[at]._replace(data=bytes(data))
    played = replay.play(replace(ecash, trace=tuple(trace)))
    assert not played.approved
    assert any("U7" in one.now for one in played.differences)


def test_an_answer_of_the_issuer_that_is_missing_leaves_the_request_open(online: Session) -> None:
    trace = tuple(one for one in online.trace if one.kind != "answer")
    played = replay.play(replace(online, trace=trace))
    assert played.result is not None
    assert played.result.status.name == "ONLINE_REQUEST"
    assert played.differences


def test_another_answer_of_the_issuer_is_followed(online: Session) -> None:
    no = Exchange("answer", data=encode_answer(IssuerResponse(b"05")))
    trace = tuple(no if one.kind == "answer" else one for one in online.trace)
    played = replay.play(replace(online, trace=trace))
    assert played.result is not None
    assert played.result.status.name == "DECLINED"


# The link. ------------------------------------------------------------------------------------------------

SELECT, READ, ANSWER = b"\x00\xa4\x04\x00\x00", b"\x00\xb2\x01\x14\x00", b"\x90\x00"


def link(*turns: tuple[bytes, Exchange | None], ecash: Session) -> Replay:
    trace: list[Exchange] = []
    for command, answer in turns:
        trace += [Exchange("command", data=command), *([answer] if answer else [])]
    return Replay(replace(ecash, trace=tuple(trace)))


def test_the_link_answers_as_recorded(ecash: Session) -> None:
    found = link((SELECT, Exchange("response", data=ANSWER)), ecash=ecash)
    assert found.transceive(SELECT) == ANSWER
    assert (found.differences, found.commands) == ([], 1)
    with pytest.raises(LinkClosed, match="no answer to command 2"):
        found.transceive(SELECT)
    assert str(found.differences[0]) == "command 2: the command: recorded nothing, now 00A4040000"


def test_the_link_loses_what_was_lost(ecash: Session) -> None:
    found = link(
        (SELECT, Exchange("response", "timeout", "gone")),
        (SELECT, Exchange("response", "transmission", "torn")),
        (SELECT, None),
        ecash=ecash,
    )
    with pytest.raises(LinkTimeout, match="gone"):
        found.transceive(SELECT)
    with pytest.raises(LinkClosed, match="torn"):
        found.transceive(SELECT)
    with pytest.raises(LinkClosed, match="ends before the answer"):
        found.transceive(SELECT)


def test_a_command_with_other_data_gets_the_answer_of_its_kind(ecash: Session) -> None:
    turns = ((SELECT, Exchange("response", data=b"\x6a\x82")), (READ, Exchange("response", data=ANSWER)))
    found = link(*turns, ecash=ecash)
    assert found.transceive(READ + b"\x01") == ANSWER  # the SELECT in between is passed over
    assert len(found.differences) == 1


def test_the_card_says_again_what_it_decided(taps: dict[str, Tap]) -> None:
    tap = taps["unionpay"]
    before = [one for one in tap.trace if one.kind == "card"]
    after = [one for one in replay.play(session.decode(tap.record())).trace if one.kind == "card"]
    assert before
    assert after == before


# The issuer's answer as objects. --------------------------------------------------------------------------

ANSWERS = [
    IssuerResponse(b"00"),
    IssuerResponse(b""),
    IssuerResponse(b"00", bytes(10)),
    IssuerResponse(b"05", b"", (bytes.fromhex("72089F180400000001"[:18]),)),
    IssuerResponse(b"00", bytes(8), (bytes.fromhex("7207" + "9F180400000001"), bytes.fromhex("841E000000"))),
    IssuerResponse(b"00", b"", (b"\x71\xff", b"", b"\x72")),
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_comes_back_from_its_objects(answer: IssuerResponse) -> None:
    assert decode_answer(encode_answer(answer)) == answer


@pytest.mark.parametrize("data", ["", "91083030", "9108", "8A0230308602", "8A02303091"])
def test_other_objects_are_no_answer(data: str) -> None:
    with pytest.raises(DecodeError, match="the issuer's answer is 8A"):
        decode_answer(bytes.fromhex(data))


# Bad files. -----------------------------------------------------------------------------------------------


def changed(text: str, line: int, change: Callable[[dict[str, object]], object]) -> str:
    rows = text.splitlines()
    row = json.loads(rows[line])
    new = change(row)
    rows[line] = json.dumps(row if new is None else new)
    return "\n".join(rows)


BAD = [
    ("empty", lambda text: "", "line 1: it has 1 to 10000 lines, and this 0"),
    ("no JSON", lambda text: "hello", "line 1: JSON is malformed"),
    ("cut", lambda text: text[:100], "line 1: Input data was truncated"),
    ("cut later", lambda text: text[:-10], "Input data was truncated"),
    ("a list", lambda text: "[]\n", "line 1: Expected `object`, got `array`"),
    ("no head", lambda text: text.split("\n", 1)[1], "line 1: Object contains unknown field"),
    (
        "another version",
        lambda t: changed(t, 0, lambda r: r.update(version=2)),
        "line 1: Invalid enum",
    ),
    ("no purchase", lambda t: changed(t, 0, lambda r: r.pop("purchase") and None), "missing required field"),
    (
        "an amount below zero",
        lambda t: changed(t, 0, lambda r: r["purchase"].update(amount_minor=-1)),
        "line 1: an amount has 1 to 12 digits",
    ),
    (
        "a short number",
        lambda t: changed(t, 0, lambda r: r["purchase"].update(unpredictable="00")),
        "line 1: the unpredictable number has 4 bytes",
    ),
    (
        "half a byte",
        lambda t: changed(t, 0, lambda r: r["purchase"].update(unpredictable="000")),
        r"matching regex .* at `\$\.purchase\.unpredictable`|purchase.unpredictable",
    ),
    (
        "no such day",
        lambda t: changed(t, 0, lambda r: r["purchase"].update(date="2026-02-30")),
        "line 1: Invalid RFC3339 encoded date",
    ),
    (
        "a year that no card knows",
        lambda t: changed(t, 0, lambda r: r["purchase"].update(date="2070-01-01")),
        "line 1: a date of EMV lies in 1950 to 2049",
    ),
    (
        "a short AID",
        lambda t: changed(t, 0, lambda r: r["reader"]["combinations"][0].update(aid="A0")),
        "line 1: an AID has 5 to 16 bytes",
    ),
    (
        "a key of another checksum",
        lambda t: changed(t, 0, lambda r: r["reader"]["ca_keys"][0].update(sha1="00" * 20)),
        "line 1: .*checksum",
    ),
    ("no cards", lambda t: changed(t, 0, lambda r: r.update(cards=0)), "line 1: cards are 1 to 16"),
    (
        "two things",
        lambda t: changed(t, 2, lambda r: r.update(shown="x", card="y")),
        "line 3: a line says one",
    ),
    ("nothing", lambda t: changed(t, 2, lambda r: {}), "line 3: a line says one of command"),
    (
        "an outcome too early",
        lambda t: changed(t, 1, lambda r: {"outcome": "APPROVED"}),
        "line 2: a line says",
    ),
    ("an unknown word", lambda t: changed(t, 1, lambda r: {"said": "x"}), "line 2: Object contains unknown"),
    ("an unknown loss", lambda t: changed(t, 1, lambda r: {"lost": "x"}), "line 2: Invalid enum value"),
    (
        "a response first",
        lambda t: changed(t, 1, lambda r: {"response": "9000"}),
        "line 2: commands and resp",
    ),
    (
        "two commands",
        lambda t: t.replace('{"response"', '{"command"', 1),
        "commands and responses take turns",
    ),
    ("no hex", lambda t: t.replace('{"command":"00', '{"command":"0x', 1), "matching regex"),
    ("a bad answer", lambda t: t.replace('"answer":"8A', '"answer":"8B', 1), "the issuer's answer is 8A"),
    ("too long", lambda t: t + " " * session.MAX_SIZE, "line 1: more than 1000000 characters"),
    ("deep", lambda t: "[" * 100_000, "line 1: "),
]


@pytest.mark.parametrize(("change", "why"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_file_is_a_named_error(change: Callable[[str], str], why: str, taps: dict[str, Tap]) -> None:
    with pytest.raises(SessionError, match=why) as caught:
        session.decode(change(taps["unionpay"].record()))
    assert str(caught.value).startswith(f"no recorded session: line {caught.value.line}: ")


def test_lines_of_spaces_are_no_lines(taps: dict[str, Tap]) -> None:
    text = taps["visa"].record()
    assert session.decode("\n \n" + text.replace("\n", "\n\n")) == session.decode(text)


def test_a_mutated_file_is_a_session_or_a_named_error_and_plays_to_an_end(taps: dict[str, Tap]) -> None:
    chance = random.Random(3)
    texts = [taps[card].record() for card in ("unionpay", "unionpay-ecash", "visa")]
    played = 0
    for _ in range(count(3_000)):
        text = list(chance.choice(texts))
        for _ in range(chance.randrange(1, 3)):
            text[chance.randrange(len(text))] = chance.choice('0123456789ABCDEF"{}:,\nx')
        try:
            found = session.decode("".join(text))
        except SessionError:
            continue
        replay.play(found)
        played += 1
    assert played


def test_the_repr_of_an_exchange_hides_its_bytes(ecash: Session) -> None:
    assert all(one.data.hex() not in repr(one) for one in ecash.trace if one.data)
