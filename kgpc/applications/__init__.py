"""The models of the papers, with signatures in the manner of `keras.applications`."""

from kgpc.applications.densenet import DenseNetBC, kDenseNetBC
from kgpc.applications.efficientnet import (
    kEfficientNetB0,
    kEfficientNetB1,
    kEfficientNetB2,
    kEfficientNetB3,
    kEfficientNetB4,
    kEfficientNetB5,
    kEfficientNetB6,
    kEfficientNetB7,
)
from kgpc.applications.inception_v3 import kInceptionV3
from kgpc.applications.mobilenet import kMobileNet
from kgpc.applications.mobilenet_v3 import kMobileNetV3Large, kMobileNetV3Small

__all__ = [
    "DenseNetBC",
    "kDenseNetBC",
    "kEfficientNetB0",
    "kEfficientNetB1",
    "kEfficientNetB2",
    "kEfficientNetB3",
    "kEfficientNetB4",
    "kEfficientNetB5",
    "kEfficientNetB6",
    "kEfficientNetB7",
    "kInceptionV3",
    "kMobileNet",
    "kMobileNetV3Large",
    "kMobileNetV3Small",
]
