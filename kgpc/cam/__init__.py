"""Where in an image a model finds its evidence for a class: class activation maps, Grad-CAM, and pictures of both.

A class activation map weights the feature maps before global average pooling with the classifier's weights of one
class. It is defined where the classifier is linear on the pooled maps: in all families of this package but MobileNet
V3. Grad-CAM takes the gradient of the class in place of the weights and works for any layer of any model; where both
are defined and Grad-CAM looks at the same layer, they are the same up to rounding.

Models within the model, functional or Sequential, are entered. Use the names that are importable from here.

References: Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", arXiv:1512.04150; Selvaraju et
al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based Localization", arXiv:1610.02391;
Schwarz Schuler et al. 2022, doi:10.13164/mendel.2022.1.023, shows class activation maps of kEffNet.
"""

from kgpc.cam.maps import class_activation_map, grad_cam
from kgpc.cam.pictures import gallery, overlay

__all__ = ["class_activation_map", "gallery", "grad_cam", "overlay"]
