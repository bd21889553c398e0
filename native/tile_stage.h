// Weights for the products of inputs and states in bfloat16.
#pragma once

#include "team.h"
#include "tiles.h"

#if defined(ELMAN_BFLOAT16)

namespace elman::ELMAN_ISA {

// A matrix, of so many columns, and a bias.
struct TileWeights {
  const void *matrix, *bias;
  int64_t columns;
};

// What the gates of one product are multiplied with: [panel of 32 units][gate][block of k]. Packed for
// the whole call, or, where a panel is wanted once, when it is.
struct TileStage {
  const TileWeights x, h;
  const int64_t apart;  // gates whose two products are kept apart, as bits from the first gate on
  const int64_t first, gates, units, panels;
  const bool keeps;
  Buffer<Bfloat16> w;
  Buffer<float> bias_x, bias_h;  // [panel][gate][unit]

  // some gates of the cell, whose state or operand has so many units
  TileStage(const Call& c, int64_t first_, int64_t gates_, int64_t fed, bool keeps_)
      : TileStage({c.weight_ih, c.bias_ih, c.I}, {c.weight_hh, c.bias_hh, fed},
                  c.cell->apart >> first_, first_, gates_, c.H, keeps_) {}

  // the sums of the output layer, if there is one: they have no inputs
  static TileStage of_output(const Call& c, bool keeps) {
    return {{nullptr, nullptr, 0}, {c.weight_ho, c.bias_ho, c.H}, 1, 0, 1, c.weight_ho ? c.R : 0,
            keeps};
  }

  bool ready() const { return w && bias_x && bias_h; }
  int64_t units_of(int64_t panel) const { return smaller(BLOCK, units - panel * BLOCK); }
  int64_t stride() const { return size_of(x) + size_of(h); }
  // what a member needs to pack a panel
  int64_t room() const { return keeps ? 0 : larger(size_of(x), size_of(h)); }
  // a panel's weights of the inputs and of the state; `own` is this member's room
  const Bfloat16* weights_x(int64_t panel, Bfloat16* own) const {
    if (keeps) return kept_x(panel);
    pack(own, x, panel);
    return own;
  }
  const Bfloat16* weights_h(int64_t panel, Bfloat16* own) const {
    if (keeps) return kept_h(panel);
    pack(own, h, panel);
    return own;
  }
  // What to fetch while a panel's weights are multiplied by so many rows, for each gate: those of the
  // `next` panel, if there is one, where they do not all stay in the second cache.
  void ahead_h(int64_t next, const Bfloat16* weights, int64_t rows, Ahead* ahead) const {
    const int64_t numbers = gate_stride(h);
    const bool fetches = keeps && next >= 0 && !is_near<Bfloat16>(panels * size_of(h));
    for (int64_t gate = 0; gate < gates; ++gate) {
      const int64_t at = gate * numbers;
      ahead[gate] = ahead_of(fetches ? kept_h(next) + at : nullptr, weights + at, numbers,
                             (h.columns + 1) / 2, rows);
    }
  }
  // the numbers of one gate in them
  static int64_t gate_stride(const TileWeights& weights) {
    return blocks_of(weights.columns) * 2 * TILE_SIZE;
  }

  void pack(const Team& team) {
    int64_t from, to;
    team.share(panels, from, to);
    for (int64_t panel = from; panel < to; ++panel) {
      if (keeps) {
        pack(kept_x(panel), x, panel);
        pack(kept_h(panel), h, panel);
      }
      for (int64_t gate = 0; gate < gates; ++gate) pack_bias(panel, gate);
    }
  }

 private:
  TileStage(const TileWeights& x_, const TileWeights& h_, int64_t apart_, int64_t first_,
            int64_t gates_, int64_t units_, bool keeps_)
      : x(x_),
        h(h_),
        apart(apart_),
        first(first_),
        gates(gates_),
        units(units_),
        panels(blocks_of(units_)),
        keeps(keeps_),
        w(keeps ? panels * stride() : 0),
        bias_x(panels * gates * BLOCK),
        bias_h(panels * gates * BLOCK) {}

  int64_t size_of(const TileWeights& weights) const { return gates * gate_stride(weights); }
  Bfloat16* kept_x(int64_t panel) const { return w + panel * stride(); }
  Bfloat16* kept_h(int64_t panel) const { return kept_x(panel) + size_of(x); }

  void pack(Bfloat16* to, const TileWeights& weights, int64_t panel) const {
    const int64_t here = units_of(panel), columns = weights.columns;
    for (int64_t gate = 0; gate < gates; ++gate) {
      const Bfloat16* const rows = static_cast<const Bfloat16*>(weights.matrix) +
                                   ((first + gate) * units + panel * BLOCK) * columns;
      Bfloat16* at = to + gate * gate_stride(weights);
      for (int64_t k = 0; k < columns; k += BLOCK) {
        for (int64_t unit = 0; unit < here; unit += TILE, at += TILE_SIZE) {
          pack_turned(at, rows + unit * columns + k, columns, smaller(TILE, here - unit),
                      smaller(BLOCK, columns - k));
        }
      }
    }
  }

  // b_ih, and b_hh where the two products are not kept apart
  void pack_bias(int64_t panel, int64_t gate) {
    const int64_t at = (panel * gates + gate) * BLOCK, here = units_of(panel);
    const int64_t row = (first + gate) * units + panel * BLOCK;
    float ih[BLOCK]{}, hh[BLOCK]{};
    if (x.bias) widen_row(ih, static_cast<const Bfloat16*>(x.bias) + row, here);
    if (h.bias) widen_row(hh, static_cast<const Bfloat16*>(h.bias) + row, here);
    for (int64_t unit = 0; unit < BLOCK; ++unit) {
      bias_x[at + unit] = apart >> gate & 1 ? ih[unit] : ih[unit] + hh[unit];
      bias_h[at + unit] = hh[unit];
    }
  }
};

}  // namespace elman::ELMAN_ISA

#endif
