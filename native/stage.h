// What the forward pass multiplies with.
#pragma once

#include "plan.h"
#include "unpacked.h"

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

  // The products of some rows with the panels `from` up to `to`, with weights as they stand in memory;
  // of `x` and `h` one is null where its product is not taken. start(tile, panel, first row) may say
  // otherwise where the sums begin and go to; then(tile, panel, first row, rows) comes behind each tile.
  // False if there is no memory.
  template <class Start, class Then>
  bool take_unpacked(const Call& call, const Real* const* x, const Real* const* h, int64_t rows,
                     int64_t from, int64_t to, Start start, Then then) const {
    using Few = FewRows<Real>;
    using Many = ManyRows<Real>;
    const bool is_few = rows <= Few::MOST;
    const int64_t most = is_few ? Few::MOST : Many::MOST;
    const int64_t I = x ? call.I : 0, own = h ? K : 0, numbers = I + own;
    const int64_t sums = panels.gates * panels.wide * V * most;
    Buffer<Real> room(2 * sums), turned(is_few ? 0 : numbers * round_up(rows, V));
    if (!room || !turned) return false;
    if (!is_few) {
      for (int64_t at = 0; at < rows; at += most) {
        const int64_t M = smaller(most, rows - at);
        Real* const here = turned + at * numbers;
        if (x) Many::turn(x + at, M, I, here);
        if (h) Many::turn(h + at, M, own, here + round_up(M, V) * I);
      }
    }
    for (int64_t panel = from; panel < to; ++panel) {
      GateTile<Real> tile{};
      tile.start = bias_x + panel * panels.stride(1);
      tile.bias_h = bias_h + panel * panels.stride(1);
      tile.I = I;
      tile.K = own;
      // inputs alone have one sum
      tile.apart = h ? apart(*call.cell, panel) : 0;
      tile.uh = room;
      tile.wx = room + sums;
      for (int64_t at = 0; at < rows; at += most) {
        const int64_t M = smaller(most, rows - at);
        const Real* const here = turned + at * numbers;
        start(tile, panel, at);
        for (int64_t p = 0; p < panels.vectors_of(panel); ++p) {
          const UnpackedSums<Real> s = unpacked(call, tile, panel, p);
          if (is_few) {
            Few::sums(s, x ? x + at : nullptr, h ? h + at : nullptr, M);
          } else {
            Many::sums(s, here, here + round_up(M, V) * I, M);
          }
        }
        then(tile, panel, at, M);
      }
    }
    return true;
  }

 private:
  // vector p of a panel's sums
  UnpackedSums<Real> unpacked(const Call& call, const GateTile<Real>& t, int64_t panel,
                              int64_t p) const {
    const int64_t wide = panels.wide_of(panel);
    const int64_t unit = (panel * panels.wide + p % wide) * V, row = p / wide * call.H + unit;
    return {t.start + p * V,
            t.start_row,
            weight_ih(call) + row * call.I,
            weight_hh(call) + row * K,
            t.I,
            t.K,
            smaller(V, call.H - unit),
            t.apart >> p & 1 ? t.bias_h + p * V : nullptr,
            t.wx + p * V,
            t.uh + p * V,
            panels.vectors_of(panel) * V};
  }
};

}  // namespace elman::ELMAN_ISA
