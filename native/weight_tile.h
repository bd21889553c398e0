// Products of gate gradients with what the gates were multiplied with: the gradients of weights.
#pragma once

#include "simd.h"

namespace elman::ELMAN_ISA {

constexpr int WEIGHT_PANEL = 3;
template <class Real>
constexpr int WEIGHT_ROWS = LANES<Real> < 8 ? LANES<Real> : REGISTERS == 32 ? 8 : 4;

// dW[g][j] (+)= sum over n of gates[n][g] right[n][j]: M gates of one panel by P vectors of columns.
template <class Real>
struct WeightTile {
  const Real* gates;  // [n][LANES], from the first of the M gates on
  const Real* right;  // P vectors of row n at n right_row
  int64_t N, right_row;
  Real* to;
  int64_t to_row, rows, columns;
  // the matrix whose columns follow those of the first; none if it has none
  Real* beside;
  int64_t beside_columns;
  bool add;  // to what is there
};

template <class Real>
inline void put_row(Real* to, const Real* sums, int64_t n, bool add) {
  constexpr int V = LANES<Real>;
  for (int64_t k = 0; k < n; k += V) {
    const int64_t here = smaller(V, n - k);
    const Vec<Real> sum = load(sums + k, here);
    store(to + k, add ? load(to + k, here) + sum : sum, here);
  }
}

// sums of M rows that go to two matrices side by side
template <int M, int N, class Real>
__attribute__((noinline)) void put_to_both(const WeightTile<Real>& t, const Real (&sums)[M][N]) {
  const int64_t n = smaller(larger(t.columns, 0), N), at = n - t.columns;
  const int64_t n_beside = smaller(larger(t.beside_columns - at, 0), N - n);
  for (int64_t m = 0; m < smaller(t.rows, M); ++m) {
    put_row(t.to + m * t.to_row, sums[m], n, t.add);
    put_row(t.beside + m * t.beside_columns + at, sums[m] + n, n_beside, t.add);
  }
}

template <int M, int P, class Real>
__attribute__((noinline)) void weight_tile(const WeightTile<Real>& t) {
  constexpr int V = LANES<Real>;
  Vec<Real> acc[M][P];
  const bool whole = t.rows >= M && t.columns >= P * V && !t.beside_columns;
#pragma GCC unroll 12
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 6
    for (int p = 0; p < P; ++p) acc[m][p] = Vec<Real>{};
  // with 16 registers a tile is done before the sums that it adds to have come from afar
  if constexpr (REGISTERS == 16) {
#pragma GCC unroll 12
    for (int m = 0; m < M; ++m) {
      if (t.add && m < t.rows) {
        __builtin_prefetch(t.to + m * t.to_row, 1, 3);
        if (P > 1) __builtin_prefetch(t.to + m * t.to_row + P * V - 1, 1, 3);
      }
    }
  }
  const Real* a = t.gates;
  const Real* b = t.right;
  for (int64_t n = 0; n < t.N; ++n) {
    Vec<Real> right[P];
#pragma GCC unroll 6
    for (int p = 0; p < P; ++p) right[p] = load(b + p * V);
#pragma GCC unroll 12
    for (int m = 0; m < M; ++m) {
      const Real gate = a[m];
#pragma GCC unroll 6
      for (int p = 0; p < P; ++p) acc[m][p] = fma(gate, right[p], acc[m][p]);
    }
    a += V;
    b += t.right_row;
  }
  if (t.beside_columns) {
    Real sums[M][P * V];
#pragma GCC unroll 12
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 6
      for (int p = 0; p < P; ++p) store(sums[m] + p * V, acc[m][p]);
    put_to_both<M, P * V, Real>(t, sums);
    return;
  }
#pragma GCC unroll 12
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 6
    for (int p = 0; p < P; ++p) {
      Real* to = t.to + m * t.to_row + p * V;
      if (whole) {
        store(to, t.add ? load(to) + acc[m][p] : acc[m][p]);
      } else if (m < t.rows && t.columns > p * V) {
        const int64_t n = smaller(t.columns - p * V, V);
        store(to, t.add ? load(to, n) + acc[m][p] : acc[m][p], n);
      }
    }
}

}  // namespace elman::ELMAN_ISA
