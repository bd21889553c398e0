// The gradients of weights and biases in bfloat16's products, from a chunk's gate gradients.
#pragma once

#include <algorithm>

#include "plan.h"
#include "tiles.h"

#if defined(ELMAN_BFLOAT16)

namespace elman::ELMAN_ISA {

// The gradient of a matrix (gates * H, columns): its sums until the last chunk, in blocks of 32 by 32:
// [gate][panel of columns][of units].
struct TileSums {
  static constexpr int64_t KEPT_BYTES = 1 << 18;
  Bfloat16* const matrix;
  const int64_t gates, units, columns, panels, wide;
  Buffer<float> at;

  TileSums(void* matrix_, int64_t gates_, int64_t units_, int64_t columns_, bool keeps)
      : matrix(static_cast<Bfloat16*>(matrix_)),
        gates(gates_),
        units(units_),
        columns(matrix ? columns_ : 0),
        panels(blocks_of(units)),
        wide(blocks_of(columns)),
        at(keeps ? gates * panels * wide * BLOCK_SIZE : 0) {}
  float* block(int64_t gate, int64_t panel, int64_t column) const {
    return at + ((gate * wide + column) * panels + panel) * BLOCK_SIZE;
  }

  // Adds the gate gradients of some panels, turned, times rows: to what the chunks before gave, and into
  // the matrix behind the last one.
  void add(int64_t gate, int64_t panel, int64_t end, const Bfloat16* left, const Bfloat16* right,
           int64_t N, bool is_first, bool is_last) const {
    const int64_t blocks = blocks_of(N);
    alignas(64) float whole[BLOCK_SIZE];
    const auto one = [&](int64_t p, int64_t column) {
      const int64_t here = smaller(BLOCK, columns - column * BLOCK);
      const float* const before = is_first ? nullptr : block(gate, p, column);
      float* const to = is_last ? whole : block(gate, p, column);
      const Product turned{left + (p - panel) * blocks * 2 * TILE_SIZE, BLOCK, 2 * TILE_SIZE,
                           right + column * blocks * 2 * TILE_SIZE, N};
      const int64_t rows = smaller(BLOCK, units - p * BLOCK);
      // the block behind it comes meanwhile
      if (before) fetch<1, true>(block(gate, p + 1, column), BLOCK_SIZE);
      in_shape(rows, here, [&](auto m, auto n) {
        add_products<m(), n()>(to, BLOCK, before, BLOCK, rows, 1, [&](int64_t) { return turned; });
      });
      if (!is_last) return;
      Bfloat16* const out = matrix + (gate * units + p * BLOCK) * columns + column * BLOCK;
      for (int64_t row = 0; row < rows; ++row) {
        store_block(out + row * columns, narrow(whole + row * BLOCK), here);
      }
    };
    // by rows, as the matrix lies in memory, where all that is multiplied stays in the second cache
    if (wide * blocks * 2 * TILE_SIZE * int64_t(sizeof(Bfloat16)) <= KEPT_BYTES) {
      for (int64_t p = panel; p < end; ++p) {
        for (int64_t column = 0; column < wide; ++column) one(p, column);
      }
    } else {
      for (int64_t column = 0; column < wide; ++column) {
        for (int64_t p = panel; p < end; ++p) one(p, column);
      }
    }
  }

  // the same where there is no chunk
  void clear() const { std::fill_n(matrix, gates * units * columns, Bfloat16{}); }
};

struct TileGradients {
  // panels of gate gradients that are turned at once, and stay in the second cache
  static constexpr int64_t PANELS = 8;
  const Call& call;
  const Cell& cell;
  const Plan<Bfloat16>& plan;
  const int64_t first, rest;  // gates of the first and the second product
  TileSums ih, hh, hh_rest, ho;
  Buffer<float> biases;  // [slot][unit]
  // what the gate gradients of a chunk are multiplied with, and those of the output layer's sums:
  // [panel of columns][block of rows]
  Buffer<Bfloat16> inputs, states, operands, hidden;

  TileGradients(const Call& c, const Plan<Bfloat16>& p, int64_t most)
      : call(c),
        cell(*c.cell),
        plan(p),
        first(cell.first ? cell.first : cell.gates),
        rest(cell.gates - first),
        ih(c.dweight_ih, cell.gates, c.H, c.I, !p.is_one_chunk()),
        hh(c.dweight_hh, first, c.H, c.R, !p.is_one_chunk()),
        hh_rest(rest ? rows_of(c.dweight_hh, first) : nullptr, rest, c.H, c.H, !p.is_one_chunk()),
        ho(c.dweight_ho, 1, c.R, c.H, !p.is_one_chunk()),
        biases(cell.slots * p.Hp, true),
        inputs(room(most, ih)),
        states(room(most, hh)),
        operands(room(most, hh_rest)),
        hidden(room(most, ho)) {}
  // a matrix of H columns from so many gates on
  Bfloat16* rows_of(void* matrix, int64_t gates) const {
    return matrix ? static_cast<Bfloat16*>(matrix) + gates * call.H * call.H : nullptr;
  }
  static int64_t room(int64_t most, const TileSums& sums) {
    return blocks_of(most) * sums.wide * 2 * TILE_SIZE;
  }
  bool ready() const {
    return ih.at && hh.at && hh_rest.at && ho.at && biases && inputs && states && operands && hidden;
  }

  // packs what the chunk's gate gradients are multiplied with
  void pack(int64_t s, int64_t stop, const Team& team) const {
    pack(inputs, ih, s, stop, team,
         [&](int64_t r, int64_t step) { return plan.input(r, step); });
    pack(states, hh, s, stop, team,
         [&](int64_t r, int64_t step) { return plan.state_before(0, r, step); });
    pack(operands, hh_rest, s, stop, team, [&](int64_t r, int64_t step) -> const Bfloat16* {
      return plan.saved(r, step) + plan.operand_at();
    });
    pack(hidden, ho, s, stop, team, [&](int64_t r, int64_t step) -> const Bfloat16* {
      return plan.saved(r, step) + plan.hidden_at();
    });
  }

  // Takes the gate gradients of the chunk's N rows, [slot][panel][row][unit] with so many rows, and
  // those of the output layer's sums. `room_left` is one member's: PANELS times the blocks of the
  // chunk's rows, two tiles each.
  void add(const Bfloat16* gates, const Bfloat16* sums, int64_t rows, int64_t N, Bfloat16* room_left,
           bool is_first, bool is_last, const Team& team) const {
    const int64_t panels = blocks_of(call.H);
    for (int64_t slot = 0; slot < cell.slots; ++slot) {
      turned(gates + slot * panels * rows * BLOCK, panels, rows, N, room_left, team,
             [&](int64_t panel, int64_t end) {
        for (int64_t gate = 0; gate < cell.gates; ++gate) {
          if (ih.wide && cell.dwx[gate] == slot) {
            ih.add(gate, panel, end, room_left, inputs, N, is_first, is_last);
          }
          if (cell.duh[gate] != slot) continue;
          if (gate >= first) {
            if (hh_rest.wide) {
              hh_rest.add(gate - first, panel, end, room_left, operands, N, is_first, is_last);
            }
          } else if (hh.wide) {
            hh.add(gate, panel, end, room_left, states, N, is_first, is_last);
          }
        }
      });
    }
    if (!ho.wide) return;
    turned(sums, ho.panels, rows, N, room_left, team, [&](int64_t panel, int64_t end) {
      ho.add(0, panel, end, room_left, hidden, N, is_first, is_last);
    });
  }

  // what no chunk has written, with the sums of the output layer's bias
  void finish(const float* output_biases, const Team& team) const {
    if (team.index) return;
    if (plan.longest == 0) {
      for (const TileSums* sums : {&ih, &hh, &hh_rest, &ho}) sums->clear();
    }
    for (int64_t gate = 0; gate < cell.gates; ++gate) {
      write_bias(call.dbias_ih, gate, call.H, biases + cell.dwx[gate] * plan.Hp);
      write_bias(call.dbias_hh, gate, call.H, biases + cell.duh[gate] * plan.Hp);
    }
    write_bias(call.dbias_ho, 0, call.R, output_biases);
  }

 private:
  // then(panel, end) for some of this member's panels of gradients, turned in `room_left`
  template <class F>
  void turned(const Bfloat16* gradients, int64_t panels, int64_t rows, int64_t N, Bfloat16* room_left,
              const Team& team, F then) const {
    const int64_t blocks = blocks_of(N);
    int64_t from, to;
    team.share(panels, from, to);
    for (int64_t panel = from; panel < to; panel += PANELS) {
      const int64_t end = smaller(panel + PANELS, to);
      for (int64_t p = panel; p < end; ++p) {
        in_blocks(N, [&](int64_t at, int64_t here) {
          pack_left(room_left + ((p - panel) * blocks + at / BLOCK) * 2 * TILE_SIZE, here,
                    gradients + (p * rows + at) * BLOCK);
        });
      }
      then(panel, end);
    }
  }

  template <class Row>
  void pack(Bfloat16* to, const TileSums& sums, int64_t s, int64_t stop, const Team& team,
            Row row) const {
    if (!sums.wide) return;
    const int64_t N = plan.offset[stop] - plan.offset[s], blocks = blocks_of(N);
    int64_t from, end, step = s;
    team.share(blocks, from, end);
    for (int64_t block = from; block < end; ++block) {
      const int64_t here = smaller(BLOCK, N - block * BLOCK);
      const Bfloat16* rows[BLOCK];
      for (int64_t i = 0; i < here; ++i) {
        const int64_t n = block * BLOCK + i + plan.offset[s];
        while (plan.offset[step + 1] <= n) ++step;
        rows[i] = row(n - plan.offset[step], step);
      }
      for (int64_t column = 0; column < sums.wide; ++column) {
        const int64_t columns = smaller(BLOCK, sums.columns - column * BLOCK);
        const int64_t tiles = columns > TILE ? 2 : 1;
        // panels before this one are two tiles wide
        pack_right(to + (2 * column * blocks + tiles * block) * TILE_SIZE, here, columns,
                   [&](int64_t i) { return rows[i] + column * BLOCK; });
      }
    }
  }

  // those of one gate, if anybody asks for them
  static void write_bias(void* bias, int64_t gate, int64_t units, const float* sums) {
    for (int64_t unit = 0; bias && unit < units; unit += BLOCK) {
      store_block(static_cast<Bfloat16*>(bias) + gate * units + unit, narrow(sums + unit),
                  smaller(BLOCK, units - unit));
    }
  }
};

}  // namespace elman::ELMAN_ISA

#endif
