"""Names of tensors in published files that differ from those of the network that is built here."""

_LITE_REPEATS = (1, 2, 2, 3, 3, 4, 1)  # blocks of each stage of EfficientNet-Lite0


def efficientnet_lite(key):
    """Name of a tensor of efficientnet-lite-pytorch in timm's tf_efficientnet_lite0."""
    parts = key.split(".")
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    if parts[0] in top:
        return ".".join([top[parts[0]], *parts[1:]])
    stage, block = _stage_of(int(parts[1]))
    layers = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
              "_project_conv": "conv_pwl", "_bn2": "bn3"}
    if stage == 0:  # its block has no expansion
        layers = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    return ".".join(["blocks", str(stage), str(block), layers[parts[2]], *parts[3:]])


def _stage_of(number):
    for stage, count in enumerate(_LITE_REPEATS):
        if number < count:
            return stage, number
        number -= count
    raise KeyError(number)


KEY_NAMES = {"efficientnet_lite_pytorch": efficientnet_lite}
