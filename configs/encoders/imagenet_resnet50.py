"""ResNet-50 of ImageNet, torchvision's weights."""
kind = 'resnet'
architecture = dict(type='ResNet', depth=50)
resize, crop, interpolation = 256, 224, 'bilinear'
width = 2048
parameters = 23_508_032
license = 'BSD-3-Clause'
weights = 'https://download.pytorch.org/models/resnet50-0676ba61.pth'
citation = 'He et al., Deep residual learning for image recognition, CVPR 2016'
pretraining_data = ('ImageNet-1k',)
