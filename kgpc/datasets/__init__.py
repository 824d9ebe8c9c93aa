"""Images to learn from, as `ImageDataset`: what comes along with kgpc, the papers' data, and your own.

Images are arrays of uint8 in [0, 255], shape `(n, height, width)` or `(n, height, width, 3)`; labels are int64, shape
`(n,)`. `as_model_input` turns images into what the models take. Each subject has its own module; use the names that are
importable from here.
"""

from kgpc.datasets.archives import ArchiveError, extract_archive
from kgpc.datasets.decoding import DecodedOnDemand, ImageError, read_image
from kgpc.datasets.downloads import keep_downloads, restore_downloads
from kgpc.datasets.fashion import DEBIAN_FASHION_MNIST, FASHION_MNIST_CLASSES, fashion_mnist, fashion_mnist_sample
from kgpc.datasets.folders import image_folder
from kgpc.datasets.images import ImageDataset, as_model_input
from kgpc.datasets.papers import CIFAR10_CLASSES, CIFAR100_CLASSES, load, names
from kgpc.datasets.photos import Photograph, photo_collages, photo_patches, photographs
from kgpc.datasets.splits import stratified_indices, train_validation_split
from kgpc.datasets.warned import ImageWarning

__all__ = [
    "ArchiveError",
    "CIFAR100_CLASSES",
    "CIFAR10_CLASSES",
    "DEBIAN_FASHION_MNIST",
    "DecodedOnDemand",
    "FASHION_MNIST_CLASSES",
    "ImageDataset",
    "ImageError",
    "ImageWarning",
    "Photograph",
    "as_model_input",
    "extract_archive",
    "fashion_mnist",
    "fashion_mnist_sample",
    "image_folder",
    "keep_downloads",
    "load",
    "names",
    "photo_collages",
    "photo_patches",
    "photographs",
    "read_image",
    "restore_downloads",
    "stratified_indices",
    "train_validation_split",
]
