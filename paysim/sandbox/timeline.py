"""Histories for people: the timeline of an order, and its receipt."""

from __future__ import annotations

import datetime

from paysim.channels import ShopFacts
from paysim.core.event import Event
from paysim.core.history import History
from paysim.core.money import Money

__all__ = ["receipt", "timeline"]

_CHINA = datetime.timezone(datetime.timedelta(hours=8))


def _clock(at_ms: int) -> str:
    moment = datetime.datetime.fromtimestamp(at_ms / 1000, _CHINA)
    return f"{moment:%m-%d %H:%M:%S}"


def timeline(history: History) -> str:
    """Both readers' facts in the order in which the shop learned them, one a line.

    The columns: time (UTC+8), where the fact was born, the fact, its amount, the state of that reader after
    it, and why. A fact that the shop has not learned yet is marked so.
    """
    rows = sorted(_rows(history), key=lambda row: row[0])
    currency = history.book.currency or history.shop.currency
    head = f"order {history.id}  {history.shop.reference}".rstrip()
    return "\n".join([head, *(_line(row, currency) for row in rows)])


Row = tuple[int, str, Event, str, bool]


def _rows(history: History) -> list[Row]:
    rows: list[Row] = []
    seen = History(history.id)
    for event in history.born:
        if event.kind == "reached":
            rows += _operators(history, seen, event.data["position"])
        seen.at_shop(event)
        rows.append((event.at_ms, "shop", event, seen.shop.state.value, True))
    return rows + _operators(history, seen, history.book_version)


def _operators(history: History, seen: History, stop: int) -> list[Row]:
    rows: list[Row] = []
    for index in range(seen.book_version, min(stop, history.book_version)):
        event = history.book.events[index]
        seen.at_operator(event)
        rows.append((event.at_ms, "operator", event, seen.book.state.value, index < history.learned))
    return rows


def _line(row: Row, currency: str) -> str:
    at_ms, where, event, state, known = row
    amount = str(Money(currency, event.amount_minor)) if event.amount_minor and currency else ""
    why = "; ".join(filter(None, (str(event.outcome) if event.outcome else _via(event), _tapped(event))))
    if not known:
        why = f"{why}  (the shop does not know yet)".strip()
    return f"  {_clock(at_ms)}  {where:<8}  {event.kind:<14}  {amount:>14}  {state:<10}  {why}".rstrip()


def _tapped(event: Event) -> str:
    """What the terminal decided at a tap: kernel, step and why, cryptogram, counter, CVM and TVR."""
    tap = event.data.get("tap")
    if not tap:
        return ""
    signed = tap.get("cryptogram", "")
    said = [f"kernel {tap['kernel']:X}", tap["why"], *([signed] if signed not in tap["why"] else [])]
    said += [f"counter {tap['counter']}"] if "counter" in tap else []
    said += [] if tap["cvm"] in ("NONE", "NA") else [tap["cvm"].lower().replace("_", " ")]
    said += [f"TVR {tap['tvr']}"] if tap["tvr"].strip("0") else []
    return ", ".join(said)


def _via(event: Event) -> str:
    if event.kind == "reached":
        return f"by {event.data['via']}"
    data = event.data
    return str(
        next((data[name] for name in ("why", "verb", "channel", "payer", "ask") if data.get(name)), "")
    )


def receipt(history: History, shop: ShopFacts) -> str:
    """What the payer takes home: the shop, the goods lines, the sums and the state."""
    view = history.book if history.book.created else history.shop
    currency = view.currency
    goods = view.created.data.get("goods", ()) if view.created else ()
    lines = [shop.name, f"order {history.id}", f"reference {view.reference or history.id}"]
    for line in goods:
        total = Money(currency, line["price_minor"] * line["quantity"])
        lines.append(f"  {line['quantity']} x {line['name']:<24} {total.text:>10}")
    sums = (("total", view.amount_minor), ("paid", view.captured_minor), ("refunded", view.refunded_minor))
    lines += [
        f"{name:<10} {Money(currency, minor)!s:>20}" for name, minor in sums if minor or name == "total"
    ]
    return "\n".join([*lines, view.state.value])
