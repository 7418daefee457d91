"""One code on the counter: many people pay it, each payment is an order of its own, and limits apply."""

from paysim import CNY, Sandbox

with Sandbox(seed=7) as sandbox:
    stand = sandbox.shop("Dumpling Stand").static_code()
    alice = sandbox.person("Alice", balance=CNY("1000.00"))
    bob = sandbox.person("Bob", balance=CNY("5.00"))

    for person, amount in ((alice, "3.00"), (bob, "4.50"), (bob, "4.50"), (alice, "497.01")):
        prompt = person.scan(stand.png())
        outcome = prompt.pay(CNY(amount))
        print(f"{person.name:<6} {amount:>7}  {prompt.order.state:<9} {outcome}")

    sandbox.advance(days=1)
    print("a day later:", alice.scan(stand.png()).pay(CNY("497.01")))
