"""The terms that the page uses, each in a sentence or two. ``docs/glossary.md`` is made from it."""

import re

from .lesson import Lesson

TERMS: dict[str, str] = {
    "ASPP": "Atrous spatial pyramid pooling: convolutions at several atrous rates and image pooling, side by side on the "
    "same features, so that several scales are seen at once.",
    "atrous convolution": "A convolution whose kernel has gaps between its taps. It sees further with the same number of "
    "weights. Also called dilated.",
    "atrous rate": "How many cells the taps of an atrous convolution are apart. At rate 1 it is a plain convolution.",
    "backbone": "The first part of a network. It turns a photo into feature maps, and was mostly trained to classify photos.",
    "batch norm": "A layer that brings each channel to about the same mean and spread. After training it can be folded into "
    "the convolution before it.",
    "cell": "One position of a feature map. At output stride 16 a cell stands for 16 × 16 pixels. In "
    "pictures from a microscope, a living cell.",
    "channel": "One of the maps that lie on top of each other in a feature map: each cell has a value for every channel.",
    "CRF": "Conditional random field. Every pixel votes on the class of every other, more strongly if it is near and has "
    "a similar colour. It moves edges to where colours change.",
    "decoder": "The last part of a network. It turns feature maps into a score for every class at every cell.",
    "depthwise separable convolution": "A convolution in two steps: one flat kernel for each channel, then a 1 × 1 "
    "convolution that mixes channels. It costs far fewer multiplications.",
    "elastic deformation": "A smooth random bending of a training picture and its labels. It makes new pictures from few.",
    "encoder": "Another name for the backbone, used where a decoder follows.",
    "feature map": "What a layer gives: a grid of cells with a value for every channel.",
    "fully connected layer": "A layer with a weight for each of its inputs, so that its input must have one size.",
    "ground truth": "The labels that a person drew, which answers are compared with.",
    "image pooling": "The mean of each channel over the whole map, given to every cell.",
    "instance": "A single object, such as one nucleus. Semantic segmentation alone does not tell two of a class apart.",
    "IoU": "Intersection over union: the pixels of a class that were found and are right, divided by all that were found or "
    "should have been. 1 is perfect.",
    "kernel": "The weights of a convolution, laid over a few cells at a time.",
    "label map": "The answer of a segmentation: the number of a class for every pixel.",
    "logits": "The scores of the classes before they become probabilities. The largest one wins.",
    "MACs": "Multiply-accumulates: how many products a network forms and adds up for one photo. A measure of its work.",
    "mIoU": "The mean of the IoU over all classes.",
    "mIoU-7": "The mean of the IoU over the seven classes that the validation photos here show often enough: background, "
    "cat, cow, dog, horse, person and sheep.",
    "output stride": "How many pixels of the photo one cell of the last feature map stands for. A smaller stride gives a finer map.",
    "overlap": "What two windows, bins or tiles both read. Tiles overlap so that neighbours agree at the seam.",
    "padding": "Zeros, or mirrored values, that are put around a map so that a convolution does not make it smaller.",
    "pixel accuracy": "The share of all pixels that get the right class.",
    "receptive field": "The part of the photo that can change the value of a cell.",
    "ReLU": "The function that keeps positive values and makes negative ones 0.",
    "semantic segmentation": "Saying for every pixel of a photo which class of thing it shows.",
    "skip": "A connection that hands features from an early layer to a late one, so that edges are not lost.",
    "softmax": "The function that turns logits into probabilities that add up to 1.",
    "spatial pyramid pooling": "The maximum of each channel over bins of several sizes. Any map gives the same number of values.",
    "stage": "A group of layers of a backbone that work at one size of the map.",
    "stem": "The first convolution of a backbone.",
    "stride": "How many cells a kernel moves from one output to the next. Stride 2 halves the map.",
    "tap": "One position of a kernel: where it reads its input.",
    "transposed convolution": "A convolution that goes back: each input cell stamps the kernel onto a larger output.",
    "valid convolution": "A convolution without padding: a 3 × 3 kernel makes the map two cells smaller.",
    "void": "Pixels without a label, number 255 in label files. They count neither as right nor as wrong.",
}
"""Term -> what it means."""


def terms_in(lesson: Lesson) -> dict[str, str]:
    """Return the terms that a lesson's words have, with their meanings."""
    words = " ".join([lesson.title, lesson.text, lesson.question, lesson.answer]).replace("*", "")
    return {term: meaning for term, meaning in TERMS.items() if re.search(_pattern(term), words)}


def _pattern(term: str) -> str:
    """What finds a term or its plural, not as a part of a longer word."""
    words = re.escape(term).replace(r"\ ", r"\s+")
    return rf"(?i:(?<![\w-]){words}s?(?![\w-]))"
