// The sums of `per` rows each of (lead, row, column): out is (lead, part, column). A block of 32 columns (x) and so many
// rows at a time as it has threads for; parts (y), lead (z).
extern "C" __global__ void equilib_sum_rows(const REAL* x, REAL* out, Long rows, Long columns, Long per) {
  __shared__ double part[256];
  int lane = threadIdx.x % 32, lines = blockDim.x / 32;
  Long column = blockIdx.x * 32LL + lane, first = blockIdx.y * per, last = first + per < rows ? first + per : rows;
  double sum = 0;
  if (column < columns)
    for (Long row = first + threadIdx.x / 32; row < last; row += lines) sum += x[(blockIdx.z * rows + row) * columns + column];
  part[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x < 32 && column < columns) {
    for (int line = 1; line < lines; line++) sum += part[line * 32 + lane];
    out[((Long)blockIdx.z * gridDim.y + blockIdx.y) * columns + column] = (REAL)sum;
  }
}
