// What the forward pass multiplies with.
#pragma once

#include "panels.h"
#include "plan.h"

namespace elman::ELMAN_ISA {

template <class Real>
ELMAN_INLINE auto step_of(const Cell& cell) {
  if constexpr (sizeof(Real) == 4) {
    return cell.step_f32;
  } else {
    return cell.step_f64;
  }
}

template <class Real>
ELMAN_INLINE auto operand_of(const Cell& cell) {
  if constexpr (sizeof(Real) == 4) {
    return cell.operand_f32;
  } else {
    return cell.operand_f64;
  }
}

// The gates of one product, packed: all of a cell's, or those before and behind its operand.
template <class Real>
struct Stage {
  static constexpr int V = LANES<Real>;
  const int64_t first, K;  // the first gate; the size of what is multiplied
  const Panels<Real> panels;
  Buffer<Real> w_x, w_h, bias_x, bias_h;

  // `packed`: all weights are packed before the first step, else they are read as they are
  Stage(const Call& call, int64_t first_, int64_t gates, int64_t K_, bool packed)
      : first(first_),
        K(K_),
        panels(call.H, gates, packed, call.cell->apart >> first_),
        w_x(packed ? panels.size(call.I) : 0),
        w_h(packed ? panels.size(K_) : 0),
        bias_x(panels.size(1)),
        bias_h(panels.size(1)) {}

  bool ready() const { return w_x && w_h && bias_x && bias_h; }

  void pack_biases(const Call& call) {
    const int64_t apart = call.cell->apart >> first, skip = first * call.H;
    const Real* ih = call.bias_ih ? static_cast<const Real*>(call.bias_ih) + skip : nullptr;
    const Real* hh = call.bias_hh ? static_cast<const Real*>(call.bias_hh) + skip : nullptr;
    pack_bias<Real>(panels, ih, hh, ~apart, bias_x);
    // nobody asks for it where no gate is apart
    if (call.cell->apart) pack_bias<Real>(panels, nullptr, hh, apart, bias_h);
  }
  const Real* weight_ih(const Call& call) const {
    return static_cast<const Real*>(call.weight_ih) + first * call.H * call.I;
  }
  const Real* weight_hh(const Call& call) const {
    return static_cast<const Real*>(call.weight_hh) + first * call.H * K;
  }
  void pack_weights(const Call& call, const Team& team) {
    pack_gates<Real>(panels, weight_ih(call), call.I, w_x, team);
    pack_gates<Real>(panels, weight_hh(call), K, w_h, team);
  }
  // the vectors of a panel whose two products stay apart, as bits
  unsigned apart(const Cell& cell, int64_t panel) const {
    if (!cell.apart) return 0;
    unsigned bits = 0;
    for (int64_t g = 0; g < panels.gates; ++g) {
      if (!(cell.apart >> (first + g) & 1)) continue;
      const int64_t at = panels.gate_at(panel, g), end = at + panels.lanes_of(panel);
      for (int64_t v = at / V; v * V < end; ++v) bits |= 1u << v;
    }
    return bits;
  }

  // the products of one panel with weights as they stand in memory, summed in the same order
  template <int M>
  void unpacked_tile(const Call& call, const GateTile<Real>& t, int64_t panel) const {
    const int64_t wide = panels.wide_of(panel), P = panels.gates * wide;
    for (int64_t p = 0; p < P; ++p) {
      const int64_t unit = (panel * panels.wide + p % wide) * V;
      const int64_t row = p / wide * call.H + unit, here = smaller(V, call.H - unit);
      Vec<Real> acc[M];
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) acc[m] = load(t.start + p * V);
      unpacked_product<M>(acc, t.x, weight_ih(call) + row * t.I, here, t.I);
      if (t.apart >> p & 1) {
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) {
          store(t.wx + (m * P + p) * V, acc[m]);
          acc[m] = load(t.bias_h + p * V);
        }
      }
      unpacked_product<M>(acc, t.h, weight_hh(call) + row * t.K, here, t.K);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) store(t.uh + (m * P + p) * V, acc[m]);
    }
  }

  template <int M>
  static ELMAN_INLINE void unpacked_product(Vec<Real> (&acc)[M], const Real* const* rows,
                                            const Real* w, int64_t here, int64_t K) {
    for (int64_t k = 0; k < K; k += V) {
      const int64_t n = smaller(V, K - k);
      Vec<Real> block[V];
      turned<Real>(block, w + k, here, K, n);
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

}  // namespace elman::ELMAN_ISA
