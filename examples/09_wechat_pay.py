"""WeChat Pay without a socket: a shop shows a Native code, the payer scans it, part of it is refunded."""

from paysim import CNY, Sandbox

with Sandbox(seed=7) as sandbox:
    shop = sandbox.shop("Tea House")
    alice = sandbox.person("Alice", balance=CNY("100.00"))
    bob = sandbox.person("Bob", balance=CNY("100.00"))

    order = shop.create(CNY("12.80"), reference="T-2001")
    code = order.present("qr.wechat")
    print(code.text)

    prompt = alice.scan(code.png())
    print("Alice sees", prompt.money)
    prompt.confirm()
    print("Bob scans the same code:", bob.scan(code.png()).confirm())

    sandbox.advance(minutes=5)
    order.refund(CNY("2.80"))
    print("\n" + order.timeline())
    print("\nAlice has", alice.balance(), "and the shop", shop.takings())
