// What both passes share: the order of the rows, where their numbers stand, packed weights, memory.
#pragma once

#include <cstdlib>
#include <utility>

#include "call.h"
#include "product.h"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace elman::ELMAN_ISA {

// Asks for large pages under fresh memory of many megabytes: touching it small page by small page
// costs as much as computing what is written there.
inline void in_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t PAGE = 2 << 20;
  const uintptr_t from = (reinterpret_cast<uintptr_t>(memory) + PAGE - 1) / PAGE * PAGE;
  const uintptr_t to = (reinterpret_cast<uintptr_t>(memory) + static_cast<uintptr_t>(bytes)) / PAGE * PAGE;
  if (memory && to > from + PAGE) madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
#endif
}

// Under AddressSanitizer every block is its own, of exactly its size.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool EXACT = true;
#else
constexpr bool EXACT = false;
#endif

// Blocks that a thread keeps from one call to the next: fresh memory costs more to touch than a
// small call takes.
struct Kept {
  static constexpr int MOST = 32;
  static constexpr int64_t MOST_BYTES = 32 << 20;
  void* at[MOST];
  int64_t bytes[MOST];
  int count = 0;
  int64_t total = 0;

  // a block of at least so many bytes, which are made those that it has
  void* take(int64_t& wanted) {
    int best = -1;
    for (int i = 0; i < count; ++i) {
      if (bytes[i] >= wanted && bytes[i] <= 2 * wanted && (best < 0 || bytes[i] < bytes[best])) {
        best = i;
      }
    }
    if (best < 0) {
      void* fresh = nullptr;
      if (posix_memalign(&fresh, 64, static_cast<size_t>(larger(wanted, 1)))) return nullptr;
      in_large_pages(fresh, wanted);
      return fresh;
    }
    void* const found = at[best];
    wanted = bytes[best];
    total -= wanted;
    --count;
    at[best] = at[count];
    bytes[best] = bytes[count];
    return found;
  }
  void give(void* block, int64_t size) {
    if (EXACT || count == MOST || total + size > MOST_BYTES) {
      std::free(block);
      return;
    }
    at[count] = block;
    bytes[count++] = size;
    total += size;
  }
  ~Kept() {
    for (int i = 0; i < count; ++i) std::free(at[i]);
    count = MOST;  // what is given back later is freed
  }
};
inline thread_local Kept kept;

// Memory for one call, aligned to a cache line; not initialised. A little of it needs no allocation.
template <class T>
struct Buffer {
  static constexpr int64_t NEAR = 256 / sizeof(T);
  T* at = nullptr;
  int64_t bytes = NEAR * sizeof(T);
  alignas(64) T near_by[NEAR];

  explicit Buffer(int64_t count, bool zero = false) {
    if (count <= NEAR && !EXACT) {
      at = near_by;
    } else {
      bytes = EXACT ? count * int64_t(sizeof(T)) : round_up(count * int64_t(sizeof(T)), 256);
      at = static_cast<T*>(kept.take(bytes));
    }
    if (at && zero) std::memset(at, 0, static_cast<size_t>(bytes));
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (at && at != near_by) kept.give(at, bytes);
  }
  operator T*() const { return at; }
};

struct Team {
  int index, size;
  void wait() const {
#if defined(_OPENMP)
    if (size > 1) {
#pragma omp barrier
    }
#endif
  }
  // this member's part of n things: from `first` on, up to `last`
  ELMAN_INLINE void share(int64_t n, int64_t& first, int64_t& last) const {
    first = size == 1 ? 0 : n * index / size;
    last = size == 1 ? n : n * (index + 1) / size;
  }
};

// One thread's columns of every row, with a wait after each step, instead of its own rows.
inline bool splits_columns(const Call& c) { return c.threads > 1 && c.B < 6 * c.threads; }

// How many threads pay: a step must be worth their waiting for each other.
inline int64_t team_of(const Call& c) {
  const int64_t work = 2 * c.B * c.cell->gates * c.H * (c.I + c.R);
  return work < (splits_columns(c) ? 1'000'000 : 200'000) ? 1 : c.threads;
}

// Runs work(team) on each of `threads` threads; one thread opens no parallel region.
template <class Work>
inline void in_team(int64_t threads, Work work) {
#if defined(_OPENMP)
  if (threads > 1) {
#pragma omp parallel num_threads(static_cast<int>(threads))
    work(Team{omp_get_thread_num(), omp_get_num_threads()});
    return;
  }
#endif
  work(Team{0, 1});
}

// Brings a row of memory near before it is written or read.
template <bool WRITE, class Real>
ELMAN_INLINE void bring(const Real* row, int64_t n) {
  constexpr int64_t LINE = 64 / sizeof(Real), MOST = 16 * LINE;
  for (int64_t k = 0; k < smaller(n, MOST); k += LINE) __builtin_prefetch(row + k, WRITE, 3);
}

// How a call's gates lie in panels, and its rows in order of falling length.
template <class Real>
struct Plan {
  static constexpr int V = LANES<Real>;
  const Call& call;
  const Cell& cell;
  int64_t vectors, Hp, Rp;          // vectors of hidden units; H and R rounded up to them
  int64_t record;                   // numbers saved for one step of one row
  Buffer<int64_t> order, length;    // row in the batch and steps of the r-th longest row
  Buffer<int64_t> offset;           // records before step t, for t = 0 … T
  Buffer<Real> zeros;
  int64_t longest = 0;
  bool bad_length = false;
  bool is_in_order = true;  // whether the rows stand as they came

  explicit Plan(const Call& c)
      : call(c),
        cell(*c.cell),
        vectors((c.H + V - 1) / V),
        Hp(vectors * V),
        Rp(round_up(c.R, V)),
        record(record_size_of(c)),
        order(c.B),
        length(c.B),
        offset(c.T + 2),
        zeros(larger(Hp, Rp), true) {
    if (!ready()) return;
    arrange();
  }

  bool ready() const { return order && length && offset && zeros; }

  // saved values, then the states that are not fed back, then the hidden state and the output
  // layer's sum where there is such a layer, or the operand of a second product
  static int64_t record_size_of(const Call& c) {
    const int64_t wide = round_up(c.H, V);
    int64_t size = (c.cell->saved + c.cell->states - 1) * wide;
    if (c.weight_ho) size += wide;
    if (c.weight_ho && c.activation->reads_a) size += round_up(c.R, V);
    if (c.cell->first) size += wide;
    return size;
  }
  int64_t extra_state_at(int64_t s) const { return (cell.saved + s - 1) * Hp; }
  int64_t hidden_at() const { return (cell.saved + cell.states - 1) * Hp; }
  int64_t sum_at() const { return hidden_at() + Hp; }
  int64_t operand_at() const { return hidden_at(); }

  void arrange() {
    const int64_t T = call.T, B = call.B;
    // offset[t + 1] first counts the rows of t steps
    for (int64_t t = 0; t <= T + 1; ++t) offset[t] = 0;
    for (int64_t b = 0; b < B; ++b) {
      const int64_t steps = call.lengths ? call.lengths[b] : T;
      if (steps < 0 || steps > T) {
        bad_length = true;
        longest = 0;
        return;
      }
      ++offset[steps];
      longest = larger(longest, steps);
    }
    // the longest first, equal ones as they came
    int64_t before = 0;
    for (int64_t t = T; t >= 0; --t) {
      const int64_t rows = offset[t];
      offset[t] = before;
      before += rows;
    }
    for (int64_t b = 0; b < B; ++b) {
      const int64_t steps = call.lengths ? call.lengths[b] : T;
      const int64_t r = offset[steps]++;
      order[r] = b;
      is_in_order = is_in_order && r == b;
      length[r] = steps;
    }
    // offset[t] is now the number of rows with at least t steps: t = 1 … T become a running sum
    int64_t sum = 0;
    for (int64_t t = 0; t < T; ++t) {
      const int64_t alive = offset[t + 1];
      offset[t] = sum;
      sum += alive;
    }
    offset[T] = sum;
  }

  ELMAN_INLINE int64_t alive(int64_t s) const { return offset[s + 1] - offset[s]; }
  // where the step s of row r stands in time
  ELMAN_INLINE int64_t time(int64_t r, int64_t s) const {
    return call.reverse ? length[r] - 1 - s : s;
  }
  ELMAN_INLINE bool is_reset(int64_t r, int64_t s) const {
    if (!call.resets) return false;
    // a cut lies before the step of its time: backwards it is met on the way from there
    if (call.reverse) return s > 0 && call.resets[(length[r] - s) * call.B + order[r]];
    return call.resets[s * call.B + order[r]];
  }

  ELMAN_INLINE const Real* input(int64_t r, int64_t s) const {
    return static_cast<const Real*>(call.input) + time(r, s) * call.input_t +
           order[r] * call.input_b;
  }
  ELMAN_INLINE Real* output(int64_t r, int64_t s) const {
    return static_cast<Real*>(call.output) + time(r, s) * call.output_t + order[r] * call.output_b;
  }
  ELMAN_INLINE const Real* doutput(int64_t r, int64_t s) const {
    return static_cast<const Real*>(call.doutput) + time(r, s) * call.doutput_t +
           order[r] * call.doutput_b;
  }
  ELMAN_INLINE Real* saved(int64_t r, int64_t s) const {
    return static_cast<Real*>(call.saved) + (offset[s] + r) * record;
  }
  ELMAN_INLINE const Real* row(const void* matrix, int64_t r, int64_t width) const {
    return matrix ? static_cast<const Real*>(matrix) + order[r] * width
                  : static_cast<const Real*>(zeros);
  }
  ELMAN_INLINE const Real* all(const void* vector) const {
    return vector ? static_cast<const Real*>(vector) : static_cast<const Real*>(zeros);
  }
  const void* first_state(int64_t s) const { return s ? call.state_1 : call.state_0; }
  const void* initial(int64_t s) const { return s ? call.initial_1 : call.initial_0; }
  void* final(int64_t s) const { return s ? call.final_1 : call.final_0; }
  int64_t width(int64_t s) const { return s ? call.H : call.R; }

  // the state s before step `step` of row r
  ELMAN_INLINE const Real* state_before(int64_t s, int64_t r, int64_t step) const {
    if (is_reset(r, step)) return all(initial(s));
    if (step == 0) return row(first_state(s), r, width(s));
    return s ? saved(r, step - 1) + extra_state_at(s) : output(r, step - 1);
  }
};

// `gates` times `units` columns in panels of `wide` vectors of units, all gates of a unit together:
// [panel][k][gate][vector].
template <class Real>
struct Panels {
  static constexpr int V = LANES<Real>;
  int64_t units, gates, wide, vectors, count;

  Panels(int64_t units_, int64_t gates_)
      // a panel of about four vectors for each k; three gates and more stand alone
      : units(units_),
        gates(gates_),
        wide(gates_ >= 3 ? 1 : gates_ == 2 ? 2 : 4),
        vectors((units_ + V - 1) / V),
        count((vectors + wide - 1) / wide) {}

  ELMAN_INLINE int64_t wide_of(int64_t panel) const {
    return smaller(wide, vectors - panel * wide);
  }
  ELMAN_INLINE int64_t stride(int64_t K) const { return K * gates * wide * V; }
  int64_t size(int64_t K) const { return K * gates * vectors * V; }
};

template <class Real, int S, int... J>
ELMAN_INLINE void swap_blocks(Vec<Real>& a, Vec<Real>& b, std::integer_sequence<int, J...>) {
  constexpr int V = sizeof...(J);
  const Vec<Real> first = __builtin_shufflevector(a, b, ((J & S) ? V + (J ^ S) : J)...);
  b = __builtin_shufflevector(a, b, ((J & S) ? V + J : (J ^ S))...);
  a = first;
}

// LANES rows of LANES numbers become its columns: blocks of half the size change places, and so on.
template <class Real, int S = LANES<Real> / 2>
ELMAN_INLINE void transpose(Vec<Real> (&rows)[LANES<Real>]) {
#pragma GCC unroll 16
  for (int i = 0; i < LANES<Real>; ++i) {
    if (!(i & S)) {
      swap_blocks<Real, S>(rows[i], rows[i + S],
                           std::make_integer_sequence<int, LANES<Real>>());
    }
  }
  if constexpr (S > 1) transpose<Real, S / 2>(rows);
}

// A block of LANES numbers of each of LANES rows of a matrix, turned: vector j holds column j.
template <class Real>
ELMAN_INLINE void turned(Vec<Real> (&block)[LANES<Real>], const Real* rows, int64_t rows_here,
                         int64_t stride, int64_t columns_here) {
  constexpr int V = LANES<Real>;
#pragma GCC unroll 16
  for (int64_t lane = 0; lane < V; ++lane) {
    block[lane] = lane < rows_here ? load(rows + lane * stride, columns_here) : Vec<Real>{};
  }
  transpose<Real>(block);
}

// The rows of a matrix (gates * units, K) as panels; each member of the team packs its own.
template <class Real>
inline void pack_gates(const Panels<Real>& panels, const Real* matrix, int64_t K, Real* to,
                       const Team& team) {
  constexpr int V = LANES<Real>;
  int64_t from_panel, to_panel;
  team.share(panels.count, from_panel, to_panel);
  for (int64_t panel = from_panel; panel < to_panel; ++panel) {
    const int64_t wide = panels.wide_of(panel), P = panels.gates * wide;
    Real* const base = to + panel * panels.stride(K);
    for (int64_t gate = 0; gate < panels.gates; ++gate) {
      for (int64_t v = 0; v < wide; ++v) {
        const int64_t unit = (panel * panels.wide + v) * V;
        const int64_t here = smaller(V, panels.units - unit);
        const Real* rows = matrix + (gate * panels.units + unit) * K;
        Real* column = base + (gate * wide + v) * V;
        for (int64_t k = 0; k < K; k += V) {
          const int64_t n = smaller(V, K - k);
          Vec<Real> block[V];
          turned<Real>(block, rows + k, here, K, n);
#pragma GCC unroll 16
          for (int64_t j = 0; j < V; ++j) {
            if (j < n) store(column, block[j]);
            column += P * V;
          }
        }
      }
    }
  }
}

// A bias, and of another one those gates that `more_gates` names, as a panel with one k.
template <class Real>
inline void pack_bias(const Panels<Real>& panels, const Real* bias, const Real* more,
                      int64_t more_gates, Real* to) {
  constexpr int V = LANES<Real>;
  for (int64_t panel = 0; panel < panels.count; ++panel) {
    const int64_t wide = panels.wide_of(panel);
    Real* const base = to + panel * panels.stride(1);
    for (int64_t gate = 0; gate < panels.gates; ++gate) {
      for (int64_t lane = 0; lane < wide * V; ++lane) {
        const int64_t unit = panel * panels.wide * V + lane;
        const int64_t at = gate * panels.units + unit;
        Real sum = 0;
        if (unit < panels.units) {
          if (bias) sum += bias[at];
          if (more && (more_gates >> gate & 1)) sum += more[at];
        }
        base[gate * wide * V + lane] = sum;
      }
    }
  }
}

// vectors in a panel of columns
constexpr int COLUMN_PANEL = 4;
constexpr int WEIGHT_PANEL = REGISTERS == 32 ? 3 : 2;
template <class Real>
constexpr int WEIGHT_ROWS = LANES<Real> < 8 ? LANES<Real> : REGISTERS == 32 ? 8 : 4;

// A row-major matrix (rows, columns) as panels of columns: [panel][row][vector].
template <class Real>
inline void pack_columns(const Real* matrix, int64_t rows, int64_t columns, Real* to,
                         const Team& team) {
  constexpr int V = LANES<Real>;
  const int64_t vectors = (columns + V - 1) / V;
  const int64_t panels = (vectors + COLUMN_PANEL - 1) / COLUMN_PANEL;
  int64_t from_panel, to_panel;
  team.share(panels, from_panel, to_panel);
  for (int64_t panel = from_panel; panel < to_panel; ++panel) {
    const int64_t P = smaller(COLUMN_PANEL, vectors - panel * COLUMN_PANEL);
    const int64_t first = panel * COLUMN_PANEL * V;
    Real* at = to + first * rows;
    for (int64_t row = 0; row < rows; ++row) {
      const Real* from = matrix + row * columns + first;
      for (int64_t p = 0; p < P; ++p, at += V) {
        store(at, load(from + p * V, smaller(V, columns - first - p * V)));
      }
    }
  }
}

}  // namespace elman::ELMAN_ISA
