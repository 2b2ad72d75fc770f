"""A power of ten and a cube root whose last bit is the same on every machine.

The ones of the C library differ in the last bit from one system to the next, and a digest over what was computed would differ with them.
These two use nothing but what IEEE 754 fixes to the bit: addition, multiplication, division, and scaling by powers of two.
"""

from __future__ import annotations

import math

_LN10 = 2.302585092994045684
_LN2 = 0.6931471805599453094
_TERMS = tuple(1.0 / math.factorial(power) for power in range(13, 1, -1))
_TENS = {whole: float(f"1e{whole}") for whole in range(-300, 301)}  # reading a decimal number is exact everywhere


def ten_to(exponent: float) -> float:
    """10 ** exponent, for exponents of everyday size."""
    whole = math.floor(exponent + 0.5)
    rest = (exponent - whole) * _LN10
    twos = math.floor(rest / _LN2 + 0.5)
    rest -= twos * _LN2
    tail = 0.0
    for term in _TERMS:
        tail = tail * rest + term
    return _TENS[whole] * math.ldexp(1.0 + (rest + rest * rest * tail), twos)


def cube_root(value: float) -> float:
    """Of a number that is not negative."""
    if value == 0.0:
        return 0.0
    share, twos = math.frexp(value)
    over = twos % 3
    share = math.ldexp(share, over)  # from 0.5 up to 4, so that the root lies near 1
    root = 0.6 + share * 0.32
    for _ in range(5):
        root -= (root * root * root - share) / (3.0 * root * root)
    return math.ldexp(root, (twos - over) // 3)
