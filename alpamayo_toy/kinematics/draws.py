"""One seed out of several numbers, so that everything drawn is a function of what it is drawn for."""


def mixed(*numbers: int) -> int:
    """One seed out of several numbers, by 64-bit multiply and xor-shift (the constants of SplitMix64)."""
    state = 0
    for number in numbers:
        state = ((state ^ number) * 0xBF58476D1CE4E5B9 + 0x9E3779B97F4A7C15) % 2**64
        state ^= state >> 31
    return state % 2**63
