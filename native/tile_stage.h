// Weights for the products of inputs and states in bfloat16.
#pragma once

#include "team.h"
#include "tiles.h"

#if defined(ELMAN_BFLOAT16)

namespace elman::ELMAN_ISA {

// What the gates of one product are multiplied with: [panel of 32 units][gate][block of k]. Packed for
// the whole call, or, where a panel is wanted once, when it is.
struct TileStage {
  const Call& call;
  const int64_t first, gates, units, panels, blocks_x, blocks_h;
  const bool keeps;
  Buffer<Bfloat16> w;
  Buffer<float> bias_x, bias_h;  // [panel][gate][unit]

  TileStage(const Call& c, int64_t first_, int64_t gates_, bool keeps_)
      : call(c),
        first(first_),
        gates(gates_),
        units(c.H),
        panels(blocks_of(c.H)),
        blocks_x(blocks_of(c.I)),
        blocks_h(blocks_of(c.H)),
        keeps(keeps_),
        w(keeps ? panels * stride() : 0),
        bias_x(panels * gates * BLOCK),
        bias_h(panels * gates * BLOCK) {}
  bool ready() const { return w && bias_x && bias_h; }
  int64_t units_of(int64_t panel) const { return smaller(BLOCK, units - panel * BLOCK); }
  int64_t stride() const { return gates * (blocks_x + blocks_h) * 2 * TILE_SIZE; }
  // what a member needs to pack a panel
  int64_t room() const { return keeps ? 0 : gates * larger(blocks_x, blocks_h) * 2 * TILE_SIZE; }
  // a panel's weights of the inputs and of the state; `own` is this member's room
  const Bfloat16* weights_x(int64_t panel, Bfloat16* own) const {
    if (keeps) return kept_x(panel);
    pack_x(panel, own);
    return own;
  }
  const Bfloat16* weights_h(int64_t panel, Bfloat16* own) const {
    if (keeps) return kept_h(panel);
    pack_h(panel, own);
    return own;
  }

  void pack(const Team& team) {
    int64_t from, to;
    team.share(panels, from, to);
    for (int64_t panel = from; panel < to; ++panel) {
      if (keeps) {
        pack_x(panel, kept_x(panel));
        pack_h(panel, kept_h(panel));
      }
      for (int64_t gate = 0; gate < gates; ++gate) pack_bias(panel, gate);
    }
  }

 private:
  Bfloat16* kept_x(int64_t panel) const { return w + panel * stride(); }
  Bfloat16* kept_h(int64_t panel) const { return kept_x(panel) + gates * blocks_x * 2 * TILE_SIZE; }
  void pack_x(int64_t panel, Bfloat16* to) const { pack(to, call.weight_ih, call.I, panel); }
  void pack_h(int64_t panel, Bfloat16* to) const { pack(to, call.weight_hh, units, panel); }

  void pack(Bfloat16* to, const void* matrix, int64_t columns, int64_t panel) const {
    const int64_t here = units_of(panel);
    for (int64_t gate = 0; gate < gates; ++gate) {
      const Bfloat16* const rows = static_cast<const Bfloat16*>(matrix) +
                                   ((first + gate) * units + panel * BLOCK) * columns;
      Bfloat16* at = to + gate * blocks_of(columns) * 2 * TILE_SIZE;
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
    const bool apart = call.cell->apart >> (first + gate) & 1;
    const int64_t at = (panel * gates + gate) * BLOCK, here = units_of(panel);
    const int64_t row = (first + gate) * units + panel * BLOCK;
    float ih[BLOCK]{}, hh[BLOCK]{};
    if (call.bias_ih) widen_row(ih, static_cast<const Bfloat16*>(call.bias_ih) + row, here);
    if (call.bias_hh) widen_row(hh, static_cast<const Bfloat16*>(call.bias_hh) + row, here);
    for (int64_t unit = 0; unit < BLOCK; ++unit) {
      bias_x[at + unit] = apart ? ih[unit] : ih[unit] + hh[unit];
      bias_h[at + unit] = hh[unit];
    }
  }
};

}  // namespace elman::ELMAN_ISA

#endif
