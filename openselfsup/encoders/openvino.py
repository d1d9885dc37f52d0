"""PyTorch networks run by OpenVINO, which is faster on many CPUs: the same function up to rounding."""

import threading

import openvino
import torch
from torch import nn


class OpenVinoNetwork(nn.Module):
    """`network` compiled for this CPU on its first call, for the size of that call's tiles.

    Called, from any number of threads, with (n, 3, H, W) float32 of one size. precision: 'float32', or 'bf16' for
    products in bfloat16.
    """

    def __init__(self, network, precision="float32"):
        super().__init__()
        self.source, self.compiled, self.precision = network.eval(), None, precision
        self.threads = torch.get_num_threads()
        self._lock, self._own = threading.Lock(), threading.local()

    def forward(self, x):
        x = x.contiguous()
        with self._lock:
            if self.compiled is None:
                self.compiled = self._compile(x)
        if not hasattr(self._own, "request"):
            self._own.request = self.compiled.create_infer_request()
        found = self._own.request.infer(x.numpy())[0]
        return torch.from_numpy(found.copy())  # OpenVINO uses the memory of its outputs again

    def _compile(self, x):
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):  # OpenVINO chooses the precision itself
            converted = openvino.convert_model(self.source, example_input=x[:2], input=[(-1, *x.shape[1:])])
        self.source = None  # its weights are in the converted network
        return openvino.Core().compile_model(converted, "CPU", {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bf16": "bf16"}[self.precision],
            "NUM_STREAMS": self.threads, "INFERENCE_NUM_THREADS": self.threads})
