// Products of rows with packed panels of weights, held in registers. One order of summation: every
// sum runs over k from first to last in one accumulator, whatever the tile, so that a row's result
// does not depend on its neighbours.
#pragma once

#include "simd.h"

namespace elman::ELMAN_ISA {

// accumulators that fit beside a row of weights
constexpr int MOST_SUMS = REGISTERS == 32 ? 24 : 12;
constexpr int MOST_PANEL = 6;

constexpr int most_rows(int P) {
  const int rows = MOST_SUMS / P;
  const int most = REGISTERS == 32 ? 12 : 8;
  return rows < most ? rows : most;
}
// panels taken at once where there are too few rows to fill the registers
constexpr int panels_at_once(int64_t M, int64_t P) {
  // eight sums hide the latency of an addition
  return M > 2 || M * P >= 8 ? 1 : M * P >= 4 ? 2 : 4;
}

// Panels `from` up to `to` in the order in which a step takes them: so many at once as long as these
// are whole, and from the last to the first where it goes `backwards`. Every other step does, and
// finds the weights that the one before took last still in the cache.
struct PanelOrder {
  const int64_t from, many, groups, items;
  const bool backwards;

  PanelOrder(int64_t from_, int64_t to, int64_t whole, int64_t many_, bool backwards_)
      : from(from_),
        many(many_),
        groups(many_ == 1 ? larger(smaller(to, whole) - from_, 0)
                          : larger(smaller(to, whole) - from_, 0) / many_),
        items(groups + (to - from_) - groups * many_),
        backwards(backwards_) {}

  // the i-th: its first panel, and how many they are
  ELMAN_INLINE int64_t panel(int64_t i) const {
    const int64_t item = turned(i);
    return from + (item < groups ? item * many : groups * many + item - groups);
  }
  ELMAN_INLINE int64_t count(int64_t i) const { return turned(i) < groups ? many : 1; }
  // the panel behind those, on the way
  ELMAN_INLINE int64_t next(int64_t i) const { return backwards ? panel(i) - 1 : panel(i) + count(i); }

 private:
  ELMAN_INLINE int64_t turned(int64_t i) const { return backwards ? items - 1 - i : i; }
};

// rows of a tile that fetches nothing on its way: it waits for its weights alone
constexpr int FEW_ROWS = 2;

// bytes that come at once
constexpr int64_t LINE = 64;

// What will be needed next, on its way into the second cache while a tile computes: the weights of
// the tiles behind it, or what a later step reads.
struct Ahead {
  const char* at;
  int64_t step;
  // from a fetch's line to its second one, of vectors that fill a line; 0 for none
  int64_t second = 0;
  ELMAN_INLINE void fetch() {
    __builtin_prefetch(at, 0, 2);
    if constexpr (VECTOR_BYTES == LINE) __builtin_prefetch(at + second, 0, 2);
    at += step;
  }
  // what is left behind so many fetches
  ELMAN_INLINE Ahead behind(int64_t fetches) const { return {at + fetches * step, step, second}; }
};

// Memory that a later step reads or writes.
struct Later {
  const void* at = nullptr;
  int64_t bytes = 0;

  // all of it by so many fetches
  Ahead by(int64_t fetches) const {
    return {static_cast<const char*>(at), (bytes + fetches - 1) / fetches};
  }
};

// acc[m][p] += sum over k of rows[m][k] w[k][p], for N panels of P vectors, `panel` numbers apart.
template <int M, int P, int N, class Real>
ELMAN_INLINE void product(Vec<Real> (&acc)[M][N * P], const Real* const* rows, const Real* w,
                          int64_t panel, int64_t K, Ahead& ahead) {
  constexpr int V = LANES<Real>;
  const Real* a[M];
#pragma GCC unroll 12
  for (int m = 0; m < M; ++m) a[m] = rows[m];
  for (int64_t k = 0; k < K; ++k) {
    if constexpr (M > FEW_ROWS) ahead.fetch();
    Vec<Real> weights[N * P];
#pragma GCC unroll 24
    for (int p = 0; p < N * P; ++p) weights[p] = load(w + (p / P) * panel + (p % P) * V);
#pragma GCC unroll 12
    for (int m = 0; m < M; ++m) {
      const Real one = a[m][k];
#pragma GCC unroll 24
      for (int p = 0; p < N * P; ++p) acc[m][p] = fma(one, weights[p], acc[m][p]);
    }
    w += P * V;
  }
}

// The same for rows that stand in panels of LANES numbers, `stride` apart: K numbers in all; the rows
// of w lie `row` numbers apart.
template <int M, int P, int N, class Real>
ELMAN_INLINE void product_of_panels(Vec<Real> (&acc)[M][N * P], const Real* from,
                                    const int64_t* offsets, int64_t stride, int64_t K,
                                    const Real* w, int64_t row, int64_t panel, Ahead& ahead) {
  constexpr int V = LANES<Real>;
  int64_t at[M];
#pragma GCC unroll 12
  for (int m = 0; m < M; ++m) at[m] = offsets[m];
  for (int64_t left = K; left > 0; left -= V) {
    const int64_t here = smaller(left, V);
    for (int64_t k = 0; k < here; ++k) {
      if constexpr (M > FEW_ROWS) ahead.fetch();
      Vec<Real> weights[N * P];
#pragma GCC unroll 24
      for (int p = 0; p < N * P; ++p) weights[p] = load(w + (p / P) * panel + (p % P) * V);
#pragma GCC unroll 12
      for (int m = 0; m < M; ++m) {
        const Real number = from[at[m] + k];
#pragma GCC unroll 24
        for (int p = 0; p < N * P; ++p) acc[m][p] = fma(number, weights[p], acc[m][p]);
      }
      w += row;
    }
    from += stride;
  }
}

// What one tile of the gates' products reads and writes.
template <class Real>
struct GateTile {
  // where the sums begin: vector p of panel n and row m at start + n start_panel + m start_row + p V
  const Real* start;
  int64_t start_panel, start_row;
  // the inputs, where their product is taken here
  const Real* const* x;
  const Real* w_x;
  int64_t I;
  // what is fed back
  const Real* const* h;
  const Real* w_h;
  int64_t K;
  // vectors of a panel whose two products stay apart, as bits; the second sum begins at `bias_h`
  unsigned apart;
  const Real* bias_h;
  Real *wx, *uh;  // [panel][row][vector]
  Ahead ahead_x, ahead_h;
};

template <int M, int P, int N, class Real>
__attribute__((noinline)) void gate_tile(const GateTile<Real>& t) {
  constexpr int V = LANES<Real>;
  Vec<Real> acc[M][N * P];
#pragma GCC unroll 12
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 24
    for (int p = 0; p < N * P; ++p)
      acc[m][p] = load(t.start + (p / P) * t.start_panel + m * t.start_row + (p % P) * V);
  Ahead ahead_x = t.ahead_x, ahead_h = t.ahead_h;
  if (t.I) product<M, P, N, Real>(acc, t.x, t.w_x, t.I * P * V, t.I, ahead_x);
  if (t.apart) {
#pragma GCC unroll 24
    for (int p = 0; p < N * P; ++p) {
      if (t.apart >> (p % P) & 1) {
        const Vec<Real> bias = load(t.bias_h + p * V);
#pragma GCC unroll 12
        for (int m = 0; m < M; ++m) {
          store(t.wx + (((p / P) * M + m) * P + p % P) * V, acc[m][p]);
          acc[m][p] = bias;
        }
      }
    }
  }
  if (t.K) product<M, P, N, Real>(acc, t.h, t.w_h, t.K * P * V, t.K, ahead_h);
#pragma GCC unroll 12
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 24
    for (int p = 0; p < N * P; ++p)
      store(t.uh + (((p / P) * M + m) * P + p % P) * V, acc[m][p]);
}

// What one tile of the gradients' products reads and writes: rows of `to` (+)= gates times weights.
template <class Real>
struct GradientTile {
  Real* const* to;
  int64_t column, columns;  // the first column, and how many of them are there
  // Rows whose columns follow those of `to`, or null; and how many columns of both there are from the
  // first one on. `columns` is below zero for a tile that begins beyond those of `to`.
  Real* const* beside;
  int64_t both_columns;
  bool add;
  const Real* from;  // slot 0, panel 0
  const int64_t* offsets;
  int64_t slot_stride, panel_stride, units;  // units of one gate
  const int64_t* slots;
  int64_t gates;
  const Real* w;  // [gate][unit][vector], from unit to unit so many numbers, and from panel to panel
  int64_t w_row, w_panel;
  Ahead ahead;
};

// move(numbers of a row, those of the tile, how many) for what a tile of `wide` columns has of each
// matrix
template <class Real, class F>
ELMAN_INLINE void each_part(const GradientTile<Real>& t, Real* numbers, int64_t rows, int64_t wide,
                            F move) {
  const int64_t n = smaller(larger(t.columns, 0), wide), end = smaller(t.both_columns, wide);
  const int64_t skip = larger(-t.columns, 0);
  for (int64_t m = 0; m < rows; ++m, numbers += wide) {
    if (n) move(t.to[m] + t.column, numbers, n);
    if (end > n) move(t.beside[m] + skip, numbers + n, end - n);
  }
}
template <class Real>
__attribute__((noinline)) void bring_parts(const GradientTile<Real>& t, Real* numbers, int64_t rows,
                                           int64_t wide) {
  std::memset(numbers, 0, static_cast<size_t>(rows * wide) * sizeof(Real));
  each_part(t, numbers, rows, wide,
            [](const Real* row, Real* here, int64_t n) { copy_row(here, row, n); });
}
template <class Real>
__attribute__((noinline)) void hand_parts_out(const GradientTile<Real>& t, Real* numbers,
                                              int64_t rows, int64_t wide) {
  each_part(t, numbers, rows, wide,
            [](Real* row, const Real* here, int64_t n) { copy_row(row, here, n); });
}

template <int M, int P, int N, class Real>
__attribute__((noinline)) void gradient_tile(const GradientTile<Real>& t) {
  constexpr int V = LANES<Real>;
  Vec<Real> acc[M][N * P];
  alignas(VECTOR_BYTES) Real parts[M * N * P * V];
  if (t.beside && t.add) bring_parts<Real>(t, parts, M, N * P * V);
#pragma GCC unroll 12
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 24
    for (int p = 0; p < N * P; ++p) {
      const int64_t n = smaller(larger(t.columns - p * V, 0), V);
      acc[m][p] = !t.add      ? Vec<Real>{}
                  : t.beside  ? load(parts + (m * N * P + p) * V)
                  : n         ? load(t.to[m] + t.column + p * V, n)
                              : Vec<Real>{};
    }
  const Real* w = t.w;
  Ahead ahead = t.ahead;
  for (int64_t gate = 0; gate < t.gates; ++gate) {
    product_of_panels<M, P, N, Real>(acc, t.from + t.slots[gate] * t.slot_stride, t.offsets,
                                     t.panel_stride, t.units, w, t.w_row, t.w_panel, ahead);
    w += t.units * t.w_row;
  }
  if (t.beside) {
#pragma GCC unroll 12
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 24
      for (int p = 0; p < N * P; ++p) store(parts + (m * N * P + p) * V, acc[m][p]);
    hand_parts_out<Real>(t, parts, M, N * P * V);
    return;
  }
#pragma GCC unroll 12
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 24
    for (int p = 0; p < N * P; ++p) {
      const int64_t n = smaller(larger(t.columns - p * V, 0), V);
      if (n) store(t.to[m] + t.column + p * V, acc[m][p], n);
    }
}

// Tiles by their shape, as tables that are filled while compiling.
template <class Real>
using GateTileAt = void (*)(const GateTile<Real>&);
template <class Real>
using GradientTileAt = void (*)(const GradientTile<Real>&);

template <class Real>
struct Tiles {
  // the last index: of one panel, of two, of four
  GateTileAt<Real> gate[MOST_PANEL + 1][13][3];
  GradientTileAt<Real> gradient[5][13][2];

  template <int P, int M>
  constexpr void fill() {
    if constexpr (M <= most_rows(P)) {
      gate[P][M][0] = gate_tile<M, P, 1, Real>;
      if constexpr (panels_at_once(M, P) > 1) gate[P][M][1] = gate_tile<M, P, 2, Real>;
      if constexpr (panels_at_once(M, P) > 2) gate[P][M][2] = gate_tile<M, P, 4, Real>;
      if constexpr (P <= 4) {
        gradient[P][M][0] = gradient_tile<M, P, 1, Real>;
        gradient[P][M][1] = gradient_tile<M, P, panels_at_once(M, P), Real>;
      }
      fill<P, M + 1>();
    }
  }

  constexpr Tiles() : gate{}, gradient{} {
    fill<1, 1>();
    fill<2, 1>();
    fill<3, 1>();
    fill<4, 1>();
    fill<5, 1>();
    fill<6, 1>();
  }
};

template <class Real>
inline constexpr Tiles<Real> TILES{};

// Runs f(first row, rows) over `rows` rows in tiles as even as can be.
template <class F>
ELMAN_INLINE void in_tiles(int64_t rows, int64_t most, F f) {
  if (rows <= most) {
    if (rows > 0) f(int64_t(0), rows);
    return;
  }
  const int64_t tiles = (rows + most - 1) / most;
  int64_t first = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t here = (rows - first + (tiles - tile) - 1) / (tiles - tile);
    f(first, here);
    first += here;
  }
}

// how many they are for a panel of P vectors
constexpr int64_t tiles_of(int64_t rows, int64_t P) {
  const int64_t most = most_rows(static_cast<int>(P));
  return (rows + most - 1) / most;
}

// bytes of weights that stay in the second cache while a step takes them all
constexpr int64_t NEAR_BYTES = 1 << 20;

template <class Real>
constexpr bool is_near(int64_t weights) {
  return weights * int64_t(sizeof(Real)) < NEAR_BYTES;
}

// What to fetch while a panel of K rows of P vectors is multiplied by `rows` rows: the panel at
// `next`, or the first one behind the last. Nothing where all `size` weights stay in the second cache.
template <class Real>
ELMAN_INLINE Ahead ahead_of(const Real* weights, const Real* next, int64_t size, int64_t K,
                            int64_t P, int64_t rows) {
  if (rows <= FEW_ROWS || is_near<Real>(size) || K == 0) {
    return {reinterpret_cast<const char*>(weights), 0};
  }
  const int64_t bytes = K * P * LANES<Real> * int64_t(sizeof(Real)), tiles = tiles_of(rows, P);
  if (next >= weights + size || next < weights) next = weights;
  // a tile alone comes to its weights before they could be fetched
  const int64_t step = bytes / (tiles * K);
  return {reinterpret_cast<const char*>(next), step, tiles > 1 && step > LINE ? step / 2 : 0};
}

}  // namespace elman::ELMAN_ISA
