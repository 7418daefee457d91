"""What the host answers to the card, judged by published answers and by pyemv."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import pytest
from counts import count
from emv_answers import Draw, draws, elements_of, known, name
from issuer_cards import (
    AT_MS,
    AVAILABLE,
    IMK,
    PAN,
    PSN,
    Desk,
    answered,
    fields,
    issuer_data,
    request,
    set_to,
    tampered,
)

from paysim.codec import tlv
from paysim.core.outcome import APPROVED, NO_ANSWER, Outcome, OutcomeKind, Reason
from paysim.crypto import cryptogram
from paysim.crypto.cryptogram import CardKey
from paysim.crypto.mac import mac_3
from paysim.issuer.card_file import (
    CardFile,
    update_done,
    update_ordered,
)
from paysim.issuer.cards import SCHEMES, IssuedCard, MasterKeys
from paysim.issuer.host import Answer, AuthorizationRequest, Host, Issuer, Policy, authentication_data

QUIET = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
"""pyemv uses what `cryptography` has deprecated."""

# The answer to the card. --------------------------------------------------------------------------


def test_method_1_answers_with_the_response_code() -> None:
    sent = fields()
    key = CardKey.of("unionpay01", IMK, PAN, PSN)
    elements = {"9F36": sent[0x9F36]}
    for desk, code in ((Desk(), b"00"), (Desk(tallies={AVAILABLE: 0}), b"51")):
        answer = desk.authorize(request(sent))
        assert answer.data_91 == key.arpc(elements, sent[0x9F26], code) + code
        assert answer.arpc == answer.data_91[:8]


def test_method_2_answers_with_the_status_update() -> None:
    sent = fields(method="visa18", signed={"9F10": issuer_data("visa18")})
    key = CardKey.of("visa18", IMK, PAN, PSN)
    for tallies, update in (({}, "00820000"), ({AVAILABLE: 0}, "00000000")):
        answer = Desk(card={"scheme": "visa"}, tallies=tallies).authorize(request(sent))
        csu = bytes.fromhex(update)
        assert answer.data_91 == key.arpc({"9F36": sent[0x9F36]}, sent[0x9F26], csu) + csu
        assert answer.arpc == answer.data_91[:4]


def test_a_method_without_an_answer_gives_none() -> None:
    for method in ("unionpay17", "visa17"):
        sent = fields(method=method, signed={"9F10": issuer_data(method)})
        answer = Desk(card={"scheme": "visa" if method == "visa17" else "unionpay"}).authorize(request(sent))
        assert (answered(answer), answer.data_91, answer.arpc) == ("00", b"", b"")


def test_a_card_gets_its_updates_until_it_has_obeyed() -> None:
    desk = Desk()
    put, block = bytes.fromhex("84DA9F79"), bytes.fromhex("841E0000")
    for id, command, data in (("load", put, bytes.fromhex("000000010000")), ("block", block, b"")):
        desk.record.apply(update_ordered(desk.record, id, command, data, AT_MS))
    answer = desk.authorize(request())
    assert answer.updates == ("load", "block")
    commands = [dict(tlv.walk(tlv.decode(script))) for script in answer.scripts]
    sent = fields()
    elements = {"9F36": sent[0x9F36], "9F26": sent[0x9F26]}
    key = CardKey.of("unionpay01", bytes.fromhex("89ABCDEF012345677654321001234567"), PAN, PSN)
    header, data = put + b"\x0a", bytes.fromhex("000000010000")
    assert commands[0][0x72, 0x9F18] == bytes.fromhex("00000001")
    assert commands[0][0x72, 0x86] == header + data + key.script_mac(elements, header, data)
    assert commands[1][0x72, 0x86] == block + b"\x04" + key.script_mac(elements, block + b"\x04")
    desk.record.apply(update_done("load", AT_MS))
    assert desk.authorize(request(fields(atc=2))).updates == ("block",)


def test_a_blocked_card_still_gets_what_waits_for_it() -> None:
    desk = Desk(set_to("blocked"))
    desk.record.apply(update_ordered(desk.record, "block", bytes.fromhex("841E0000"), b"", AT_MS))
    answer = desk.authorize(request())
    assert (answered(answer), answer.updates, len(answer.data_91)) == ("62 card_blocked", ("block",), 10)
    assert desk.record.saw(1)
    forged = desk.authorize(request(fields(atc=2, changed={"9F26": "00" * 8})))
    assert (answered(forged), forged.updates, forged.data_91) == ("62 card_blocked", (), b"")


def test_a_card_without_script_key_gets_no_scripts() -> None:
    desk = Desk(card={"keys": {1: MasterKeys(IMK)}})
    desk.record.apply(update_ordered(desk.record, "block", bytes.fromhex("841E0000"), b"", AT_MS))
    assert desk.authorize(request()).scripts == ()


# A stranger in the issuer's place. ----------------------------------------------------------------

KINDS = [
    (APPROVED, b"00"),
    (Outcome.declined(Reason.SYSTEM_ERROR), b"05"),
    (Outcome(OutcomeKind.TRY_AGAIN), b"65"),
    (NO_ANSWER, b""),
]


@pytest.mark.parametrize(("outcome", "arc"), KINDS)
def test_a_stranger_answers_with_an_outcome_alone(outcome: Outcome, arc: bytes) -> None:
    class Stranger:
        def authorize(self, request: AuthorizationRequest) -> Answer:
            return Answer(outcome)

    issuers: list[Issuer] = [Stranger(), Desk().host]
    answer = issuers[0].authorize(request())
    assert (answer.arc, answer.data_91, answer.scripts, answer.facts) == (arc, b"", (), ())


# Judged by others. --------------------------------------------------------------------------------

OPEN = {"atc_jump": 0xFFFF, "results": {}, "checks_balance": False}
"""Published payments have any counter, and results that would ask for a PIN."""


def published(vector: Any, method: str, elements: Mapping[str, bytes], policy: Mapping[str, Any]) -> Answer:
    """The host's answer to a published payment of a published card."""
    scheme = next(name for name, rows in SCHEMES.items() if method in rows)
    reading = cryptogram.issuer_data(method, elements["9F10"])
    card = IssuedCard(
        token="published", pan=vector["pan"], psn=vector["psn"], scheme=scheme, methods=(method,),
        expires=datetime.date(2049, 12, 31), holder="x", stem="bank/x",
        keys={reading.key_index: MasterKeys(bytes.fromhex(vector.get("imk_ac") or vector["imk"]))},
    )  # fmt: skip
    currency = {"0124": "CAD", "0156": "CNY", "0840": "USD"}.get(elements.get("5F2A", b"\x01\x56").hex())
    sent = {int(tag, 16): value for tag, value in elements.items()}
    sent |= {
        0x5A: bytes.fromhex(vector["pan"] + "F" * (len(vector["pan"]) % 2)),
        0x5F34: bytes.fromhex(vector["psn"]),
    }
    sent |= {0x9F26: bytes.fromhex(vector["arqc"])}
    sent.setdefault(0x5F2A, b"\x01\x56")
    host = Host(CardFile([card]), lambda name: 10**12, policy=Policy(**{**OPEN, **policy}))
    amount = int(elements["9F02"].hex())
    return host.authorize(AuthorizationRequest(sent, amount, currency or "", AT_MS))


CVNS = {
    "visa-cvn10": ("visa10", "06010A03A06010", {}),
    "visa-cvn18": ("visa18", "", {"csu_approved": bytes.fromhex("00120000")}),
    "visa-cvn22": ("visa22", "", {"csu_declined": bytes.fromhex("00120000")}),
    "mc-cvn16": ("mchip16", "0110A00003220000DAC1", {}),
    "mc-cvn17": ("mchip17", "0111A00003220000DAC100000000000000FF", {}),
    "mc-cvn20": ("mchip20", "0114A00003220000DAC1", {}),
    "mc-cvn21": ("mchip21", "0115A00003220000DAC100000000000000FF", {}),
}
"""Published payment -> method, 9F10 where its parts alone are published, the issuer's choice of answer.

The results of visa-cvn22 say AAC, so the host declines what it has verified.
"""


@pytest.mark.parametrize("vector", known("cvn"), ids=name)
def test_a_published_payment_and_its_answer(vector: Any) -> None:
    method, data, policy = CVNS[vector["id"]]
    data = data or vector["extra"]["tag_9f10"]
    elements = elements_of(vector["tags"]) | {"9F10": bytes.fromhex(data)}
    answer = published(vector, method, elements, policy)
    assert answered(answer) == ("05 card_declined" if method == "visa22" else "00")
    assert answer.arpc.hex().upper() == vector["arpc"]
    inputs = vector["arpc_inputs"]
    assert answer.data_91[len(answer.arpc) :].hex() == (inputs.get("arpc_rc") or inputs["csu"])


def cut(data: str, tags: tuple[str, ...]) -> tuple[dict[str, bytes], bytes]:
    """The elements of a published message, and what follows them."""
    octets, found = bytes.fromhex(data), {}
    for tag in tags:
        found[tag], octets = octets[: cryptogram.LENGTHS[tag]], octets[cryptogram.LENGTHS[tag] :]
    return found, octets


MESSAGES: dict[str, tuple[str, str]] = {
    "jpos-arqc-MCHIP-80": ("mchip16", "0110{}DAC1"),
    "jpos-arqc-EMV-80": ("mchip20", "0114{}DAC1"),
    "pboc-cvn01-arqc": ("unionpay01", ""),
    "visa-cvn17-self": ("visa17", "06011103{}0000"),
}
"""Published cryptogram -> method, 9F10 around the part that is published.

The MAC of pboc-cvn01's balance is under a key that is not published.
"""

NO_ROW = {
    "jpos-arqc-VSDC-00": "Visa's key over M/Chip's six bytes of results",
    "jpos-arqc-VSDC-80": "the same, other padding",
    "jpos-arqc-MCHIP-00": "M/Chip with Visa's padding",
    "jpos-arqc-EMV-00": "the same under another key",
    "csk-arqc": "16 bytes that are no payment",
}
"""Published MACs that no card's method makes; tests/crypto checks them."""


@pytest.mark.parametrize("vector", [v for v in known("arqc") if v["id"] in MESSAGES], ids=name)
def test_a_published_cryptogram(vector: Any) -> None:
    method, around = MESSAGES[vector["id"]]
    elements, rest = cut(vector["data"], cryptogram.METHODS[method].tags)
    elements["9F10"] = bytes.fromhex(vector.get("iad") or around.format(rest.hex()))
    assert answered(published(vector, method, elements, {})) == "00"
    vector = {**vector, "arqc": tampered(vector["arqc"], 0)}
    assert answered(published(vector, method, elements, {})) == "88 wrong_cryptogram"


def test_every_published_cryptogram_is_asked_or_says_why_not() -> None:
    assert {v["id"] for v in known("arqc")} == {*MESSAGES, *NO_ROW}
    assert {v["id"] for v in known("cvn")} == set(CVNS)


def test_what_a_published_message_signs_is_what_the_host_reads() -> None:
    (vector,) = known("arqc_input")
    elements = elements_of(vector["tags"])
    key = CardKey.of("visa22", IMK, PAN, PSN)
    made = mac_3(key.session_key(elements), bytes.fromhex(vector["data"]), 2)
    card = {"pan": PAN, "psn": PSN, "imk": IMK.hex(), "arqc": made.hex()}
    answer = published(card, "visa22", elements, {})
    assert answered(answer) == "05 card_declined"  # its results say AAC
    assert answer.data_91


@pytest.mark.parametrize("vector", known("arpc_method1"), ids=name)
def test_a_published_answer_of_method_1(vector: Any) -> None:
    code = bytes.fromhex(vector["arc"])
    answer = authentication_data(
        CardKey("visa10", bytes.fromhex(vector["key"])), {"9F26": bytes.fromhex(vector["arqc"])}, code, True
    )
    assert answer.hex().upper() == vector["arpc"] + vector["arc"]


@pytest.mark.parametrize("vector", known("arpc_method2"), ids=name)
def test_a_published_answer_of_method_2(vector: Any) -> None:
    """The key is the session key of the card that made jpos-arqc-EMV-80."""
    (made,) = [v for v in known("arqc") if v["id"] == "jpos-arqc-EMV-80"]
    assert made["session_key"] == vector["key"]
    key = CardKey("visa18", bytes.fromhex(made["icc_mk"]))
    elements = {"9F26": bytes.fromhex(vector["arqc"]), "9F36": bytes.fromhex(made["atc"])}
    answer = authentication_data(
        key, elements, b"00", True, Policy(csu_approved=bytes.fromhex(vector["csu"]))
    )
    assert answer.hex().upper() == vector["arpc"] + vector["csu"]


PEERS = {
    "visa10": "VisaCVN10",
    "visa18": "VisaCVN18",
    "visa22": "VisaCVN22",
    "mchip16": "MasterCardCVN16",
    "mchip17": "MasterCardCVN17",
    "mchip20": "MasterCardCVN20",
    "mchip21": "MasterCardCVN21",
}
"""Method -> pyemv's class."""


def drawn(draw: Draw, method: str) -> dict[str, str]:
    """A payment that the host approves: what its checks do not look at is drawn."""
    text = {tag: draw.octets(size).hex() for tag, size in cryptogram.LENGTHS.items() if tag != "9F26"}
    amount, cvn = draw.number(0, 100_000), cryptogram.METHODS[method].version
    text |= {"9F02": f"{amount:012}", "5F2A": "0156", "9C": draw_one(draw, ("00", "01", "09", "17"))}
    text["95"] = bytes(a & b for a, b in zip(draw.octets(5), bytes.fromhex("A1AF7FFEFF"), strict=True)).hex()
    text["9F36"] = f"{draw.number(1, 1_000):04X}"
    kind = draw_one(draw, ("9", "A"))
    if method.startswith("mchip"):
        cvr = f"{kind}{draw.number(0, 15):X}" + draw.octets(2).hex() + "22" + draw.octets(2).hex()
        size = 18 if method in {"mchip17", "mchip21"} else draw.number(8, 18)
        text["9F10"] = f"01{cvn:02X}{cvr}{draw.octets(10).hex()}"[: 2 * size]
    elif method == "visa22":
        text["9F10"] = f"1F2201{'03'}{kind}0{draw_one(draw, ('00', '20', '10'))}{draw.octets(26).hex()}"
    else:
        cvr = f"03{kind}0{draw_one(draw, ('00', '20', '30', '80'))}{draw.octets(1).hex()}"
        text["9F10"] = f"0601{cvn:02X}{cvr}{draw.octets(draw.number(0, 25)).hex()}"
    return text


def draw_one(draw: Draw, values: tuple[str, ...]) -> str:
    return values[draw.number(0, len(values) - 1)]


def their_answer(theirs: Any, method: str, text: Mapping[str, str], made: bytes) -> bytes:
    """pyemv's issuer authentication data for an approval."""
    atc = {"tag_9f36": bytes.fromhex(text["9F36"])}
    if method in {"visa18", "visa22"}:
        csu = bytes.fromhex("00820000")
        return bytes(theirs.generate_arpc(made, csu=csu, **atc)) + csu
    code = b"00" if method == "visa10" else bytes.fromhex("0012")
    return bytes(theirs.generate_arpc(made, arpc_rc=code, **({} if method in NO_ATC else atc))) + code


NO_ATC = {"visa10", "mchip16", "mchip17"}


def given_to_pyemv(method: str, text: Mapping[str, str]) -> dict[str, bytes]:
    data = bytes.fromhex(text["9F10"])
    elements = {f"tag_{tag.lower()}": bytes.fromhex(text[tag]) for tag in cryptogram.MINIMUM}
    if method in {"visa18", "visa22"}:
        return elements | {"tag_9f10": data}
    if method == "visa10":
        return elements | {"cvr": data[3:7]}
    elements["cvr"] = data[2:8]
    return elements | ({"counters": data[10:18]} if method in {"mchip17", "mchip21"} else {})


@QUIET
@pytest.mark.parametrize("method", PEERS)
def test_the_host_takes_what_pyemv_signs_and_answers_as_pyemv_does(method: str) -> None:
    pyemv = pytest.importorskip("pyemv")
    scheme = next(name for name, rows in SCHEMES.items() if method in rows)
    for draw in draws(f"host-{method}", count(2_000)):
        imk, pan, psn = draw.octets(16), draw.digits(12, 19), draw.digits(2, 2)
        theirs = getattr(pyemv.cvn, PEERS[method])(imk, bytes(16), bytes(16), pan, psn)
        text = drawn(draw, method)
        made = theirs.generate_ac(**given_to_pyemv(method, text))
        sent = {int(tag, 16): bytes.fromhex(value) for tag, value in text.items()}
        sent |= {0x9F26: made, 0x5F34: bytes.fromhex(psn), 0x5A: bytes.fromhex(pan + "F" * (len(pan) % 2))}
        desk = Desk(card={"scheme": scheme, "pan": pan, "psn": psn, "keys": {1: MasterKeys(imk)}})
        amount = int(text["9F02"])

        forged = desk.authorize(request(sent | {0x9F26: (int.from_bytes(made) ^ 1).to_bytes(8)}, amount))
        assert answered(forged) == "88 wrong_cryptogram"
        answer = desk.authorize(request(sent, amount))
        assert answered(answer) == "00", answer
        assert answer.data_91 == their_answer(theirs, method, text, made)
