// The schedule of the forward pass in bfloat16: products in tiles, sums and states in float32.
#pragma once

#include "plan.h"
#include "tile_stage.h"

#if defined(ELMAN_BFLOAT16)

namespace elman::ELMAN_ISA {

struct TileForward {
  // The inputs' products are taken for a block of rows at once. Where the weights do not stay in the
  // second cache it is more: W_ih passes once for so many rows, or so many bytes of sums.
  static constexpr int64_t MOST_ROWS = 256, MOST_BYTES = 1 << 20, KEPT_BYTES = 5 << 18;

  const Call& call;
  const Cell& cell;
  Plan<Bfloat16> plan;
  TileStage one, two;
  const int64_t threads;
  // room for whole blocks of rows, and the numbers of a row: a line more, that rows do not meet in
  // the cache
  const int64_t rows, row_x, row_h, row_state;
  const int64_t steps, most;  // in a chunk of the inputs' products, and its rows
  Buffer<float> states[MOST_STATES], operand, totals;
  // what is multiplied: of a chunk of steps, and of this step and the next one
  Buffer<Bfloat16> x, h[2], operand_low;
  Buffer<float> wx;  // W_ih x + b_ih of a chunk: [panel][gate][row][unit]
  bool failed = false;

  explicit TileForward(const Call& c)
      : call(c),
        cell(*c.cell),
        plan(c),
        one(c, 0, cell.first ? cell.first : cell.gates, !plan.is_one_step()),
        two(c, cell.first, cell.first ? cell.gates - cell.first : 0, !plan.is_one_step()),
        threads(smaller(team_of(c), one.panels)),
        rows(round_up(c.B, BLOCK)),
        row_x(round_up(c.I, BLOCK) + BLOCK),
        row_h(plan.Hp + BLOCK),
        row_state(plan.Hp + TILE),
        steps(larger(1, smaller(c.T, rows_at_once() / larger(1, c.B)))),
        most(round_up(c.B * steps, BLOCK) + BLOCK),
        states{Buffer<float>(c.B * row_state, true),
               Buffer<float>(cell.states > 1 ? c.B * row_state : 0, true)},
        operand(cell.first ? c.B * row_state : 0, true),
        totals(c.B * cell.first * plan.Hp),
        x(most * row_x, true),
        h{Buffer<Bfloat16>(rows * row_h, true), Buffer<Bfloat16>(rows * row_h, true)},
        operand_low(cell.first ? rows * row_h : 0, true),
        wx(cell.gates * plan.Hp * most) {}

  int64_t rows_at_once() const {
    const int64_t gates = cell.gates * plan.Hp;
    if (2 * gates * (round_up(call.I, BLOCK) + plan.Hp) <= KEPT_BYTES) return BLOCK;
    return smaller(MOST_ROWS, MOST_BYTES / (4 * gates));
  }

  bool ready() const {
    return plan.ready() && one.ready() && two.ready() && states[0] && states[1] && operand &&
           totals && x && h[0] && h[1] && operand_low && wx;
  }

  int run() {
    if (!ready()) return NO_MEMORY;
    if (plan.bad_length) return BAD_LENGTH;
    in_large_pages(call.saved, plan.records() * plan.record * int64_t(sizeof(Bfloat16)));
    in_team(threads, [this](const Team& team) { work(team); });
    return failed ? NO_MEMORY : DONE;
  }

  // one member's scratch, and where the rows of a step stand
  struct Part {
    Buffer<float> sums;
    Buffer<float*> state[MOST_STATES], operand;
    Buffer<Bfloat16*> saved;
    Buffer<Bfloat16> weights;
    explicit Part(const TileForward& f)
        : sums(MOST_GATES * BLOCK_SIZE),
          state{Buffer<float*>(f.call.B), Buffer<float*>(f.call.B)},
          operand(f.call.B),
          saved(f.call.B),
          weights(larger(f.one.room(), f.two.room())) {
      if (!ready()) return;
      for (int64_t r = 0; r < f.call.B; ++r) {
        for (int64_t k = 0; k < f.cell.states; ++k) state[k][r] = f.states[k] + r * f.row_state;
        if (f.cell.first) operand[r] = f.operand + r * f.row_state;
      }
    }
    bool ready() const {
      return sums && state[0] && state[1] && operand && saved && weights;
    }
  };

  void work(const Team& team) {
    one.pack(team);
    two.pack(team);
    Part part(*this);
    if (!part.ready()) failed = true;
    team.wait();
    if (failed) return;
    const TileShapes shapes;
    for (int64_t r = 0; r < call.B; ++r) set_state(r, 0, team, true);
    team.wait();
    for (int64_t step = 0; step < plan.longest; ++step) {
      const int64_t alive = plan.alive(step), begin = step - step % steps;
      if (step == begin) inputs(part, begin, smaller(begin + steps, plan.longest), team);
      if (step && call.resets) {
        for (int64_t r = 0; r < alive; ++r) set_state(r, step, team, false);
        team.wait();
      }
      for (int64_t r = 0; call.saved && r < alive; ++r) part.saved[r] = plan.saved(r, step);
      const int64_t before = plan.offset[step] - plan.offset[begin];
      take(part, one, h[step & 1], step, before, alive, team);
      if (cell.first) {
        team.wait();
        take(part, two, operand_low, step, before, alive, team);
      }
      team.wait();
    }
    finish(team);
  }

  // the first state of a row, or after a reset the initial one: this member's columns
  void set_state(int64_t r, int64_t step, const Team& team, bool is_first) {
    const bool reset = step < plan.length[r] && plan.is_reset(r, step);
    if (!reset && !is_first) return;
    int64_t from, to;
    team.share(one.panels, from, to);
    from *= BLOCK;
    to = smaller(to * BLOCK, call.H);
    for (int64_t k = 0; k < cell.states; ++k) {
      const Bfloat16* const given =
          reset ? plan.all(plan.initial(k)) : plan.row(plan.first_state(k), r, call.H);
      if (to > from) widen_row(states[k] + r * row_state + from, given + from, to - from);
      if (k == 0 && to > from) {
        std::memcpy(h[step & 1] + r * row_h + from, given + from,
                    static_cast<size_t>(to - from) * sizeof(Bfloat16));
      }
    }
  }

  // W_ih x + b_ih for the steps of a chunk
  void inputs(const Part& part, int64_t s, int64_t stop, const Team& team) {
    const int64_t N = plan.offset[stop] - plan.offset[s];
    int64_t from, to, step = s;
    team.share(N, from, to);
    for (int64_t n = from; n < to; ++n) {
      while (plan.offset[step + 1] - plan.offset[s] <= n) ++step;
      std::memcpy(x + n * row_x, plan.input(n - (plan.offset[step] - plan.offset[s]), step),
                  static_cast<size_t>(call.I) * sizeof(Bfloat16));
    }
    team.wait();
    inputs(part, one, N, team);
    if (cell.first) inputs(part, two, N, team);
  }

  void inputs(const Part& part, const TileStage& stage, int64_t N, const Team& team) {
    int64_t from, to;
    team.share(stage.panels, from, to);
    for (int64_t panel = from; panel < to; ++panel) {
      const Bfloat16* weights = stage.weights_x(panel, part.weights);
      for (int64_t gate = 0; gate < stage.gates; ++gate) {
        in_blocks(N, [&](int64_t at, int64_t M) {
          in_shape(M, stage.units_of(panel), [&](auto m, auto n) {
            add_products<m(), n()>(
                wx_at(stage, panel, gate, at), BLOCK,
                stage.bias_x + (panel * stage.gates + gate) * BLOCK, 0, M, 1, [&](int64_t) {
                  return Product{x + at * row_x, row_x, BLOCK, weights, call.I};
                });
          });
        });
        weights += stage.blocks_x * 2 * TILE_SIZE;
      }
    }
  }

  float* wx_at(const TileStage& stage, int64_t panel, int64_t gate, int64_t n) const {
    return wx + ((panel * cell.gates + stage.first + gate) * most + n) * BLOCK;
  }

  // the products of a stage's gates, and the formula behind them
  void take(Part& part, const TileStage& stage, const Bfloat16* fed, int64_t step, int64_t before,
            int64_t alive, const Team& team) {
    int64_t from, to;
    team.share(stage.panels, from, to);
    for (int64_t i = from; i < to; ++i) {
      // every other step goes the other way round, and finds the last weights still in the cache
      const int64_t panel = step & 1 ? to - 1 - (i - from) : i;
      const Bfloat16* const weights = stage.weights_h(panel, part.weights);
      in_blocks(alive, [&](int64_t at, int64_t M) {
        in_shape(M, stage.units_of(panel), [&](auto m, auto n) {
          sums<m(), n()>(part, stage, weights, fed, before, panel, at, M);
        });
        formula(part, stage, step, before, panel, at, M);
      });
    }
  }

  template <int M, int N>
  void sums(Part& part, const TileStage& stage, const Bfloat16* weights, const Bfloat16* fed,
            int64_t before, int64_t panel, int64_t at, int64_t alive) const {
    const auto to = [&](int64_t gate) { return part.sums + gate * BLOCK_SIZE; };
    const auto is_apart = [&](int64_t gate) { return cell.apart >> (stage.first + gate) & 1; };
    const auto from = [&](int64_t gate) -> const float* {
      return is_apart(gate) ? stage.bias_h + (panel * stage.gates + gate) * BLOCK
                            : wx_at(stage, panel, gate, before + at);
    };
    const auto product = [&](int64_t gate) {
      return Product{fed + at * row_h, row_h, BLOCK, weights + gate * stage.blocks_h * 2 * TILE_SIZE,
                     call.H};
    };
    if (alive == 1 && add_side_by_side<N>(stage.gates, to, from, product)) return;
    for (int64_t gate = 0; gate < stage.gates; ++gate) {
      add_products<M, N>(to(gate), BLOCK, from(gate), is_apart(gate) ? 0 : BLOCK, alive, 1,
                         [&](int64_t) { return product(gate); });
    }
  }

  // the cell's step, or the operand of its second product, on one block
  void formula(Part& part, const TileStage& stage, int64_t step, int64_t before, int64_t panel,
               int64_t at, int64_t M) {
    const bool is_operand = cell.first && stage.first == 0;
    StepTile<float, Bfloat16> tile{};
    tile.rows = M;
    tile.unit = panel * BLOCK;
    tile.units = stage.units_of(panel);
    for (int64_t gate = 0; gate < stage.gates; ++gate) {
      tile.uh[stage.first + gate] = part.sums + gate * BLOCK_SIZE;
      tile.wx[stage.first + gate] = wx_at(stage, panel, gate, before + at);
      tile.uh_row[stage.first + gate] = tile.wx_row[stage.first + gate] = BLOCK;
    }
    for (int64_t k = 0; k < cell.states; ++k) tile.state[k] = tile.after[k] = part.state[k] + at;
    tile.saved = call.saved && cell.saved ? part.saved + at : nullptr;
    tile.saved_stride = plan.Hp;
    // the sums of the first product's gates wait for the second one
    const int64_t total_row = cell.first * plan.Hp;
    for (int64_t gate = 0; gate < cell.first; ++gate) {
      float* const total = totals + at * total_row + gate * plan.Hp + tile.unit;
      if (is_operand) {
        for (int64_t m = 0; m < M; ++m) {
          std::memcpy(total + m * total_row, tile.uh[gate] + m * BLOCK, BLOCK * sizeof(float));
        }
      } else {
        tile.uh[gate] = total;
        tile.uh_row[gate] = total_row;
      }
    }
    if (is_operand) {
      tile.after[0] = part.operand + at;
      cell.operand_bf16(tile);
      round_operand(part, tile.unit, at, M);
    } else {
      cell.step_bf16(tile);
      put_out(part, step, tile.unit, tile.units, at, M);
    }
  }

  void round_operand(const Part& part, int64_t unit, int64_t at, int64_t M) {
    for (int64_t r = at; r < at + M; ++r) {
      const __m512i block = narrow(part.operand[r] + unit);
      store_block(operand_low + r * row_h + unit, block);
      if (call.saved) store_block(part.saved[r] + plan.operand_at() + unit, block);
    }
  }

  // the rounded state: the output, and what the next step multiplies
  void put_out(const Part& part, int64_t step, int64_t unit, int64_t units, int64_t at,
               int64_t M) {
    Bfloat16* const next = h[(step + 1) & 1] + unit;
    for (int64_t r = at; r < at + M; ++r) {
      const __m512i block = narrow(part.state[0][r] + unit);
      store_block(next + r * row_h, block);
      store_block(plan.output(r, step) + unit, block, units);
      if (call.saved && cell.states > 1) {
        store_block(part.saved[r] + plan.extra_state_at(1) + unit,
                    narrow(part.state[1][r] + unit));
      }
    }
  }

  // zeros behind the rows' ends, and their own last states
  void finish(const Team& team) const {
    int64_t from, to;
    team.share(call.B, from, to);
    plan.clear_ends(call.output, call.output_t, call.output_b, call.H, team);
    for (int64_t r = from; r < to; ++r) {
      for (int64_t k = 0; k < cell.states; ++k) {
        Bfloat16* const final = static_cast<Bfloat16*>(plan.final(k)) + plan.order[r] * call.H;
        for (int64_t unit = 0; unit < call.H; unit += BLOCK) {
          store_block(final + unit, narrow(states[k] + r * row_state + unit),
                      smaller(BLOCK, call.H - unit));
        }
      }
    }
  }
};

}  // namespace elman::ELMAN_ISA

#endif
