// What is to be known and done of the gradient of the states on its way back through time.
#pragma once

#include <cmath>

#include "parts.h"

namespace elman::ELMAN_ISA {

// The sum of the squares of n numbers times a scale.
template <class Real>
inline double sum_of_squares(const Real* numbers, int64_t n, Real scale) {
  constexpr int V = LANES<Real>;
  // two chains of sums, so that one need not wait for the other
  Vec<Real> even{}, odd{};
  int64_t k = 0;
  for (; k + 2 * V <= n; k += 2 * V) {
    const Vec<Real> v = scale * load(numbers + k, V), w = scale * load(numbers + k + V, V);
    even += v * v;
    odd += w * w;
  }
  for (; k < n; k += V) {
    const Vec<Real> v = scale * load(numbers + k, smaller(V, n - k));
    even += v * v;
  }
  even += odd;
  Real parts[V];
  for (int i = 0; i < V; ++i) parts[i] = even[i];
  for (int half = V / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) parts[i] += parts[i + half];
  }
  return static_cast<double>(parts[0]);
}

// The norm of n numbers, whatever their size.
template <class Real>
inline double norm_of(const Real* numbers, int64_t n) {
  // squares in between lose nothing; a power of two changes no digit
  constexpr double LEAST = 1e-24, MOST = 1e30, LARGE = 1ll << 60;
  for (const double scale : {1.0, LARGE, 1 / LARGE}) {
    const double total = sum_of_squares(numbers, n, static_cast<Real>(scale));
    if (total > LEAST && total < MOST) return std::sqrt(total) / scale;
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

template <class Real>
struct StateGradients {
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
      for (int64_t i = columns.index; i < alive; i += columns.size) {
        norms[at(part.row(i), step)] = norm_of(part.dtotal[k][i], plan.width(k));
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
