// The layer whose output is fed back in place of the state: o = g(V h + c).
#pragma once

#include "parts.h"
#include "stage.h"

namespace elman::ELMAN_ISA {

template <class Real>
struct OutputLayer {
  static constexpr int V = LANES<Real>;

  const Call& call;
  Panels<Real> panels;
  Buffer<Real> weights, biases;

  explicit OutputLayer(const Call& c)
      : call(c),
        panels(c.R, 1),
        weights(c.weight_ho ? panels.size(c.H) : 0),
        biases(panels.size(1)) {}

  bool ready() const { return weights && biases; }

  void pack_biases() {
    if (call.weight_ho) {
      pack_bias<Real>(panels, static_cast<const Real*>(call.bias_ho), nullptr, 0, biases);
    }
  }

  void pack_weights(const Team& team) {
    if (call.weight_ho) {
      pack_gates<Real>(panels, static_cast<const Real*>(call.weight_ho), call.H, weights, team);
    }
  }

  // the outputs of a step's rows; what a record keeps of their sums stands `sum_at` numbers behind it
  void take(Part<Real>& part, int64_t sum_at, int64_t alive, const Team& columns) const {
    int64_t from, to;
    columns.share(panels.count, from, to);
    for (int64_t panel = from; panel < to; ++panel) {
      const int64_t P = panels.wide_of(panel), unit = panel * panels.wide * V;
      const int64_t units = smaller(P * V, call.R - unit);
      GateTile<Real> tile{};
      tile.start = biases + panel * panels.stride(1);
      tile.w_h = weights + panel * panels.stride(call.H);
      tile.K = call.H;
      tile.uh = part.scratch;
      in_tiles(alive, most_rows(static_cast<int>(P)), [&](int64_t at, int64_t M) {
        tile.h = part.after[0] + at;
        TILES<Real>.gate[P][M][0](tile);
        for (int64_t m = 0; m < M; ++m) {
          Real* const sum = part.scratch + m * P * V;
          if (call.saved && call.activation->reads_a) {
            std::memcpy(part.saved[at + m] + sum_at + unit, sum,
                        static_cast<size_t>(units) * sizeof(Real));
          }
          activate(sum, units);
          std::memcpy(part.output[at + m] + unit, sum, static_cast<size_t>(units) * sizeof(Real));
        }
      });
    }
  }

 private:
  void activate(Real* sum, int64_t n) const {
    if constexpr (sizeof(Real) == 4) {
      call.activation->apply_f32(sum, n);
    } else {
      call.activation->apply_f64(sum, n);
    }
  }
};

}  // namespace elman::ELMAN_ISA
