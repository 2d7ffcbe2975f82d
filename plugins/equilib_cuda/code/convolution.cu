// Convolutions and their transposes as products of matrices that are not laid out (implicit GEMM), with what comes before
// and after them. Images are (sample, row, column, channel), weights (a, b, channel, output).
//
// A block of 256 threads computes a tile of 64 x 64 numbers, each thread 4 x 4, over 16 terms at a time; what is read for
// the next 16 is on its way meanwhile.
#define TILE 64
#define TERMS 16

struct Geometry {
  int batch, height, width, channels, rows, columns, outputs, down, across, stride_down, stride_across, top, left;
};

// Threads share the reading of 16 x 64 numbers: neighbours read neighbouring terms, or else neighbouring places.
__device__ int term_of(bool by_term, int r) { return by_term ? threadIdx.x % TERMS : threadIdx.x / TILE + 4 * r; }
__device__ int place_of(bool by_term, int r) { return by_term ? threadIdx.x / TERMS + 16 * r : threadIdx.x % TILE; }

// sums[i][j] is the sum over the terms first ... last - 1 for row 4 (t / 16) + i and column 4 (t % 16) + j of a tile.
template <class Operands>
__device__ void multiply(const Operands& operands, int first, int last, REAL sums[4][4]) {
  __shared__ __align__(16) REAL left[TERMS][TILE + 4], right[TERMS][TILE + 4];
  int down = threadIdx.x / 16 * 4, across = threadIdx.x % 16 * 4;
  REAL of_left[4], of_right[4];
  operands.read(first, last, of_left, of_right);
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) sums[i][j] = 0;
  for (int term = first; term < last; term += TERMS) {
#pragma unroll
    for (int r = 0; r < 4; r++) {
      left[term_of(Operands::LEFT_BY_TERM, r)][place_of(Operands::LEFT_BY_TERM, r)] = of_left[r];
      right[term_of(Operands::RIGHT_BY_TERM, r)][place_of(Operands::RIGHT_BY_TERM, r)] = of_right[r];
    }
    __syncthreads();
    if (term + TERMS < last) operands.read(term + TERMS, last, of_left, of_right);
#pragma unroll
    for (int k = 0; k < TERMS; k++) {
      REAL a[4], b[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        a[i] = left[k][down + i];
        b[i] = right[k][across + i];
      }
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) sums[i][j] += a[i] * b[j];
    }
    __syncthreads();
  }
}

// The lines of an axis that meet the pixels of one remainder: every step-th of the kernel, from `start`.
struct Axis {
  int start, step, taps, pixel, pixels, first;
};

// Result i of a convolution meets pixel first + stride i + a of the padded image with line a.
// Its transpose is one convolution for each remainder: pixel stride i + pixel meets result first + i - u with line
// start + stride u.
__device__ Axis remainder(int start, int length, int kernel, int stride, int padding) {
  Axis axis;
  axis.start = start;
  axis.step = stride;
  axis.taps = (kernel - start + stride - 1) / stride;
  axis.pixel = ((start - padding) % stride + stride) % stride;
  axis.pixels = axis.pixel < length ? (length - axis.pixel + stride - 1) / stride : 0;
  axis.first = (axis.pixel + padding - start) / stride;
  return axis;
}

// Windows of images (left) and a kernel (right): rows are results (sample, i, j), terms are (a, b, channel).
template <bool BACK>
struct Windows {
  static const bool LEFT_BY_TERM = true, RIGHT_BY_TERM = BACK;
  const REAL *x, *weight, *y;
  Long kind;
  Geometry g;
  Axis down, across;
  int column, image[4], above[4], before[4];  // the row's image, -1 if there is none, and its first pixel

  __device__ void begin(int row) {
    int rows = BACK ? down.pixels : g.rows, columns = BACK ? across.pixels : g.columns;
#pragma unroll
    for (int r = 0; r < 4; r++) {
      int m = row + place_of(true, r), j = m % columns, i = m / columns % rows, n = m / columns / rows;
      image[r] = n < g.batch ? n : -1;
      above[r] = BACK ? down.first + i : i * g.stride_down - g.top;
      before[r] = BACK ? across.first + j : j * g.stride_across - g.left;
    }
  }

  __device__ void read(int first, int last, REAL* of_left, REAL* of_right) const {
    int channels = BACK ? g.outputs : g.channels, taps = BACK ? across.taps : g.across;
    int height = BACK ? g.rows : g.height, width = BACK ? g.columns : g.width;
    int term = first + term_of(true, 0), c = term % channels, b = term / channels % taps, a = term / channels / taps;
#pragma unroll
    for (int r = 0; r < 4; r++) {
      int i = BACK ? above[r] - a : above[r] + a, j = BACK ? before[r] - b : before[r] + b;
      bool inside = term < last && image[r] >= 0 && i >= 0 && i < height && j >= 0 && j < width;
      Long place = (((Long)image[r] * height + i) * width + j) * channels + c;
      of_left[r] = !inside ? (REAL)0 : BACK ? sloped(kind, x[place], y, place) : x[place];
    }
    if (BACK) {
      a = down.start + down.step * a;
      b = across.start + across.step * b;
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
      int place = column + place_of(RIGHT_BY_TERM, r), k = first + term_of(RIGHT_BY_TERM, r);
      bool inside = k < last && place < (BACK ? g.channels : g.outputs);
      Long at = BACK ? ((Long)(a * g.across + b) * g.channels + place) * g.outputs + c : (Long)k * g.outputs + place;
      of_right[r] = inside ? weight[at] : (REAL)0;
    }
  }
};

// after + activation(conv(x, weight) + before), or with y the convolution times the slope there. What is added is like
// the result, or one number for each output.
extern "C" __global__ void equilib_convolve(const REAL* x, const REAL* weight, const REAL* before, Long before_full,
                                            const REAL* after, Long after_full, const REAL* y, Long kind, REAL* out,
                                            Geometry g) {
  int row = blockIdx.x * TILE, column = blockIdx.y * TILE, total = g.batch * g.rows * g.columns;
  Windows<false> windows = {x, weight, 0, IDENTITY, g, {}, {}, column, {}, {}, {}};
  windows.begin(row);
  REAL sums[4][4];
  multiply(windows, 0, g.down * g.across * g.channels, sums);
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int m = row + threadIdx.x / 16 * 4 + i, o = column + threadIdx.x % 16 * 4 + j;
      if (m >= total || o >= g.outputs) continue;
      Long place = (Long)m * g.outputs + o;
      REAL value = sums[i][j];
      if (before) value += before[before_full ? place : o];
      value = y ? sloped(kind, value, y, place) : activate(kind, value);
      out[place] = after ? value + after[after_full ? place : o] : value;
    }
}

// The transpose for the images of `slope of y` times g. Blocks (z) for each pair of remainders.
extern "C" __global__ void equilib_convolve_back(const REAL* cotangent, const REAL* weight, const REAL* y, Long kind,
                                                 REAL* out, Geometry g) {
  int row = blockIdx.x * TILE, column = blockIdx.y * TILE, wide = min(g.stride_across, g.across);
  Axis down = remainder(blockIdx.z / wide, g.height, g.down, g.stride_down, g.top);
  Axis across = remainder(blockIdx.z % wide, g.width, g.across, g.stride_across, g.left);
  int total = g.batch * down.pixels * across.pixels;
  if (row >= total) return;  // the whole block: fewer pixels have this remainder
  Windows<true> windows = {cotangent, weight, y, kind, g, down, across, column, {}, {}, {}};
  windows.begin(row);
  REAL sums[4][4];
  multiply(windows, 0, down.taps * across.taps * g.outputs, sums);
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int m = row + threadIdx.x / 16 * 4 + i, c = column + threadIdx.x % 16 * 4 + j;
      if (m >= total || c >= g.channels) continue;
      int right = m % across.pixels * g.stride_across + across.pixel;
      int low = m / across.pixels % down.pixels * g.stride_down + down.pixel, n = m / across.pixels / down.pixels;
      out[(((Long)n * g.height + low) * g.width + right) * g.channels + c] = sums[i][j];
    }
}

// Rows are (a, b, channel) of a kernel, columns its outputs, terms the results (sample, i, j).
struct Correlation {
  static const bool LEFT_BY_TERM = false, RIGHT_BY_TERM = false;
  const REAL *x, *cotangent, *y;
  Long kind;
  Geometry g;
  int column, a, b, c;  // of the row that this thread reads; a is -1 if there is none

  __device__ void begin(int row) {
    int m = row + place_of(false, 0);
    c = m % g.channels;
    b = m / g.channels % g.across;
    a = m / g.channels / g.across;
    if (a >= g.down) a = -1;
  }

  __device__ void read(int first, int last, REAL* of_left, REAL* of_right) const {
    int output = column + place_of(false, 0);
#pragma unroll
    for (int r = 0; r < 4; r++) {
      int p = first + term_of(false, r), n = p / g.columns / g.rows;
      int i = p / g.columns % g.rows * g.stride_down - g.top + a, j = p % g.columns * g.stride_across - g.left + b;
      bool inside = p < last && a >= 0 && i >= 0 && i < g.height && j >= 0 && j < g.width;
      of_left[r] = inside ? x[(((Long)n * g.height + i) * g.width + j) * g.channels + c] : (REAL)0;
      Long place = (Long)p * g.outputs + output;
      of_right[r] = p < last && output < g.outputs ? sloped(kind, cotangent[place], y, place) : (REAL)0;
    }
  }
};

// The transpose for the weights of `slope of y` times g, in parts (z) of so many terms, which are to be added up.
extern "C" __global__ void equilib_convolve_weight(const REAL* x, const REAL* cotangent, const REAL* y, Long kind,
                                                   REAL* out, Long terms, Geometry g) {
  int row = blockIdx.x * TILE, column = blockIdx.y * TILE, total = g.down * g.across * g.channels;
  int first = (int)terms * blockIdx.z, last = min(first + (int)terms, g.batch * g.rows * g.columns);
  Correlation correlation = {x, cotangent, y, kind, g, column, 0, 0, 0};
  correlation.begin(row);
  REAL sums[4][4];
  multiply(correlation, first, last, sums);
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int m = row + threadIdx.x / 16 * 4 + i, o = column + threadIdx.x % 16 * 4 + j;
      if (m < total && o < g.outputs) out[((Long)blockIdx.z * total + m) * g.outputs + o] = sums[i][j];
    }
}
