// What is to be known and done of the gradient of the states on its way back through time.
#pragma once

#include <cmath>
#include <utility>

#include "parts.h"

namespace elman::ELMAN_ISA {

// The squares of n numbers of each of N rows times a scale, summed into a vector's lanes.
template <class Real, int N>
ELMAN_INLINE void squares(Vec<Real> (&sums)[N], Real* const (&rows)[N], int64_t n, Real scale) {
  constexpr int V = LANES<Real>;
  Vec<Real> in_registers[N]{};
  for (int64_t k = 0; k < n; k += V) {
    const int64_t here = smaller(V, n - k);
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) {
      const Vec<Real> v = scale * load(rows[i] + k, here);
      in_registers[i] += v * v;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) sums[i] = in_registers[i];
}

template <class Real, int... J>
ELMAN_INLINE Vec<Real> neighbours(Vec<Real> a, Vec<Real> b, std::integer_sequence<int, J...>) {
  return __builtin_shufflevector(a, b, (2 * J)...) + __builtin_shufflevector(a, b, (2 * J + 1)...);
}

// The sum of a vector's lanes; neighbours first.
template <class Real>
ELMAN_INLINE Real sum(Vec<Real> v) {
  Real parts[LANES<Real>];
  store(parts, v);
  for (int half = LANES<Real> / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) parts[i] = parts[2 * i] + parts[2 * i + 1];
  }
  return parts[0];
}

// The sum of each of N vectors, in the same order: neighbours are added until one vector holds them all.
template <class Real, int N>
ELMAN_INLINE Vec<Real> totals(Vec<Real> (&parts)[N]) {
  if constexpr (N == 1) {
    return parts[0];
  } else {
    Vec<Real> half[N / 2];
#pragma GCC unroll 16
    for (int i = 0; i < N / 2; ++i) {
      half[i] = neighbours<Real>(parts[2 * i], parts[2 * i + 1],
                                 std::make_integer_sequence<int, LANES<Real>>());
    }
    return totals<Real, N / 2>(half);
  }
}

// squares in between lose nothing
constexpr double LEAST_SQUARES = 1e-24, MOST_SQUARES = 1e30;

// The norm of n numbers, whatever their size.
template <class Real>
inline double norm_of(Real* numbers, int64_t n) {
  // a power of two changes no digit
  constexpr double LARGE = 1ll << 60;
  for (const double scale : {1.0, LARGE, 1 / LARGE}) {
    Vec<Real> lanes[1];
    squares<Real, 1>(lanes, {numbers}, n, static_cast<Real>(scale));
    const double total = static_cast<double>(sum<Real>(lanes[0]));
    if (total > LEAST_SQUARES && total < MOST_SQUARES) return std::sqrt(total) / scale;
  }
  double largest = 0;
  for (int64_t k = 0; k < n; ++k) {
    const double one = std::fabs(static_cast<double>(numbers[k]));
    if (!(one <= 1.7e308)) return one;
    largest = one > largest ? one : largest;
  }
  if (largest == 0) return 0;
  double total = 0;
  for (int64_t k = 0; k < n; ++k) {
    const double one = static_cast<double>(numbers[k]) / largest;
    total += one * one;
  }
  return largest * std::sqrt(total);
}

// The norms of up to LANES rows of n numbers each; the same as one by one.
template <class Real>
inline void norms_of(Real* const* rows, int64_t count, int64_t n, double* norms) {
  constexpr int V = LANES<Real>;
  Real* all[V];
  for (int i = 0; i < V; ++i) all[i] = rows[smaller(i, count - 1)];
  Vec<Real> parts[V];
  squares<Real, V>(parts, all, n, Real{1});
  const Vec<Real> sums = totals<Real>(parts);
  for (int i = 0; i < V; ++i) norms[i] = std::sqrt(static_cast<double>(sums[i]));
  for (int64_t i = 0; i < count; ++i) {
    const double total = static_cast<double>(sums[i]);
    if (!(total > LEAST_SQUARES && total < MOST_SQUARES)) norms[i] = norm_of(rows[i], n);
  }
}

template <class Real>
struct StateGradients {
  static constexpr int V = LANES<Real>;
  const Call& call;
  const Plan<Real>& plan;
  const int64_t count;
  // of each row, what has come back to the step that a pass is at
  Buffer<Real> carries[MOST_STATES];
  // where nobody keeps the whole gradients, room for those of one step
  Buffer<Real> room[MOST_STATES];

  StateGradients(const Call& c, const Plan<Real>& p)
      : call(c),
        plan(p),
        count(c.cell->states),
        carries{Buffer<Real>(c.B * p.Rp, true), Buffer<Real>(count > 1 ? c.B * p.Hp : 0, true)},
        room{Buffer<Real>(c.dnorm_0 && !c.dtotal_0 ? c.B * p.Rp : 0),
             Buffer<Real>(c.dnorm_1 && !c.dtotal_1 ? c.B * p.Hp : 0)} {}

  bool ready() const { return carries[0] && carries[1] && room[0] && room[1]; }
  bool watched() const { return call.dnorm_0 != nullptr; }

  Real* carry(int64_t k, int64_t r) const { return carries[k] + r * (k ? plan.Hp : plan.Rp); }

  static void copy(Real* to, const Real* from, int64_t n) {
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(Real));
  }

  // the gradients of the final states
  void start(const PartBack<Real>& part) const {
    for (int64_t i = 0; i < part.rows; ++i) {
      const int64_t r = part.row(i);
      for (int64_t k = 0; k < count; ++k) {
        copy(carry(k, r), plan.row(k ? call.dfinal_1 : call.dfinal_0, r, plan.width(k)),
             plan.width(k));
      }
    }
  }

  // the gradients of the first states
  void finish(const PartBack<Real>& part) const {
    for (int64_t i = 0; i < part.rows; ++i) {
      const int64_t r = part.row(i);
      for (int64_t k = 0; k < count; ++k) {
        Real* const to = static_cast<Real*>(k ? call.dstate_1 : call.dstate_0);
        if (to) copy(to + plan.order[r] * plan.width(k), carry(k, r), plan.width(k));
      }
    }
  }

  // a reset before a step: the gradient belongs to the initial state, nothing goes further back
  void cut(const PartBack<Real>& part, int64_t step, int64_t alive) const {
    for (int64_t i = 0; i < alive; ++i) {
      const int64_t r = part.row(i);
      if (!plan.is_reset(r, step)) continue;
      for (int64_t k = 0; k < count; ++k) {
        Real* const to = static_cast<Real*>(k ? call.dinitial_1 : call.dinitial_0);
        Real* const from = carry(k, r);
        for (int64_t n = 0; n < plan.width(k); ++n) {
          if (to) to[plan.order[r] * plan.width(k) + n] += from[n];
          from[n] = 0;
        }
      }
    }
  }

  // where a step's whole gradients go
  void aim(PartBack<Real>& part, int64_t step, int64_t alive) const {
    for (int64_t k = 0; k < count; ++k) {
      Real* const all = static_cast<Real*>(k ? call.dtotal_1 : call.dtotal_0);
      const int64_t width = plan.width(k), room_row = k ? plan.Hp : plan.Rp;
      for (int64_t i = 0; i < alive; ++i) {
        const int64_t r = part.row(i);
        part.dtotal[k][i] = all ? all + at(r, step) * width : room[k] + r * room_row;
      }
    }
  }

  void measure(const PartBack<Real>& part, int64_t step, int64_t alive, const Team& columns) const {
    for (int64_t k = 0; k < count; ++k) {
      double* const norms = k ? call.dnorm_1 : call.dnorm_0;
      Real* const* const rows = part.dtotal[k].at;
      for (int64_t i = columns.index * V; i < alive; i += columns.size * V) {
        const int64_t here = smaller(V, alive - i);
        double some[V];
        if (here > 1) {
          norms_of(rows + i, here, plan.width(k), some);
        } else {
          some[0] = norm_of(rows[i], plan.width(k));
        }
        for (int64_t j = 0; j < here; ++j) norms[at(part.row(i + j), step)] = some[j];
      }
    }
  }

  // what goes to the step before, shortened row by row to the bound
  void clip(const PartBack<Real>& part, int64_t alive, const Team& columns) const {
    for (int64_t k = 0; k < count; ++k) {
      for (int64_t i = columns.index; i < alive; i += columns.size) {
        Real* const row = part.dstate[k][i];
        const double norm = norm_of(row, plan.width(k));
        if (norm <= call.gradient_clip) continue;
        const Real scale = static_cast<Real>(call.gradient_clip / norm);
        for (int64_t n = 0; n < plan.width(k); ++n) row[n] *= scale;
      }
    }
  }

 private:
  int64_t at(int64_t r, int64_t step) const {
    return plan.time(r, step) * call.B + plan.order[r];
  }
};

}  // namespace elman::ELMAN_ISA
