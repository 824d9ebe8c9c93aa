"""Where a run's numbers come from: a description of its data by their content, and the versions of the software."""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import unicodedata
from pathlib import Path

import keras
import numpy as np

import kgpc
from kgpc.training.identity import images_digest


@functools.lru_cache(maxsize=2)
def describe_data(data):
    """What a data set holds, so that another one of the same name is noticed.

    Args:
        data: `kgpc.datasets.ImageDataset`.

    Returns:
        dict of plain values: `name`; `class_names`; and for `training` and `test` the number of `images`, their
        `shape`, and SHA-256 of the `labels` (as little-endian int64) and of the `pixels`, as
        `kgpc.training.identity.images_digest` takes it: of all images, or of a spread where they are decoded on demand.
    """
    return {
        "name": data.name,
        "class_names": [unicodedata.normalize("NFC", str(name)) for name in data.class_names],
        "training": _describe_part(data.x_train, data.y_train),
        "test": _describe_part(data.x_test, data.y_test),
    }


def _describe_part(images, labels):
    return {
        "images": len(labels),
        "shape": [int(length) for length in images.shape[1:]],
        "labels": hashlib.sha256(np.ascontiguousarray(labels, "<i8")).hexdigest(),
        "pixels": images_digest(images),
    }


def data_differences(stored, now):
    """What differs between two descriptions, in words.

    Args:
        stored: dict, of the run in a folder.
        now: dict, of the data at hand.

    Returns:
        List of str; empty if nothing does.
    """
    now = json.loads(json.dumps(now))
    found = []
    if stored.get("name") != now["name"]:
        found.append(f"its name is {stored.get('name')!r} there and {now['name']!r} here")
    if stored.get("class_names") != now["class_names"]:
        found.append("its class names differ")
    for part in ("training", "test"):
        old, new = stored.get(part), now[part]
        if not isinstance(old, dict):
            found.append(f"nothing is known of its {part} images there")
        elif old.get("images") != new["images"]:
            found.append(f"it has {old.get('images')!r} {part} images there and {new['images']} here")
        elif old != new:
            what = "labels" if old.get("labels") != new["labels"] else "pixels"
            found.append(f"the {what} of its {part} images differ")
    return found


def versions():
    """What a run is computed with: versions of the software, processor, devices.

    Nothing is imported that the backend of Keras does not need.
    """
    backend = keras.backend.backend()
    return {
        "kgpc": kgpc.__version__,
        "python": platform.python_version(),
        **{package: _installed(package) for package in ("tensorflow", "jax", "torch") if package == backend},
        "keras": keras.version(),
        "numpy": np.__version__,
        "backend": backend,
        "system": platform.platform(),
        "processor": _processor(),
        "devices": _devices(backend),
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS", ""),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""),
    }


def _processor():
    """Name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _installed(package):
    """The version of a package, also of one that is installed under another name (`tensorflow-cpu`)."""
    module = importlib.import_module(package)
    return str(getattr(module, "__version__", "")) or importlib.metadata.version(package)


def _devices(backend):
    """Kinds of the devices that a training would use, as far as they are known."""
    if backend == "tensorflow":
        import tensorflow as tf

        return [device.device_type for device in tf.config.list_physical_devices()]
    if backend == "jax":
        import jax

        return [device.platform.upper() for device in jax.devices()]
    return []


def version_differences(stored, now):
    """Versions that changed between two attempts at a run: dict of the earlier ones."""
    names = ("kgpc", "python", "tensorflow", "jax", "torch", "keras", "numpy", "backend")
    return {name: stored[name] for name in names if isinstance(stored.get(name), str) and stored[name] != now.get(name)}
