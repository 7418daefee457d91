"""A shop shows a QR code, a phone scans the picture, the payer confirms, part of it is refunded."""

from paysim import CNY, Goods, Sandbox

with Sandbox(seed=7) as sandbox:
    shop = sandbox.shop("Tea House")
    alice = sandbox.person("Alice", balance=CNY("100.00"))

    order = shop.create(goods=[Goods("Longjing tea", CNY("6.40"), 2)], reference="T-1001")
    code = order.present("qr.merchant")
    alice.scan(code.png()).confirm()
    order.refund(CNY("2.80"))

    print(order.timeline())
    print()
    print(order.receipt())
    print()
    print("Alice has", alice.balance(), "and the shop", shop.takings())
