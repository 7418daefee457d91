"""A tap: Alice holds an e-cash card to the terminal. What is said, what is decided, and the money after."""

from paysim import CNY, Sandbox

with Sandbox(seed=7) as sandbox:
    shop = sandbox.shop("Tea House")
    alice = sandbox.person("Alice", balance=CNY("100.00"))
    card = alice.card("unionpay-ecash")
    terminal = shop.terminal()

    order = shop.create(CNY("9.90"), reference="T-1001")
    tap = terminal.tap(order, card)
    print(tap.outcome, "- the shop thinks:", order.state, "- left on the card:", card.balance_minor)

    # tap.timeline() has every byte; those that the card signs differ with the keys that the sandbox made.
    trace = tap.timeline()
    print(trace[: trace.index("   card ")])

    print("and in short:")
    for one in tap.trace:
        if one.kind in ("decision", "card", "issuer"):
            print(f"  {one.kind:<9} {one.step:<4} {one.text}")

    print("handed in at the end of the day:", terminal.clear())
    print(order.timeline())
