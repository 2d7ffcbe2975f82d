"""The tutorial's cell in PyTorch: run by `benchmarks.cell`.

"As written" computes the injection in every evaluation, as f(z, x) does where a solver of torchdeq calls it.
"""

from __future__ import annotations

from importlib.metadata import version
from time import perf_counter

import numpy as np
import torch
from torch.nn.functional import conv2d

from benchmarks.peers.exchange import hand_back, receive


def main() -> None:
    """Evaluate f in its forms, and the gradient of Σ zₙ² / size after `depth` times f, some times over."""
    folder, arrays, settings = receive()
    torch.set_num_threads(settings["threads"])
    seconds: dict[str, list[float]] = {}
    found = {}
    for layout, memory in (("first", torch.contiguous_format), ("last", torch.channels_last)):
        z, x = (_torch(arrays[name], (0, 3, 1, 2)).contiguous(memory_format=memory) for name in ("z", "x"))
        recur, inject, after = (
            _torch(arrays[name], (3, 2, 0, 1)).contiguous(memory_format=memory) for name in ("recur", "inject", "after")
        )
        hoisted = torch.tanh(conv2d(x, inject, padding=1))
        with torch.no_grad():
            for name in ("f", "f as written"):
                times = seconds.setdefault(f"{name}, channels {layout}", [])
                for _ in range(settings["repeats"]):
                    start = perf_counter()
                    u = hoisted if name == "f" else torch.tanh(conv2d(x, inject, padding=1))
                    value = torch.tanh(conv2d(torch.tanh(conv2d(z, recur, padding=1)) + u, after, padding=1))
                    times.append(perf_counter() - start)
        weights = {"recur": recur, "inject": inject, "after": after}
        times = seconds.setdefault(f"gradient, channels {layout}", [])
        for _ in range(settings["gradients"]):
            start = perf_counter()
            own = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
            state = z.detach().requires_grad_()
            z0, injected = state, torch.tanh(conv2d(x, own["inject"], padding=1))
            for _ in range(settings["depth"]):
                state = torch.tanh(conv2d(state, own["recur"], padding=1)) + injected
                state = torch.tanh(conv2d(state, own["after"], padding=1))
            gradients = torch.autograd.grad((state * state).mean(), [*own.values(), z0])
            times.append(perf_counter() - start)
        found |= {name: _numpy(each, (2, 3, 1, 0)) for name, each in zip(own, gradients, strict=False)}
    found["f"] = _numpy(value, (0, 2, 3, 1))
    hand_back(folder, found, {"seconds": seconds, "versions": {"torch": version("torch")}})


def _numpy(tensor: torch.Tensor, order: tuple[int, ...]) -> np.ndarray:
    return np.ascontiguousarray(tensor.permute(*order).numpy())


def _torch(array: np.ndarray, order: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.transpose(array, order)))


if __name__ == "__main__":
    main()
