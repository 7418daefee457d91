"""An issuer of your own: a class with one method stands in the place of the sandbox's."""

from paysim import CNY, Outcome, Reason, Sandbox
from paysim.issuer.messages import APPROVED, Answer, AuthorizationRequest


class Thrifty:
    """Pays for tea, and not for teapots."""

    def authorize(self, request: AuthorizationRequest) -> Answer:
        counter = int.from_bytes(request.fields[0x9F36])
        print(f"  the issuer is asked for {request.amount_minor} fen, the card's payment number {counter}")
        if request.amount_minor > 50_00:
            return Answer(Outcome.declined(Reason.LIMIT_EXCEEDED, "no teapots this month", "61"))
        return Answer(APPROVED)


with Sandbox(seed=7) as sandbox:
    shop = sandbox.shop("Tea House")
    card = sandbox.person("Alice", balance=CNY("500.00")).card("visa")
    terminal = shop.terminal(issuer=Thrifty())
    for amount in ("9.90", "88.00"):
        order = shop.create(CNY(amount))
        tap = terminal.tap(order, card)
        print(f"{amount}: {tap.outcome} - the display: {tap.trace[-1].text} - {order.state}")
    print(shop.takings())
