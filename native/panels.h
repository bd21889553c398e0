// Weights packed for the tiles of products.
#pragma once

#include <utility>

#include "memory.h"
#include "product.h"
#include "team.h"

namespace elman::ELMAN_ISA {

// `gates` times `units` columns in panels of `wide` vectors of units, all gates of a unit together:
// [panel][k][gate][vector]. The last panel of three gates and more, where its units do not fill a
// vector, may be dense: one gate behind the other without a gap, those of `apart` in vectors of their
// own.
template <class Real>
struct Panels {
  static constexpr int V = LANES<Real>;
  int64_t units, gates, wide, vectors, count;
  int64_t rest = 0, together = 0;  // of a dense panel its units, and the gates that are not apart

  Panels(int64_t units_, int64_t gates_, bool dense = false, int64_t apart = 0)
      // a panel of about four vectors for each k; three gates and more stand alone
      : units(units_),
        gates(gates_),
        wide(gates_ >= 3 ? 1 : gates_ == 2 ? 2 : 4),
        vectors((units_ + V - 1) / V),
        count((vectors + wide - 1) / wide) {
    if (!dense || wide > 1) return;
    apart &= (int64_t(1) << gates) - 1;
    while (together < gates && !(apart >> together & 1)) ++together;
    // the gates that are apart come last
    if (apart >> together != (int64_t(1) << (gates - together)) - 1) return;
    rest = units % V;
    if (vectors_of(count - 1) == gates) rest = 0;
  }

  ELMAN_INLINE int64_t wide_of(int64_t panel) const {
    return smaller(wide, vectors - panel * wide);
  }
  ELMAN_INLINE bool is_dense(int64_t panel) const { return rest && panel == count - 1; }
  // where a gate begins in a panel's row of columns, and how many columns are its own
  ELMAN_INLINE int64_t gate_at(int64_t panel, int64_t gate) const {
    if (!is_dense(panel)) return gate * wide_of(panel) * V;
    return gate < together ? gate * rest
                           : round_up(together * rest, V) + (gate - together) * rest;
  }
  ELMAN_INLINE int64_t lanes_of(int64_t panel) const {
    return is_dense(panel) ? rest : wide_of(panel) * V;
  }
  // vectors in a panel's row
  ELMAN_INLINE int64_t vectors_of(int64_t panel) const {
    return (gate_at(panel, gates) + V - 1) / V;
  }
  ELMAN_INLINE int64_t stride(int64_t K) const { return K * gates * wide * V; }
  int64_t size(int64_t K) const { return K * gates * vectors * V; }

  // How many of `count` panels are multiplied at once, where every step takes them all, the first one
  // with P vectors. Of weights that fill the first cache once to twice it is so few that half of them
  // are still there when the next step goes the other way.
  int64_t at_once(int64_t rows, int64_t P, int64_t K, int64_t count) const {
    const int64_t one = stride(K) * int64_t(sizeof(Real)), cache = first_cache();
    int64_t many = panels_at_once(rows, P);
    if (count * one <= cache || count * one > 2 * cache) return many;
    while (many > 1 && 4 * many * one > 3 * cache) many /= 2;
    return many;
  }
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

// A block of LANES numbers of each of LANES rows, turned: vector j holds column j. `row(i)` is where row i
// of those that are there begins.
template <class Real, class Row>
ELMAN_INLINE void turned(Vec<Real> (&block)[LANES<Real>], int64_t rows_here, int64_t columns_here,
                         Row row) {
  constexpr int V = LANES<Real>;
#pragma GCC unroll 16
  for (int64_t lane = 0; lane < V; ++lane) {
    block[lane] = lane < rows_here ? load(row(lane), columns_here) : Vec<Real>{};
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
    const int64_t wide = panels.wide_of(panel), P = panels.vectors_of(panel);
    Real* const base = to + panel * panels.stride(K);
    const bool dense = panels.is_dense(panel);
    if (dense) std::memset(base, 0, static_cast<size_t>(K * P * V) * sizeof(Real));
    for (int64_t gate = 0; gate < panels.gates; ++gate) {
      for (int64_t v = 0; v < wide; ++v) {
        const int64_t unit = (panel * panels.wide + v) * V;
        const int64_t here = smaller(V, panels.units - unit);
        const Real* rows = matrix + (gate * panels.units + unit) * K;
        Real* column = base + panels.gate_at(panel, gate) + v * V;
        const int64_t lanes = dense ? here : V;
        for (int64_t k = 0; k < K; k += V) {
          const int64_t n = smaller(V, K - k);
          Vec<Real> block[V];
          turned<Real>(block, here, n, [&](int64_t i) { return rows + i * K + k; });
#pragma GCC unroll 16
          for (int64_t j = 0; j < V; ++j) {
            if (j < n) store(column, block[j], lanes);
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
    Real* const base = to + panel * panels.stride(1);
    std::memset(base, 0, static_cast<size_t>(panels.vectors_of(panel) * V) * sizeof(Real));
    const int64_t unit = panel * panels.wide * V;
    const int64_t here = smaller(panels.lanes_of(panel), panels.units - unit);
    for (int64_t gate = 0; gate < panels.gates; ++gate) {
      const int64_t at = gate * panels.units + unit;
      Real* const gate_to = base + panels.gate_at(panel, gate);
      for (int64_t lane = 0; lane < here; lane += V) {
        const int64_t n = smaller(V, here - lane);
        Vec<Real> sum{};
        if (bias) sum += load(bias + at + lane, n);
        if (more && (more_gates >> gate & 1)) sum += load(more + at + lane, n);
        store(gate_to + lane, sum, n);
      }
    }
  }
}

}  // namespace elman::ELMAN_ISA
