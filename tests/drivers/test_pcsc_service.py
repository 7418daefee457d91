"""The daemon goes and comes, readers are renamed, others hold cards: a named error, then a tap that works."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from driver_benches import PcscBench
from pcsc_counter import WAIT_S, Bench, benched
from pcscd import Pcscd
from tap_counter import states

from paysim import Sandbox
from paysim.core.errors import LinkClosed, LinkError, LinkTimeout, NoReader
from paysim.core.outcome import OutcomeKind
from paysim.drivers import pcsc, pcsc_service
from paysim.drivers.pcsc import Pcsc
from paysim.drivers.pcsc_card import CardTalk
from paysim.drivers.pcsc_status import slots
from paysim.drivers.vpcd import CardHost
from paysim.emv.card import Card
from paysim.testing.drivers import GOOD, SELECT, ScriptedCard


@pytest.fixture
def restarted(daemon: Pcscd) -> Iterator[Pcscd]:
    """The daemon, which may be stopped and renamed; as it was afterwards."""
    name = daemon.friendly
    yield daemon
    daemon.rename(name)


def test_a_daemon_that_stops_and_starts_again(restarted: Pcscd) -> None:
    with benched(restarted, "unionpay") as bench:
        assert bench.link_tap(bench.order(990)).approved
        present = bench.field.wait(WAIT_S)
        assert present is not None
        restarted.stop()
        with pytest.raises(LinkClosed):
            present.link.transceive(SELECT)
        begun = time.monotonic()
        with pytest.raises(NoReader, match="pcscd"):
            bench.field.wait(0.3)
        assert bench.field.removed(0.3)
        with pytest.raises(NoReader, match="pcscd"):
            Pcsc().readers()
        assert time.monotonic() - begun < 5
        bench.host.stop()
        restarted.start()
        assert bench.link_tap(bench.order(990)).approved
        bench.settled()


def test_a_daemon_that_stops_in_the_middle_of_a_payment(restarted: Pcscd) -> None:
    class Stops:
        def __init__(self, card: Card) -> None:
            self.card, self.armed = card, True

        def respond(self, command: bytes) -> bytes:
            answer = self.card.respond(command)
            if self.armed and command[1] == 0xA8:
                self.armed = False
                restarted.process.kill()  # type: ignore[union-attr]
                restarted.stop()
            return answer

        def power_off(self) -> None:
            self.card.power_off()

    with benched(restarted, "unionpay-ecash") as bench:
        bench.host = CardHost(Stops(bench.machine), **bench.about)
        order = bench.order(990)
        assert bench.link_tap(order).outcome.kind is OutcomeKind.TRY_AGAIN
        bench.host.stop()  # the thread that has stopped the daemon is at its end
        restarted.start()
        assert bench.link_tap(order).approved
        bench.settled()
        assert bench.machine.memory.balance == 10_000 - 990


def test_a_reader_is_chosen_by_a_part_of_its_name(daemon: Pcscd) -> None:
    driver = Pcsc()
    assert driver.readers() == list(daemon.names)
    for part, names in {
        "": daemon.names,
        daemon.friendly[:3]: daemon.names,
        daemon.friendly.upper(): daemon.names,
        "\uff30\uff23\uff24": daemon.names,  # PCD in wide letters
        "00 01": daemon.names[1:],
        daemon.names[0]: daemon.names[:1],
    }.items():
        field = driver.open(part)
        assert field.reader == ", ".join(names)
        field.close()
    with pytest.raises(NoReader, match="00 01"):
        driver.open("ACR122U")


def test_a_reader_with_a_name_in_another_script_is_named_and_not_taken(restarted: Pcscd) -> None:
    name = restarted.friendly
    with benched(restarted, "unionpay") as bench:
        order = bench.order(990)
        restarted.rename("读卡器 Čtečka ①")
        assert Pcsc().readers() == list(restarted.names)
        assert [slot.reader for slot in slots()] == list(restarted.names)
        for part in ("", "读卡器", "čtečka"):
            with pytest.raises(NoReader, match=r"not ASCII .读卡器.*FRIENDLYNAME"):
                bench.shop.terminal(f"pcsc:{part}").tap(order)
        assert states(order) == ("CREATED", "CREATED")
        restarted.rename(name)
        assert bench.link_tap(order).approved
        bench.settled()


@pytest.mark.parametrize("name", [b"Le\xe7teur", "读卡器".encode() * 20], ids=["latin-1", "cut"])
def test_a_reader_whose_name_is_no_text_is_a_named_error(restarted: Pcscd, name: bytes) -> None:
    restarted.rename(name.decode(errors="surrogateescape"))
    for ask in (Pcsc().readers, Pcsc().open, slots):
        with pytest.raises(NoReader, match=r"not UTF-8.*FRIENDLYNAME"):
            ask()


def test_a_reader_that_is_unplugged_and_comes_back(restarted: Pcscd) -> None:
    name = restarted.friendly
    with benched(restarted, "unionpay") as bench:
        assert bench.link_tap(bench.order(990)).approved
        bench.host.stop()
        restarted.rename("Another")
        begun = time.monotonic()
        with pytest.raises(NoReader, match="plug it in"):
            bench.field.wait(0.3)
        assert bench.field.removed(0.3)
        assert time.monotonic() - begun < 5
        restarted.rename(name)
        assert bench.link_tap(bench.order(990)).approved
        bench.settled()


def test_of_two_readers_the_one_with_the_card_is_taken(daemon: Pcscd) -> None:
    field = Pcsc().open(daemon.friendly)
    for slot in (1, 0):
        bench = PcscBench(daemon, slot=slot)
        bench.insert(ScriptedCard({SELECT: GOOD + b"\x90\x00"}))
        present = field.wait(WAIT_S)
        assert present is not None
        assert present.link.transceive(SELECT)
        bench.close()
        assert field.removed(WAIT_S)
    field.close()


def test_of_two_readers_each_is_asked_whether_a_card_is_left(daemon: Pcscd) -> None:
    field, bench = Pcsc().open(daemon.friendly), PcscBench(daemon)
    assert field.wait(1.2) is None, "it has looked into both for a card that is overlooked"
    bench.insert(ScriptedCard({SELECT: GOOD}))
    other = Pcsc().open(daemon.names[0])
    assert other.wait(WAIT_S) is not None
    assert not field.removed(0)
    other.close()
    bench.close()
    field.close()


@pytest.mark.parametrize("code", [0x80100004, 0x80100001, 0x8010001D])
def test_a_service_that_says_nothing_but_errors_is_a_named_error_in_time(daemon: Pcscd, code: int) -> None:
    field, asked = Pcsc().open(daemon.names[0]), 0

    def fails(*_: object) -> tuple[int, list[object]]:
        nonlocal asked
        asked += 1
        if asked > 100:
            raise AssertionError("it is asked again and again")
        return code, []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pcsc_service.functions(), "SCardGetStatusChange", fails)
        with pytest.raises(NoReader, match=f"{code:08X}"):
            field.wait(0.1)
        field.removed(0.1)
    assert field.wait(0) is None
    field.close()


def test_a_service_that_is_away_for_a_moment_when_a_card_comes(daemon: Pcscd) -> None:
    bench, field, failures = PcscBench(daemon), Pcsc().open(daemon.names[0]), [1, 2, 3]

    def talk(**about: Any) -> CardTalk:
        if failures:
            failures.pop()
            raise NoReader(pcsc_service.REFUSED)  # so it says when it is about to end, too
        return CardTalk(**about)

    bench.insert(ScriptedCard({SELECT: GOOD}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pcsc, "CardTalk", talk)
        assert field.wait(WAIT_S) is not None
        failures.extend(range(999))
        field.close()
        again = Pcsc().open(daemon.names[0])
        with pytest.raises(NoReader, match="refuses"):
            again.wait(0.1)
    again.close()
    bench.close()


def test_two_cards_in_two_slots_pay_at_once(daemon: Pcscd) -> None:
    def pay(slot: int) -> None:
        with Sandbox(seed=slot) as sandbox:
            bench = Bench(sandbox, daemon, "unionpay", slot=slot)
            bench.field.close()
            bench.field = Pcsc().open(daemon.names[slot])
            try:
                for _ in range(5):
                    assert bench.link_tap(bench.order(990)).approved
                bench.settled()
                paid.append(bench.spent)
            finally:
                bench.close()

    paid: list[int] = []
    threads = [threading.Thread(target=pay, args=(slot,)) for slot in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paid == [4950, 4950]


def test_another_program_holds_the_card(daemon: Pcscd) -> None:
    with benched(daemon, "unionpay") as bench:
        bench.host.start()
        other = Pcsc().open(daemon.names[0])
        assert other.wait(WAIT_S) is not None
        order, begun = bench.order(990), time.monotonic()
        with pytest.raises(LinkClosed, match="another program holds the card"):
            bench.field.wait(0.2)
        assert time.monotonic() - begun < 3
        assert order.state.value == "CREATED"
        other.close()
        assert bench.link_tap(order).approved
        bench.settled()


def test_programs_share_a_card_if_both_want_to(daemon: Pcscd) -> None:
    with benched(daemon, "unionpay") as bench:
        bench.host.start()
        fields = [Pcsc(exclusive=False).open(daemon.names[0]) for _ in range(2)]
        presents = [field.wait(WAIT_S) for field in fields]
        with pytest.raises(LinkClosed, match="reset"):
            presents[0].link.transceive(SELECT)  # type: ignore[union-attr]
        assert presents[1].link.transceive(SELECT)[-2:] == b"\x90\x00"  # type: ignore[union-attr]
        for field in fields:
            field.close()


def test_a_field_closed_by_another_thread(daemon: Pcscd) -> None:
    field = Pcsc().open(daemon.names[0])
    threading.Timer(0.1, field.close).start()
    with pytest.raises(LinkClosed):
        field.wait(WAIT_S)


def test_a_command_longer_than_the_service_carries(daemon: Pcscd) -> None:
    bench = PcscBench(daemon)
    bench.insert(ScriptedCard({SELECT: GOOD}))
    field = bench.driver.open(bench.reader)
    present = field.wait(WAIT_S)
    assert present is not None
    with pytest.raises(LinkError):
        present.link.transceive(bytes(70_000))
    present = field.wait(WAIT_S)
    assert present is not None
    assert present.link.transceive(SELECT) == GOOD
    field.close()
    bench.close()


# Cards that come too soon. ----------------------------------------------------------------------------------
# The service looks for cards every 0.4 s. Made to reset one that has left meanwhile, it takes the reader for
# empty; and a card that comes before it looks again is to it the one that was there, and no news.


@pytest.fixture
def hasty(daemon: Pcscd) -> Iterator[PcscBench]:
    """A bench whose commands may take 0.2 s, so that all happens between two looks."""
    bench = PcscBench(daemon, timeout_s=0.2)
    yield bench
    bench.close()


def test_a_card_that_comes_right_after_a_silent_one_is_found(hasty: PcscBench) -> None:
    hasty.insert(ScriptedCard({SELECT: LinkTimeout("says nothing")}))
    field = hasty.driver.open(hasty.reader)
    silent = field.wait(WAIT_S)
    assert silent is not None
    with pytest.raises(LinkTimeout):
        silent.link.transceive(SELECT)
    hasty.remove()
    for thread in [one for one in threading.enumerate() if one.name == "paysim pcsc"]:
        thread.join(WAIT_S)  # at its end the service resets the card, which is not there any more
    hasty.insert(ScriptedCard({SELECT: GOOD}))
    present = field.wait(WAIT_S)
    assert present is not None, hasty.daemon.log()
    assert present.link.transceive(SELECT) == GOOD
    field.close()


@pytest.mark.parametrize("opened", ["before", "afterwards"])
def test_a_card_that_comes_right_after_another_programs_is_found(hasty: PcscBench, opened: str) -> None:
    driver = Pcsc(exclusive=False)
    hasty.insert(ScriptedCard({SELECT: GOOD}))
    other, ours = driver.open(hasty.reader), driver.open(hasty.reader)
    assert other.wait(WAIT_S) is not None
    if opened == "before":
        assert ours.wait(WAIT_S) is not None
    hasty.remove()
    other.close()  # it lets the service reset the card
    hasty.insert(ScriptedCard({SELECT: GOOD}))
    if opened == "afterwards":
        ours.close()
        ours = driver.open(hasty.reader)
    present = ours.wait(WAIT_S)
    assert present is not None, hasty.daemon.log()
    assert present.link.transceive(SELECT) == GOOD
    hasty.remove()
    assert ours.removed(WAIT_S), "and that it leaves is seen"
    ours.close()
