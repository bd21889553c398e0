// Products with weights as they stand in memory, for steps that do not pay for packing them.
// Each sum runs over k in the order in which a packed product takes it.
#pragma once

#include "panels.h"

namespace elman::ELMAN_ISA {

// The sums of some rows and V units of one gate.
template <class Real>
struct UnpackedSums {
  // where they begin, those of row m at m * start_row; of many rows all with the same
  const Real* start;
  int64_t start_row;
  const Real *w_x, *w_h;  // the units' rows of weights
  int64_t I, K, units;    // numbers of such a row, and how many rows there are
  // null, or where the second sum begins: then the two stay apart
  const Real* bias_h;
  Real *wx, *uh;  // row m goes to m * stride
  int64_t stride;
};

// A few rows: blocks of weights are turned in registers, and units are the lanes.
template <class Real>
struct FewRows {
  static constexpr int V = LANES<Real>;
  // more of them fill half a vector, and are the lanes themselves
  static constexpr int MOST = V / 2;

  // of M rows
  template <int N = MOST>
  static void sums(const UnpackedSums<Real>& s, const Real* const* x, const Real* const* h,
                   int64_t M) {
    if (M == N) return sums_of<N>(s, x, h);
    if constexpr (N > 1) sums<N - 1>(s, x, h, M);
  }

 private:
  template <int M>
  static void sums_of(const UnpackedSums<Real>& s, const Real* const* x, const Real* const* h) {
    Vec<Real> acc[M];
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) acc[m] = load(s.start + m * s.start_row);
    product<M>(acc, x, s.w_x, s.units, s.I);
    if (s.bias_h) {
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        store(s.wx + m * s.stride, acc[m]);
        acc[m] = load(s.bias_h);
      }
    }
    product<M>(acc, h, s.w_h, s.units, s.K);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) store(s.uh + m * s.stride, acc[m]);
  }

  template <int M>
  static ELMAN_INLINE void product(Vec<Real> (&acc)[M], const Real* const* rows, const Real* w,
                                   int64_t units, int64_t K) {
    for (int64_t k = 0; k < K; k += V) {
      const int64_t n = smaller(V, K - k);
      Vec<Real> block[V];
      turned<Real>(block, units, n, [&](int64_t i) { return w + i * K + k; });
#pragma GCC unroll 16
      for (int64_t j = 0; j < V; ++j) {
        if (j < n) {
#pragma GCC unroll 8
          for (int m = 0; m < M; ++m) acc[m] = fma(rows[m][k + j], block[j], acc[m]);
        }
      }
    }
  }
};

// Many rows: they are the lanes, and a weight is one number for all of them.
template <class Real>
struct ManyRows {
  static constexpr int V = LANES<Real>;
  static constexpr int MOST = 2 * V;
  // How many units are taken at once by N vectors of rows: eight sums hide the latency of an addition.
  template <int N>
  static constexpr int SUMS = REGISTERS == 32 ? 8 : 8 / N;
  template <int N>
  static constexpr int UNITS = SUMS<N> < V ? SUMS<N> : V;

  // Rows of K numbers turned: [k][vector of rows].
  static void turn(const Real* const* rows, int64_t M, int64_t K, Real* to) {
    const int64_t N = (M + V - 1) / V;
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t k = 0; k < K; k += V) {
        const int64_t here = smaller(V, K - k);
        Vec<Real> block[V];
        turned<Real>(block, M - n * V, here, [&](int64_t m) { return rows[n * V + m] + k; });
#pragma GCC unroll 16
        for (int64_t j = 0; j < V; ++j) {
          if (j < here) store(to + ((k + j) * N + n) * V, block[j]);
        }
      }
    }
  }

  // of M rows that have been turned
  static void sums(const UnpackedSums<Real>& s, const Real* x, const Real* h, int64_t M) {
    if (M > V) return sums_of<2>(s, x, h, M);
    sums_of<1>(s, x, h, M);
  }

 private:
  template <int N>
  static void sums_of(const UnpackedSums<Real>& s, const Real* x, const Real* h, int64_t M) {
    alignas(VECTOR_BYTES) Real whole[V * N * V], first[V * N * V];
    for (int unit = 0; unit < V; unit += UNITS<N>) {
      Vec<Real> acc[UNITS<N>][N];
      begin<N>(acc, s.start + unit);
      product<N>(acc, x, s.w_x, unit, s.units, s.I);
      if (s.bias_h) {
        put<N>(acc, first, unit);
        begin<N>(acc, s.bias_h + unit);
      }
      product<N>(acc, h, s.w_h, unit, s.units, s.K);
      put<N>(acc, whole, unit);
    }
    if (s.bias_h) hand_out<N>(first, s.wx, s.stride, M);
    hand_out<N>(whole, s.uh, s.stride, M);
  }

  template <int N>
  static ELMAN_INLINE void begin(Vec<Real> (&acc)[UNITS<N>][N], const Real* bias) {
#pragma GCC unroll 8
    for (int u = 0; u < UNITS<N>; ++u)
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) acc[u][n] = broadcast(bias[u]);
  }

  template <int N>
  static ELMAN_INLINE void product(Vec<Real> (&acc)[UNITS<N>][N], const Real* rows, const Real* w,
                                   int64_t unit, int64_t units, int64_t K) {
    const Real* own[UNITS<N>];
#pragma GCC unroll 8
    for (int u = 0; u < UNITS<N>; ++u) own[u] = w + smaller(unit + u, units - 1) * K;
    // the next units' weights stand behind these
    Ahead ahead{reinterpret_cast<const char*>(own[0] + UNITS<N> * K), UNITS<N> * sizeof(Real)};
    for (int64_t k = 0; k < K; ++k) {
      ahead.fetch();
      Vec<Real> row[N];
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) row[n] = load(rows + (k * N + n) * V);
#pragma GCC unroll 8
      for (int u = 0; u < UNITS<N>; ++u)
#pragma GCC unroll 2
        for (int n = 0; n < N; ++n) acc[u][n] = fma(own[u][k], row[n], acc[u][n]);
    }
  }

  // [vector of rows][unit]
  template <int N>
  static ELMAN_INLINE void put(const Vec<Real> (&acc)[UNITS<N>][N], Real* to, int unit) {
#pragma GCC unroll 8
    for (int u = 0; u < UNITS<N>; ++u)
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) store(to + (n * V + unit + u) * V, acc[u][n]);
  }

  template <int N>
  static ELMAN_INLINE void hand_out(const Real* sums, Real* to, int64_t stride, int64_t M) {
    for (int n = 0; n < N; ++n) {
      Vec<Real> block[V];
#pragma GCC unroll 16
      for (int u = 0; u < V; ++u) block[u] = load(sums + (n * V + u) * V);
      transpose<Real>(block);
#pragma GCC unroll 16
      for (int m = 0; m < V; ++m) {
        if (n * V + m < M) store(to + (n * V + m) * stride, block[m]);
      }
    }
  }
};

// Whether so many steps of so many rows are worth packing so many weights of the inputs and of the state
// for. Packing takes the time of some rows of a packed product, and of more the farther away the weights
// are; small ones take longer to arrange than to pack.
template <class Real>
inline bool pays_to_pack(int64_t steps, int64_t rows, int64_t weights_x, int64_t weights_h) {
  constexpr int64_t TURNING = 5;
  const int64_t weights = weights_x + weights_h, bytes = weights * int64_t(sizeof(Real));
  if (steps > 1 && bytes < 256 << 10) return true;
  const int64_t packing = bytes <= 4 << 20 ? 9 : bytes <= 8 << 20 ? 18 : 27;
  // few rows turn the weights of the state in every step, and those of the inputs once
  if (rows <= FewRows<Real>::MOST) {
    return TURNING * (weights_x + steps * weights_h) > packing * weights;
  }
  // a row that is a lane takes a tenth longer than one of a packed product
  return 11 * steps * round_up(rows, LANES<Real>) > 10 * (steps * rows + packing);
}

}  // namespace elman::ELMAN_ISA
