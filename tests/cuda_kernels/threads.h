// CUDA C on the CPU: the threads of a block take turns, and change over where they wait for each other.
#include <cmath>
#include <csetjmp>
#include <cstddef>
#include <tuple>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__ inline
#define __shared__ static
#define EXPORTED __attribute__((visibility("default")))
#define __align__(bytes) __attribute__((aligned(bytes)))

struct Index { unsigned x, y, z; };
static Index threadIdx, blockIdx, blockDim, gridDim;
using std::exp; using std::fabs; using std::isfinite; using std::sqrt; using std::tanh;
static inline int min(int a, int b) { return a < b ? a : b; }

namespace threads {

constexpr size_t STACK = 1 << 16;
struct Thread { ucontext_t start; jmp_buf place; std::vector<char> stack; bool begun, done; };
static std::vector<Thread> all;
static ucontext_t caller;
static jmp_buf back;
static unsigned current;
static void (*body)(void**);
static void** arguments;

static void begin() {
  body(arguments);
  all[current].done = true;
  _longjmp(back, 1);
}

static void resume(unsigned number) {
  Thread& thread = all[number];
  current = number;
  threadIdx = {number % blockDim.x, 0, 0};
  if (_setjmp(back)) return;
  if (thread.begun) _longjmp(thread.place, 1);
  thread.begun = true;
  getcontext(&thread.start);
  thread.stack.resize(STACK);
  thread.start.uc_stack.ss_sp = thread.stack.data();
  thread.start.uc_stack.ss_size = STACK;
  thread.start.uc_link = nullptr;
  makecontext(&thread.start, begin, 0);
  setcontext(&thread.start);
}

// Run one block. Returns false if some threads ended where others wait for them.
static bool block(bool backwards) {
  unsigned count = blockDim.x;
  all.resize(count);
  for (Thread& thread : all) thread.begun = thread.done = false;
  for (unsigned done = 0; done == 0;) {
    for (unsigned i = 0; i < count; i++) resume(backwards ? count - 1 - i : i);
    for (Thread& thread : all) done += thread.done;
    if (done && done < count) return false;
  }
  return true;
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** given, std::index_sequence<I...>) { kernel(*static_cast<A*>(given[I])...); }

template <auto kernel, class... A>
void apply(void (*)(A...), void** given) { call<A...>(kernel, given, std::index_sequence_for<A...>{}); }

template <auto kernel>
int launch(const unsigned* grid, unsigned width, void** given, bool backwards) {
  body = [](void** each) { apply<kernel>(kernel, each); };
  arguments = given;
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {width, 1, 1};
  for (unsigned z = 0; z < grid[2]; z++)
    for (unsigned y = 0; y < grid[1]; y++)
      for (unsigned x = 0; x < grid[0]; x++) {
        blockIdx = {x, y, z};
        if (!block(backwards)) return 1;
      }
  return 0;
}

}  // namespace threads

static void __syncthreads() {
  if (!_setjmp(threads::all[threads::current].place)) _longjmp(threads::back, 1);
}
