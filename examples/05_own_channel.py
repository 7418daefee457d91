"""A channel of your own: a link that the shop sends by SMS pays, and passes the conformance suite."""

from paysim import CNY, Capabilities, Claim, Presented, PresentRequest, Sandbox
from paysim.testing.conformance import Harness, run

SITE = "https://pay.example/"
QUARTER_OF_AN_HOUR_MS = 15 * 60 * 1000


class PayLink:
    """What the payer is shown, and what a text that they open claims; all else is the operator's."""

    name = "link.sms"
    capabilities = Capabilities(manual_capture=False)

    def present(self, request: PresentRequest) -> Presented:
        link = f"{SITE}{request.shop.id}/{request.order}?token={request.nonce}"
        return Presented(link, lifetime_ms=QUARTER_OF_AN_HOUR_MS)

    def read(self, text: str) -> Claim | None:
        if not text.startswith(SITE):
            return None
        shop, _, order = text.removeprefix(SITE).partition("?")[0].partition("/")
        return Claim(self.name, shop, order)


def main() -> None:
    with Sandbox(seed=7) as sandbox:
        sandbox.register(PayLink())
        shop = sandbox.shop("Tea House")
        alice = sandbox.person("Alice", balance=CNY("100.00"))
        order = shop.create(CNY("12.80"), reference="T-1001")
        link = order.present("link.sms")
        print(link.text)
        forged = alice.scan(link.text.replace("token=", "token=1"))
        print("a forged link:", forged.outcome)
        print("the link:", alice.scan(link).confirm())
        print("void:", order.void().status, "- the order is", order.state)
    print(run(Harness(PayLink())).summary)


if __name__ == "__main__":
    main()
