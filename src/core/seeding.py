"""Counter-based seeds: every random draw is a function of (seed, purpose, index), never of a stream's position."""

import hashlib

# what every consumer of a seed takes: torch, numpy and Python's own generator
SEEDS = range(2**63)


def derive_seed(seed: int, *purpose: str | float) -> int:
    """Returns a 63-bit seed for one purpose.

    The same arguments give the same seed on every machine; different purposes give independent ones, so
    that resuming, batching or adding a consumer of randomness shifts nobody else's draws.

    Args:
        seed: The user's seed.
        *purpose: What the randomness is for and for which item, for example ``"noise", step, image_id``.

    Returns:
        An integer in [0, 2**63).
    """
    key = "\0".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1
