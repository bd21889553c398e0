// The schedule of the backward pass: back through time in chunks, each chunk's gate gradients turned
// into weight and input gradients while they are hot.
#pragma once

#include <optional>

#include "column_weights.h"
#include "forward.h"
#include "gradients.h"
#include "joined_gradients.h"
#include "panels.h"
#include "parts.h"
#include "state_gradients.h"

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

template <class Real>
struct Backward {
  static constexpr int V = LANES<Real>;

  Call call;
  const int64_t threads;
  const Cell& cell;
  Plan<Real> plan;
  const int64_t first;  // gates of the first product
  const int64_t rest;   // of the second
  bool by_columns;
  const bool advances;  // whether row pointers follow from those of the step behind
  int64_t most;  // records in the largest chunk
  JoinedGradients<Real> joined;
  ColumnWeights<Real> back, back_rest, out, in;
  Buffer<Real> dgates, dsums, dhidden, doperand;
  Buffer<Real> right;
  StateGradients<Real> states;
  // of a checkpointed pass: the records of a segment, and the forward pass that makes them again
  Buffer<Real> records;
  std::optional<Forward<Real>> again;
  bool failed = false;

  explicit Backward(const Call& c)
      : call(c),
        threads(team_of(c)),
        cell(*c.cell),
        plan(call),
        first(cell.first ? cell.first : cell.gates),
        rest(cell.gates - first),
        by_columns(threads > 1 && splits_columns(c)),
        advances(!c.weight_ho && !rest && plan.is_even_paced()),
        most(plan.largest_chunk()),
        joined(call, plan, by_columns),
        back(goes_back(plan.longest - 1) ? first : 0, c.H, joined.columns ? joined.columns : c.R,
             plan.records()),
        back_rest(rest, c.H, rest ? c.H : 0, plan.records()),
        out(c.weight_ho ? 1 : 0, c.R, c.weight_ho ? c.H : 0, plan.records()),
        in(takes_inputs() ? cell.gates : 0, c.H, takes_inputs() ? c.I : 0, plan.records()),
        dgates(cell.slots * plan.Hp * most, true),
        dsums(c.weight_ho ? plan.Rp * most : 0, true),
        dhidden(c.weight_ho ? plan.Hp * c.B : 0, true),
        doperand(rest ? plan.Hp * c.B : 0, true),
        right(WeightGradients<Real>::room(c, most)),
        states(call, plan),
        records(c.checkpointed && plan.ready() ? plan.largest_segment() * plan.record : 0) {
    if (!c.checkpointed || !plan.record || !records) return;
    call.saved = records;
    again.emplace(call);
  }

  bool ready() const {
    return plan.ready() && states.ready() && records && (!again || again->ready()) &&
           joined.weights && back.w && back_rest.w && out.w && in.w && dgates && dsums && dhidden &&
           doperand && right;
  }

  int run() {
    if (!ready()) return NO_MEMORY;
    if (plan.bad_length) return BAD_LENGTH;
    in_large_pages(call.dinput, plan.size() * call.I * int64_t(sizeof(Real)));
    clear_weights();
    if (again) again->pack_biases();
    in_team(threads, [this](const Team& team) { work(team); });
    return failed ? NO_MEMORY : DONE;
  }

  // The biases' sums over the chunks start from zero; the weights' from those of the first chunk, if
  // there is one.
  void clear_weights() const {
    const int64_t rows = cell.gates * call.H;
    clear(call.dbias_ih, rows);
    clear(call.dbias_hh, rows);
    clear(call.dbias_ho, call.R);
    if (plan.longest) return;
    clear(call.dweight_ih, rows * call.I);
    clear(call.dweight_hh, first * call.H * call.R + rest * call.H * call.H);
    clear(call.dweight_ho, call.R * call.H);
  }
  static void clear(void* sum, int64_t n) {
    if (sum) std::memset(sum, 0, static_cast<size_t>(n) * sizeof(Real));
  }

  int64_t slot_stride() const { return plan.vectors * most * V; }
  // whether anybody asks for the product that goes to the state before a step, or to the input with it
  bool goes_back(int64_t step) const { return plan.goes_back(step) || joined.columns; }
  // whether the inputs' gradients have a product of their own
  bool takes_inputs() const { return call.dinput && !joined.columns; }

  void work(const Team& team) {
    const Real* const hh = static_cast<const Real*>(call.weight_hh);
    if (joined.columns) {
      joined.bring_weights(team);
      team.wait();
    }
    back.pack(joined.columns ? joined.weights : hh, team);
    if (rest) back_rest.pack(hh + first * call.H * call.H, team);
    if (call.weight_ho) out.pack(static_cast<const Real*>(call.weight_ho), team);
    if (takes_inputs()) in.pack(static_cast<const Real*>(call.weight_ih), team);
    const Team columns = by_columns ? team : Team{0, 1};
    PartBack<Real> part(RowShare<Real>::of(plan, by_columns ? Team{0, 1} : team));
    if (again) again->pack_weights(team);
    Part<Real> forward = again ? again->part_of(team) : Part<Real>({0, 1, 0}, 0, 0);
    if (!part.ready() || !forward.ready()) failed = true;
    if (states.watched() && !states.keeps()) states.aim(part, columns);
    if (columns.index == 0) states.start(part);
    team.wait();
    if (failed) return;
    const WeightGradients<Real> gradients{call, cell, plan, dgates, dsums, right, most, first, rest};
    bool add = false;
    for (int64_t k = 0; k < plan.segments; ++k) {
      const int64_t begin = plan.bound[k + 1];
      enter(k, forward, team);
      for (int64_t stop = plan.bound[k]; stop > begin;) {
        const int64_t s = plan.chunk_start(stop);
        for (int64_t step = stop - 1; step >= s; --step) {
          back_through(part, step, plan.offset[step] - plan.offset[s], columns);
        }
        team.wait();
        gradients.take(s, stop, add, team);
        add = true;
        if (takes_inputs()) inputs(s, stop, team);
        team.wait();
        stop = s;
      }
    }
    if (columns.index == 0) states.finish(part);
    if (states.watched() && columns.index == 0) states.measure_no_more(part);
    plan.clear_ends(call.dinput, call.B * call.I, call.I, call.I, team);
  }

  // goes to a segment of the steps; a checkpointed pass makes its records again
  void enter(int64_t k, Part<Real>& forward, const Team& team) {
    if (team.index == 0) {
      plan.enter(k);
      if (again) again->plan.enter(k);
    }
    team.wait();
    if (!again) return;
    again->walk(forward, plan.begin, plan.bound[k], team);
    team.wait();
  }

  void point(PartBack<Real>& part, int64_t step, int64_t base, int64_t i) {
    const int64_t r = part.row(i);
    part.doutput[i] = call.doutput ? plan.doutput(r, step) : nullptr;
    part.output[i] = plan.output(r, step);
    part.after[0][i] = part.output[i];
    part.state[0][i] = plan.state_before(0, r, step);
    part.saved[i] = plan.record ? plan.saved(r, step) : nullptr;
    part.dafter[0][i] = part.dstate[0][i] = states.carry(0, r);
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
      part.dafter[1][i] = part.dstate[1][i] = states.carry(1, r);
    }
  }

  // the same from those of the step behind: time changes, and states that a reset or a segment's
  // first step begins with
  void advance(PartBack<Real>& part, int64_t step, int64_t base, int64_t rows) {
    if (rows == 0) return;
    const int64_t output_t = plan.pace(step, call.output_t, call.output_b);
    const int64_t doutput_t = plan.pace(step, call.doutput_t, call.doutput_b);
    // a first step has another state before, below
    const int64_t before = step ? plan.pace(step - 1, call.output_t, call.output_b) : 0;
    const int64_t more = plan.alive(step) * plan.record;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t at = (base + part.row(i)) * V;
      part.offsets[i] = at;
      part.dgates[i] = dgates + at;
      part.output[i] -= output_t;
      part.after[0][i] = part.output[i];
      part.state[0][i] = part.output[i] - before;
    }
    if (call.doutput) {
      for (int64_t i = 0; i < rows; ++i) part.doutput[i] -= doutput_t;
    }
    if (plan.record) {
      for (int64_t i = 0; i < rows; ++i) part.saved[i] -= more;
    }
    if (cell.states > 1) {
      // where the state before lies in memory depends on how many rows its step has
      const int64_t less = step > plan.begin ? plan.alive(step - 1) * plan.record : 0;
      for (int64_t i = 0; i < rows; ++i) {
        part.after[1][i] -= more;
        part.state[1][i] = part.after[1][i] - less;
      }
    }
    if (!plan.is_in_order && !by_columns && step > plan.begin) fetch_rows(part, rows);
    if (step > plan.begin && !call.resets) return;
    for (int64_t i = 0; i < rows; ++i) {
      if (step > plan.begin && !plan.is_reset(part.row(i), step)) continue;
      for (int64_t k = 0; k < cell.states; ++k) {
        part.state[k][i] = plan.state_before(k, part.row(i), step);
      }
    }
  }

  // Rows out of order lie apart, where the processor does not foresee them: a step's are fetched at
  // once.
  ELMAN_INLINE void fetch_rows(const PartBack<Real>& part, int64_t rows) const {
    for (int64_t i = 0; i < rows; ++i) {
      if (call.doutput) fetch(part.doutput[i], call.R);
      fetch(part.state[0][i], call.R);
    }
  }

  // the records that the step before the one before will read: those of the very next step would
  // come too late
  Later records_before(const PartBack<Real>& part, int64_t step) const {
    if (!plan.record || by_columns || step < plan.begin + 2) return {};
    return part.records(plan, step - 2);
  }

  // one step: the cell's gradient, and through the products to the state before, and to the input where
  // both are one product
  void back_through(PartBack<Real>& part, int64_t step, int64_t base, const Team& columns) {
    const int64_t alive = part.alive(plan, step);
    const bool goes_on = advances && step + 1 < plan.bound[plan.segment];
    const int64_t known = goes_on ? part.alive(plan, step + 1) : 0;
    advance(part, step, base, known);
    for (int64_t i = known; i < alive; ++i) point(part, step, base, i);
    if (states.keeps()) states.aim(part, step, alive);
    if (call.weight_ho) {
      if (columns.index == 0) back_out(part, alive);
      columns.wait();
      const int64_t slot = 0;
      multiply({part.dhidden}, dsums, &slot, out, false, part.offsets, alive, columns);
      columns.wait();
    }
    int64_t from, to;
    columns.share(plan.vectors, from, to);
    BackwardTile<Real> tile = backward_tile(from, to);
    const int64_t rows = states.block(alive, columns);
    for (int64_t i = 0; i < alive; i += rows) {
      const int64_t end = smaller(i + rows, alive);
      point(tile, part, i, end);
      if (to > from) backward_of<Real>(cell)(tile);
      columns.wait();
      if (states.watched()) states.measure(part, step, i, end, columns);
    }
    // what goes to the step before is written where others may still measure
    if (states.watched()) columns.wait();
    // W_hh of the first product reaches the fed-back state; the second one's reaches the operand
    if (rest) {
      multiply({part.doperand}, dgates, cell.duh + first, back_rest, false, part.offsets, alive,
               columns);
      columns.wait();
      point(tile, part, 0, alive);
      tile.dafter[0] = part.doperand;
      if (to > from && alive) operand_backward_of<Real>(cell)(tile);
      columns.wait();
    }
    GradientRows<Real> into{part.dstate[0]};
    if (joined.columns) {
      joined.aim(part, step, alive);
      into = {part.dstate[0], part.dinput, call.R};
    }
    if (goes_back(step)) {
      multiply(into, dgates, cell.duh, back, cell.direct != 0, part.offsets, alive, columns, step & 1,
               records_before(part, step));
    }
    columns.wait();
    if (call.gradient_clip > 0) {
      states.clip(part, alive, columns);
      columns.wait();
    }
    if (call.resets) {
      if (columns.index == 0) states.cut(part, step, alive);
      columns.wait();
    }
  }

  // the cell's gradient of the units of vectors `from` to `to`
  BackwardTile<Real> backward_tile(int64_t from, int64_t to) const {
    BackwardTile<Real> tile{};
    tile.unit = from * V;
    tile.units = smaller(to * V, call.H) - tile.unit;
    tile.saved_stride = plan.Hp;
    tile.gate_stride = slot_stride();
    tile.unit_stride = most * V;
    return tile;
  }

  // the rows from `begin` to `end`
  void point(BackwardTile<Real>& tile, const PartBack<Real>& part, int64_t begin,
             int64_t end) const {
    tile.rows = end - begin;
    tile.doutput = call.doutput && !call.weight_ho ? part.doutput + begin : nullptr;
    for (int64_t k = 0; k < cell.states; ++k) {
      tile.dafter[k] = part.dafter[k] + begin;
      tile.dstate[k] = part.dstate[k] + begin;
      Real* const* const total = states.total(part, k);
      tile.dtotal[k] = total ? total + begin : nullptr;
      tile.state[k] = part.state[k] + begin;
      tile.after[k] = part.after[k] + begin;
    }
    tile.saved = part.saved + begin;
    tile.dgates = part.dgates + begin;
  }

  // da = (do + what comes from the step behind) g'(a, o)
  void back_out(PartBack<Real>& part, int64_t alive) {
    for (int64_t i = 0; i < alive; ++i) {
      Real* const carry = part.dstate[0][i];
      if (part.doutput[i]) {
        for (int64_t k = 0; k < call.R; ++k) carry[k] += part.doutput[i][k];
      }
      if (states.watched()) states.copy(part.dtotal[0][i], carry, call.R);
      const Real* a = call.activation->reads_a ? part.saved[i] + plan.sum_at() : part.output[i];
      if constexpr (sizeof(Real) == 4) {
        call.activation->derive_f32(carry, a, part.output[i], call.R);
      } else {
        call.activation->derive_f64(carry, a, part.output[i], call.R);
      }
      for (int64_t k = 0; k < call.R; ++k) part.dsum[i][k / V * most * V + k % V] = carry[k];
    }
  }

  // rows of `into` (+)= gates times weights
  void multiply(const GradientRows<Real>& into, const Real* from, const int64_t* slots,
                const ColumnWeights<Real>& weights, bool add, const int64_t* offsets, int64_t rows,
                const Team& columns, bool backwards = false, const Later& later = {}) const {
    weights.multiply({from, slots, offsets, rows, slot_stride(), most * V}, into, add, columns,
                     backwards, later);
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
        to[rows] = plan.dinput(r, step);
        offsets[rows] = n * V;
        if (!plan.is_in_order) fetch<1, true>(to[rows], call.I);
      }
      multiply({to}, dgates, cell.dwx, in, false, offsets, rows, Team{0, 1});
    }
  }
};

}  // namespace elman::ELMAN_ISA
