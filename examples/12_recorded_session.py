"""A recorded tap, read and lived through again: without the card, its keys or a network.

`paysim tap --card unionpay-ecash --amount 9.90 --record FILE` made the file; the card in it never existed.
"""

from dataclasses import replace
from pathlib import Path

from paysim.drivers import replay, session
from paysim.emv.explain import Reading

recorded = session.decode(Path(__file__).with_suffix(".jsonl").read_text())
print("recorded:", recorded.outcome["outcome"], "-", recorded.outcome["text"])

reading = Reading()
for one in recorded.trace:
    if one.kind == "command":
        asked = reading.command(one.data)
        print(f"  {asked.name} {', '.join(asked.words)}".rstrip())
    elif one.kind == "response":
        for template in reading.response(one.data).inside:
            for node in template.inside:
                print(f"    {node.label:<5} {node.name[:40]:<40} {'; '.join(node.words)[:60]}".rstrip())

played = replay.play(recorded)
print("played again:", played.result.status.name, "- differences:", len(played.differences))

# Another shop's reader asks for the PIN from 5.00 CNY on: the same card cannot answer that.
(purchase_type, combinations), *_ = recorded.reader.combinations.items()
strict = {purchase_type: tuple(replace(one, cvm_limit=500) for one in combinations)}
played = replay.play(replace(recorded, reader=replace(recorded.reader, combinations=strict)))
print("by a stricter reader:")
for difference in played.differences:
    print("  ", difference)
