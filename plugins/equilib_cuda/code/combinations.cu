// base + sum of weights[sample, k] a_k, all in C's order. The weights of `samples` rows stand in `given`, or in memory.
extern "C" __global__ void equilib_combine(const REAL* base, Arrays arrays, Numbers given, const REAL* weights,
                                           REAL* out, Long count, Long samples, Long size, Long total) {
  Long step = (Long)gridDim.x * blockDim.x;
  for (Long i = (Long)blockIdx.x * blockDim.x + threadIdx.x; i < total; i += step) {
    Long row = samples > 1 ? i / size * count : 0;
    REAL sum = base ? base[i] : (REAL)0;
    for (Long k = 0; k < count; k++) {
      REAL term = (weights ? weights[row + k] : given.at[row + k]) * arrays.at[k][i];
      sum = k || base ? sum + term : term;  // 0 + -0 would be 0
    }
    out[i] = sum;
  }
}

// The inner products of each array (y) with x. A block for each sample (x).
extern "C" __global__ void equilib_overlap(Arrays arrays, const REAL* x, REAL* out, Long count, Long size) {
  __shared__ double part[512];
  Long first = blockIdx.x * size;
  const REAL* a = arrays.at[blockIdx.y] + first;
  double sum = 0;
  for (Long i = threadIdx.x; i < size; i += blockDim.x) sum += (double)a[i] * x[first + i];
  sum = block_sum(sum, part);
  if (threadIdx.x == 0) out[blockIdx.x * count + blockIdx.y] = (REAL)sum;
}

// Modified Gram-Schmidt: takes the components of x along `count` arrays away, one after the other, into `rest`, and
// writes them with the norm of the rest into `column`, of count + 1 numbers a sample. A block for each sample.
extern "C" __global__ void equilib_orthogonalize(Arrays basis, const REAL* x, REAL* rest, REAL* column, Long count,
                                                 Long size) {
  __shared__ double part[512];
  Long first = blockIdx.x * size;
  REAL* w = rest + first;
  x += first;
  column += blockIdx.x * (count + 1);
  for (Long k = 0; k < count; k++) {
    const REAL* v = basis.at[k] + first;
    const REAL* from = k ? w : x;
    double sum = 0;
    for (Long i = threadIdx.x; i < size; i += blockDim.x) sum += (double)v[i] * from[i];
    REAL overlap = (REAL)block_sum(sum, part);
    for (Long i = threadIdx.x; i < size; i += blockDim.x) w[i] = from[i] - overlap * v[i];
    if (threadIdx.x == 0) column[k] = overlap;
  }
  // A thread reads what it wrote itself.
  double norm = block_norm(w, size, part);
  if (threadIdx.x == 0) column[count] = (REAL)norm;
}
