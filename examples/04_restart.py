"""A journal on disk: close it, open it again, and go on where it stopped; prove that nothing was changed."""

from paysim import CNY, Sandbox

FILE = "sqlite:///shop.db"

with Sandbox(seed=7, store=FILE) as sandbox:
    order = sandbox.shop("Tea House").create(CNY("12.80"), reference="T-1001", capture="manual")
    sandbox.person("Alice", balance=CNY("100.00")).scan(order.present("qr.merchant").png()).confirm()
    print(order.state, "and the process ends")

with Sandbox(store=FILE) as sandbox:
    (order,) = sandbox.orders()
    print(order.reference, "is still", order.state)
    order.capture(CNY("10.00"), final=True)
    sandbox.advance(days=1)  # settlement was owed since before the restart
    alice = sandbox.person("Alice")
    print("captured", order.captured, "- Alice has", alice.balance(), "and holds", alice.held())

    report = sandbox.verify()
    print(report.length, "records, sums", report.sums, "head", report.head.hex()[:16])
