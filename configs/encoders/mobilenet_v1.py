"""MobileNet-v1 of ImageNet as an 8-bit TFLite network: the tile's bytes in, 1,024 features out."""
kind = 'tflite'
resize, crop, interpolation = (224, 224), 224, 'bilinear'
width = 1024
license = 'Apache-2.0'
weights = 'https://github.com/google-coral/test_data (mobilenet_v1_1.0_224_embedding.tflite)'
citation = 'Howard et al., MobileNets: efficient CNNs for mobile vision applications, arXiv 1704.04861, 2017'
pretraining_data = ('ImageNet-1k',)
