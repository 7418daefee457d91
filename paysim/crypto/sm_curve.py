"""Points of the SM2 curve: y^2 = x^3 + ax + b over the prime field of P, in whole numbers.

What is multiplied often gets a comb: for each window of bits of the multiplier, every multiple that it can
choose, affine, so that a multiplication is one addition a window and no doubling. Digits are signed and odd,
which halves the table and leaves no digit out. Sums are kept as (X, Y, ZZ, ZZZ) with x = X/ZZ and y = Y/ZZZ:
the cheapest addition of an affine point, and no inversion before the end. Tables are built level by level,
with one inversion a level.

Not constant-time: how long a multiplication takes, and which entries it touches, tells about the multiplier.
A simulator's keys guard nothing; whoever holds the machine can read them from memory anyway.

Source: GB/T 32918.1 (arithmetic), GB/T 32918.5 (the curve); madd-2008-s, dbl-2008-s-1 and dbl-2001-b of the
Explicit-Formulas Database (hyperelliptic.org/EFD)
"""

from __future__ import annotations

from typing import Final, TypeAlias

__all__ = ["A", "B", "Comb", "G", "N", "P", "Point", "add", "multiply", "on_curve"]

Point: TypeAlias = tuple[int, int]
"""x and y of an affine point; the point at infinity is None where it can occur."""

Sum: TypeAlias = tuple[int, int, int, int]
"""(X, Y, ZZ, ZZZ) of a point; ZZ = 0 is infinity, or an addition that met its own operand."""

Table: TypeAlias = list[tuple[list[int], list[int]]]
"""For each window, the x and the y of the odd multiples that it chooses from."""

P: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A: Final = P - 3
B: Final = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
G: Final[Point] = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)

_BITS: Final = 256


def on_curve(x: int, y: int) -> bool:
    """Whether (x, y) is a point of the curve with both coordinates in range.

    >>> on_curve(*G), on_curve(G[0], G[1] + 1)
    (True, False)

    Source: GB/T 32918.1 6.2
    """
    return 0 <= x < P and 0 <= y < P and (y * y - (x * x + A) * x - B) % P == 0


def add(left: Point | None, right: Point | None) -> Point | None:
    """The sum of any two points, None being infinity: slow, and right in every case.

    >>> add(G, (G[0], P - G[1])) is None
    True

    Source: GB/T 32918.1 3.2.3.1
    """
    if left is None or right is None:
        return left or right
    (x1, y1), (x2, y2) = left, right
    if x1 == x2:
        if (y1 + y2) % P == 0:
            return None
        slope = (3 * x1 * x1 + A) * pow(2 * y1, -1, P) % P
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P) % P
    x3 = (slope * slope - x1 - x2) % P
    return x3, (slope * (x1 - x3) - y1) % P


def multiply(point: Point, k: int) -> Point | None:
    """`k` times `point`, which is seen once; None for infinity.

    >>> multiply(G, N) is None
    True
    """
    odd = _odd_multiples(point, 8)
    x = y = z = 0
    for digit in reversed(_sparse_digits(k % N, 5)):
        if z:
            x, y, z = _double(x, y, z)
        if digit:
            x2, y2 = odd[abs(digit) >> 1]
            x, y, z = _add_mixed(x, y, z, x2, y2 if digit > 0 else P - y2)
    if not z:
        return None
    inverse = pow(z, -1, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


class Comb:
    """A point that is multiplied often: its table grows with use.

    `growth` is rows of (uses, width): beyond so many uses, windows have `width` bits. A table has
    ceil(256 / width) windows of 2 ** (width - 1) points, which take 144 bytes and 2 us each.
    """

    __slots__ = ("_growth", "_table", "_uses", "point")

    def __init__(self, point: Point, growth: tuple[tuple[int, int], ...]) -> None:
        self.point = point
        self._growth = growth
        self._uses = 0
        self._table: Table = []

    def times(self, k: int) -> Point | None:
        """`k` times the point, None for infinity; `k` from 0 to N - 1."""
        x, y, zz, zzz = self.add_times(k)
        if not zz:
            return multiply(self.point, k)
        inverse = pow(zz * zzz, -1, P)
        return x * zzz * inverse % P, y * zz * inverse % P

    def add_times(self, k: int, start: Sum | None = None) -> Sum:
        """`k` times the point, plus `start`; `k` from 0 to N - 1.

        Where an addition meets its own operand or its negative, ZZ becomes zero and stays zero: the caller
        computes again with `multiply` and `add`. Honest input does not come there.

        Every digit is odd and none is zero: an odd k is the sum of (2 u - 2 ** width + 1) * 2 ** (width * i)
        over the windows u of (k + 2 ** bits - 1) / 2. An even k is taken as the negative of N - k.
        """
        self._uses += 1
        growth = self._growth
        if growth and self._uses > growth[0][0]:
            self._grow()
        table, p = self._table, P
        half = len(table[0][0])
        width, mask = half.bit_length(), 2 * half - 1
        negative = not k & 1
        digits = ((N - k if negative else k) + (1 << width * len(table)) - 1) >> 1
        if start is None:
            i = (digits & mask) - half
            xs, ys = table[0]
            x, y, zz, zzz = (xs[i], ys[i], 1, 1) if i >= 0 else (xs[~i], -ys[~i], 1, 1)
            digits >>= width
            table = table[1:]
        else:
            x, y, zz, zzz = start
            if negative:
                y = -y
        for xs, ys in table:
            i = (digits & mask) - half
            digits >>= width
            if i >= 0:
                d = (xs[i] * zz - x) % p
                e = (ys[i] * zzz - y) % p
            else:
                d = (xs[~i] * zz - x) % p
                e = (-ys[~i] * zzz - y) % p
            dd = d * d % p
            ddd = d * dd % p
            q = x * dd % p
            x = (e * e - ddd - 2 * q) % p
            y = (e * (q - x) - y * ddd) % p
            zz = zz * dd % p
            zzz = zzz * ddd % p
        return x, -y if negative else y, zz, zzz

    def prepare(self) -> None:
        """Build the largest table now."""
        growth = self._growth
        if growth:
            self._uses = growth[-1][0] + 1
            self._grow()

    def _grow(self) -> None:
        growth = self._growth
        due = sum(self._uses > uses for uses, _ in growth)
        if not due:  # another thread was faster
            return
        self._table = _table(self.point, growth[due - 1][1])
        self._growth = growth[due:]  # last, so that another thread finds a table


def _table(point: Point, width: int) -> Table:
    """For each window of `width` bits, the odd multiples of the point at its place."""
    windows = -(-_BITS // width)
    powers = _doublings(point, width * windows)
    table: Table = [([x], [y]) for x, y in powers[::width]]
    for level in range(1, width):
        _widen(table, powers[level::width])
    return table


def _widen(table: Table, steps: list[Point]) -> None:
    """Each window gets, behind its points, the same points plus its step: twice as many."""
    p = P
    running, product = [], 1
    for (xs, _), (x2, _) in zip(table, steps, strict=True):
        for x1 in xs:
            running.append(product)
            product = product * (x2 - x1) % p
    inverse = pow(product, -1, p)
    for (xs, ys), (x2, y2) in zip(reversed(table), reversed(steps), strict=True):
        new_xs, new_ys = [], []
        for x1, y1 in zip(reversed(xs), reversed(ys), strict=True):
            slope = (y2 - y1) * (running.pop() * inverse % p) % p
            inverse = inverse * (x2 - x1) % p
            x3 = (slope * slope - x1 - x2) % p
            new_xs.append(x3)
            new_ys.append((slope * (x1 - x3) - y1) % p)
        xs.extend(reversed(new_xs))
        ys.extend(reversed(new_ys))


def _doublings(point: Point, count: int) -> list[Point]:
    """The point times 1, 2, 4 and so on, `count` of them."""
    x, y, z = point[0], point[1], 1
    sums = []
    for _ in range(count):
        sums.append((x, y, z))
        x, y, z = _double(x, y, z)
    return _affine(sums)


def _odd_multiples(point: Point, count: int) -> list[Point]:
    """The point times 1, 3, 5 and so on, `count` of them, a power of two."""
    table: Table = [([point[0]], [point[1]])]
    for step in _doublings(point, count.bit_length())[1:]:
        _widen(table, [step])
    return list(zip(*table[0], strict=True))


def _affine(sums: list[tuple[int, int, int]]) -> list[Point]:
    """The affine points of Jacobian ones (none at infinity), with one inversion."""
    running, product = [], 1
    for _, _, z in sums:
        running.append(product)
        product = product * z % P
    inverse = pow(product, -1, P)
    points = []
    for x, y, z in reversed(sums):
        one = running.pop() * inverse % P
        inverse = inverse * z % P
        square = one * one % P
        points.append((x * square % P, y * square * one % P))
    return points[::-1]


def _double(x: int, y: int, z: int) -> tuple[int, int, int]:
    delta = z * z % P
    gamma = y * y % P
    beta = 4 * x * gamma % P
    alpha = 3 * (x - delta) * (x + delta) % P
    x3 = (alpha * alpha - 2 * beta) % P
    return x3, (alpha * (beta - x3) - 8 * gamma * gamma) % P, 2 * y * z % P


def _add_mixed(x: int, y: int, z: int, x2: int, y2: int) -> tuple[int, int, int]:
    """A Jacobian point plus an affine one, whatever they are."""
    if not z:
        return x2, y2, 1
    zz = z * z % P
    d = (x2 * zz - x) % P
    e = (y2 * z * zz - y) % P
    if not d:
        return (0, 0, 0) if e else _double(x, y, z)
    dd = d * d % P
    ddd = d * dd % P
    q = x * dd % P
    x3 = (e * e - ddd - 2 * q) % P
    return x3, (e * (q - x3) - y * ddd) % P, z * d % P


def _sparse_digits(k: int, width: int) -> list[int]:
    """The non-adjacent form of `k`, lowest digit first: digits are 0, or odd below 2 ** (width - 1)."""
    digits = []
    whole = 1 << width
    while k:
        digit = 0
        if k & 1:
            digit = k % whole
            if digit >= whole // 2:
                digit -= whole
            k -= digit
        digits.append(digit)
        k >>= 1
    return digits
