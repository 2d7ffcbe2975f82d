"""A training step of the tutorial's network with torchdeq, one size of the batch: run by `benchmarks.scaling`."""

from __future__ import annotations

from importlib.metadata import version

import torch
from torch.nn.functional import cross_entropy

from benchmarks.peers.exchange import hand_back, peak_memory, receive
from benchmarks.peers.stopwatch import seconds
from benchmarks.peers.torchdeq_mnist import Tutorial, load


def main() -> None:
    """Take the step some times over, then f; return the times, the counts and the memory before."""
    folder, arrays, settings = receive()
    torch.set_num_threads(settings["threads"])
    # Its Anderson mixing counts evaluations, the initial one included.
    limits = {"max_steps": settings["steps"] + 1, "tolerance": 0.0}
    model = Tutorial({"solver": "anderson", "backward": "anderson", **limits})
    load(model, arrays)
    model.to(memory_format=torch.channels_last)
    images = torch.from_numpy(arrays.pop("images")).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(arrays["labels"])

    def step() -> torch.Tensor:
        model.counts.clear()
        model.zero_grad(set_to_none=True)
        logits, z, _ = model(images)
        cross_entropy(logits, labels).backward()
        return z.detach()

    before = peak_memory()
    z = step()
    counts = {name: model.counts[name] for name in ("nfe", "vjp")}
    times = seconds(step, settings["repeats"])
    with torch.no_grad():
        u = torch.tanh(model.inject(model.before(images)))
        f = seconds(lambda: torch.tanh(model.mix(torch.tanh(model.recur(z)) + u)), 5 * settings["repeats"])
    versions = {name: version(name) for name in ("torch", "torchdeq")}
    hand_back(folder, {}, {"step": times, "f": f, **counts, "rss_before_mb": before, "versions": versions})


if __name__ == "__main__":
    main()
