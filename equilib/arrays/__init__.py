"""Arrays of any array-API library: namespaces, samples of a batch, norms; trees of arrays.

Every array function of equilib is written against the array API standard and asks `array_namespace` for the
library at hand.
"""

from equilib.arrays.namespaces import (
    Array,
    Namespace,
    array_namespace,
    from_host,
    host_dtype,
    is_array,
    of_one_kind,
    to_host,
    to_host_together,
    zeros_like,
)
from equilib.arrays.norms import (
    Norm,
    dot,
    host_norm,
    in_single,
    max_norm,
    norms_together,
    rms_norm,
    scaled,
    two_norm,
    units,
)
from equilib.arrays.samples import (
    check_like,
    coefficients,
    only_samples,
    put_rows,
    rows_like,
    samples_as_rows,
    take_rows,
    weighted_sum,
    where_samples,
)
from equilib.arrays.trees import Tree, leaves_like, named_leaves, tree_leaves, tree_map, tree_unflatten

__all__ = [
    "Array",
    "Namespace",
    "Norm",
    "Tree",
    "array_namespace",
    "check_like",
    "coefficients",
    "dot",
    "from_host",
    "host_dtype",
    "host_norm",
    "in_single",
    "is_array",
    "leaves_like",
    "max_norm",
    "named_leaves",
    "norms_together",
    "of_one_kind",
    "only_samples",
    "put_rows",
    "rms_norm",
    "rows_like",
    "samples_as_rows",
    "scaled",
    "take_rows",
    "to_host",
    "to_host_together",
    "tree_leaves",
    "tree_map",
    "tree_unflatten",
    "two_norm",
    "units",
    "weighted_sum",
    "where_samples",
    "zeros_like",
]
