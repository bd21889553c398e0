// The schedule of the backward pass in bfloat16: products in tiles, the states' gradients in float32.
#pragma once

#include "tile_gradients.h"
#include "tile_output.h"

#if defined(ELMAN_BFLOAT16)

namespace elman::ELMAN_ISA {

struct TileBackward {
  // rows whose gate gradients stay in the second cache while W_ih passes
  static constexpr int64_t GROUP = 8 * BLOCK;
  const Call& call;
  const Cell& cell;
  Plan<Bfloat16> plan;
  const int64_t first, rest;  // gates of the first and the second product
  const int64_t panels;  // of hidden units
  const int64_t threads, most, rows;
  const int64_t row;   // numbers of a row in float32: a line more, that rows do not meet in the cache
  const int64_t room;  // rows in a block of gate gradients
  TileColumns back, back_rest, in;
  TileOutputBack out;
  Buffer<Bfloat16> gates;  // [slot][panel][row of the chunk][unit]
  // what has come back to the step that the pass is at; the gradient of a second product's operand, and
  // of what the output layer takes
  Buffer<float> carries[MOST_STATES], doperand, dhidden;
  TileGradients gradients;
  bool failed = false;

  explicit TileBackward(const Call& c)
      : call(c),
        cell(*c.cell),
        plan(c),
        first(cell.first ? cell.first : cell.gates),
        rest(cell.gates - first),
        panels(blocks_of(c.H)),
        threads(smaller(team_of(c), panels)),
        most(plan.largest_chunk()),
        rows(round_up(c.B, BLOCK)),
        row(larger(plan.Hp, plan.Rp) + TILE),
        room(round_up(most, BLOCK) + BLOCK),
        back(hh(), first, c.H, c.R, !plan.is_one_step()),
        back_rest(hh() + first * c.H * c.H, rest, c.H, rest ? c.H : 0, !plan.is_one_step()),
        in(static_cast<const Bfloat16*>(c.weight_ih), cell.gates, c.H, c.dinput ? c.I : 0,
           !plan.is_one_step()),
        out(call, plan, room),
        gates(cell.slots * plan.Hp * room, true),
        carries{Buffer<float>(rows * row, true),
                Buffer<float>(cell.states > 1 ? rows * row : 0, true)},
        doperand(rest ? rows * row : 0, true),
        dhidden(c.weight_ho ? rows * row : 0, true),
        gradients(call, plan, most) {}

  bool ready() const {
    return plan.ready() && back.w && back_rest.w && in.w && out.ready() && gates && carries[0] &&
           carries[1] && doperand && dhidden && gradients.ready();
  }

  int run() {
    if (!ready()) return NO_MEMORY;
    if (plan.bad_length) return BAD_LENGTH;
    in_large_pages(call.dinput, plan.size() * call.I * int64_t(sizeof(Bfloat16)));
    in_team(threads, [this](const Team& team) { work(team); });
    return failed ? NO_MEMORY : DONE;
  }

  const Bfloat16* hh() const { return static_cast<const Bfloat16*>(call.weight_hh); }

  // One member's scratch: gate gradients, [slot][vector][row][lane], states in float32, and the
  // sums of some input gradients. Where a second product follows, the gates of all rows and panels
  // wait for it.
  struct Part {
    Buffer<float> dgates, states, inputs;
    Buffer<Bfloat16> left, weights;
    explicit Part(const TileBackward& b)
        : dgates(b.cell.slots * BLOCK_SIZE * (b.rest ? b.rows / BLOCK * b.panels : 1), true),
          states(2 * MOST_STATES * BLOCK_SIZE, true),
          inputs(GROUP * (b.in.panels * BLOCK + TILE)),
          left(TileGradients::PANELS * blocks_of(b.most) * 2 * TILE_SIZE),
          weights(larger(larger(b.back.room(), b.back_rest.room()),
                         larger(b.out.weights.room(), b.in.room()))) {}
    bool ready() const { return dgates && states && inputs && left && weights; }
  };

  void work(const Team& team) {
    if (plan.goes_back(plan.longest - 1)) back.pack(team);
    back_rest.pack(team);
    in.pack(team);
    out.weights.pack(team);
    Part part(*this);
    if (!part.ready()) failed = true;
    team.wait();
    if (failed) return;
    const TileShapes shapes;
    for (int64_t stop = plan.longest; stop > 0;) {
      const int64_t s = plan.chunk_start(stop);
      for (int64_t step = stop - 1; step >= s; --step) {
        back_through(part, step, plan.offset[step] - plan.offset[s], team);
      }
      gradients.pack(s, stop, team);
      team.wait();
      const int64_t N = plan.offset[stop] - plan.offset[s];
      gradients.add(gates, out.sums, room, N, part.left, stop == plan.longest, s == 0, team);
      if (call.dinput) inputs(part, s, N, team);
      team.wait();
      stop = s;
    }
    finish(team);
    gradients.finish(out.biases, team);
  }

  float* carry(int64_t k, int64_t r) const { return carries[k] + r * row; }
  int64_t units_of(int64_t panel) const { return smaller(BLOCK, call.H - panel * BLOCK); }

  // Each member keeps to its own units of the states and of their gradients.
  void back_through(Part& part, int64_t step, int64_t base, const Team& team) {
    const int64_t alive = plan.alive(step);
    const int64_t known = step + 1 < plan.longest ? plan.alive(step + 1) : 0;
    int64_t from, to;
    team.share(panels, from, to);
    for (int64_t r = known; r < alive; ++r) start(r, team);
    if (call.weight_ho) {
      out.take(carries[0], row, step, base, team);
      team.wait();
      out.multiply(dhidden, row, step, base, from, to, part.weights);
    }
    for (int64_t panel = from; panel < to; ++panel) {
      in_blocks(alive, [&](int64_t at, int64_t M) {
        // the panel behind it comes meanwhile
        if (panel + 1 < to) {
          bring(step, panel + 1, at, M);
        } else if (step > 0) {
          bring(step - 1, from, at, M);
        }
        formula(part, step, base, panel, at, M);
      });
    }
    team.wait();
    if (rest) {
      multiply(part, doperand, back_rest, cell.duh + first, false, step, base, from, to);
      for (int64_t panel = from; panel < to; ++panel) {
        in_blocks(alive, [&](int64_t at, int64_t M) { operand(part, step, base, panel, at, M); });
      }
      team.wait();
    }
    if (plan.goes_back(step)) {
      int64_t first_column, end;
      team.share(back.panels, first_column, end);
      multiply(part, carries[0], back, cell.duh, cell.direct != 0, step, base, first_column, end);
    }
    if (call.resets) cut(step, alive, team);
  }

  // f(k, begin, end) for this member's part of each state's gradient
  template <class F>
  ELMAN_INLINE void in_states(const Team& team, F f) const {
    for (int64_t k = 0; k < cell.states; ++k) {
      int64_t from, to;
      team.share(blocks_of(plan.width(k)), from, to);
      const int64_t begin = from * BLOCK, end = smaller(to * BLOCK, plan.width(k));
      if (end > begin) f(k, begin, end);
    }
  }

  // the gradients of a row's final states
  void start(int64_t r, const Team& team) const {
    in_states(team, [&](int64_t k, int64_t begin, int64_t end) {
      const Bfloat16* given = plan.row(k ? call.dfinal_1 : call.dfinal_0, r, plan.width(k));
      widen_row(carry(k, r) + begin, given + begin, end - begin);
    });
  }

  // What the cell will read of a panel's units, for the rows of a block. Not a function of its own:
  // one that only fetches has no effect, and GCC leaves out its calls.
  ELMAN_INLINE void bring(int64_t step, int64_t panel, int64_t at, int64_t M) const {
    if (!plan.record) return;
    const int64_t unit = panel * BLOCK;
    for (int64_t r = at; r < at + M; ++r) {
      if (call.doutput && !call.weight_ho) fetch<2>(plan.doutput(r, step) + unit, 1);
      if (step > 0 && !call.weight_ho) fetch<2>(plan.output(r, step - 1) + unit, 1);
      for (int64_t field = 0; field + plan.Hp <= plan.record; field += plan.Hp) {
        fetch<2>(plan.saved(r, step) + field + unit, 1);
      }
    }
  }

  float* scratch_of(const Part& part, int64_t panel, int64_t at) const {
    if (!rest) return part.dgates;
    return part.dgates + (panel * (rows / BLOCK) + at / BLOCK) * cell.slots * BLOCK_SIZE;
  }

  // Pointers of one block; of the states, what is in float32 already or made so.
  struct Pointers {
    float *dafter[MOST_STATES][BLOCK], *dgates[BLOCK];
    const float *state[MOST_STATES][BLOCK], *after[MOST_STATES][BLOCK];
    const Bfloat16* saved[BLOCK];
  };

  BackwardTile<float, Bfloat16> tile_of(Pointers& to, Part& part, int64_t step, int64_t panel,
                                        int64_t at, int64_t M) const {
    BackwardTile<float, Bfloat16> tile{};
    const int64_t unit = panel * BLOCK;
    tile.rows = M;
    tile.units = units_of(panel);
    float* const scratch = scratch_of(part, panel, at);
    for (int64_t m = 0; m < M; ++m) {
      const int64_t r = at + m;
      to.saved[m] = plan.record ? plan.saved(r, step) + unit : nullptr;
      to.dgates[m] = scratch + m * TILE;
      for (int64_t k = 0; k < cell.states; ++k) {
        float* const before = part.states + (2 * k * BLOCK + m) * BLOCK;
        float* const after = before + BLOCK_SIZE;
        to.dafter[k][m] = (k || !call.weight_ho ? carry(k, r) : dhidden + r * row) + unit;
        to.state[k][m] = before;
        to.after[k][m] = after;
        if (cell.reads >> k & 1) {
          widen_block(before, plan.state_before(k, r, step) + unit, tile.units);
        }
        if (cell.reads >> (MOST_STATES + k) & 1) {
          widen_block(after, state_after(k, r, step) + unit, tile.units);
        }
      }
    }
    for (int64_t k = 0; k < cell.states; ++k) {
      tile.dafter[k] = tile.dstate[k] = to.dafter[k];
      tile.state[k] = to.state[k];
      tile.after[k] = to.after[k];
    }
    tile.saved = to.saved;
    tile.saved_stride = plan.Hp;
    tile.dgates = to.dgates;
    tile.gate_stride = BLOCK_SIZE;
    tile.unit_stride = BLOCK * TILE;
    return tile;
  }

  const Bfloat16* state_after(int64_t k, int64_t r, int64_t step) const {
    if (k) return plan.saved(r, step) + plan.extra_state_at(k);
    return call.weight_ho ? plan.saved(r, step) + plan.hidden_at() : plan.output(r, step);
  }

  // the cell's gradient on one block
  void formula(Part& part, int64_t step, int64_t base, int64_t panel, int64_t at, int64_t M) {
    Pointers pointers;
    const BackwardTile<float, Bfloat16> tile = tile_of(pointers, part, step, panel, at, M);
    if (call.doutput && !call.weight_ho) {
      for (int64_t m = 0; m < M; ++m) {
        add_block(pointers.dafter[0][m], plan.doutput(at + m, step) + panel * BLOCK, tile.units);
      }
    }
    cell.backward_bf16(tile);
    round_gates(part, base, panel, at, M);
    if (!rest) sum_biases(part, panel, at, M);
  }

  // the gradient of the second product's operand, on one block
  void operand(Part& part, int64_t step, int64_t base, int64_t panel, int64_t at, int64_t M) {
    Pointers pointers;
    BackwardTile<float, Bfloat16> tile = tile_of(pointers, part, step, panel, at, M);
    float* from[BLOCK];
    for (int64_t m = 0; m < M; ++m) from[m] = doperand + (at + m) * row + panel * BLOCK;
    tile.dafter[0] = from;
    cell.operand_backward_bf16(tile);
    round_gates(part, base, panel, at, M);
    sum_biases(part, panel, at, M);
  }

  // gate gradients as the products take them
  void round_gates(const Part& part, int64_t base, int64_t panel, int64_t at, int64_t M) {
    const int64_t units = units_of(panel);
    for (int64_t slot = 0; slot < cell.slots; ++slot) {
      const float* from = scratch_of(part, panel, at) + slot * BLOCK_SIZE;
      Bfloat16* to = gates + ((slot * panels + panel) * room + base + at) * BLOCK;
      for (int64_t m = 0; m < M; ++m) {
        const __m512i block = narrow(load(from + m * TILE), load(from + (BLOCK + m) * TILE));
        store_block(to + m * BLOCK, block, units);
      }
    }
  }

  // their sums, for the biases
  void sum_biases(const Part& part, int64_t panel, int64_t at, int64_t M) {
    for (int64_t slot = 0; slot < cell.slots; ++slot) {
      const float* from = scratch_of(part, panel, at) + slot * BLOCK_SIZE;
      Vec<float> lower{}, upper{};
      for (int64_t m = 0; m < M; ++m) {
        lower += load(from + m * TILE);
        upper += load(from + (BLOCK + m) * TILE);
      }
      float* const sum = gradients.biases + slot * plan.Hp + panel * BLOCK;
      store(sum, load(sum) + lower);
      store(sum + TILE, load(sum + TILE) + upper);
    }
  }

  // rows of `to` (+)= gates times weights, for some panels of columns; what is written behind the rows of
  // a step belongs to rows that begin later
  void multiply(const Part& part, float* to, const TileColumns& weights, const int64_t* slots,
                bool add, int64_t step, int64_t base, int64_t from, int64_t end) const {
    const int64_t alive = plan.alive(step);
    // every other step goes the other way round, and finds the last weights still in the cache
    weights.multiply(to, row, gates + base * BLOCK, room, alive, slots, add, from, end, step & 1,
                     part.weights);
  }

  // a reset before a step: the gradient belongs to the initial state, nothing goes further back
  void cut(int64_t step, int64_t alive, const Team& team) const {
    for (int64_t r = 0; r < alive; ++r) {
      if (!plan.is_reset(r, step)) continue;
      in_states(team, [&](int64_t k, int64_t begin, int64_t end) {
        float* const initial = static_cast<float*>(k ? call.dinitial_1 : call.dinitial_0);
        float* const gone = carry(k, r);
        for (int64_t n = begin; n < end; ++n) {
          if (initial) initial[plan.order[r] * plan.width(k) + n] += gone[n];
          gone[n] = 0;
        }
      });
    }
  }

  // dx = gates' gradients times W_ih, for the N rows of the chunk that begins at step s: each member
  // takes some rows, or some panels where it packs them itself
  void inputs(const Part& part, int64_t s, int64_t N, const Team& team) const {
    int64_t from = 0, to = blocks_of(N), panel = 0, last = in.panels, step = s;
    if (in.keeps) {
      team.share(to, from, to);
    } else {
      team.share(last, panel, last);
    }
    const int64_t end = smaller(to * BLOCK, N), sums_row = in.panels * BLOCK + TILE;
    for (int64_t at = from * BLOCK; at < end; at += GROUP) {
      const int64_t M = smaller(GROUP, end - at);
      in.multiply(part.inputs, sums_row, gates + at * BLOCK, room, M, cell.dwx, false, panel, last,
                  at / GROUP & 1, part.weights);
      for (int64_t i = 0; i < M; ++i) {
        const int64_t n = plan.offset[s] + at + i;
        while (plan.offset[step + 1] <= n) ++step;
        const int64_t r = n - plan.offset[step];
        Bfloat16* const out = plan.dinput(r, step);
        for (int64_t p = panel; p < last; ++p) {
          store_block(out + p * BLOCK, narrow(part.inputs + i * sums_row + p * BLOCK),
                      in.columns_of(p));
        }
      }
    }
  }

  // zeros behind the rows' ends, and the gradients of the first states
  void finish(const Team& team) const {
    int64_t from, to;
    team.share(call.B, from, to);
    plan.clear_ends(call.dinput, call.B * call.I, call.I, call.I, team);
    for (int64_t r = from; r < to; ++r) {
      // a row without a step hands on what came
      if (plan.length[r] == 0) start(r, Team{0, 1});
      for (int64_t k = 0; k < cell.states; ++k) {
        const int64_t width = plan.width(k);
        auto* const first_state = static_cast<Bfloat16*>(k ? call.dstate_1 : call.dstate_0);
        for (int64_t unit = 0; first_state && unit < width; unit += BLOCK) {
          store_block(first_state + plan.order[r] * width + unit, narrow(carry(k, r) + unit),
                      smaller(BLOCK, width - unit));
        }
      }
    }
  }
};

}  // namespace elman::ELMAN_ISA

#endif
