// Group normalization of (sample, position, channel). A block for each sample (x) and group (y).

// The place of number i of a group: its channels lie side by side.
__device__ Long place_in_group(Long i, Long positions, Long channels, Long wide) {
  return (blockIdx.x * positions + i / wide) * channels + blockIdx.y * wide + i % wide;
}

extern "C" __global__ void equilib_group_norm(const REAL* x, const REAL* scale, const REAL* shift, REAL* out,
                                              REAL* means, REAL* inverses, Long positions, Long channels, Long wide,
                                              double epsilon) {
  __shared__ double part[512];
  Long size = positions * wide;
  double sum = 0;
  for (Long i = threadIdx.x; i < size; i += blockDim.x) sum += x[place_in_group(i, positions, channels, wide)];
  REAL mean = (REAL)(block_sum(sum, part) / size);
  sum = 0;
  for (Long i = threadIdx.x; i < size; i += blockDim.x) {
    double centred = x[place_in_group(i, positions, channels, wide)] - mean;
    sum += centred * centred;
  }
  REAL inverse = (REAL)(1 / sqrt(block_sum(sum, part) / size + epsilon));
  for (Long i = threadIdx.x; i < size; i += blockDim.x) {
    Long place = place_in_group(i, positions, channels, wide), channel = blockIdx.y * wide + i % wide;
    REAL value = (x[place] - mean) * inverse;
    if (scale) value *= scale[channel];
    out[place] = shift ? value + shift[channel] : value;
  }
  if (threadIdx.x == 0) {
    means[(Long)blockIdx.x * gridDim.y + blockIdx.y] = mean;
    inverses[(Long)blockIdx.x * gridDim.y + blockIdx.y] = inverse;
  }
}

// (v - <v> - n <n v>) / sqrt(variance + epsilon) with n = (x - mean) / sqrt(variance + epsilon): the derivative, and its
// transpose. The scale is taken before it (back) or after it; d_scale and d_shift are tangents of scale and shift.
extern "C" __global__ void equilib_group_norm_derive(const REAL* v, const REAL* x, const REAL* scale, const REAL* means,
                                                     const REAL* inverses, const REAL* d_scale, const REAL* d_shift,
                                                     REAL* out, Long positions, Long channels, Long wide, Long back) {
  __shared__ double part[512];
  Long size = positions * wide, group = (Long)blockIdx.x * gridDim.y + blockIdx.y;
  REAL mean = means[group], inverse = inverses[group];
  double sum = 0, along = 0;
  for (Long i = threadIdx.x; i < size; i += blockDim.x) {
    Long place = place_in_group(i, positions, channels, wide);
    REAL given = back && scale ? v[place] * scale[blockIdx.y * wide + i % wide] : v[place];
    sum += given;
    along += (double)((x[place] - mean) * inverse) * given;
  }
  REAL average = (REAL)(block_sum(sum, part) / size), slope = (REAL)(block_sum(along, part) / size);
  for (Long i = threadIdx.x; i < size; i += blockDim.x) {
    Long place = place_in_group(i, positions, channels, wide), channel = blockIdx.y * wide + i % wide;
    REAL normal = (x[place] - mean) * inverse;
    REAL given = back && scale ? v[place] * scale[channel] : v[place];
    REAL moved = (given - average - normal * slope) * inverse;
    if (!back && scale) moved *= scale[channel];
    if (d_scale) moved += normal * d_scale[channel];
    if (d_shift) moved += d_shift[channel];
    out[place] = moved;
  }
}

// The sums over `per` rows (sample, position) each of g n and of g, for each channel: out is (part, 2, channel). A block
// of 32 channels (x) for each part (y).
extern "C" __global__ void equilib_group_norm_sums(const REAL* g, const REAL* x, const REAL* means, const REAL* inverses,
                                                   REAL* out, Long rows, Long positions, Long channels, Long wide,
                                                   Long per) {
  __shared__ double part[512];
  int lane = threadIdx.x % 32, lines = blockDim.x / 32;
  Long channel = blockIdx.x * 32LL + lane, first = blockIdx.y * per, last = first + per < rows ? first + per : rows;
  double along = 0, sum = 0;
  if (channel < channels)
    for (Long row = first + threadIdx.x / 32; row < last; row += lines) {
      Long group = row / positions * (channels / wide) + channel / wide, place = row * channels + channel;
      along += (double)g[place] * ((x[place] - means[group]) * inverses[group]);
      sum += g[place];
    }
  part[2 * threadIdx.x] = along;
  part[2 * threadIdx.x + 1] = sum;
  __syncthreads();
  if (threadIdx.x < 32 && channel < channels) {
    for (int line = 1; line < lines; line++) {
      along += part[2 * (line * 32 + lane)];
      sum += part[2 * (line * 32 + lane) + 1];
    }
    out[2 * blockIdx.y * channels + channel] = (REAL)along;
    out[(2 * blockIdx.y + 1) * channels + channel] = (REAL)sum;
  }
}
