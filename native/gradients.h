// The gradients of weights and biases, from a chunk's gate gradients.
#pragma once

#include "panels.h"
#include "plan.h"

namespace elman::ELMAN_ISA {

template <class Real>
struct WeightGradients {
  static constexpr int V = LANES<Real>;
  const Call& call;
  const Cell& cell;
  const Plan<Real>& plan;
  const Real *dgates, *dsums;  // of the gates, and of the output layer's sum
  Real* right;                 // room for what they are multiplied with
  int64_t most;                // records in the largest chunk
  int64_t first, rest;         // gates of the first and the second product

  void take(int64_t s, int64_t stop, const Team& team) const {
    const int64_t N = plan.offset[stop] - plan.offset[s];
    Real* const right_x = right;
    Real* const right_h = right_x + most * round_up(call.I, V);
    Real* const right_o = right_h + most * round_up(call.R, V);
    Rows x{right_x, 0}, h{right_h, 0};
    const bool as_they_are =
        plan.is_in_order && plan.alive(stop - 1) == call.B && !call.reverse && !call.resets;
    if (as_they_are && call.input_t == call.B * call.input_b && is_near(call.input_b) &&
        has_room(stop, call.input_b, call.I)) {
      x = {plan.input(0, s), call.input_b};
    } else if (call.dweight_ih) {
      pack_right(right_x, call.I, s, stop, team,
                 [&](int64_t r, int64_t step) { return plan.input(r, step); });
    }
    if (as_they_are && call.output_t == call.B * call.output_b && s > 0 && is_near(call.output_b) &&
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
  }

  // The rows of a chunk: as they stand in memory, so many numbers apart, or packed if that is 0. What
  // stands behind the columns of a row is read and comes to nothing.
  struct Rows {
    const Real* at;
    int64_t row;
  };

  // whether a column of rows so far apart comes quickly: with 16 registers tiles are narrow and come
  // back to it often, and rows a power of two apart crowd each other out of the caches
  static bool is_near(int64_t row) {
    return REGISTERS == 32 || row * int64_t(sizeof(Real)) <= 512;
  }

  // whether whole vectors of the rows before step `stop` end before the tensor does
  bool has_room(int64_t stop, int64_t row, int64_t columns) const {
    return (stop * call.B - 1) * row + round_up(columns, V) <= (call.T * call.B - 1) * row + columns;
  }

  // rows of the chunk in panels of columns: [panel][n][vector]
  template <class Row>
  void pack_right(Real* to, int64_t columns, int64_t s, int64_t stop, const Team& team,
                  Row row) const {
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
        tile.gates = from + slots[gate] * plan.vectors * most * V + unit / V * most * V + unit % V;
        tile.to = to + (gate * units + unit) * columns + v * V;
        tile.rows = units - unit;
        if (P == 1) weight_tile<M, 1, Real>(tile);
        if (P == 2) weight_tile<M, 2, Real>(tile);
        if (P == 3) weight_tile<M, 3, Real>(tile);
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
      const Real* panel = from + slots[gate] * plan.vectors * most * V + v * most * V;
      Vec<Real> sum{};
      for (int64_t n = 0; n < N; ++n) sum += load(panel + n * V);
      const int64_t here = smaller(V, units - v * V);
      Real* const at = to + gate * units + v * V;
      store(at, load(at, here) + sum, here);
    }
  }
};

}  // namespace elman::ELMAN_ISA
