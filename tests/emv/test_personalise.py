"""Cards as they leave the issuer: numbers, records, certificates for a reader to follow, no secret shown."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha1

import pytest
from emv_cards import IMK, TODAY, card, made, objects, offered, profile, read_all, rsa, scheme
from hypothesis import given
from hypothesis import strategies as st

from paysim.codec import formats, tlv
from paysim.core.errors import UsageError
from paysim.crypto.ca_keys import find_ca_key
from paysim.crypto.certificate import KeyCertificate, recover_card, recover_issuer
from paysim.crypto.inputs import InputError
from paysim.crypto.oda import verify_fast
from paysim.crypto.raw_rsa import RsaPublic
from paysim.emv.card import Card
from paysim.emv.personalise import BINS, MAX_RECORD, Scheme, _packed, check_digit, make_pan, personalise
from paysim.emv.ppse import directory
from paysim.emv.profile import PROFILES, RIDS, Profile

SIGNING = [name for name, found in PROFILES.items() if found.signs]
AMOUNT = {"9F37": bytes.fromhex("01020304"), "9F02": bytes.fromhex("000000001000"), "5F2A": b"\x01\x56"}


def luhn(number: str) -> bool:
    """Luhn's formula as ISO/IEC 7812-1 writes it, from the right."""
    digits = [int(letter) for letter in number[::-1]]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


@given(st.sampled_from(sorted(BINS)), st.integers(0, 999_999_999))
def test_numbers_pass_luhn(name: str, account: int) -> None:
    pan = make_pan(name, account)
    assert luhn(pan)
    assert (len(pan), pan.startswith(BINS[name])) == (16, True)


@pytest.mark.parametrize("pan", ["4111111111111111", "79927398713", "5413330089010434"])
def test_check_digits_that_are_published(pan: str) -> None:
    assert luhn(pan)
    assert check_digit(pan[:-1]) == pan[-1]


@pytest.mark.parametrize("account", [-1, 1_000_000_000])
def test_account_numbers_end(account: int) -> None:
    with pytest.raises(InputError):
        make_pan("visa", account)


def signed_records(tapper: Card) -> tuple[dict[int, bytes], bytes]:
    """Everything that the records of a TC hold, and what of them the issuer signed, as the AFL says."""
    answer = objects(offered(tapper, 1000, "26004080"))
    if 0x94 not in answer:
        answer = objects(offered(tapper, 0, "26004080"))  # a card without offline money approves zero
    records = iter(read_all(tapper))
    static, values = b"", dict(answer)
    for entry in formats.decode_afl(answer[0x94]):
        for number in range(entry.first, entry.last + 1):
            record = next(records)
            assert record.ok
            values |= objects(record)
            if number < entry.first + entry.authenticated:
                template = next(tlv.spans(record.data))
                static += record.data[template.value : template.stop]
    return values, static + answer[0x82]


@pytest.mark.parametrize("name", [name for name in SIGNING if name not in ("expired", "blocked")])
def test_a_reader_follows_the_chain_from_the_ca_to_the_tap(name: str) -> None:
    tapper = card(name)
    values, static = signed_records(tapper)
    ours = scheme(tapper.made.profile.scheme)
    ca = find_ca_key([ours.ca_key], RIDS[ours.name], values[0x8F][0])
    pan = formats.decode_cn(values[0x5A])
    issuer = recover_issuer(
        ca.key, KeyCertificate(values[0x90], values.get(0x92, b""), values[0x9F32]), pan, TODAY
    )
    held = KeyCertificate(values[0x9F46], values.get(0x9F48, b""), values[0x9F47])
    found = recover_card(issuer.key, held, pan, static, TODAY)
    assert (found.pan, found.expires) == (pan, formats.decode_date(values[0x5F24]))
    assert values[0x9F4A] == b"\x82"
    amount = AMOUNT["9F02"] if tapper.memory.balance else bytes(6)
    tap = AMOUNT | {"9F02": amount, "9F69": values[0x9F69]}
    assert verify_fast(found.key, values[0x9F4B], tap) == values[0x9F36]


def opened(key: RsaPublic, signed: bytes) -> bytes:
    """What a signature holds, by the book: to the power of the exponent, nothing of ours."""
    block = pow(int.from_bytes(signed), key.exponent, key.modulus).to_bytes(len(signed))
    assert (block[0], block[-1]) == (0x6A, 0xBC)
    return block[1:-1]


def test_the_chain_by_hand() -> None:
    """EMV 4.4 Book 2 6.3, 6.4, and the tap's signature, step by step, without our recovery."""
    tapper = card("unionpay-ecash")
    values, static = signed_records(tapper)
    of_issuer = opened(scheme("unionpay").ca.public, values[0x90])
    body, digest = of_issuer[:-20], of_issuer[-20:]
    assert sha1(body + values.get(0x92, b"") + values[0x9F32]).digest() == digest
    assert (body[0], body[1:5].hex(), body[10:12].hex(), body[12]) == (2, "623456ff", "0101", 176)
    issuer = RsaPublic(
        int.from_bytes(body[14:][:176] + values.get(0x92, b"")), int.from_bytes(values[0x9F32])
    )
    assert issuer == rsa(1408, "issuer").public
    of_card = opened(issuer, values[0x9F46])
    body, digest = of_card[:-20], of_card[-20:]
    assert sha1(body + values.get(0x9F48, b"") + values[0x9F47] + static).digest() == digest
    assert (body[0], body[1:11].hex().rstrip("f")) == (4, tapper.made.pan)
    key = RsaPublic(
        int.from_bytes(body[20:][: body[18]] + values.get(0x9F48, b"")), int.from_bytes(values[0x9F47])
    )
    assert key == rsa(1152).public
    tap = opened(key, values[0x9F4B])
    outside = AMOUNT["9F37"] + AMOUNT["9F02"] + AMOUNT["5F2A"] + values[0x9F69]
    assert sha1(tap[:-20] + outside).digest() == tap[-20:]
    assert tap[:5].hex() == "050103" + "02" + values[0x9F36].hex()[:2]


SIZES = [(1152, 1152, 1024), (1408, 1152, 1152), (1408, 1408, 1408), (1984, 1408, 1152), (1984, 1984, 1984)]


@pytest.mark.parametrize(("ca", "issuer", "bits"), SIZES)
def test_keys_of_any_size_fit_into_answers(ca: int, issuer: int, bits: int) -> None:
    keys = scheme("unionpay", ca, issuer)
    held = PROFILES["unionpay-ecash"]
    new = personalise(held, make_pan("unionpay", 7), "01", keys.issuer_keys, rsa(bits), on=TODAY)
    tapper = Card(new)
    answer = offered(tapper, 1000)
    records = read_all(tapper)
    values, static = signed_records(tapper)
    assert max(len(one.data) for one in (answer, *records)) <= 256
    certified = KeyCertificate(values[0x90], values.get(0x92, b""), values[0x9F32])
    recovered = recover_issuer(keys.ca.public, certified, new.pan, TODAY)
    held_key = KeyCertificate(values[0x9F46], values.get(0x9F48, b""), values[0x9F47])
    assert recover_card(recovered.key, held_key, new.pan, static, TODAY).key == rsa(bits).public
    assert verify_fast(rsa(bits).public, values[0x9F4B], AMOUNT | {"9F69": values[0x9F69]}) == b"\x00\x02"


def test_dates_and_numbers_stand_in_the_data() -> None:
    new = made("unionpay", currency=978, country=276)
    track = formats.decode_track2(new.data[0x57])
    assert (track.pan, track.expiry, track.service) == (new.pan, "3111", "201")
    assert formats.decode_date(new.data[0x5F24]) == datetime.date(2031, 11, 30) == new.expires
    assert (new.data[0x9F51].hex(), new.data[0x5F28].hex(), new.data[0x5F34].hex()) == ("0978", "0276", "01")
    assert made("expired").expires == datetime.date(2026, 10, 31)


@pytest.mark.parametrize("month", range(1, 13))
def test_a_card_is_good_to_the_end_of_its_month(month: int) -> None:
    keys = scheme("unionpay").issuer_keys
    made_on = datetime.date(2027, month, 5)
    new = personalise(PROFILES["unionpay"], make_pan("unionpay", 1), "01", keys, rsa(1152), on=made_on)
    assert (new.expires.year, new.expires.month) == (2032, month)
    assert (new.expires + datetime.timedelta(days=1)).day == 1


@pytest.mark.parametrize("digits", range(13, 20))
def test_numbers_of_13_to_19_digits(digits: int) -> None:
    number = "623456".ljust(digits - 1, "0")
    pan = number + check_digit(number)
    new = personalise(PROFILES["unionpay"], pan, "01", scheme("unionpay").issuer_keys, rsa(1152), on=TODAY)
    assert formats.decode_cn(new.data[0x5A]) == formats.decode_track2(new.data[0x57]).pan == pan


def test_records_are_packed_up_to_an_answers_256_bytes() -> None:
    assert [len(one) for one in _packed([bytes(200), bytes(53), bytes(1)])] == [253, 1]
    assert len(tlv.encode(((0x70, bytes(MAX_RECORD)),))) == 256


def bad(**changed: object) -> Callable[[], object]:
    keys = scheme("unionpay").issuer_keys
    values: dict[str, object] = {"profile": PROFILES["unionpay"], "pan": make_pan("unionpay", 7), "psn": "01",
                                 "issuer": keys, "card_key": rsa(1152), "on": TODAY}  # fmt: skip
    return lambda: personalise(**(values | changed))  # type: ignore[arg-type]


REFUSED = [
    ("a digit of the PAN changed", bad(pan="6234560000000074")),
    ("another issuer's PAN", bad(pan=make_pan("visa", 7))),
    ("a PAN of letters", bad(pan="62345600000000AB")),
    ("a short PAN", bad(pan="623456000009")),
    ("a sequence number of one digit", bad(psn="1")),
    ("no key", bad(card_key=None)),
    ("a card key longer than the issuer's", bad(card_key=rsa(1984))),
    ("a master key of 8 bytes", lambda: replace(scheme("visa").issuer_keys, imk=bytes(8))),
    ("a script key of 24 bytes", lambda: replace(scheme("visa").issuer_keys, script_imk=bytes(24))),
]


@pytest.mark.parametrize("make", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_does_not_fit_together_is_refused_without_showing_it(make: Callable[[], object]) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert "62345600000" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"scheme": "amex"},
        {"pdol": ((0x9F66, 4),)},
        {"pdol": (*PROFILES["visa"].pdol, (0x9F7C, 95))},
        {"data": {}},
        {"applications": ()},
    ],
)
def test_a_profile_that_could_not_answer_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(PROFILES["visa"], **change)  # type: ignore[arg-type]


def test_nothing_secret_is_shown() -> None:
    ours = scheme("visa")
    shown = f"{ours!r} {ours.issuer_keys!r} {made('visa')!r} {ours.issuer!r}"
    assert IMK.hex() not in shown.lower()
    assert repr(IMK) not in shown
    assert made("visa").pan not in shown
    assert str(ours.issuer.public.modulus) not in shown


def test_a_scheme_of_ones_own_number() -> None:
    own = Scheme(
        "visa", rsa(1408, "ca"), rsa(1408, "issuer"), IMK, IMK, TODAY, 9, "4000", b"\xa0\0\0\x09\x99"
    )
    assert (own.ca_key.rid, own.ca_key.index, own.issuer_keys.identifier) == (b"\xa0\0\0\x09\x99", 9, "4000")


def test_a_directory_names_the_kernel_where_the_card_wants_one() -> None:
    (application,) = PROFILES["visa"].applications
    entries = tlv.decode(directory([application._replace(kernel=b"\x03")]))
    assert tlv.find(entries, 0x6F, 0xA5, 0xBF0C, 0x61, 0x9F2A) == b"\x03"


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_are_data_that_fit_their_names(name: str) -> None:
    found: Profile = PROFILES[name]
    assert found.name == name
    assert found.words
    assert profile(name) == replace(found, data=dict(found.data))
