// Activations and their slopes, number by number; the kinds of launches.py.
enum { GELU = 4, GELU_SLOPE };
#define CUBIC ((REAL)0.044715)
#define GELU_SCALE ((REAL)0.7978845608028654)  // the root of 2 / pi
#define GELU_FLAT ((REAL)20)  // from here on the gate is 0 or 1, and further on a square is out of range

__device__ REAL gelu(REAL x) {
  REAL inner = x * (x * x * (GELU_SCALE * CUBIC) + GELU_SCALE);
  return (tanh(inner) + 1) * (REAL)0.5 * x;
}

__device__ REAL gelu_slope(REAL x) {
  x = x > GELU_FLAT ? GELU_FLAT : x < -GELU_FLAT ? -GELU_FLAT : x;
  REAL square = x * x, gate = tanh((square * (GELU_SCALE * CUBIC) + GELU_SCALE) * x);
  REAL inner_slope = square * (3 * GELU_SCALE * CUBIC) + GELU_SCALE;
  return (inner_slope * (1 - gate * gate) * x + (gate + 1)) * (REAL)0.5;
}

extern "C" __global__ void equilib_activate(const REAL* x, REAL* out, Long kind, Long size) {
  Long step = (Long)gridDim.x * blockDim.x;
  for (Long i = (Long)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += step)
    out[i] = kind == GELU ? gelu(x[i]) : kind == GELU_SLOPE ? gelu_slope(x[i]) : activate(kind, x[i]);
}

// v times the slope of an activation where its value is y; without v the slope.
extern "C" __global__ void equilib_times_slope(const REAL* v, const REAL* y, REAL* out, Long kind, Long size) {
  Long step = (Long)gridDim.x * blockDim.x;
  for (Long i = (Long)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += step)
    out[i] = sloped(kind, v ? v[i] : (REAL)1, y, i);
}
