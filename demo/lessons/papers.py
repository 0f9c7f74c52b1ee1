"""The papers that lessons refer to."""

PAPERS: dict[str, tuple[str, str]] = {
    "arithmetic": ("Dumoulin, Visin 2016, convolution arithmetic", "https://arxiv.org/abs/1603.07285"),
    "chequerboard": (
        "Odena, Dumoulin, Olah 2016, checkerboard artifacts",
        "https://distill.pub/2016/deconv-checkerboard/",
    ),
    "deeplabv1": ("Chen et al. 2015, DeepLab", "https://arxiv.org/abs/1412.7062"),
    "deeplabv2": ("Chen et al. 2016, DeepLab v2", "https://arxiv.org/abs/1606.00915"),
    "deeplabv3": ("Chen et al. 2017, DeepLab v3", "https://arxiv.org/abs/1706.05587"),
    "deeplabv3plus": ("Chen et al. 2018, DeepLab v3+", "https://arxiv.org/abs/1802.02611"),
    "densecrf": ("Krähenbühl, Koltun 2011, fully connected CRFs", "https://arxiv.org/abs/1210.5644"),
    "fcn": ("Long, Shelhamer, Darrell 2015, FCN", "https://arxiv.org/abs/1411.4038"),
    "mobilenet": ("Howard et al. 2017, MobileNets", "https://arxiv.org/abs/1704.04861"),
    "receptive": ("Araujo, Norris, Sim 2019, receptive fields", "https://distill.pub/2019/computing-receptive-fields/"),
    "rethinking": ("He, Girshick, Dollár 2018, ImageNet pre-training", "https://arxiv.org/abs/1811.08883"),
    "scribble": ("Lin et al. 2016, ScribbleSup", "https://arxiv.org/abs/1604.05144"),
    "spp": ("He et al. 2014, spatial pyramid pooling", "https://arxiv.org/abs/1406.4729"),
    "unet": ("Ronneberger, Fischer, Brox 2015, U-Net", "https://arxiv.org/abs/1505.04597"),
}
"""Name -> (authors, year and subject; address)."""
