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
  TileStage one, two, out;
  const int64_t threads;
  // room for whole blocks of rows, and the numbers of a row: a line more, that rows do not meet in
  // the cache
  const int64_t rows, row_x, row_h, row_state;
  const int64_t steps, most;  // in a chunk of the inputs' products, and its rows
  Buffer<float> states[MOST_STATES], operand, totals;
  // what is multiplied: of a chunk of steps, of this step and the next one, and between two products
  // of a step, the operand of the second one or what the output layer takes
  Buffer<Bfloat16> x, h[2], between;
  Buffer<float> wx;  // W_ih x + b_ih of a chunk: [panel][gate][row][unit]
  bool failed = false;

  explicit TileForward(const Call& c)
      : call(c),
        cell(*c.cell),
        plan(c),
        one(c, 0, cell.first ? cell.first : cell.gates, c.R, !plan.is_one_step()),
        two(c, cell.first, cell.first ? cell.gates - cell.first : 0, c.H, !plan.is_one_step()),
        out(TileStage::of_output(c, !plan.is_one_step())),
        threads(smaller(team_of(c), one.panels)),
        rows(round_up(c.B, BLOCK)),
        row_x(round_up(c.I, BLOCK) + BLOCK),
        row_h(larger(plan.Hp, plan.Rp) + BLOCK),
        row_state(plan.Hp + TILE),
        steps(larger(1, smaller(c.T, rows_at_once() / larger(1, c.B)))),
        most(round_up(c.B * steps, BLOCK) + BLOCK),
        states{Buffer<float>(c.B * row_state, true),
               Buffer<float>(cell.states > 1 ? c.B * row_state : 0, true)},
        operand(cell.first ? c.B * row_state : 0, true),
        totals(c.B * cell.first * plan.Hp),
        x(most * row_x, true),
        h{Buffer<Bfloat16>(rows * row_h, true), Buffer<Bfloat16>(rows * row_h, true)},
        between(cell.first || c.weight_ho ? rows * row_h : 0, true),
        wx(cell.gates * plan.Hp * most) {}

  int64_t rows_at_once() const {
    const int64_t gates = cell.gates * plan.Hp;
    if (2 * gates * (round_up(call.I, BLOCK) + plan.Rp) <= KEPT_BYTES) return BLOCK;
    return smaller(MOST_ROWS, MOST_BYTES / (4 * gates));
  }

  bool ready() const {
    return plan.ready() && one.ready() && two.ready() && out.ready() && states[0] && states[1] &&
           operand && totals && x && h[0] && h[1] && between && wx;
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
          weights(larger(larger(f.one.room(), f.two.room()), f.out.room())) {
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
    out.pack(team);
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
      const auto through = [&](const TileStage& stage, const Bfloat16* fed) {
        take(part, stage, fed, step, before, alive, team, [&](int64_t panel, int64_t at, int64_t M) {
          if (&stage == &out) {
            output_layer(part, step, panel, at, M);
          } else {
            formula(part, stage, step, before, panel, at, M);
          }
        });
        team.wait();
      };
      through(one, h[step & 1]);
      if (cell.first) through(two, between);
      if (call.weight_ho) through(out, between);
    }
    finish(team);
  }

  // the first state of a row, or after a reset the initial one: this member's columns
  void set_state(int64_t r, int64_t step, const Team& team, bool is_first) {
    const bool reset = step < plan.length[r] && plan.is_reset(r, step);
    if (!reset && !is_first) return;
    for (int64_t k = 0; k < cell.states; ++k) {
      const int64_t width = plan.width(k);
      int64_t from, to;
      team.share(blocks_of(width), from, to);
      from *= BLOCK;
      to = smaller(to * BLOCK, width);
      if (to <= from) continue;
      const Bfloat16* const given =
          reset ? plan.all(plan.initial(k)) : plan.row(plan.first_state(k), r, width);
      // the output that is fed back is not a state of the cell: only products take it
      if (k || !call.weight_ho) widen_row(states[k] + r * row_state + from, given + from, to - from);
      if (k == 0) {
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
        weights += TileStage::gate_stride(stage.x);
      }
    }
  }

  float* wx_at(const TileStage& stage, int64_t panel, int64_t gate, int64_t n) const {
    return wx + ((panel * cell.gates + stage.first + gate) * most + n) * BLOCK;
  }

  // the products of a stage's gates; then(panel, first row, rows) behind each block of them
  template <class F>
  void take(Part& part, const TileStage& stage, const Bfloat16* fed, int64_t step, int64_t before,
            int64_t alive, const Team& team, F then) const {
    int64_t from, to;
    team.share(stage.panels, from, to);
    for (int64_t i = from; i < to; ++i) {
      // every other step goes the other way round, and finds the last weights still in the cache
      const int64_t panel = step & 1 ? to - 1 - (i - from) : i;
      const Bfloat16* const weights = stage.weights_h(panel, part.weights);
      Ahead ahead[MOST_GATES];
      // the panel behind it; behind the last one the next step turns
      const bool is_last = i + 1 == to;
      stage.ahead_h(is_last ? -1 : step & 1 ? panel - 1 : panel + 1, weights, alive, ahead);
      in_blocks(alive, [&](int64_t at, int64_t M) {
        in_shape(M, stage.units_of(panel), [&](auto m, auto n) {
          sums<m(), n()>(part, stage, weights, fed, before, panel, at, M, ahead);
        });
        then(panel, at, M);
      });
    }
  }

  template <int M, int N>
  void sums(Part& part, const TileStage& stage, const Bfloat16* weights, const Bfloat16* fed,
            int64_t before, int64_t panel, int64_t at, int64_t alive, Ahead* ahead) const {
    const auto to = [&](int64_t gate) { return part.sums + gate * BLOCK_SIZE; };
    const auto is_apart = [&](int64_t gate) { return stage.apart >> gate & 1; };
    const auto from = [&](int64_t gate) -> const float* {
      return is_apart(gate) ? stage.bias_h + (panel * stage.gates + gate) * BLOCK
                            : wx_at(stage, panel, gate, before + at);
    };
    const auto product = [&](int64_t gate) {
      return Product{fed + at * row_h, row_h, BLOCK,
                     weights + gate * TileStage::gate_stride(stage.h), stage.h.columns};
    };
    if (alive == 1 && add_side_by_side<N>(stage.gates, to, from, product)) return;
    for (int64_t gate = 0; gate < stage.gates; ++gate) {
      add_products<M, N>(to(gate), BLOCK, from(gate), is_apart(gate) ? 0 : BLOCK, alive, 1,
                         [&](int64_t) { return product(gate); }, ahead[gate]);
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
      hand_on(part, part.operand, plan.operand_at(), tile.unit, at, M);
      return;
    }
    cell.step_bf16(tile);
    if (call.weight_ho) {
      hand_on(part, part.state[0], plan.hidden_at(), tile.unit, at, M);
    } else {
      put_out(step, tile.unit, tile.units, at, M,
              [&](int64_t r) { return narrow(part.state[0][r] + tile.unit); });
    }
    if (call.saved && cell.states > 1) {
      for (int64_t r = at; r < at + M; ++r) {
        store_block(part.saved[r] + plan.extra_state_at(1) + tile.unit,
                    narrow(part.state[1][r] + tile.unit));
      }
    }
  }

  // rounded rows that the second product of a step takes, and where records keep them
  void hand_on(const Part& part, const float* const* from, int64_t saved_at, int64_t unit, int64_t at,
               int64_t M) const {
    for (int64_t r = at; r < at + M; ++r) {
      const __m512i block = narrow(from[r] + unit);
      store_block(between + r * row_h + unit, block);
      if (call.saved) store_block(part.saved[r] + saved_at + unit, block);
    }
  }

  // the output of some rows, block(row) with zeros behind its units, which the next step multiplies
  template <class F>
  ELMAN_INLINE void put_out(int64_t step, int64_t unit, int64_t units, int64_t at, int64_t M,
                            F block) const {
    Bfloat16* const next = h[(step + 1) & 1] + unit;
    for (int64_t r = at; r < at + M; ++r) {
      const __m512i numbers = block(r);
      store_block(next + r * row_h, numbers);
      store_block(plan.output(r, step) + unit, numbers, units);
    }
  }

  // the outputs of the output layer from a block of its sums
  void output_layer(const Part& part, int64_t step, int64_t panel, int64_t at, int64_t M) const {
    const int64_t unit = panel * BLOCK, units = out.units_of(panel);
    const bool keeps = call.saved && call.activation->reads_a;
    put_out(step, unit, units, at, M, [&](int64_t r) {
      float* const sums = part.sums + (r - at) * BLOCK;
      if (keeps) store_block(part.saved[r] + plan.sum_at() + unit, narrow(sums), units);
      call.activation->apply_f32(sums, units);
      return first_of(narrow(sums), units);
    });
  }

  // zeros behind the rows' ends, and their own last states
  void finish(const Team& team) const {
    int64_t from, to;
    team.share(call.B, from, to);
    plan.clear_ends(call.output, call.output_t, call.output_b, call.R, team);
    for (int64_t r = from; r < to; ++r) {
      const int64_t own = plan.length[r];
      const Bfloat16* const last =
          own ? plan.output(r, own - 1) : plan.row(plan.first_state(0), r, call.R);
      Bfloat16* const fed_back = static_cast<Bfloat16*>(plan.final(0)) + plan.order[r] * call.R;
      // a cell's step puts out nothing but the state
      if (fed_back != last) {
        std::memcpy(fed_back, last, static_cast<size_t>(call.R) * sizeof(Bfloat16));
      }
      if (cell.states == 1) continue;
      Bfloat16* const final = static_cast<Bfloat16*>(plan.final(1)) + plan.order[r] * call.H;
      for (int64_t unit = 0; unit < call.H; unit += BLOCK) {
        store_block(final + unit, narrow(states[1] + r * row_state + unit),
                    smaller(BLOCK, call.H - unit));
      }
    }
  }
};

}  // namespace elman::ELMAN_ISA

#endif
