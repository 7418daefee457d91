"""A recorded tap: written, read, lived through again, and every way in which the file can be wrong."""

from __future__ import annotations

import datetime
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from counts import count

from paysim import CNY, Sandbox
from paysim.core.errors import DecodeError, LinkClosed, LinkTimeout
from paysim.drivers import replay, session
from paysim.drivers.dialogue import Exchange, Recorder, decode_answer, encode_answer
from paysim.drivers.replay import Replay, ReplayDriver
from paysim.drivers.session import CardRecord, Session, SessionError
from paysim.emv.outcome import IssuerResponse
from paysim.sandbox.tap import Tap

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


def turned(*turns: tuple[bytes, Exchange | None], ecash: Session) -> Session:
    trace: list[Exchange] = []
    for command, answer in turns:
        trace += [Exchange("command", data=command), *([answer] if answer else [])]
    return replace(ecash, trace=tuple(trace))


def link(*turns: tuple[bytes, Exchange | None], ecash: Session) -> Replay:
    return Replay(turned(*turns, ecash=ecash))


def test_the_link_answers_as_recorded(ecash: Session) -> None:
    found = link((SELECT, Exchange("response", data=ANSWER)), ecash=ecash)
    assert found.transceive(SELECT) == ANSWER
    assert (found.differences, found.commands) == ([], 1)
    with pytest.raises(LinkClosed, match="no answer to command 2"):
        found.transceive(READ)
    assert str(found.differences[0]) == "command 2: the command: recorded nothing, now 00B2011400"


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


def test_a_command_out_of_turn_gets_its_own_answer_wherever_it_stands(ecash: Session) -> None:
    first, second = READ, b"\x00\xb2\x02\x14\x00"
    one, two = Exchange("response", data=b"\x01\x90\x00"), Exchange("response", data=b"\x02\x90\x00")
    found = link((SELECT, Exchange("response", data=ANSWER)), (first, one), (second, two), ecash=ecash)
    assert [found.transceive(command) for command in (second, first, second)] == [
        two.data,
        one.data,
        two.data,
    ]
    assert [row.command for row in found.differences] == [1, 2]


def test_a_strict_replay_ends_at_the_first_other_command(ecash: Session) -> None:
    turns = ((SELECT, Exchange("response", data=ANSWER)), (READ, Exchange("response", data=ANSWER)))
    found = Replay(turned(*turns, ecash=ecash), strict=True)
    assert found.transceive(SELECT) == ANSWER
    with pytest.raises(LinkClosed, match="no answer to command 2"):
        found.transceive(SELECT)
    with pytest.raises(LinkClosed, match="there is no card"):
        found.transceive(READ)
    played = replay.play(replace(ecash, purchase=replace(ecash.purchase, amount_minor=991)), strict=True)
    assert played.result is None
    assert (played.differences[0].command, played.trace[-1].kind) == (3, "shown")


def test_the_card_says_again_what_it_decided(taps: dict[str, Tap]) -> None:
    tap = taps["unionpay"]
    before = [one for one in tap.trace if one.kind == "card"]
    after = [one for one in replay.play(session.decode(tap.record())).trace if one.kind == "card"]
    assert before
    assert after == before


# A card that was only read. -------------------------------------------------------------------------------

PAN = "6234569047826143"
ON = datetime.date(2026, 11, 27)
FRAMES = (
    Exchange("command", data=bytes.fromhex("80A8000002830000"), at_us=12),
    Exchange("response", data=bytes.fromhex(f"770457{'02'}30399000"), at_us=812),
    Exchange("command", data=bytes.fromhex("00B2010C00"), at_us=900),
    Exchange("response", data=bytes.fromhex("70145A08" + PAN + "5F240331013184039F1F009000"), at_us=1700),
    Exchange("command", data=bytes.fromhex("00B2020C00"), at_us=1800),
    Exchange("response", "timeout", "the card does not answer", at_us=5_001_800),
)


def test_a_card_that_was_read_comes_back_from_its_lines() -> None:
    record = CardRecord(FRAMES, ON, b"\1\2\3\4", "contact", b"\x3b\x00", masked=False)
    text = session.encode(record)
    assert session.decode(text) == record
    assert session.is_session(text)
    assert text.splitlines()[-1] == '{"lost":"timeout","text":"the card does not answer","at_us":5001800}'


def test_a_masked_record_gives_no_number_away_and_is_replayed_with_zeros() -> None:
    again = Exchange("response", data=bytes.fromhex("DF0108" + PAN + "9000"))  # where nobody looks for it
    frames = (*FRAMES[:2], FRAMES[2], again, *FRAMES[2:])
    text = session.encode(CardRecord(frames, ON))
    assert PAN not in text
    assert text.count("623456******6143") == 2
    found = session.decode(text)
    assert session.encode(found).count("623456******6143") == 2
    assert Replay(found).transceive(FRAMES[2].data) == bytes.fromhex("DF010862345600000061439000")


BAD_CARDS = [
    (
        "stars without a mask",
        ("true", "false"),
        "line 3: digits are masked, and the first line does not say so",
    ),
    (
        "a decision",
        ('{"command":"00B2010C00"', '{"decision":"x"'),
        "line 4: a line says one of command, response, lost",
    ),
    ("a short number", ('"unpredictable":"00', '"unpredictable":"'), "line 1: "),
    ("no day", ("2026-11-27", "2026-11-31"), "line 1: "),
    ("a time before the beginning", ('"at_us":12', '"at_us":-12'), "line 2: "),
    ("half a byte", ("00B2010C00", "00B2010C0"), "line 4: "),
    ("no mask at all", ("*", "x"), "line 3: "),
    (
        "an unknown word",
        ('"kind":"iso14443-4"', '"sort":"x"'),
        "line 1: Object contains unknown field `sort`",
    ),
]


@pytest.mark.parametrize(("change", "why"), [row[1:] for row in BAD_CARDS], ids=[row[0] for row in BAD_CARDS])
def test_a_bad_record_of_a_card_is_a_named_error(change: tuple[str, str], why: str) -> None:
    text = session.encode(CardRecord(FRAMES, ON))
    with pytest.raises(SessionError, match=why):
        session.decode(text.replace(*change, 1))


def test_the_driver_reads_a_record_strictly_where_it_is_to(tmp_path: Path) -> None:
    path = tmp_path / "card.jsonl"
    path.write_text(session.encode(CardRecord(FRAMES, ON, kind="contact", atr=b"\x3b\x00")))
    field = ReplayDriver(strict=True).open(str(path))
    present = field.wait(1)
    assert present is not None
    assert (present.kind, present.atr, present.count) == ("contact", b"\x3b\x00", 1)
    with pytest.raises(LinkClosed):
        present.link.transceive(FRAMES[2].data)
    field.close()


def test_a_recorder_notes_every_frame_and_when_it_was() -> None:
    now = iter(range(100, 1_000, 7))

    class Odd:
        decisions = ()

        def __init__(self) -> None:
            self.answers: list[bytes | Exception] = [ANSWER, LinkTimeout("slow"), LinkClosed("gone")]

        def transceive(self, data: bytes) -> bytes:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    recorder = Recorder(Odd(), clock=lambda: next(now), kept=lambda answer: answer[::-1])
    assert recorder.transceive(SELECT) == ANSWER
    with pytest.raises(LinkTimeout):
        recorder.transceive(READ)
    with pytest.raises(LinkClosed):
        recorder.transceive(READ)
    assert recorder.trace == [
        Exchange("command", data=SELECT, at_us=7),
        Exchange("response", data=ANSWER[::-1], at_us=14),
        Exchange("command", data=READ, at_us=21),
        Exchange("response", "timeout", "slow", at_us=28),
        Exchange("command", data=READ, at_us=35),
        Exchange("response", "transmission", "gone", at_us=42),
    ]
    assert recorder.elapsed_us == 21


def test_a_payment_is_recorded_with_the_times_of_its_card() -> None:
    tap = tapped("slow", "9.90")
    times = [one.at_us for one in tap.trace if one.kind in ("command", "response")]
    assert times == sorted(times)
    assert times[-1] == 1000 * tap.elapsed_ms > 0
    played = replay.play(session.decode(tap.record()))
    assert (played.trace, played.differences) == (tap.trace, ())


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
    ("no head", lambda text: text.split("\n", 1)[1], "line 1: Object missing required field `paysim`"),
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
    texts.append(session.encode(CardRecord(FRAMES, ON)))
    played = 0
    for _ in range(count(3_000)):
        text = list(chance.choice(texts))
        for _ in range(chance.randrange(1, 3)):
            text[chance.randrange(len(text))] = chance.choice('0123456789ABCDEF"{}:,\nx')
        try:
            found = session.decode("".join(text))
        except SessionError:
            continue
        if isinstance(found, Session):
            replay.play(found)
        else:
            session.encode(found)
        played += 1
    assert played


def test_the_repr_of_an_exchange_hides_its_bytes(ecash: Session) -> None:
    assert all(one.data.hex() not in repr(one) for one in ecash.trace if one.data)
