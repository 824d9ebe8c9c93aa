"""Makes fashion_mnist_sample.npz, the part of Fashion-MNIST that is shipped with kgpc.

    python data/make_fashion_mnist_sample.py                  Debian's dataset-fashion-mnist, else keras.datasets
    python data/make_fashion_mnist_sample.py --source FOLDER  a folder with the four idx files (.gz or not)

Needs kgpc installed (`pip install -e .` in the repository). The same images are drawn on every computer. The file is
written without dates and other traces of the computer, so a rerun gives the same bytes, as long as zlib compresses in
the same way (the manifest says which version wrote the file); in any case the arrays are the same.
"""

import argparse
import hashlib
import io
import json
import os
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from kgpc.datasets import fashion_mnist, stratified_indices

NAME = "fashion_mnist_sample"
SEED = 7
TRAIN_PER_CLASS = 600
TEST_PER_CLASS = 100
MAX_BYTES = 4 * 2**20


def draw_sample(full):
    """The arrays of the sample; `*_index` says which image of the full training or test part each one is."""
    train_index = stratified_indices(full.y_train, TRAIN_PER_CLASS, seed=SEED)
    test_index = stratified_indices(full.y_test, TEST_PER_CLASS, seed=SEED)
    return {
        "x_train": full.x_train[train_index],
        "y_train": full.y_train[train_index].astype(np.uint8),
        "train_index": train_index.astype("<u2"),
        "x_test": full.x_test[test_index],
        "y_test": full.y_test[test_index].astype(np.uint8),
        "test_index": test_index.astype("<u2"),
    }


def npz_bytes(arrays):
    """An npz file in memory, as `np.savez_compressed` writes it, but with nothing in it that changes between runs."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3  # otherwise the file would tell Windows from other systems
            member.external_attr = 0o644 << 16
            values = io.BytesIO()
            np.lib.format.write_array(values, array, version=(1, 0), allow_pickle=False)
            archive.writestr(member, values.getvalue(), compresslevel=9)
    return content.getvalue()


def write_file(path, content):
    """Writes beside the file and renames, so that a file with this name is always a whole one."""
    # A new file of its own name: nobody else writes it, and it is no link that somebody put there.
    handle, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(part, 0o644)
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def main(arguments=None):
    """Runs the command line; returns the path of the npz file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", metavar="FOLDER", help="folder with the four idx files of Fashion-MNIST")
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        type=Path,
        default=Path(__file__).parent,
        help="default: the folder of this script",
    )
    options = parser.parse_args(arguments)
    if not options.output.is_dir():
        parser.error(f"--output must be an existing folder. Received: {options.output}")

    arrays = draw_sample(fashion_mnist(options.source))
    content = npz_bytes(arrays)
    if len(content) > MAX_BYTES:
        raise SystemExit(f"The sample takes {len(content)} bytes, more than the {MAX_BYTES} it may have.")
    path = options.output / f"{NAME}.npz"
    manifest = {
        "file": path.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "seed": SEED,
        "train_per_class": TRAIN_PER_CLASS,
        "test_per_class": TEST_PER_CLASS,
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }
    write_file(path, content)
    write_file(path.with_suffix(".json"), (json.dumps(manifest, indent=2) + "\n").encode())
    print(f"{path}: {len(content)} bytes, SHA-256 {manifest['sha256']}")
    return path


if __name__ == "__main__":
    main()
