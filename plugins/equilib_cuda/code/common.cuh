// REAL is float or double.
typedef long long Long;

// Arrays and numbers that are passed by value, with a launch: `MOST` arrays, 2048 bytes of numbers.
#define MOST 64
#define NUMBERS (2048 / (int)sizeof(REAL))
struct Arrays { const REAL* at[MOST]; };
struct Numbers { REAL at[NUMBERS]; };

// The sum of a number of each thread of a block, for all of them. `part` is shared and has a place for each thread;
// their number is a power of two. Every thread of the block comes here.
template <class T>
__device__ T block_sum(T mine, T* part) {
  int t = threadIdx.x;
  part[t] = mine;
  __syncthreads();
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    if (t < half) part[t] += part[t + half];
    __syncthreads();
  }
  T sum = part[0];
  __syncthreads();  // before `part` is written again
  return sum;
}

// The largest number that the threads of a block have, for all of them; a nan counts as nothing.
__device__ double block_max(double mine, double* part) {
  int t = threadIdx.x;
  part[t] = mine;
  __syncthreads();
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    if (t < half && part[t + half] > part[t]) part[t] = part[t + half];
    __syncthreads();
  }
  double largest = part[0];
  __syncthreads();
  return largest;
}

// The Euclidean norm of `size` numbers, for all threads of a block; squares neither over- nor underflow.
__device__ double block_norm(const REAL* x, Long size, double* part) {
  double scale = 1, sum = 0;
  if (sizeof(REAL) == sizeof(double)) {  // the squares of single precision are in the range of double
    double largest = 0;
    for (Long i = threadIdx.x; i < size; i += blockDim.x) {
      double value = fabs((double)x[i]);
      if (value > largest) largest = value;
    }
    largest = block_max(largest, part);
    if (largest > 0 && isfinite(largest)) scale = largest;
  }
  for (Long i = threadIdx.x; i < size; i += blockDim.x) {
    double share = x[i] / scale;
    sum += share * share;
  }
  return sqrt(block_sum(sum, part)) * scale;
}
enum { IDENTITY, TANH, SIGMOID, RELU };

__device__ REAL activate(Long kind, REAL x) {
  if (kind == TANH) return tanh(x);
  if (kind == SIGMOID) return 1 / (1 + exp(-x));  // where that is infinite, 0 is right
  if (kind == RELU) return x > 0 || x != x ? x : (REAL)0;
  return x;
}

// x times the slope of an activation where its value is y[place]; y is not read where there is none.
__device__ REAL sloped(Long kind, REAL x, const REAL* y, Long place) {
  if (kind == TANH) return x * (1 - y[place] * y[place]);
  if (kind == SIGMOID) return x * ((1 - y[place]) * y[place]);
  if (kind == RELU) return x * (y[place] > 0 ? (REAL)1 : (REAL)0);
  return x;
}
