// The schedule of the backward pass: back through time in chunks, each chunk's gate gradients turned
// into weight and input gradients while they are hot.
#pragma once

#include "forward.h"

namespace elman::ELMAN_ISA {

template <class Real>
ELMAN_INLINE auto backward_of(const Cell& cell) {
  if constexpr (sizeof(Real) == 4) {
    return cell.backward_f32;
  } else {
    return cell.backward_f64;
  }
}

template <class Real>
ELMAN_INLINE auto operand_backward_of(const Cell& cell) {
  if constexpr (sizeof(Real) == 4) {
    return cell.operand_backward_f32;
  } else {
    return cell.operand_backward_f64;
  }
}

// A matrix of weights as columns, for products of gate gradients.
template <class Real>
struct ColumnWeights {
  static constexpr int V = LANES<Real>;
  const int64_t groups, units, columns, vectors, panels;
  Buffer<Real> w;

  ColumnWeights(int64_t groups_, int64_t units_, int64_t columns_)
      : groups(groups_),
        units(units_),
        columns(columns_),
        vectors((columns_ + V - 1) / V),
        panels((vectors + COLUMN_PANEL - 1) / COLUMN_PANEL),
        w(groups_ * units_ * vectors * V) {}
  void pack(const Real* matrix, const Team& team) {
    pack_columns<Real>(matrix, groups * units, columns, w, team);
  }
  int64_t wide_of(int64_t panel) const {
    return smaller(COLUMN_PANEL, vectors - panel * COLUMN_PANEL);
  }
  int64_t w_size() const { return groups * units * vectors * V; }
  int64_t stride() const { return groups * units * COLUMN_PANEL * V; }
};

// Row pointers of one step back.
template <class Real>
struct PartBack {
  int64_t begin, stride, rows;
  Buffer<const Real*> doutput, state[MOST_STATES], after[MOST_STATES], saved, output;
  Buffer<Real*> dafter[MOST_STATES], dstate[MOST_STATES], dgates, dsum, dhidden, doperand;
  Buffer<int64_t> offsets;

  PartBack(int64_t begin_, int64_t stride_, int64_t B)
      : begin(begin_),
        stride(stride_),
        rows(larger((B - begin_ + stride_ - 1) / stride_, 0)),
        doutput(rows),
        state{Buffer<const Real*>(rows), Buffer<const Real*>(rows)},
        after{Buffer<const Real*>(rows), Buffer<const Real*>(rows)},
        saved(rows),
        output(rows),
        dafter{Buffer<Real*>(rows), Buffer<Real*>(rows)},
        dstate{Buffer<Real*>(rows), Buffer<Real*>(rows)},
        dgates(rows),
        dsum(rows),
        dhidden(rows),
        doperand(rows),
        offsets(rows) {}
  bool ready() const {
    return doutput && state[0] && state[1] && after[0] && after[1] && saved && output && dafter[0] &&
           dafter[1] && dstate[0] && dstate[1] && dgates && dsum && dhidden && doperand && offsets;
  }
  int64_t alive(const Plan<Real>& plan, int64_t s) const {
    const int64_t alive = plan.alive(s) - begin;
    return stride == 1 ? alive : larger((alive + stride - 1) / stride, 0);
  }
  ELMAN_INLINE int64_t row(int64_t i) const { return begin + i * stride; }
};

template <class Real>
struct Backward {
  static constexpr int V = LANES<Real>;
  // records in a chunk
  static constexpr int64_t CHUNK = 192;
  static constexpr int64_t ALL[MOST_GATES] = {0, 1, 2, 3, 4, 5};

  const Call& call;
  const int64_t threads;
  const Cell& cell;
  Plan<Real> plan;
  const int64_t first;  // gates of the first product
  const int64_t rest;   // of the second
  bool by_columns;
  const bool advances;  // whether row pointers follow from those of the step behind
  int64_t most;  // records in the largest chunk
  ColumnWeights<Real> back, back_rest, out, in;
  Buffer<Real> carry0, carry1, dgates, dsums, dhidden, doperand;
  Buffer<Real> right;
  int64_t right_width;
  bool failed = false;

  explicit Backward(const Call& c)
      : call(c),
        threads(team_of(c)),
        cell(*c.cell),
        plan(c),
        first(cell.first ? cell.first : cell.gates),
        rest(cell.gates - first),
        by_columns(threads > 1 && splits_columns(c)),
        advances(!c.resets && !c.weight_ho && !rest),
        most(largest_chunk()),
        back(first, c.H, c.R),
        back_rest(rest, c.H, rest ? c.H : 0),
        out(c.weight_ho ? 1 : 0, c.R, c.weight_ho ? c.H : 0),
        in(c.dinput ? cell.gates : 0, c.H, c.dinput ? c.I : 0),
        carry0(c.B * plan.Rp, true),
        carry1(cell.states > 1 ? c.B * plan.Hp : 0, true),
        dgates(cell.slots * plan.Hp * most, true),
        dsums(c.weight_ho ? plan.Rp * most : 0, true),
        dhidden(c.weight_ho ? plan.Hp * c.B : 0, true),
        doperand(rest ? plan.Hp * c.B : 0, true),
        right(most * (round_up(c.I, V) + round_up(c.R, V) + plan.Hp)) {}

  bool ready() const {
    return plan.ready() && back.w && back_rest.w && out.w && in.w && carry0 && carry1 && dgates &&
           dsums && dhidden && doperand && right;
  }

  // A chunk ends where it has CHUNK records, whatever the threads.
  int64_t chunk_start(int64_t stop) const {
    int64_t s = stop - 1;
    while (s > 0 && plan.offset[stop] - plan.offset[s - 1] <= CHUNK) --s;
    return s;
  }
  int64_t largest_chunk() const {
    if (!plan.ready()) return 0;
    int64_t most_here = 1;
    for (int64_t stop = plan.longest; stop > 0;) {
      const int64_t s = chunk_start(stop);
      most_here = larger(most_here, plan.offset[stop] - plan.offset[s]);
      stop = s;
    }
    return most_here;
  }

  int run() {
    if (!ready()) return NO_MEMORY;
    if (plan.bad_length) return BAD_LENGTH;
    in_large_pages(call.dinput, call.T * call.B * call.I * int64_t(sizeof(Real)));
    in_team(threads, [this](const Team& team) { work(team); });
    return failed ? NO_MEMORY : DONE;
  }

  int64_t slot_stride() const { return plan.vectors * most * V; }

  void work(const Team& team) {
    const Real* hh = static_cast<const Real*>(call.weight_hh);
    back.pack(hh, team);
    if (rest) back_rest.pack(hh + first * call.H * call.H, team);
    if (call.weight_ho) out.pack(static_cast<const Real*>(call.weight_ho), team);
    if (call.dinput) in.pack(static_cast<const Real*>(call.weight_ih), team);
    const Team columns = by_columns ? team : Team{0, 1};
    PartBack<Real> part(by_columns ? 0 : team.index, by_columns ? 1 : team.size, call.B);
    if (!part.ready()) failed = true;
    if (columns.index == 0) start(part);
    team.wait();
    if (failed) return;
    for (int64_t stop = plan.longest; stop > 0;) {
      const int64_t s = chunk_start(stop);
      for (int64_t step = stop - 1; step >= s; --step) {
        back_through(part, step, plan.offset[step] - plan.offset[s], columns);
      }
      team.wait();
      gradients(s, stop, team);
      stop = s;
    }
    if (columns.index == 0) finish(part);
    no_input_gradient(part, columns);
  }

  // the gradients of the final states
  void start(const PartBack<Real>& part) {
    for (int64_t i = 0; i < part.rows; ++i) {
      const int64_t r = part.row(i);
      copy(carry0 + r * plan.Rp, plan.row(call.dfinal_0, r, call.R), call.R);
      if (cell.states > 1) {
        copy(carry1 + r * plan.Hp, plan.row(call.dfinal_1, r, call.H), call.H);
      }
    }
  }

  static void copy(Real* to, const Real* from, int64_t n) {
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(Real));
  }

  // the gradients of the first states
  void finish(const PartBack<Real>& part) {
    for (int64_t i = 0; i < part.rows; ++i) {
      const int64_t r = part.row(i), b = plan.order[r];
      if (call.dstate_0) {
        copy(static_cast<Real*>(call.dstate_0) + b * call.R, carry0 + r * plan.Rp, call.R);
      }
      if (call.dstate_1) {
        copy(static_cast<Real*>(call.dstate_1) + b * call.H, carry1 + r * plan.Hp, call.H);
      }
    }
  }

  // zeros behind the rows' ends
  void no_input_gradient(const PartBack<Real>& part, const Team& columns) {
    if (!call.dinput) return;
    for (int64_t i = columns.index; i < part.rows; i += columns.size) {
      const int64_t r = part.row(i);
      for (int64_t t = plan.length[r]; t < call.T; ++t) {
        std::memset(static_cast<Real*>(call.dinput) + (t * call.B + plan.order[r]) * call.I, 0,
                    static_cast<size_t>(call.I) * sizeof(Real));
      }
    }
  }

  void point(PartBack<Real>& part, int64_t step, int64_t base, int64_t i) {
    const int64_t r = part.row(i);
    part.doutput[i] = call.doutput ? plan.doutput(r, step) : nullptr;
    part.output[i] = plan.output(r, step);
    part.after[0][i] = part.output[i];
    part.state[0][i] = plan.state_before(0, r, step);
    part.saved[i] = plan.record ? plan.saved(r, step) : nullptr;
    part.dafter[0][i] = part.dstate[0][i] = carry0 + r * plan.Rp;
    part.offsets[i] = (base + r) * V;
    part.dgates[i] = dgates + (base + r) * V;
    if (call.weight_ho) {
      part.dsum[i] = dsums + (base + r) * V;
      part.dhidden[i] = dhidden + r * plan.Hp;
      part.dafter[0][i] = part.dhidden[i];
      part.after[0][i] = part.saved[i] + plan.hidden_at();
    }
    if (rest) part.doperand[i] = doperand + r * plan.Hp;
    if (cell.states > 1) {
      part.state[1][i] = plan.state_before(1, r, step);
      part.after[1][i] = part.saved[i] + plan.extra_state_at(1);
      part.dafter[1][i] = part.dstate[1][i] = carry1 + r * plan.Hp;
    }
  }

  // the same from those of the step behind, where nothing but time changes
  void advance(PartBack<Real>& part, int64_t step, int64_t base, int64_t rows) {
    if (rows == 0) return;
    const int64_t way = call.reverse ? -1 : 1;
    const int64_t output_t = way * call.output_t, doutput_t = way * call.doutput_t;
    const int64_t more = plan.alive(step) * plan.record;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t at = (base + part.row(i)) * V;
      part.offsets[i] = at;
      part.dgates[i] = dgates + at;
      part.output[i] = part.after[0][i] = part.state[0][i];
      part.state[0][i] -= output_t;
    }
    if (call.doutput) {
      for (int64_t i = 0; i < rows; ++i) part.doutput[i] -= doutput_t;
    }
    if (plan.record) {
      for (int64_t i = 0; i < rows; ++i) part.saved[i] -= more;
    }
    if (cell.states > 1) {
      // where the state before lies in memory depends on how many rows its step has
      const int64_t less = step > 0 ? plan.alive(step - 1) * plan.record : 0;
      for (int64_t i = 0; i < rows; ++i) {
        part.after[1][i] = part.state[1][i];
        part.state[1][i] -= less;
      }
    }
    if (step > 0) return;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t k = 0; k < cell.states; ++k) {
        part.state[k][i] = plan.state_before(k, part.row(i), 0);
      }
    }
  }

  // what the step before of these rows will read
  void bring_next(const PartBack<Real>& part, int64_t step, int64_t alive) const {
    const int64_t way = call.reverse ? -1 : 1;
    const int64_t more = plan.alive(step - 1) * plan.record;
    for (int64_t i = 0; i < alive; ++i) {
      if (call.doutput) bring<false>(part.doutput[i] - way * call.doutput_t, call.R);
      if (plan.record) bring<false>(part.saved[i] - more, plan.record);
      if (step > 1) bring<false>(part.output[i] - 2 * way * call.output_t, call.R);
    }
  }

  // one step: the cell's gradient, and through the products to the state before
  void back_through(PartBack<Real>& part, int64_t step, int64_t base, const Team& columns) {
    const int64_t alive = part.alive(plan, step);
    const int64_t known = advances && step + 1 < plan.longest ? part.alive(plan, step + 1) : 0;
    advance(part, step, base, known);
    for (int64_t i = known; i < alive; ++i) point(part, step, base, i);
    if (step > 0 && call.B > 1) bring_next(part, step, alive);
    if (call.weight_ho) {
      if (columns.index == 0) back_out(part, alive);
      columns.wait();
      const int64_t slot = 0;
      multiply(part.dhidden, dsums, &slot, out, false, part.offsets, alive, columns);
      columns.wait();
    }
    int64_t from, to;
    columns.share(plan.vectors, from, to);
    BackwardTile<Real> tile = backward_tile(part, from, to, alive);
    if (to > from && alive) backward_of<Real>(cell)(tile);
    columns.wait();
    // W_hh of the first product reaches the fed-back state; the second one's reaches the operand
    if (rest) {
      multiply(part.doperand, dgates, cell.duh + first, back_rest, false, part.offsets, alive,
               columns);
      columns.wait();
      tile.dafter[0] = part.doperand;
      tile.dstate[0] = part.dstate[0];
      if (to > from && alive) operand_backward_of<Real>(cell)(tile);
      columns.wait();
    }
    multiply(part.dstate[0], dgates, cell.duh, back, cell.direct != 0, part.offsets, alive, columns);
    columns.wait();
    if (call.resets) {
      if (columns.index == 0) cut(part, step, alive);
      columns.wait();
    }
  }

  BackwardTile<Real> backward_tile(const PartBack<Real>& part, int64_t from, int64_t to,
                                   int64_t alive) const {
    BackwardTile<Real> tile{};
    tile.rows = alive;
    tile.unit = from * V;
    tile.units = smaller(to * V, call.H) - tile.unit;
    tile.doutput = call.doutput && !call.weight_ho ? part.doutput.at : nullptr;
    for (int64_t k = 0; k < cell.states; ++k) {
      tile.dafter[k] = part.dafter[k];
      tile.dstate[k] = part.dstate[k];
      tile.state[k] = part.state[k];
      tile.after[k] = part.after[k];
    }
    tile.saved = part.saved;
    tile.saved_stride = plan.Hp;
    tile.dgates = part.dgates;
    tile.gate_stride = slot_stride();
    tile.unit_stride = most * V;
    return tile;
  }

  // da = (do + what comes from the step behind) g'(a, o)
  void back_out(PartBack<Real>& part, int64_t alive) {
    for (int64_t i = 0; i < alive; ++i) {
      Real* const carry = part.dstate[0][i];
      if (part.doutput[i]) {
        for (int64_t k = 0; k < call.R; ++k) carry[k] += part.doutput[i][k];
      }
      const Real* a = call.activation->reads_a ? part.saved[i] + plan.sum_at() : part.output[i];
      if constexpr (sizeof(Real) == 4) {
        call.activation->derive_f32(carry, a, part.output[i], call.R);
      } else {
        call.activation->derive_f64(carry, a, part.output[i], call.R);
      }
      for (int64_t k = 0; k < call.R; ++k) part.dsum[i][k / V * most * V + k % V] = carry[k];
    }
  }

  // rows of `to` (+)= gates times weights
  void multiply(Real* const* to, const Real* from, const int64_t* slots,
                const ColumnWeights<Real>& weights, bool add, const int64_t* offsets, int64_t rows,
                const Team& columns) const {
    int64_t begin, end;
    columns.share(weights.panels, begin, end);
    for (int64_t panel = begin; panel < end;) {
      const int64_t P = weights.wide_of(panel);
      const int64_t many = rows ? panels_at_once(rows, P) : 1;
      const int64_t whole = weights.columns / (COLUMN_PANEL * V);
      const int64_t N = many > 1 && panel + many <= smaller(end, whole) ? many : 1;
      GradientTile<Real> tile{};
      tile.column = panel * COLUMN_PANEL * V;
      tile.columns = weights.columns - tile.column;
      tile.add = add;
      tile.from = from;
      tile.slot_stride = slot_stride();
      tile.panel_stride = most * V;
      tile.units = weights.units;
      tile.slots = slots;
      tile.gates = weights.groups;
      tile.w = weights.w + panel * weights.stride();
      tile.w_panel = weights.stride();
      tile.ahead = ahead_of<Real>(weights.w, tile.w + weights.stride(), weights.w_size(),
                                  weights.groups * weights.units, P, rows);
      in_tiles(rows, most_rows(static_cast<int>(P)), [&](int64_t at, int64_t M) {
        tile.to = to + at;
        tile.offsets = offsets + at;
        TILES<Real>.gradient[P][M][N > 1](tile);
        tile.ahead.at += tile.ahead.step * weights.groups * weights.units;
      });
      panel += N;
    }
  }

  // a reset before a step: the gradient belongs to the initial state, nothing goes further back
  void cut(const PartBack<Real>& part, int64_t step, int64_t alive) {
    for (int64_t i = 0; i < alive; ++i) {
      const int64_t r = part.row(i);
      if (!plan.is_reset(r, step)) continue;
      hand_over(call.dinitial_0, carry0 + r * plan.Rp, plan.order[r], call.R);
      if (cell.states > 1) {
        hand_over(call.dinitial_1, carry1 + r * plan.Hp, plan.order[r], call.H);
      }
    }
  }
  static void hand_over(void* to, Real* carry, int64_t b, int64_t width) {
    Real* const initial = to ? static_cast<Real*>(to) + b * width : nullptr;
    for (int64_t k = 0; k < width; ++k) {
      if (initial) initial[k] += carry[k];
      carry[k] = 0;
    }
  }

  // A chunk's weight, bias and input gradients.
  void gradients(int64_t s, int64_t stop, const Team& team) {
    const int64_t N = plan.offset[stop] - plan.offset[s];
    Real* const right_x = right;
    Real* const right_h = right_x + most * round_up(call.I, V);
    Real* const right_o = right_h + most * round_up(call.R, V);
    Rows x{right_x, 0}, h{right_h, 0};
    const bool as_they_are =
        plan.is_in_order && plan.alive(stop - 1) == call.B && !call.reverse && !call.resets;
    if (as_they_are && call.input_t == call.B * call.input_b && has_room(stop, call.input_b, call.I)) {
      x = {plan.input(0, s), call.input_b};
    } else if (call.dweight_ih) {
      pack_right(right_x, call.I, s, stop, team,
                 [&](int64_t r, int64_t step) { return plan.input(r, step); });
    }
    if (as_they_are && call.output_t == call.B * call.output_b && s > 0 &&
        has_room(stop - 1, call.output_b, call.R)) {
      h = {plan.output(0, s - 1), call.output_b};
    } else if (call.dweight_hh) {
      pack_right(right_h, call.R, s, stop, team,
                 [&](int64_t r, int64_t step) { return plan.state_before(0, r, step); });
    }
    const Rows o{right_o, 0};
    if (rest && call.dweight_hh) {
      pack_right(right_o, call.H, s, stop, team, [&](int64_t r, int64_t step) -> const Real* {
        return plan.saved(r, step) + plan.operand_at();
      });
    }
    if (call.weight_ho && call.dweight_ho) {
      pack_right(right_o, call.H, s, stop, team, [&](int64_t r, int64_t step) -> const Real* {
        return plan.saved(r, step) + plan.hidden_at();
      });
    }
    team.wait();
    Real* const dhh = static_cast<Real*>(call.dweight_hh);
    if (call.dweight_ih) {
      weights(static_cast<Real*>(call.dweight_ih), cell.dwx, cell.gates, x, call.I, N, team);
    }
    if (dhh) weights(dhh, cell.duh, first, h, call.R, N, team);
    if (dhh && rest) {
      weights(dhh + first * call.H * call.H, cell.duh + first, rest, o, call.H, N, team);
    }
    if (call.dbias_ih) {
      biases(static_cast<Real*>(call.dbias_ih), dgates, cell.dwx, cell.gates, call.H, N, team);
    }
    if (call.dbias_hh) {
      biases(static_cast<Real*>(call.dbias_hh), dgates, cell.duh, cell.gates, call.H, N, team);
    }
    if (call.weight_ho) {
      const int64_t slot = 0;
      if (call.dweight_ho) {
        weights_of(static_cast<Real*>(call.dweight_ho), dsums, &slot, 1, call.R, o, call.H, N,
                   team);
      }
      if (call.dbias_ho) {
        biases(static_cast<Real*>(call.dbias_ho), dsums, &slot, 1, call.R, N, team);
      }
    }
    if (call.dinput) inputs(s, stop, team);
    team.wait();
  }

  // The rows of a chunk: as they stand in memory, so many numbers apart, or packed if that is 0. What
  // stands behind the columns of a row is read and comes to nothing.
  struct Rows {
    const Real* at;
    int64_t row;
  };

  // whether whole vectors of the rows before step `stop` end before the tensor does
  bool has_room(int64_t stop, int64_t row, int64_t columns) const {
    return (stop * call.B - 1) * row + round_up(columns, V) <= (call.T * call.B - 1) * row + columns;
  }

  // rows of the chunk in panels of columns: [panel][n][vector]
  template <class Row>
  void pack_right(Real* to, int64_t columns, int64_t s, int64_t stop, const Team& team, Row row) {
    const int64_t vectors = (columns + V - 1) / V, N = plan.offset[stop] - plan.offset[s];
    int64_t from, end;
    team.share(N, from, end);
    int64_t step = s;
    for (int64_t n = from; n < end; ++n) {
      while (plan.offset[step + 1] - plan.offset[s] <= n) ++step;
      const Real* numbers = row(n - (plan.offset[step] - plan.offset[s]), step);
      for (int64_t v = 0; v < vectors; ++v) {
        const int64_t panel = v / WEIGHT_PANEL, P = smaller(WEIGHT_PANEL, vectors - panel * WEIGHT_PANEL);
        store(to + panel * WEIGHT_PANEL * V * N + (n * P + v % WEIGHT_PANEL) * V,
              load(numbers + v * V, smaller(V, columns - v * V)));
      }
    }
  }

  void weights(Real* to, const int64_t* slots, int64_t gates, const Rows& on_right,
               int64_t columns, int64_t N, const Team& team) const {
    weights_of(to, dgates, slots, gates, call.H, on_right, columns, N, team);
  }

  // dW (gates * units, columns) += gates' gradients times the rows on the right
  void weights_of(Real* to, const Real* from, const int64_t* slots, int64_t gates, int64_t units,
                  const Rows& on_right, int64_t columns, int64_t N, const Team& team) const {
    constexpr int M = WEIGHT_ROWS<Real>;
    const int64_t vectors = (columns + V - 1) / V;
    const int64_t pieces = (units + M - 1) / M;
    int64_t begin, end;
    team.share(gates * pieces, begin, end);
    for (int64_t v = 0; v < vectors; v += WEIGHT_PANEL) {
      const int64_t P = smaller(WEIGHT_PANEL, vectors - v);
      WeightTile<Real> tile{};
      tile.right = on_right.at + v * V * (on_right.row ? 1 : N);
      tile.right_row = on_right.row ? on_right.row : P * V;
      tile.N = N;
      tile.to_row = columns;
      tile.columns = columns - v * V;
      for (int64_t piece = begin; piece < end; ++piece) {
        const int64_t gate = piece / pieces, unit = piece % pieces * M;
        tile.gates = from + slots[gate] * slot_stride() + unit / V * most * V + unit % V;
        tile.to = to + (gate * units + unit) * columns + v * V;
        tile.rows = units - unit;
        if (P == 1) weight_tile<M, 1, Real>(tile);
        if (P == 2) weight_tile<M, 2, Real>(tile);
        if constexpr (WEIGHT_PANEL > 2) {
          if (P == 3) weight_tile<M, 3, Real>(tile);
        }
      }
    }
  }

  void biases(Real* to, const Real* from, const int64_t* slots, int64_t gates, int64_t units,
              int64_t N, const Team& team) const {
    const int64_t vectors = (units + V - 1) / V;
    int64_t begin, end;
    team.share(gates * vectors, begin, end);
    for (int64_t one = begin; one < end; ++one) {
      const int64_t gate = one / vectors, v = one % vectors;
      const Real* panel = from + slots[gate] * slot_stride() + v * most * V;
      Vec<Real> sum{};
      for (int64_t n = 0; n < N; ++n) sum += load(panel + n * V);
      const int64_t here = smaller(V, units - v * V);
      Real* const at = to + gate * units + v * V;
      store(at, load(at, here) + sum, here);
    }
  }

  // dx = gates' gradients times W_ih
  void inputs(int64_t s, int64_t stop, const Team& team) {
    constexpr int64_t ROWS = 96;
    const int64_t N = plan.offset[stop] - plan.offset[s];
    int64_t from, end;
    team.share(N, from, end);
    Real* to[ROWS];
    int64_t offsets[ROWS];
    int64_t step = s;
    for (int64_t n = from; n < end;) {
      int64_t rows = 0;
      for (; rows < ROWS && n < end; ++rows, ++n) {
        while (plan.offset[step + 1] - plan.offset[s] <= n) ++step;
        const int64_t r = n - (plan.offset[step] - plan.offset[s]);
        to[rows] = static_cast<Real*>(call.dinput) +
                   (plan.time(r, step) * call.B + plan.order[r]) * call.I;
        offsets[rows] = n * V;
      }
      multiply(to, dgates, cell.dwx, in, false, offsets, rows, Team{0, 1});
    }
  }
};

}  // namespace elman::ELMAN_ISA
