"""The table of all cases that the laws of the operations are tested on."""

from tests.ops import convolution_cases, elementwise_cases, image_cases, sequence_cases, shape_cases, sum_cases
from tests.ops.case import Case

CASES: list[Case] = [
    *elementwise_cases.CASES,
    *shape_cases.CASES,
    *convolution_cases.CASES,
    *image_cases.CASES,
    *sequence_cases.CASES,
    *sum_cases.CASES,
]
