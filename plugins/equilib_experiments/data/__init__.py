"""The data of the experiments: read, downloaded, or replaced by what is at hand offline."""

from equilib_experiments.data.cifar10 import Cifar10, load_cifar10
from equilib_experiments.data.errors import DataError
from equilib_experiments.data.idx import read_idx
from equilib_experiments.data.mnist import Mnist, load_mnist

__all__ = ["Cifar10", "DataError", "Mnist", "load_cifar10", "load_mnist", "read_idx"]
