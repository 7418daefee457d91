"""Verify 10,000 signatures on every core, with a progress bar, and name the three bad ones."""

import os
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.progress import Progress

from paysim.crypto import keys
from paysim.crypto.pool import sign_many, verify_many
from paysim.crypto.signature import Signer, Verifier

COUNT = 10_000


def main() -> None:
    key = keys.mint("p-256")
    messages = [b"order %05d: paid" % number for number in range(COUNT)]
    with ProcessPoolExecutor(os.cpu_count()) as executor, Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("signing", total=COUNT)
        signed = sign_many(
            executor,
            Signer("ecdsa-p256-sha256", key),
            messages,
            progress=lambda done: bar.update(task, completed=done),
        )
        pairs = list(zip(messages, signed.signatures, strict=True))
        pairs[17] = (b"order 00017: paid twice", pairs[17][1])  # another message
        pairs[4_711] = (pairs[4_711][0], pairs[4_712][1])  # somebody else's signature
        pairs[9_999] = (pairs[9_999][0], pairs[9_999][1][:-1])  # cut

        check = bar.add_task("verifying", total=COUNT)
        verifier = Verifier("ecdsa-p256-sha256", key.public())
        checked = verify_many(
            executor, verifier, pairs, progress=lambda done: bar.update(check, completed=done)
        )

    print(f"{checked.count} signatures, {len(checked.bad)} of them bad:")
    for index in checked.bad:
        print(f"  {index:>5}  {pairs[index][0].decode()}")


if __name__ == "__main__":
    main()
