"""ResNet-18 of ImageNet, torchvision's weights."""
kind = 'resnet'
architecture = dict(type='ResNet', depth=18)
resize, crop, interpolation = 256, 224, 'bilinear'
width = 512
parameters = 11_176_512
license = 'BSD-3-Clause'
weights = 'https://download.pytorch.org/models/resnet18-f37072fd.pth'
citation = 'He et al., Deep residual learning for image recognition, CVPR 2016'
pretraining_data = ('ImageNet-1k',)
