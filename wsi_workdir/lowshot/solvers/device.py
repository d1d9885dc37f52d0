"""Where the large products run: NumPy on the CPU, PyTorch on a GPU."""

import importlib.util

from lowshot.errors import UserError

DEVICES = ("auto", "cpu", "cuda")


def choose_device(name):
    """'cpu' for NumPy, else a PyTorch device name. 'auto': a GPU where PyTorch sees one.

    'torch-cpu' runs PyTorch's path on the CPU; it is slower there and serves to check that path without a GPU.
    UserError: a GPU is asked for and there is none.
    """
    if name in ("cpu", "torch-cpu"):
        return name
    if name not in DEVICES and not name.startswith("cuda:"):
        raise UserError(f"device {name!r}: known are {', '.join(DEVICES)}")
    if importlib.util.find_spec("torch") is not None:
        import torch  # here, not above: the few-shot half runs without it
        if torch.cuda.is_available():
            return "cuda" if name == "auto" else name
    if name == "auto":
        return "cpu"
    raise UserError(f"--device {name}: PyTorch sees no GPU here; use --device cpu or auto")


def products(rows, device):
    """(project, collect) of rows (m, D) float32: project(W (k, D)) is (m, k) = rows·Wᵀ, collect(R (k, m)) is R·rows."""
    if device == "cpu":
        return lambda weights: rows @ weights.T, lambda residuals: residuals @ rows
    import torch
    there = torch.from_numpy(rows).to("cpu" if device == "torch-cpu" else device)

    def project(weights):
        return (there @ torch.from_numpy(weights).to(there.device).T).cpu().numpy()

    def collect(residuals):
        return (torch.from_numpy(residuals).to(there.device) @ there).cpu().numpy()
    return project, collect
