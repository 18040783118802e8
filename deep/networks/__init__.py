"""The papers' networks, in torch alone: :data:`NETWORKS` by name.

A package of yours adds its own under the entry point ``theorylab.networks``: a
:class:`Network`, or a module with ``NETWORKS``, a sequence of them.
"""

from __future__ import annotations

import difflib
from functools import cache, partial

from deep.networks.densenet import densenet121
from deep.networks.entry import Network, parameter_count
from deep.networks.lenet import LeNet
from deep.networks.pix2pix import patchgan, unet256
from deep.networks.resnet import resnet18, resnet20, resnet50, resnet56, resnet101
from deep.networks.two_conv import TwoConv
from deep.networks.vgg import vgg11, vgg16
from theorylab.errors import UnknownNameError
from theorylab.plugins.registry import table

__all__ = ["NETWORKS", "Network", "network", "networks", "parameter_count"]

_SMALL = (3, 32, 32)
_IMAGENET = (3, 224, 224)
_HE = "He et al., Deep Residual Learning for Image Recognition (2016)"

_OWN = (
    Network(
        "lenet", LeNet, _SMALL, 10, 62_006,
        "LeCun et al. (1998), as trained in the LRSGD paper, Table 1", smallest=16,
    ),
    Network(
        "two_conv", TwoConv, (1, 28, 28), 10, 1_663_370,
        "McMahan et al., Communication-Efficient Learning (2017), Section 3", smallest=4,
    ),
    Network(
        "vgg11", vgg11, _SMALL, 10, 9_756_426,
        "Simonyan and Zisserman (2015), A, batch norm, 512-512 classifier", smallest=32,
    ),
    Network(
        "vgg16", vgg16, _SMALL, 10, 15_253_578,
        "Simonyan and Zisserman (2015), D, batch norm, LRSGD's 512-512 classifier", smallest=32,
    ),
    Network("resnet20", resnet20, _SMALL, 10, 269_722, f"{_HE}, Section 4.2, shortcut A"),
    Network("resnet56", resnet56, _SMALL, 10, 853_018, f"{_HE}, Section 4.2, shortcut A"),
    Network("resnet18", resnet18, _SMALL, 10, 11_173_962, f"{_HE}, Table 1, 3x3 stem"),
    Network("resnet50", resnet50, _SMALL, 10, 23_520_842, f"{_HE}, Table 1, 3x3 stem"),
    Network("resnet101", resnet101, _SMALL, 10, 42_512_970, f"{_HE}, Table 1, 3x3 stem"),
    Network(
        "resnet18_imagenet", partial(resnet18, stem="imagenet"), _IMAGENET, 1000, 11_689_512,
        f"{_HE}, Table 1", smallest=32,
    ),
    Network(
        "resnet50_imagenet", partial(resnet50, stem="imagenet"), _IMAGENET, 1000, 25_557_032,
        f"{_HE}, Table 1, stride on the 3x3 convolution", smallest=32,
    ),
    Network(
        "densenet121", densenet121, _SMALL, 10, 6_956_298,
        "Huang et al., Densely Connected Convolutional Networks (2017), growth 32, 3x3 stem",
        smallest=8,
    ),
    Network(
        "pix2pix_unet256", unet256, (3, 256, 256), 3, 54_413_955,
        "Isola et al., Image-to-Image Translation (2017), Appendix 6.1.1", "generator", 4,
    ),
    Network(
        "pix2pix_patchgan", patchgan, (6, 256, 256), 1, 2_768_705,
        "Isola et al., Image-to-Image Translation (2017), Appendix 6.1.2", "discriminator", 32,
    ),
)  # fmt: skip

NETWORKS: dict[str, Network] = {item.name: item for item in _OWN}


@cache
def networks() -> dict[str, Network]:
    """:data:`NETWORKS` and those of installed packages.

    Raises
    ------
    UsageError
        If a name is registered twice.
    """
    return table(
        "networks", "NETWORKS", lambda item: isinstance(item, Network), "a Network", own=_OWN
    )


def network(name: str) -> Network:
    """The network registered under ``name``.

    >>> network("resnet20").parameters
    269722
    """
    known = networks()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
        raise UnknownNameError(f"unknown network {name!r}; {hint}")
    return known[name]
