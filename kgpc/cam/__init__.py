"""Where in an image a model finds its evidence for a class: maps, pictures of them, and what they are worth.

A class activation map weights the feature maps before global average pooling with the classifier's weights of one
class. It is defined where the classifier is linear on the pooled maps: in all families of this package but MobileNet
V3. Its relatives take the gradient of the class in place of the weights and work for any layer of any model: Grad-CAM
the mean over all positions, HiResCAM the gradient at each position, LayerCAM where that is positive. Where a class
activation map is defined, Grad-CAM and HiResCAM of the layer before the pooling are the same up to rounding.

`class_scores` says what belongs beside every map: the logit and the probability of its class. Three tests say whether
a map tells of the model: `deletion_curve` and `insertion_curve` (does the probability follow the map?) and
`randomization_test` (does the map change when the model forgets?).

Models within the model, functional or Sequential, are entered. Use the names that are importable from here.

References: Zhou et al. 2016, "Learning Deep Features for Discriminative Localization", arXiv:1512.04150; Selvaraju et
al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based Localization", arXiv:1610.02391;
Draelos and Carin 2020, arXiv:2011.08891 (HiResCAM); Jiang et al. 2021, doi:10.1109/TIP.2021.3089943 (LayerCAM);
Petsiuk et al. 2018, arXiv:1806.07421 (deletion and insertion); Adebayo et al. 2018, arXiv:1810.03292 (randomization);
Schwarz Schuler et al. 2022, doi:10.13164/mendel.2022.1.023, shows class activation maps of kEffNet.
"""

from kgpc.cam.faithfulness import Curve, deletion_curve, insertion_curve
from kgpc.cam.gradient_maps import grad_cam, hires_cam, layer_cam
from kgpc.cam.maps import class_activation_map
from kgpc.cam.pictures import gallery, overlay
from kgpc.cam.randomization import Randomization, randomization_test
from kgpc.cam.saving import save_picture
from kgpc.cam.scores import ClassScores, class_scores
from kgpc.cam.side_by_side import beside
from kgpc.cam.similarity import rank_correlation, structural_similarity

__all__ = [
    "ClassScores",
    "Curve",
    "Randomization",
    "beside",
    "class_activation_map",
    "class_scores",
    "deletion_curve",
    "gallery",
    "grad_cam",
    "hires_cam",
    "insertion_curve",
    "layer_cam",
    "overlay",
    "randomization_test",
    "rank_correlation",
    "save_picture",
    "structural_similarity",
]
