"""PyTorch networks run by OpenVINO, which is faster on many CPUs: the same function up to rounding, in float32."""

import threading

import openvino
import torch
from torch import nn


class OpenVinoNetwork(nn.Module):
    """`network` compiled for this CPU; called, from any number of threads, with batches of (n, 3, *size).

    What it returns is copied: OpenVINO uses its outputs again.
    """

    def __init__(self, network, size):
        super().__init__()
        with torch.inference_mode():
            converted = openvino.convert_model(network.eval(), example_input=torch.zeros(2, 3, *size),
                                               input=[(-1, 3, *size)])
        threads = torch.get_num_threads()
        self.compiled = openvino.Core().compile_model(converted, "CPU", {
            "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads})
        self._own = threading.local()

    def forward(self, x):
        if not hasattr(self._own, "request"):
            self._own.request = self.compiled.create_infer_request()
        return torch.from_numpy(self._own.request.infer(x.contiguous().numpy())[0].copy())
