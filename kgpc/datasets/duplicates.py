"""Notices images that are in the training part and in the test part."""

import hashlib

import numpy as np

from kgpc.datasets.warned import warn_of

_NAMED = 3


def digest(pixels):
    """16 bytes that are the same for the same image only: of its size and its pixels.

    Args:
        pixels: uint8 array `(height, width, 3)`.
    """
    return hashlib.blake2b(np.ascontiguousarray(pixels), digest_size=16, key=str(pixels.shape).encode()).digest()


def warn_of_shared_images(files, labels, digests):
    """Warns if images of the test part are in the training part as well: counts them and names some.

    Args:
        files: pair of lists of paths, those of the training part first.
        labels: pair of int arrays, the class of each file.
        digests: pair of lists, the digest of each file.
    """
    trained = {}
    for position, found in enumerate(digests[0]):
        trained.setdefault(found, []).append(position)
    shared = [(position, trained[found]) for position, found in enumerate(digests[1]) if found in trained]
    if not shared:
        return
    other_class = sum(all(labels[0][twin] != labels[1][position] for twin in twins) for position, twins in shared)
    named = ", ".join(
        f"{str(files[1][position])!r} is {str(files[0][twins[0]])!r}" for position, twins in shared[:_NAMED]
    )
    more = f" and {len(shared) - _NAMED} more" if len(shared) > _NAMED else ""
    classes = f", {other_class} of them under another class" if other_class else ""
    warn_of(
        [
            f"{len(shared)} of {len(digests[1])} test images are in the training part as well{classes}: {named}{more}. "
            "What a network knows of them by heart counts as right."
        ]
    )
