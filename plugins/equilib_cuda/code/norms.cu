// The norms of the rows of matrices: the root of the sum, or of the mean, of their squares. A block for each row (x) of
// each matrix (y).
extern "C" __global__ void equilib_norms(Arrays matrices, REAL* out, Long rows, Long size, Long mean) {
  __shared__ double part[512];
  double norm = block_norm(matrices.at[blockIdx.y] + blockIdx.x * size, size, part);
  if (threadIdx.x == 0) out[blockIdx.y * rows + blockIdx.x] = (REAL)(mean ? norm / sqrt((double)size) : norm);
}

struct Sizes { Long at[MOST]; };

// The sum of squares of each array. A block for each.
extern "C" __global__ void equilib_squares(Arrays arrays, Sizes sizes, REAL* out) {
  __shared__ double part[512];
  const REAL* x = arrays.at[blockIdx.x];
  Long size = sizes.at[blockIdx.x];
  double sum = 0;
  for (Long i = threadIdx.x; i < size; i += blockDim.x) sum += (double)x[i] * x[i];
  sum = block_sum(sum, part);
  if (threadIdx.x == 0) out[blockIdx.x] = (REAL)sum;
}
