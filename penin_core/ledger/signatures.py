"""Ed25519 and ML-DSA-44: the one module that knows the library for them.

The library is imported when a signature is made or checked, so that whoever needs neither does
not pay for it.

Source: Josefsson, Liusvaara, "Edwards-Curve Digital Signature Algorithm", RFC 8032 (2017),
DOI 10.17487/RFC8032; NIST FIPS 204 (2024), DOI 10.6028/NIST.FIPS.204.
"""

from __future__ import annotations

from collections.abc import Callable

SEED_SIZE = 32
ED25519_PUBLIC_SIZE = 32
ED25519_SIGNATURE_SIZE = 64
MLDSA44_PUBLIC_SIZE = 1312
MLDSA44_SIGNATURE_SIZE = 2420

Sign = Callable[[bytes], bytes]


def ed25519_signer(seed: bytes) -> tuple[bytes, Sign]:
    """Return the public key that belongs to a seed, 32 bytes, and a function that signs.

    Raises:
        ValueError: the seed is not 32 bytes long.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if len(seed) != SEED_SIZE:
        raise ValueError(f"an Ed25519 seed has {SEED_SIZE} bytes, not {len(seed)}")
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return key.public_key().public_bytes_raw(), key.sign


def ed25519_verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether ``signature``, 64 bytes, is the one of ``public`` over ``message``."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def mldsa44_verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether ``signature`` is the one of ``public`` over ``message``, empty context.

    Where the library cannot check ML-DSA, no signature of it is valid.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
    except ImportError:
        return False
    try:
        MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
