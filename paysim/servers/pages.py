"""The payer's side in a browser: the bridge script for a merchant's page, its confirm window, the H5 page.

`bridge.js` stands in for what WeChat gives to a page. It opens the confirm window on the sandbox's own origin
and hears the result by postMessage (the protocol is at its head). An H5 link leads to a page of its own.
A person chooses who pays and what comes of it; `Desk` does it. The app checks the Host of every request.

Source: WeChat Pay merchant/4012791857 (JSAPI), 4012791898 (mini program), 4012791835 (H5); facts/wechat 3
"""

from __future__ import annotations

import functools
import html
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from paysim.core.errors import UsageError
from paysim.operators.wechat.numbers import H5_PATH, h5_url
from paysim.operators.wechat.payer import OUTCOMES

__all__ = ["BRIDGE", "CONFIRM", "H5", "WALLET_FOLDER", "Desk", "OrderView", "routes"]

ROOT: Final = "/_paysim"
BRIDGE: Final = f"{ROOT}/bridge.js"
CONFIRM: Final = f"{ROOT}/confirm"
H5: Final = ROOT + H5_PATH
_STATIC: Final = f"{ROOT}/static"
WALLET_FOLDER: Final = H5_PATH.rpartition("/")[0] + "/"
"""All that the wallet's host serves to browsers is below this path."""
_WALLET_STATIC: Final = f"{WALLET_FOLDER}static"
_WALLET: Final = "https://wx.tenpay.com"
_MAX_BODY: Final = 64 * 1024

_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

# fmt: off
_ASSETS: Final = {
    "prompt.js": "text/javascript",
    "confirm.js": "text/javascript",
    "h5.js": "text/javascript",
    "pages.css": "text/css",
}

_CHOICES: Final = (
    ("", "确认支付", "Pay"),
    ("refuse", "取消", "Cancel"),
    ("wrong_pin", "密码错误", "Wrong PIN"),
    ("no_money", "余额不足", "No money"),
    ("silence", "不理会", "Silence: do nothing"),
    ("ok_but_unpaid", "显示成功，稍后到账", "Ok shown, paid later"),
    ("paid_but_cancel_shown", "已付款，显示取消", "Paid, cancel shown"),
)
"""Outcome, Chinese, English. Pay leaves it to the order: a magic amount or openid still has its way."""

_STATES: Final = {
    "NOTPAY": "",
    "USERPAYING": "付款中 Paying",
    "SUCCESS": "已支付 Paid",
    "REFUND": "已退款 Refunded",
    "CLOSED": "已关闭 Closed",
    "REVOKED": "已撤销 Revoked",
    "PAYERROR": "支付失败 Failed",
}

_NOTICES: Final = {
    "inside_wechat": ("请在微信外打开订单，进行支付", "Open the order outside of WeChat to pay"),
    "malformed": ("商家参数格式有误，请联系商家解决", "The shop's parameters are malformed; ask the shop"),
    "domain": ("商家存在未配置的参数，请联系商家解决", "The shop has not registered this; ask the shop"),
    "paid": ("该订单已支付", "The order is paid"),
    "closed": ("该订单已关闭", "The order is closed"),
    "expired": ("支付请求已失效，请重新发起支付", "The payment request has expired; start again at the shop"),
}
"""The H5 page's refusals. Source: WeChat Pay's H5 FAQ. Assumed: the texts for paid and closed orders."""
# fmt: on

_VALUES: Final = (
    *("prepay", "package", "referer", "redirect", "opener", "going"),
    *("merchant", "amount", "description", "state", "order_hidden", "choices_hidden", "state_hidden"),
)
"""What prompt.html says of one payment."""

_REDIRECT: Final = re.compile(
    r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?#][^\x00-\x1f\x7f\\]*)?"
)


class OrderView(NamedTuple):
    """An order as a payer sees it.

    `state` is the trade state (NOTPAY, SUCCESS, ...); `expired` whether this prepay id, or H5 link, has run
    out. `h5_domains` are the merchant's, none when any will do; `payer` the person whose openid it was made
    for, "" when anybody may pay.
    """

    merchant: str
    description: str
    amount_fen: int
    state: str
    trade_type: str
    expired: bool = False
    h5_domains: Sequence[str] = ()
    payer: str = ""


class Desk(Protocol):
    """What the pages need of a sandbox."""

    def order(self, prepay_id: str) -> OrderView | None:
        """The order of a prepay id, None where there is none; any text may come."""

    def people(self) -> Sequence[tuple[str, str, int]]:
        """Id, name and balance in fen of each person."""

    def pay(
        self,
        person: str,
        text: str,
        outcome: str,
        kind: str,
        parameters: Mapping[str, Any],
        appid: str,
        referer: str,
    ) -> tuple[str | None, str]:
        """What the page is told (ok, cancel, fail; None while nobody acts), and why in words.

        `text` is a prepay id or an H5 link, `outcome` a row of OUTCOMES or "", `kind` jsapi, mini_program or
        h5; `appid` is "" where the page names none; `referer` is the page that asked: its origin, or for h5
        the Referer. UsageError (no such person, no such text) is told as fail.
        """


class _Bad(Exception):
    """A request that the pages' own scripts do not make."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Markup(str):
    """HTML that needs no escaping."""


def routes(desk: Desk) -> list[Route]:
    """The routes of the bridge, the confirm window and the H5 page; the last at the wallet's own path too."""
    get, post = ["GET"], ["POST"]
    pages = _Pages(desk)
    found = [
        Route(BRIDGE, _script("bridge.js", "text/javascript", "cross-origin"), methods=get),
        Route(CONFIRM, pages.confirm, methods=get),
        Route(CONFIRM, _guarded(pages.pay), methods=post),
        Route(f"{CONFIRM}/order", _guarded(pages.show), methods=post),
    ]
    for path, static in ((H5, _STATIC), (H5_PATH, _WALLET_STATIC)):
        found.append(Route(path, pages.h5, methods=get))
        found.append(Route(path, _guarded(pages.pay_h5), methods=post))
        found += [
            Route(f"{static}/{name}", _script(name, kind, "same-origin"), methods=get)
            for name, kind in _ASSETS.items()
        ]
    return found


# Answers. -------------------------------------------------------------------------------------------------


@functools.cache
def _text(name: str) -> str:
    return resources.files(__package__).joinpath("static", name).read_text("utf-8")


def _script(name: str, kind: str, resource_policy: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        headers = {"Cross-Origin-Resource-Policy": resource_policy, "Cache-Control": "no-cache"}
        return Response(_text(name), headers=_HEADERS | headers, media_type=kind)

    return answer


def _page(template: str, /, **values: str) -> Response:
    """A template with its values, each escaped but what is markup already."""
    safe = {key: value if isinstance(value, _Markup) else html.escape(value) for key, value in values.items()}
    return Response(Template(_text(template)).substitute(safe), headers=_HEADERS, media_type="text/html")


def _json(content: Mapping[str, Any], status: int = 200) -> Response:
    return JSONResponse(content, status, headers=_HEADERS)


def _fail(why: str, status: int = 200) -> Response:
    return _json({"result": "fail", "message": why}, status)


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02}"


def _people(desk: Desk, payer: str) -> _Markup:
    people = desk.people()
    chosen = payer if any(person == payer for person, _, _ in people) else next((p[0] for p in people), "")
    rows = (
        f'<label><input type="radio" name="person" value="{html.escape(person)}"'
        f"{' checked' if person == chosen else ''}>{html.escape(name)}"
        f'<span class="balance">¥{_yuan(balance_fen)}</span></label>'
        for person, name, balance_fen in people
    )
    return _Markup("\n".join(rows))


def _buttons() -> _Markup:
    rows = (
        f'<button type="submit" name="outcome" value="{outcome}"{"" if outcome else _Markup(" class=pay")}>'
        f'<span>{chinese}</span> <span lang="en">{english}</span></button>'
        for outcome, chinese, english in _CHOICES
    )
    return _Markup("\n".join(rows))


def _prompt(desk: Desk, script: str, assets: str, values: Mapping[str, str], payer: str = "") -> Response:
    """The page on which a person chooses; what is not in `values` is empty."""
    every = {**dict.fromkeys(_VALUES, ""), "state_hidden": _hidden(True), **values}
    return _page(
        "prompt.html",
        **every,
        script=script,
        assets=assets,
        people=_people(desk, payer),
        buttons=_buttons(),
    )


def _hidden(when: bool) -> _Markup:
    return _Markup(" hidden" if when else "")


# Requests. ------------------------------------------------------------------------------------------------


def _guarded(act: Callable[[Mapping[str, Any]], Response]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint for the pages' own scripts: JSON from the same origin, of a bounded size."""

    async def answer(request: Request) -> Response:
        try:
            _check_origin(request)
            return act(_read(await _body(request)))
        except _Bad as bad:
            return _fail(str(bad), bad.status)
        except UsageError as error:
            return _fail(str(error), 400)

    return answer


def _check_origin(request: Request) -> None:
    """The browser's word that a page of ours asks: no other page can send this Origin, or JSON unasked.

    The scheme is not compared: behind the proxy, the wallet's https arrives as http.
    """
    origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
    scheme, _, named = origin.partition("://")
    if scheme not in ("http", "https") or not host or named.lower() != host.lower():
        raise _Bad(403, f"the request comes from {origin or 'nowhere'}, not from a page of this sandbox")
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise _Bad(403, "the browser says that another site asks")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise _Bad(415, f"the body is application/json, not {kind or 'unnamed'}")


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > _MAX_BODY:
                raise _Bad(413, f"the body is longer than {_MAX_BODY} bytes")
    except ClientDisconnect:
        raise _Bad(400, "the body broke off") from None
    return bytes(body)


def _read(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()  # lone surrogates
    except (ValueError, RecursionError):
        raise _Bad(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise _Bad(400, "the body is a JSON object")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _field(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise _Bad(400, f"{name} is text")
    return value


def _outcome(body: Mapping[str, Any]) -> str:
    outcome = _field(body, "outcome")
    if outcome and outcome not in OUTCOMES:
        raise _Bad(400, f"outcome is one of {', '.join(OUTCOMES)}")
    return outcome


class _Asked(NamedTuple):
    """What a merchant's page asked for: `prepay` is in the package, `referer` the page's origin."""

    kind: str
    parameters: Mapping[str, Any]
    appid: str
    referer: str
    prepay: str


def _asked(body: Mapping[str, Any]) -> _Asked:
    kind, parameters = _field(body, "kind"), body.get("parameters")
    if kind not in ("jsapi", "mini_program"):
        raise _Bad(400, "kind is jsapi or mini_program")
    if not isinstance(parameters, dict):
        raise _Bad(400, "parameters is an object")
    package = parameters.get("package")
    if not isinstance(package, str) or not package.startswith("prepay_id="):
        raise _Bad(400, f"package is prepay_id=..., not {json.dumps(package, ensure_ascii=False)[:80]}")
    prepay = package.removeprefix("prepay_id=")
    return _Asked(kind, parameters, _field(body, "appid"), _field(body, "opener"), prepay)


# The H5 link. ---------------------------------------------------------------------------------------------


def _on(host: str, domains: Sequence[str]) -> bool:
    """Whether a host is one of the domains or below one; with no domains, any is."""
    return not domains or any(host == one or host.endswith("." + one) for one in domains)


def _back(url: str, domains: Sequence[str]) -> str:
    """The redirect_url that a page may go to, "" where it may not: http(s), on the merchant's H5 domains.

    No user name, backslash or control character, which browsers and we might read differently.
    """
    found = _REDIRECT.fullmatch(url)
    return url if found is not None and _on(found[1].lower(), domains) else ""


def _refusal(order: OrderView | None, agent: str, referer: str, redirect: str) -> tuple[str, str]:
    """Why a link does not open, as a row of _NOTICES and a developer's words; ("", "") where it does."""
    if "MicroMessenger" in agent:
        return "inside_wechat", "the User-Agent is WeChat's own browser; there, JSAPI pays"
    if order is None or order.trade_type != "H5":
        made = f"the order is {order.trade_type}" if order else "no order has this prepay_id"
        return "malformed", made
    domains = order.h5_domains
    if domains and not referer:
        return "malformed", "no Referer: open the link from a page of the shop"
    host = _hostname(referer)
    if not _on(host, domains):
        return "domain", f"opened from {host}; this merchant's H5 domains are {', '.join(domains)}"
    if order.state in ("SUCCESS", "REFUND"):
        return "paid", f"trade_state {order.state}"
    if order.state not in ("NOTPAY", "USERPAYING"):
        return "closed", f"trade_state {order.state}"
    if order.expired:
        return "expired", "an H5 link holds for five minutes"
    if redirect and not _back(redirect, domains):
        return "domain", "redirect_url is http or https, on an H5 domain of the merchant"
    return "", ""


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class _Pages:
    """The endpoints, over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def confirm(self, _: Request) -> Response:
        """The window, still empty: what to pay arrives by postMessage."""
        hidden = {"order_hidden": _hidden(True), "choices_hidden": _hidden(True)}
        return _prompt(self._desk, "confirm.js", _STATIC, hidden)

    def show(self, body: Mapping[str, Any]) -> Response:
        """The order that a page asked for, null where there is none."""
        asked = _asked(body)
        order = self._desk.order(asked.prepay)
        if order is None:
            return _json({"order": None, "message": f"no order here has the prepay_id {asked.prepay[:80]!r}"})
        shown = {
            "merchant": order.merchant,
            "description": order.description,
            "amount": _yuan(order.amount_fen),
            "state": _state(order),
            "payer": order.payer,
        }
        return _json({"order": shown, "message": ""})

    def pay(self, body: Mapping[str, Any]) -> Response:
        """What a person did in the confirm window."""
        asked, person, outcome = _asked(body), _field(body, "person"), _outcome(body)
        result, message = self._desk.pay(
            person, asked.prepay, outcome, asked.kind, asked.parameters, asked.appid, asked.referer
        )
        return _json({"result": result, "message": message})

    async def h5(self, request: Request) -> Response:
        """The page behind an H5 link, or why it does not open. Assumed: a refusal has status 200."""
        query, referer = request.query_params, request.headers.get("referer", "")
        prepay, redirect = query.get("prepay_id", ""), query.get("redirect_url", "")
        order = self._desk.order(prepay)
        name, why = _refusal(order, request.headers.get("user-agent", ""), referer, redirect)
        assets = _STATIC if request.url.path.startswith(f"{ROOT}/") else _WALLET_STATIC
        if name or order is None:
            text, english = _NOTICES[name]
            return _page("notice.html", assets=assets, name=name, text=text, english=english, why=why)
        values = {
            "prepay": prepay,
            "package": query.get("package", ""),
            "referer": referer,
            "redirect": redirect,
            "merchant": order.merchant,
            "description": order.description,
            "amount": _yuan(order.amount_fen),
            "state": _state(order),
            "state_hidden": _hidden(not _state(order)),
            "opener": referer or "—",
            "going": _going(redirect),
        }
        return _prompt(self._desk, "h5.js", assets, values, order.payer)

    def pay_h5(self, body: Mapping[str, Any]) -> Response:
        """What a person did on the H5 page, and where the browser goes then."""
        prepay, package, referer = (_field(body, name) for name in ("prepay_id", "package", "referer"))
        person, outcome, redirect = _field(body, "person"), _outcome(body), _field(body, "redirect_url")
        order = self._desk.order(prepay)
        text = h5_url(_WALLET, quote(prepay, safe=""), quote(package, safe=""))
        result, message = self._desk.pay(person, text, outcome, "h5", {}, "", referer)
        back = _back(redirect, order.h5_domains) if order else ""
        return _json({"result": result, "message": message, "redirect": back})


def _state(order: OrderView) -> str:
    if order.expired and order.state == "NOTPAY":
        return "已过期 Expired"
    return _STATES.get(order.state, order.state)


def _going(redirect: str) -> _Markup:
    """Where the browser goes when the person has acted."""
    if not redirect:
        return _Markup()
    return _Markup(f'<dt>返回 <span lang="en">Then to</span></dt><dd id="going">{html.escape(redirect)}</dd>')
