// Adam of several arrays (Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2). Blocks (x) of
// numbers for each array (y).
#define LEAVES 40
struct Leaves {
  const REAL *p[LEAVES], *g[LEAVES], *mean[LEAVES], *square[LEAVES];
  REAL *new_p[LEAVES], *new_mean[LEAVES], *new_square[LEAVES];
  Long size[LEAVES];
  double decay[LEAVES];
};
struct Constants { REAL rate, beta1, beta2, rest1, rest2, bias1, bias2, epsilon; };

extern "C" __global__ void equilib_adam(Leaves leaves, Constants constants) {
  int leaf = blockIdx.y;
  const REAL *p = leaves.p[leaf], *g = leaves.g[leaf], *mean = leaves.mean[leaf], *square = leaves.square[leaf];
  REAL *new_p = leaves.new_p[leaf], *new_mean = leaves.new_mean[leaf], *new_square = leaves.new_square[leaf];
  Long size = leaves.size[leaf], step = (Long)gridDim.x * blockDim.x;
  Constants c = constants;
  REAL decay = leaves.decay[leaf];
  for (Long i = (Long)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += step) {
    REAL m = c.beta1 * mean[i] + c.rest1 * g[i];
    REAL s = c.beta2 * square[i] + c.rest2 * (g[i] * g[i]);
    REAL change = (m / c.bias1) / (sqrt(s / c.bias2) + c.epsilon);
    if (decay != 0) change += decay * p[i];
    new_p[i] = p[i] - c.rate * change;
    new_mean[i] = m;
    new_square[i] = s;
  }
}
