"""The models of the papers, with signatures in the manner of `keras.applications`."""

from kgpc.applications.mobilenet import kMobileNet

__all__ = ["kMobileNet"]
