"""Where numbers are computed: on the CPU, or by PyTorch on a GPU."""

import importlib.util

from fewshot_wsi.foundation.errors import InputError

DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str) -> str:
    """'cpu', or the name of a PyTorch device. 'auto': a GPU where PyTorch sees one.

    'torch-cpu' runs the PyTorch solvers of latent augmentation on the CPU, slower than NumPy, so as to check them.
    ValueError: a GPU is asked for and there is none.
    """
    if name in ("cpu", "torch-cpu"):
        return name
    if name not in DEVICES and not name.startswith("cuda:"):
        raise InputError(f"device {name!r}: known are {', '.join(DEVICES)}")
    if importlib.util.find_spec("torch") is not None:
        import torch  # here, not above: it takes a second, and the method runs without it
        if torch.cuda.is_available():
            return "cuda" if name == "auto" else name
    if name == "auto":
        return "cpu"
    raise InputError(f"--device {name}: PyTorch sees no GPU here; use --device cpu or auto, or see INSTALL.md")

