// The gradients of weights and biases in bfloat16's products, from a chunk's gate gradients.
#pragma once

#include "plan.h"
#include "tiles.h"

#if defined(ELMAN_BFLOAT16)

namespace elman::ELMAN_ISA {

// Sums for a matrix (gates * H, columns), in blocks of 32 by 32: [gate][panel of columns][of units].
struct TileSums {
  const int64_t gates, units, columns, panels, wide;
  Buffer<float> at;

  TileSums(int64_t gates_, int64_t units_, int64_t columns_, bool zero)
      : gates(gates_),
        units(units_),
        columns(columns_),
        panels(blocks_of(units_)),
        wide(blocks_of(columns_)),
        at(gates_ * panels * wide * BLOCK_SIZE, zero) {}
  float* block(int64_t gate, int64_t panel, int64_t column) const {
    return at + ((gate * wide + column) * panels + panel) * BLOCK_SIZE;
  }

  // += the gate gradients of some panels, turned, times rows; = where they are the first ones
  void add(int64_t gate, int64_t panel, int64_t end, const Bfloat16* left, const Bfloat16* right,
           int64_t N, bool first) const {
    const int64_t blocks = blocks_of(N);
    for (int64_t column = 0; column < wide; ++column) {
      const int64_t here = smaller(BLOCK, columns - column * BLOCK);
      for (int64_t p = panel; p < end; ++p) {
        float* const to = block(gate, p, column);
        const Product turned{left + (p - panel) * blocks * 2 * TILE_SIZE, BLOCK, 2 * TILE_SIZE,
                             right, N};
        const int64_t rows = smaller(BLOCK, units - p * BLOCK);
        // the block behind it comes meanwhile
        if (!first) fetch<1, true>(block(gate, p + 1, column), BLOCK_SIZE);
        in_shape(rows, here, [&](auto m, auto n) {
          add_products<m(), n()>(to, BLOCK, first ? nullptr : to, BLOCK, rows, 1,
                                 [&](int64_t) { return turned; });
        });
      }
      right += blocks * (here > TILE ? 2 : 1) * TILE_SIZE;
    }
  }

  void write(void* matrix, const Team& team) const {
    int64_t from, to;
    team.share(gates * units, from, to);
    for (int64_t row = from; row < to; ++row) {
      const int64_t gate = row / units, unit = row % units;
      Bfloat16* const out = static_cast<Bfloat16*>(matrix) + row * columns;
      for (int64_t column = 0; column < wide; ++column) {
        const float* const sums = block(gate, unit / BLOCK, column) + unit % BLOCK * BLOCK;
        store_block(out + column * BLOCK, narrow(sums),
                    smaller(BLOCK, columns - column * BLOCK));
      }
    }
  }
};

struct TileGradients {
  // panels of gate gradients that are turned at once, and stay in the second cache
  static constexpr int64_t PANELS = 8;
  const Call& call;
  const Cell& cell;
  const Plan<Bfloat16>& plan;
  const int64_t first, rest;  // gates of the first and the second product
  TileSums ih, hh, hh_rest;
  Buffer<float> biases;  // [slot][unit]
  // what the gate gradients of a chunk are multiplied with: [panel of columns][block of rows]
  Buffer<Bfloat16> inputs, states, operands;

  TileGradients(const Call& c, const Plan<Bfloat16>& p, int64_t most)
      : call(c),
        cell(*c.cell),
        plan(p),
        first(cell.first ? cell.first : cell.gates),
        rest(cell.gates - first),
        // without a step there is no first product
        ih(c.dweight_ih ? cell.gates : 0, c.H, c.dweight_ih ? c.I : 0, p.longest == 0),
        hh(c.dweight_hh ? first : 0, c.H, c.dweight_hh ? c.H : 0, p.longest == 0),
        hh_rest(c.dweight_hh ? rest : 0, c.H, c.dweight_hh && rest ? c.H : 0, p.longest == 0),
        biases(cell.slots * p.Hp, true),
        inputs(room(most, ih)),
        states(room(most, hh)),
        operands(room(most, hh_rest)) {}
  static int64_t room(int64_t most, const TileSums& sums) {
    return blocks_of(most) * sums.wide * 2 * TILE_SIZE;
  }
  bool ready() const {
    return ih.at && hh.at && hh_rest.at && biases && inputs && states && operands;
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
  }

  // Takes the gate gradients of the chunk's N rows, [slot][panel][row][unit] with so many rows.
  // `room_left` is one member's: PANELS times the blocks of the chunk's rows, two tiles each.
  void add(const Bfloat16* gates, int64_t rows, int64_t N, Bfloat16* room_left, bool is_first,
           const Team& team) const {
    const int64_t panels = blocks_of(call.H), blocks = blocks_of(N);
    int64_t from, to;
    team.share(panels, from, to);
    for (int64_t slot = 0; slot < cell.slots; ++slot) {
      for (int64_t panel = from; panel < to; panel += PANELS) {
        const int64_t end = smaller(panel + PANELS, to);
        for (int64_t p = panel; p < end; ++p) {
          in_blocks(N, [&](int64_t at, int64_t here) {
            pack_left(room_left + ((p - panel) * blocks + at / BLOCK) * 2 * TILE_SIZE, here,
                      gates + ((slot * panels + p) * rows + at) * BLOCK);
          });
        }
        for (int64_t gate = 0; gate < cell.gates; ++gate) {
          if (ih.wide && cell.dwx[gate] == slot) {
            ih.add(gate, panel, end, room_left, inputs, N, is_first);
          }
          if (cell.duh[gate] != slot) continue;
          if (gate >= first) {
            if (hh_rest.wide) {
              hh_rest.add(gate - first, panel, end, room_left, operands, N, is_first);
            }
          } else if (hh.wide) {
            hh.add(gate, panel, end, room_left, states, N, is_first);
          }
        }
      }
    }
  }

  void write(const Team& team) const {
    if (call.dweight_ih) ih.write(call.dweight_ih, team);
    if (call.dweight_hh) {
      hh.write(call.dweight_hh, team);
      hh_rest.write(static_cast<Bfloat16*>(call.dweight_hh) + first * call.H * call.H, team);
    }
    if (team.index) return;
    if (call.dbias_ih) write_bias(call.dbias_ih, cell.dwx);
    if (call.dbias_hh) write_bias(call.dbias_hh, cell.duh);
  }

 private:
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

  void write_bias(void* bias, const int64_t* slots) const {
    for (int64_t gate = 0; gate < cell.gates; ++gate) {
      for (int64_t unit = 0; unit < call.H; unit += BLOCK) {
        store_block(static_cast<Bfloat16*>(bias) + gate * call.H + unit,
                    narrow(biases + slots[gate] * plan.Hp + unit),
                    smaller(BLOCK, call.H - unit));
      }
    }
  }
};

}  // namespace elman::ELMAN_ISA

#endif
