"""The payer shows a code, the shop scans it, and the answer is lost: UNKNOWN until a query or a reversal."""

from paysim import CNY, Fault, Sandbox

with Sandbox(seed=7) as sandbox:
    shop = sandbox.shop("Tea House")
    alice = sandbox.person("Alice", balance=CNY("2000.00"))

    order = shop.create(CNY("9.90"), reference="paid, but who knows")
    sandbox.faults.add(Fault("answer", verb="authorize"))
    order.authorize(alice.payment_code().png())
    print(f"the shop: {order.state}, the operator: {order.book.state}; after a query: {order.query()}")

    order = shop.create(CNY("1500.00"), reference="above the no-password limit")
    order.authorize(alice.payment_code().png())
    print(f"the phone asks for the PIN: {order.state}; Alice does not answer")
    sandbox.advance(seconds=45)
    print(f"45 s later the shop gives up waiting: {order.state}; a query says {order.query()}")
    order.reverse()
    print(order.timeline())
