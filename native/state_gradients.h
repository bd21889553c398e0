// What is to be known and done of the gradient of the states on its way back through time.
#pragma once

#include <cmath>
#include <utility>

#include "parts.h"

namespace elman::ELMAN_ISA {

// The gradients of some rows: what has come back, and what is added to it, if anything is.
template <class Real>
struct Rows {
  const Real* const* at;
  const Real* const* more;

  Rows from(int64_t i) const { return {at + i, more ? more + i : nullptr}; }
  Real one(int64_t k) const { return more ? at[0][k] + more[0][k] : at[0][k]; }
};

// The squares of n numbers of each of N rows times a scale, summed into a vector's lanes.
template <class Real, int N, bool MORE>
ELMAN_INLINE void squares(Vec<Real>* sums, const Rows<Real>& rows, int64_t n, Real scale) {
  constexpr int V = LANES<Real>;
  Vec<Real> in_registers[N]{};
  for (int64_t k = 0; k < n; k += V) {
    const int64_t here = smaller(V, n - k);
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) {
      Vec<Real> v = load(rows.at[i] + k, here);
      if constexpr (MORE) v += load(rows.more[i] + k, here);
      v *= scale;
      in_registers[i] = fma(v, v, in_registers[i]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) sums[i] = in_registers[i];
}
template <class Real, int N>
ELMAN_INLINE void squares(Vec<Real>* sums, const Rows<Real>& rows, int64_t n, Real scale) {
  if (rows.more) {
    squares<Real, N, true>(sums, rows, n, scale);
  } else {
    squares<Real, N, false>(sums, rows, n, scale);
  }
}

// Lanes D apart are added, for a and b at once: in the lanes without bit D a's sums, in the others b's.
template <class Real, int D, int... J>
ELMAN_INLINE Vec<Real> folded(Vec<Real> a, Vec<Real> b, std::integer_sequence<int, J...>) {
  constexpr int V = LANES<Real>;
  return __builtin_shufflevector(a, b, (J & D ? V + J : J)...) +
         __builtin_shufflevector(a, b, (J & D ? V + J - D : J + D)...);
}

// The sum of each of N vectors; of a vector's lanes neighbours are added first, then their sums.
template <class Real, int D, int N>
ELMAN_INLINE Vec<Real> totals(Vec<Real> (&parts)[N]) {
  constexpr int V = LANES<Real>;
  if constexpr (D == V) {
    return parts[0];
  } else {
    // a single one is folded with itself
    constexpr int HALF = N > 1 ? N / 2 : 1, NEXT = N > 1 ? 1 : 0;
    Vec<Real> half[HALF];
#pragma GCC unroll 16
    for (int i = 0; i < HALF; ++i) {
      half[i] = folded<Real, D>(parts[2 * i], parts[2 * i + NEXT],
                                std::make_integer_sequence<int, V>());
    }
    return totals<Real, 2 * D, HALF>(half);
  }
}

// whether squares of that sum lose nothing; of a number or a vector
template <class Value>
ELMAN_INLINE auto is_exact(Value total) {
  constexpr float LEAST = 1e-24f, MOST = 1e30f;
  return (total > LEAST) & (total < MOST);
}

// The norm of n numbers, whatever their size.
template <class Real>
double norm_of_any(const Rows<Real>& row, int64_t n) {
  // a power of two changes no digit
  constexpr double LARGE = 1ll << 60;
  for (const double scale : {LARGE, 1 / LARGE}) {
    Vec<Real> lanes[1];
    squares<Real, 1>(lanes, row, n, static_cast<Real>(scale));
    const Real total = totals<Real, 1>(lanes)[0];
    if (is_exact(total)) return static_cast<double>(std::sqrt(total)) / scale;
  }
  double largest = 0;
  for (int64_t k = 0; k < n; ++k) {
    const double one = std::fabs(static_cast<double>(row.one(k)));
    if (!(one <= 1.7e308)) return one;
    largest = one > largest ? one : largest;
  }
  if (largest == 0) return 0;
  double total = 0;
  for (int64_t k = 0; k < n; ++k) {
    const double one = static_cast<double>(row.one(k)) / largest;
    total += one * one;
  }
  return largest * std::sqrt(total);
}

template <class Real>
ELMAN_INLINE double norm_of(const Rows<Real>& row, int64_t n) {
  Vec<Real> lanes[1];
  squares<Real, 1>(lanes, row, n, Real{1});
  const Real total = totals<Real, 1>(lanes)[0];
  if (is_exact(total)) [[likely]] return static_cast<double>(std::sqrt(total));
  return norm_of_any(row, n);
}

template <class Real>
void norms_of_any(const Rows<Real>& rows, int64_t n, double* norms) {
  for (int i = 0; i < LANES<Real>; ++i) norms[i] = norm_of(rows.from(i), n);
}

// The norms of LANES rows of n numbers each; the same as one by one.
template <class Real>
ELMAN_INLINE void norms_of(const Rows<Real>& rows, int64_t n, double* norms) {
  constexpr int V = LANES<Real>, HALF = V / 2;
  Vec<Real> parts[V];
  // half of them at once: their addresses stay in registers
  squares<Real, HALF>(parts, rows, n, Real{1});
  squares<Real, HALF>(parts + HALF, rows.from(HALF), n, Real{1});
  const Vec<Real> total = totals<Real, 1>(parts);
  if (!all(is_exact(total))) [[unlikely]] return norms_of_any(rows, n, norms);
  Real sums[V];
  store(sums, total);
  for (int i = 0; i < V; ++i) norms[i] = static_cast<double>(std::sqrt(sums[i]));
}

template <class Real>
struct StateGradients {
  static constexpr int V = LANES<Real>;
  const Call& call;
  const Plan<Real>& plan;
  const int64_t count;
  // of each row, what has come back to the step that a pass is at
  Buffer<Real> carries[MOST_STATES];
  // where nobody keeps the whole gradients, room for those of one step that only the cell knows
  Buffer<Real> room[MOST_STATES];

  StateGradients(const Call& c, const Plan<Real>& p)
      : call(c),
        plan(p),
        count(c.cell->states),
        carries{Buffer<Real>(c.B * p.Rp, true), Buffer<Real>(count > 1 ? c.B * p.Hp : 0, true)},
        room{Buffer<Real>(c.dnorm_0 && !c.dtotal_0 && !stays(0) ? c.B * p.Rp : 0),
             Buffer<Real>(c.dnorm_1 && !c.dtotal_1 && !stays(1) ? c.B * p.Hp : 0)} {}

  bool ready() const { return carries[0] && carries[1] && room[0] && room[1]; }
  bool watched() const { return call.dnorm_0 != nullptr; }
  bool keeps() const { return call.dtotal_0 != nullptr; }
  // whether what has come back to a state and the output's gradient are its whole gradient, and still
  // stand there behind the cell, which neither adds to it nor writes over it
  bool stays(int64_t k) const {
    return k == 0 && !(call.cell->adds & 1) && !call.cell->direct && !call.weight_ho;
  }

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

  // Rows that are measured at once, right behind the cell, while their gradients are in the first
  // cache; all of them where threads share them.
  int64_t block(int64_t alive, const Team& columns) const {
    return watched() && columns.size == 1 ? smaller(near(), alive) : alive;
  }
  int64_t near() const {
    constexpr int64_t NUMBERS = 16 * 1024 / sizeof(Real);
    return larger(NUMBERS / larger(plan.Rp, plan.Hp) / V, 1) * V;
  }

  // where the whole gradients of every step go if nobody keeps them: from block to block the same
  // room, unless an output layer leaves those of all rows there first
  void aim(PartBack<Real>& part, const Team& columns) const {
    const bool again = columns.size == 1 && !call.weight_ho;
    for (int64_t k = 0; k < count; ++k) {
      if (stays(k)) continue;
      for (int64_t i = 0; i < part.rows; ++i) {
        const int64_t r = part.row(again ? i % near() : i);
        part.dtotal[k][i] = room[k] + r * (k ? plan.Hp : plan.Rp);
      }
    }
  }

  // where those of one step go that are kept
  void aim(PartBack<Real>& part, int64_t step, int64_t alive) const {
    for (int64_t k = 0; k < count; ++k) {
      Real* const all = static_cast<Real*>(k ? call.dtotal_1 : call.dtotal_0);
      for (int64_t i = 0; i < alive; ++i) {
        part.dtotal[k][i] = all + at(part.row(i), step) * plan.width(k);
      }
    }
  }

  // where the cell puts the whole gradients of a state, if it is to
  Real* const* total(const PartBack<Real>& part, int64_t k) const {
    // an output layer's state is no state of the cell
    if (!watched() || (k == 0 && call.weight_ho)) return nullptr;
    return keeps() || !stays(k) ? part.dtotal[k].at : nullptr;
  }

  // the norms of rows from `from` to `to`
  void measure(const PartBack<Real>& part, int64_t step, int64_t from, int64_t to,
               const Team& columns) const {
    for (int64_t k = 0; k < count; ++k) {
      const Real* const* const more = call.doutput ? part.doutput.at : nullptr;
      const Rows<Real> rows = stays(k) ? Rows<Real>{part.dafter[k].at, more}
                                       : Rows<Real>{part.dtotal[k].at, nullptr};
      double* const norms = k ? call.dnorm_1 : call.dnorm_0;
      const int64_t n = plan.width(k);
      for (int64_t i = from + columns.index * V; i < to; i += columns.size * V) {
        const int64_t here = smaller(V, to - i);
        if (here == V && !call.lengths && part.stride == 1 && plan.is_even_paced()) {
          norms_of(rows.from(i), n, norms + at(part.row(i), step));
        } else if (here == V) {
          double some[V];
          norms_of(rows.from(i), n, some);
          for (int64_t j = 0; j < V; ++j) norms[at(part.row(i + j), step)] = some[j];
        } else {
          for (int64_t j = i; j < i + here; ++j) {
            norms[at(part.row(j), step)] = norm_of(rows.from(j), n);
          }
        }
      }
    }
  }

  // no gradient behind the rows' ends
  void measure_no_more(const PartBack<Real>& part) const {
    for (int64_t i = 0; i < part.rows; ++i) {
      const int64_t r = part.row(i);
      for (int64_t t = plan.length[r]; t < call.T; ++t) {
        for (int64_t k = 0; k < count; ++k) {
          (k ? call.dnorm_1 : call.dnorm_0)[t * call.B + plan.order[r]] = 0;
        }
      }
    }
  }

  // what goes to the step before, shortened row by row to the bound
  void clip(const PartBack<Real>& part, int64_t alive, const Team& columns) const {
    for (int64_t k = 0; k < count; ++k) {
      for (int64_t i = columns.index; i < alive; i += columns.size) {
        Real* const row = part.dstate[k][i];
        const double norm = norm_of(Rows<Real>{part.dstate[k] + i, nullptr}, plan.width(k));
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
