// The gradient of the output layer in bfloat16.
#pragma once

#include "plan.h"
#include "tile_columns.h"

#if defined(ELMAN_BFLOAT16)

namespace elman::ELMAN_ISA {

// A block of a row, in float32.
ELMAN_INLINE void widen_block(float* to, const Bfloat16* from, int64_t n) {
  const __m512i block = load_block(from, n);
  store(to, lower_of(block));
  store(to + TILE, upper_of(block));
}
ELMAN_INLINE void add_block(float* to, const Bfloat16* from, int64_t n) {
  const __m512i block = load_block(from, n);
  store(to, load(to) + lower_of(block));
  store(to + TILE, load(to + TILE) + upper_of(block));
}

struct TileOutputBack {
  const Call& call;
  const Plan<Bfloat16>& plan;
  const int64_t room;  // rows in a block of the sums' gradients
  TileColumns weights;
  Buffer<Bfloat16> sums;  // their gradients: [panel][row of the chunk][unit]
  Buffer<float> biases;

  TileOutputBack(const Call& c, const Plan<Bfloat16>& p, int64_t room_)
      : call(c),
        plan(p),
        room(room_),
        weights(static_cast<const Bfloat16*>(c.weight_ho), 1, c.R, c.weight_ho ? c.H : 0,
                !p.is_one_step()),
        sums(c.weight_ho ? p.Rp * room : 0, true),
        biases(c.weight_ho ? p.Rp : 0, true) {}
  bool ready() const { return weights.w && sums && biases; }

  // da = (do + what comes from the step behind) g'(a, o), in place of the latter in `carries`, whose
  // rows stand so far apart; `base` records of the chunk come before the step's
  void take(float* carries, int64_t row, int64_t step, int64_t base, const Team& team) const {
    int64_t from, to;
    team.share(blocks_of(call.R), from, to);
    alignas(64) float a[BLOCK], o[BLOCK];
    for (int64_t panel = from; panel < to; ++panel) {
      const int64_t unit = panel * BLOCK, units = smaller(BLOCK, call.R - unit);
      Bfloat16* const low = sums + (panel * room + base) * BLOCK;
      float* const bias = biases + unit;
      for (int64_t r = 0; r < plan.alive(step); ++r) {
        float* const sum = carries + r * row + unit;
        if (call.doutput) add_block(sum, plan.doutput(r, step) + unit, units);
        widen_block(o, plan.output(r, step) + unit, units);
        if (call.activation->reads_a) {
          widen_block(a, plan.saved(r, step) + plan.sum_at() + unit, units);
        }
        call.activation->derive_f32(sum, a, o, units);
        store(bias, load(bias) + load(sum));
        store(bias + TILE, load(bias + TILE) + load(sum + TILE));
        store_block(low + r * BLOCK, narrow(sum), units);
      }
    }
  }

  // Rows of `hidden` = the sums' gradients of a step times the weights, of some panels of hidden units.
  void multiply(float* hidden, int64_t row, int64_t step, int64_t base, int64_t from, int64_t end,
                Bfloat16* own) const {
    const int64_t slot = 0;
    weights.multiply(hidden, row, sums + base * BLOCK, room, plan.alive(step), &slot, false, from,
                     end, step & 1, own);
  }
};

}  // namespace elman::ELMAN_ISA

#endif
