"""Laws of a process under load: the same bits, no growth, no deadlock."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np

from equilib import Picard, ops, solve
from equilib.arrays import tree_leaves
from equilib.autodiff import value_and_grad
from equilib.fixed_points.options import SolveOptions
from equilib.kernels import using_kernels
from equilib.layers import Chain, Conv, GroupNorm, TruncatedNormal
from equilib.models import DeepEquilibrium, InjectedCell
from equilib.training.plan import Plan
from equilib.training.reporter import Reporter
from equilib_newton_gmres.solver import NewtonGMRES
from tests.training.small import clusters, network, trainer

CHANNELS = 8


def _images(seed: int) -> tuple[DeepEquilibrium, dict[str, object], np.ndarray]:
    """Return an equilibrium of convolutions, its parameters, and a batch of images."""
    conv = lambda: Conv(CHANNELS, CHANNELS, (3, 3), padding="same", initial_weight=TruncatedNormal(0.02))  # noqa: E731
    cell = InjectedCell(Chain(conv(), GroupNorm(CHANNELS, 4)), Chain(conv(), ops.tanh), Chain(ops.tanh))
    model, rng = (
        DeepEquilibrium(cell, NewtonGMRES(), options=SolveOptions(rtol=1e-3, on_failure="record")),
        np.random.default_rng(seed),
    )
    return model, model.init(rng), rng.standard_normal((4, 10, 10, CHANNELS)).astype(np.float32)


def digest(seed: int) -> str:
    """Return a digest of a solve and a gradient: in turn of dense layers and of convolutions."""
    if seed % 2:
        model, params, x = _images(seed)

        def loss(params: object) -> object:
            return ops.mean(ops.multiply(model(params, x).z, model(params, x).z))
    else:
        chain, data, rows = network(), clusters(), slice(seed % 40, seed % 40 + 8)
        params = chain.init(np.random.default_rng(seed))

        def loss(params: object) -> object:
            prediction, _ = chain(params, data.train_inputs[rows])
            return ops.cross_entropy(prediction, data.train_targets[rows])

    value, gradient = value_and_grad(loss)(params)
    found = hashlib.sha256(np.asarray(value).tobytes())
    for leaf in tree_leaves(gradient):
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


def digests(count: int, kernels: str = "none") -> list[str]:
    """Return the digests of so many solves and gradients, one after the other."""
    with using_kernels(kernels):
        return [digest(seed) for seed in range(count)]


def threads_agree(threads: int, solves: int, kernels: str) -> str:
    """Compute the same bits in several threads at once as in one by itself, in each in another order."""
    expected = digests(16, kernels)

    def work(number: int) -> list[tuple[int, str]]:
        random = Random(number)
        seeds = [random.randrange(len(expected)) for _ in range(solves)]
        return [(seed, digest(seed)) for seed in seeds]

    with using_kernels(kernels), ThreadPoolExecutor(threads) as pool:
        for found in pool.map(work, range(threads)):
            for seed, bits in found:
                assert bits == expected[seed], f"solve {seed} has other bits in a thread"
    return f"{threads} threads × {solves:,} solves and gradients: the bits of one thread"


def processes_agree(method: str, kernels: str, count: int = 4) -> str:
    """Compute the same bits in children that are made while a thread of their parent is at work."""
    expected, stop = digests(count, kernels), threading.Event()

    def work() -> None:
        while not stop.is_set():
            digest(0)

    busy = threading.Thread(target=work)
    with using_kernels(kernels):
        busy.start()
        try:
            with multiprocessing.get_context(method).Pool(2) as pool:
                found = pool.starmap_async(digests, [(count, kernels)] * 2).get(timeout=240)
        finally:
            stop.set()
            busy.join()
    assert found == [expected, expected], f"a child by {method} has other bits"
    return f"{method}: two children, the bits of their parent"


def solves_nest(depth: int = 3, threads: int = 4) -> str:
    """Solve inside f, inside f, for what the inner fixed point says, in several threads at once."""

    def level(outer: np.ndarray, left: int) -> np.ndarray:
        if not left:
            return outer
        return solve(lambda z: 0.5 * np.cos(z) + 0.1 * level(z, left - 1), Picard(), outer, rtol=1e-12, atol=1e-12).z

    start = np.linspace(0.0, 1.0, 6).reshape(2, 3)
    expected = level(start, depth)
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(lambda _: level(start, depth), range(2 * threads)):
            assert np.array_equal(found, expected)
    inner = 0.5 * np.cos(expected) + 0.1 * level(expected, depth - 1)
    assert np.abs(inner - expected).max() < 1e-10
    return f"solves nested {depth} deep in {threads} threads"


def resident() -> int:
    """Return the resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory_is_flat(steps: int, kernels: str, *, within: float = 0.02) -> str:
    """Train for many steps, and take no more memory at the end than after a third of them."""
    per_epoch = 7
    plan = Plan(pretrain_epochs=0, epochs=-(-steps // per_epoch), batch_size=8, test_batch_size=20)
    subject = trainer(plan=plan, reporter=Reporter())  # type: ignore[arg-type]
    begun = 0
    with using_kernels(kernels):
        for number, _ in enumerate(subject.epochs(), start=1):
            if number == max(1, plan.epochs // 3):
                begun = resident()
    growth = resident() / begun - 1
    assert growth <= within, f"resident memory grew by {growth:.1%} in {subject.step:,} steps"
    return f"{subject.step:,} steps: resident memory {begun / 2**20:.0f} MiB, {growth:+.2%} at the end"


PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.load.laws import digest, using_kernels
from equilib.machine.process import prepare_process
prepare_process()
with using_kernels(sys.argv[1], all_sizes=True):
    digest(1)
    print("ready", flush=True)
    try:
        while True:
            digest(1)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def one_interrupt_suffices(times: int, kernels: str, *, patience: float = 10.0) -> str:
    """End solves whose work three threads share by one Ctrl-C, at whatever moment."""
    random, slowest = Random(0), 0.0
    for number in range(times):
        command, sharing = [sys.executable, "-c", PROGRAM, kernels], os.environ | {"OPENBLAS_NUM_THREADS": "3"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=sharing) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.2 * random.random())
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            try:
                out, _ = process.communicate(timeout=patience)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"interrupt {number} was not obeyed within {patience:g} s") from None
            assert out == "interrupted\n"
            slowest = max(slowest, time.monotonic() - sent)
    return f"{times} interrupts, one each: obeyed within {slowest:.2f} s"
