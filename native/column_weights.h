// Weights as columns, and the gradients of gates times them.
#pragma once

#include "memory.h"
#include "product.h"
#include "team.h"

namespace elman::ELMAN_ISA {

// vectors in a panel of columns
constexpr int COLUMN_PANEL = 4;

// A row-major matrix (rows, columns) as panels of columns from one of them on: [panel][row][vector].
template <class Real>
inline void pack_columns(const Real* matrix, int64_t rows, int64_t columns, int64_t begin, Real* to,
                         const Team& team) {
  constexpr int V = LANES<Real>;
  const int64_t vectors = (columns + V - 1) / V;
  const int64_t panels = (vectors + COLUMN_PANEL - 1) / COLUMN_PANEL;
  int64_t from_panel, to_panel;
  team.share(panels - begin, from_panel, to_panel);
  for (int64_t panel = begin + from_panel; panel < begin + to_panel; ++panel) {
    const int64_t P = smaller(COLUMN_PANEL, vectors - panel * COLUMN_PANEL);
    const int64_t first = panel * COLUMN_PANEL * V;
    Real* at = to + (panel - begin) * COLUMN_PANEL * V * rows;
    for (int64_t row = 0; row < rows; ++row) {
      const Real* from = matrix + row * columns + first;
      for (int64_t p = 0; p < P; ++p, at += V) {
        store(at, load(from + p * V, smaller(V, columns - first - p * V)));
      }
    }
  }
}

// Where the gate gradients of some rows stand: gate g and unit u of row i at
// from + slots[g] slot_stride + u / V panel_stride + offsets[i] + u % V.
template <class Real>
struct GateRows {
  const Real* from;
  const int64_t *slots, *offsets;
  int64_t rows, slot_stride, panel_stride;
};

// Where the products go: the rows of one matrix, or those of two whose columns stand side by side, the
// second one's from column `beside_from` on.
template <class Real>
struct GradientRows {
  Real* const* rows;
  Real* const* beside = nullptr;
  int64_t beside_from = 0;
};

// A matrix of weights as columns, for products of gate gradients with so many rows in all. A few rows
// read it where it stands, but for a last panel that ends within a vector.
template <class Real>
struct ColumnWeights {
  static constexpr int V = LANES<Real>;
  // Rows that cost less to multiply than the weights to pack; fewer of them where rows of weights begin
  // within a vector, and each of these is read in two parts.
  static int64_t few(int64_t columns) { return columns % V ? 32 : 64; }
  const int64_t groups, units, columns, vectors, panels;
  const int64_t packed_from;  // the first panel that is packed
  Buffer<Real> w;
  const Real* matrix = nullptr;

  ColumnWeights(int64_t groups_, int64_t units_, int64_t columns_, int64_t rows)
      : groups(groups_),
        units(units_),
        columns(columns_),
        vectors((columns_ + V - 1) / V),
        panels((vectors + COLUMN_PANEL - 1) / COLUMN_PANEL),
        packed_from(rows > few(columns_) ? 0 : columns_ % V ? panels - 1 : panels),
        w(groups_ * units_ * larger(vectors - packed_from * COLUMN_PANEL, 0) * V) {}
  void pack(const Real* matrix_, const Team& team) {
    if (team.index == 0) matrix = matrix_;
    pack_columns<Real>(matrix_, groups * units, columns, packed_from, w, team);
  }
  int64_t wide_of(int64_t panel) const {
    return smaller(COLUMN_PANEL, vectors - panel * COLUMN_PANEL);
  }
  int64_t w_size() const { return groups * units * vectors * V; }
  int64_t stride() const { return groups * units * COLUMN_PANEL * V; }

  // rows of `into` (+)= gates times weights; so many gates at once that what stands of them for these
  // rows stays in the second cache while one panel of weights after another comes by, from the last
  // to the first if it goes `backwards`. Where all weights stay there, `later` is fetched in their
  // place.
  void multiply(const GateRows<Real>& from, const GradientRows<Real>& into, bool add, const Team& team,
                bool backwards = false, const Later& later = {}) const {
    constexpr int64_t KEPT = (1 << 17) / sizeof(Real);
    const int64_t size = larger(units, 1), rows = larger(from.rows, 1);
    const int64_t most = groups * size * rows <= KEPT
                             ? groups
                             : larger((256 + size - 1) / size, KEPT / (rows * size));
    for (int64_t gate = 0; gate < groups; gate += most) {
      multiply(from, gate, smaller(most, groups - gate), into, add || gate > 0, team, backwards,
               later);
    }
  }

  // the same for the gates from `gate` on
  void multiply(const GateRows<Real>& from, int64_t gate, int64_t gates, const GradientRows<Real>& into,
                bool add, const Team& team, bool backwards, const Later& later) const {
    const int64_t K = gates * units;
    int64_t begin, end;
    team.share(panels, begin, end);
    if (begin == end) return;
    const int64_t many = from.rows ? panels_at_once(from.rows, wide_of(begin)) : 1;
    const PanelOrder order(begin, end, columns / (COLUMN_PANEL * V), many, backwards);
    for (int64_t i = 0; i < order.items; ++i) {
      const int64_t panel = order.panel(i), N = order.count(i), P = wide_of(panel);
      const bool is_packed = panel >= packed_from;
      const int64_t row = is_packed ? P * V : columns;
      // from panel to panel, of those that are packed or of those that are not; where the first one is
      const int64_t apart = is_packed ? stride() : COLUMN_PANEL * V;
      const Real* const first_panel = (is_packed ? w : matrix) + gate * units * row;
      const int64_t before = is_packed ? packed_from : 0;
      GradientTile<Real> tile{};
      tile.column = panel * COLUMN_PANEL * V;
      tile.both_columns = columns - tile.column;
      tile.columns = (into.beside ? into.beside_from : columns) - tile.column;
      tile.add = add;
      tile.from = from.from;
      tile.slot_stride = from.slot_stride;
      tile.panel_stride = from.panel_stride;
      tile.units = units;
      tile.slots = from.slots + gate;
      tile.gates = gates;
      tile.w = first_panel + (panel - before) * apart;
      tile.w_row = row;
      tile.w_panel = apart;
      tile.ahead = ahead_of<Real>(first_panel, first_panel + (order.next(i) - before) * apart,
                                  w_size(), K, P, is_packed ? from.rows : 0);
      if (!tile.ahead.step && later.bytes && from.rows > FEW_ROWS && i == 0) {
        const int64_t tiles = tiles_of(from.rows, P);
        tile.ahead = later.by(tiles * groups * units).behind(tiles * gate * units);
      }
      const int64_t most = from.rows <= FEW_ROWS ? FEW_ROWS : most_rows(static_cast<int>(P));
      in_tiles(from.rows, most, [&](int64_t at, int64_t M) {
        tile.to = into.rows + at;
        tile.beside = into.beside ? into.beside + at : nullptr;
        tile.offsets = from.offsets + at;
        TILES<Real>.gradient[P][M][N > 1](tile);
        tile.ahead = tile.ahead.behind(K);
      });
    }
  }
};

}  // namespace elman::ELMAN_ISA
