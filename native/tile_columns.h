// Weights for the products of gate gradients in bfloat16.
#pragma once

#include "team.h"
#include "tiles.h"

#if defined(ELMAN_BFLOAT16)

namespace elman::ELMAN_ISA {

// Weights (groups * units, columns) for products of gate gradients: [panel of 32 columns][group]
// [block of units], each group's units filled up with zeros. Packed for the whole call, or, where a
// panel is wanted once, when it is.
struct TileColumns {
  const Bfloat16* const matrix;
  const int64_t groups, units, columns, panels, blocks;
  const bool keeps;
  Buffer<Bfloat16> w;

  TileColumns(const Bfloat16* matrix_, int64_t groups_, int64_t units_, int64_t columns_, bool keeps_)
      : matrix(matrix_),
        groups(groups_),
        units(units_),
        columns(columns_),
        panels(blocks_of(columns_)),
        blocks(blocks_of(units_)),
        keeps(keeps_),
        w(keeps ? panels * stride() : 0) {}
  int64_t stride() const { return groups * blocks * 2 * TILE_SIZE; }
  // what a member needs to pack a panel
  int64_t room() const { return keeps || !panels ? 0 : stride(); }
  int64_t columns_of(int64_t panel) const { return smaller(BLOCK, columns - panel * BLOCK); }

  void pack(const Team& team) {
    if (!keeps) return;
    int64_t from, to;
    team.share(panels, from, to);
    for (int64_t panel = from; panel < to; ++panel) pack(panel, w + panel * stride());
  }

  // Rows of `to` (+)= gate gradients, [slot][block of units][row][unit] with so many rows, times the
  // weights of some panels, the last one first if `back`; `own` is this member's `room`.
  void multiply(float* to, int64_t to_row, const Bfloat16* gates, int64_t gate_rows, int64_t rows,
                const int64_t* slots, bool add, int64_t from, int64_t end, bool back,
                Bfloat16* own) const {
    for (int64_t i = from; i < end; ++i) {
      const int64_t panel = back ? end - 1 - (i - from) : i, here = columns_of(panel);
      if (!keeps) pack(panel, own);
      const Bfloat16* const packed = keeps ? w + panel * stride() : own;
      const bool fetches = keeps && i + 1 < end && !is_near<Bfloat16>(panels * stride());
      Ahead ahead = ahead_of(fetches ? packed + (back ? -stride() : stride()) : nullptr, packed,
                             stride(), groups * ((units + 1) / 2), rows);
      in_blocks(rows, [&](int64_t at, int64_t rows_here) {
        float* const sums = to + at * to_row + panel * BLOCK;
        in_shape(rows_here, here, [&](auto m, auto n) {
          constexpr int M = m(), N = n();
          add_products<M, N>(
              sums, to_row, add ? sums : nullptr, to_row, rows_here, groups, [&](int64_t group) {
                return Product{gates + (slots[group] * blocks * gate_rows + at) * BLOCK, BLOCK,
                               gate_rows * BLOCK, packed + group * blocks * N * TILE_SIZE, units};
              }, ahead);
        });
      });
    }
  }

 private:
  void pack(int64_t panel, Bfloat16* to) const {
    const int64_t here = columns_of(panel), tiles = here > TILE ? 2 : 1;
    for (int64_t group = 0; group < groups; ++group) {
      for (int64_t k = 0; k < units; k += BLOCK, to += tiles * TILE_SIZE) {
        const Bfloat16* rows = matrix + (group * units + k) * columns + panel * BLOCK;
        pack_right(to, smaller(BLOCK, units - k), here,
                   [&](int64_t row) { return rows + row * columns; });
      }
    }
  }
};

}  // namespace elman::ELMAN_ISA

#endif
