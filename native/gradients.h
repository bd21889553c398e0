// The gradients of weights and biases, from a chunk's gate gradients.
#pragma once

#include "plan.h"
#include "weight_tile.h"

namespace elman::ELMAN_ISA {

// how many of a cell's first gates have one gradient for both products
inline int64_t alike_gates(const Cell& cell, int64_t most) {
  int64_t gates = 0;
  while (gates < most && cell.dwx[gates] == cell.duh[gates]) ++gates;
  return gates;
}

// Whether so many columns side by side fill fewer vectors than apart, with so many products for each
// vector that this is more than what it costs to bring a vector there, in products; of a few records
// what is brought is most of the work.
template <class Real>
constexpr bool pay_side_by_side(int64_t one, int64_t other, int64_t products, int64_t price,
                                int64_t records) {
  constexpr int64_t V = LANES<Real>, LEAST = 16;
  const int64_t both = round_up(one + other, V);
  return records >= LEAST && (round_up(one, V) + round_up(other, V) - both) * products >= price * both;
}

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

  // The gradients of the steps s up to stop: added to what is there, or put there.
  void take(int64_t s, int64_t stop, bool add, const Team& team) const {
    const int64_t N = plan.offset[stop] - plan.offset[s];
    const int64_t joined = joined_gates(call, most);
    const Rights on_right = bring(s, stop, joined, team);
    team.wait();
    Real* const dih = static_cast<Real*>(call.dweight_ih);
    Real* const dhh = static_cast<Real*>(call.dweight_hh);
    if (joined) {
      weights({dih, call.I, dhh, call.R}, cell.dwx, joined, on_right.both, N, add, team);
    }
    if (dih) {
      weights({dih + joined * call.H * call.I, call.I}, cell.dwx + joined, cell.gates - joined,
              on_right.x, N, add, team);
    }
    if (dhh) {
      weights({dhh + joined * call.H * call.R, call.R}, cell.duh + joined, first - joined,
              on_right.h, N, add, team);
    }
    if (dhh && rest) {
      weights({dhh + first * call.H * call.R, call.H}, cell.duh + first, rest, on_right.o, N, add,
              team);
    }
    gate_biases(N, team);
    if (call.weight_ho) {
      const int64_t slot = 0;
      if (call.dweight_ho) {
        weights_of({static_cast<Real*>(call.dweight_ho), call.H}, dsums, &slot, 1, call.R,
                   on_right.o, N, add, team);
      }
      if (call.dbias_ho) {
        biases(static_cast<Real*>(call.dbias_ho), nullptr, dsums, &slot, 1, call.R, N, team);
      }
    }
  }

  // sums that go to both biases are taken once
  void gate_biases(int64_t N, const Team& team) const {
    Real* const bih = static_cast<Real*>(call.dbias_ih);
    Real* const bhh = static_cast<Real*>(call.dbias_hh);
    const int64_t alike = bih && bhh ? alike_gates(cell, cell.gates) : 0;
    if (alike) biases(bih, bhh, dgates, cell.dwx, alike, call.H, N, team);
    if (bih) {
      biases(bih + alike * call.H, nullptr, dgates, cell.dwx + alike, cell.gates - alike, call.H, N,
             team);
    }
    if (bhh) {
      biases(bhh + alike * call.H, nullptr, dgates, cell.duh + alike, cell.gates - alike, call.H, N,
             team);
    }
  }

  // The rows of a chunk: so many numbers apart, or packed in panels if that is 0. What stands behind
  // the columns of a row is read and comes to nothing.
  struct Rows {
    const Real* at;
    int64_t row;
  };

  // what the gates' gradients of a chunk are multiplied with: the input, what is fed back, both side
  // by side, and what the operand's or the output layer's weights read
  struct Rights {
    Rows x, h, both, o;
  };

  // the first gates whose products with the input and with what is fed back are one, for chunks of so
  // many records at most
  static int64_t joined_gates(const Call& call, int64_t records) {
    // rows that are copied
    constexpr int64_t PRICE = 16;
    if (!call.dweight_ih || !call.dweight_hh || !comes_quickly(round_up(call.I + call.R, V))) return 0;
    const int64_t first = call.cell->first ? call.cell->first : call.cell->gates;
    const int64_t gates = alike_gates(*call.cell, first);
    return pay_side_by_side<Real>(call.I, call.R, gates * call.H, PRICE, records) ? gates : 0;
  }
  // numbers on the right for so many records
  static int64_t room(const Call& call, int64_t records) {
    const int64_t both = joined_gates(call, records) ? round_up(call.I + call.R, V)
                                            : round_up(call.I, V) + round_up(call.R, V);
    // the last vector of what is fed back reaches into what comes behind joined rows, to no effect
    return records * (both + round_up(call.H, V));
  }

  Rights bring(int64_t s, int64_t stop, int64_t joined, const Team& team) const {
    Rights rights = joined ? side_by_side(s, stop, team) : apart(s, stop, team);
    Real* const right_o =
        right + most * (joined ? rights.both.row : round_up(call.I, V) + round_up(call.R, V));
    rights.o = {right_o, 0};
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
    return rights;
  }

  // the input and what is fed back in one row; products with either alone find it there
  Rights side_by_side(int64_t s, int64_t stop, const Team& team) const {
    const int64_t row = round_up(call.I + call.R, V);
    const auto fetch_record = [&](int64_t r, int64_t step) __attribute__((always_inline)) {
      fetch(plan.input(r, step), call.I);
      fetch(plan.state_before(0, r, step), call.R);
    };
    each_record(s, stop, team, fetch_record, [&](int64_t n, int64_t r, int64_t step) {
      copy_row(right + n * row, plan.input(r, step), call.I);
      copy_row(right + n * row + call.I, plan.state_before(0, r, step), call.R);
    });
    return {{right, row}, {right + call.I, row}, {right, row}, {}};
  }

  // each where it stands, or packed
  Rights apart(int64_t s, int64_t stop, const Team& team) const {
    Real* const right_h = right + most * round_up(call.I, V);
    Rights rights{{right, 0}, {right_h, 0}, {}, {}};
    if (stand_in_a_row(stop, call.input_t, call.input_b) && has_room(stop, call.input_b, call.I)) {
      rights.x = {plan.input(0, s), call.input_b};
    } else if (call.dweight_ih) {
      pack_right(right, call.I, s, stop, team,
                 [&](int64_t r, int64_t step) { return plan.input(r, step); });
    }
    if (s > 0 && plan.alive(s - 1) == plan.alive(stop - 1) &&
        stand_in_a_row(stop, call.output_t, call.output_b) &&
        has_room(stop - 1, call.output_b, call.R)) {
      rights.h = {plan.output(0, s - 1), call.output_b};
    } else if (call.dweight_hh) {
      pack_right(right_h, call.R, s, stop, team,
                 [&](int64_t r, int64_t step) { return plan.state_before(0, r, step); });
    }
    return rights;
  }

  // whether the records before step `stop` stand one behind the other in a sequence whose steps and
  // rows lie so far apart, and come quickly; rows that are one and the same have no distance
  bool stand_in_a_row(int64_t stop, int64_t by_step, int64_t by_row) const {
    if (call.reverse || call.resets || by_row <= 0 || !comes_quickly(by_row)) return false;
    return call.batch_sizes ||
           (plan.is_in_order && plan.alive(stop - 1) == call.B && by_step == call.B * by_row);
  }

  // whether a column of rows so far apart comes quickly: with 16 registers tiles are narrow and come
  // back to it often, and rows a power of two apart crowd each other out of the caches
  static bool comes_quickly(int64_t row) {
    return REGISTERS == 32 || row * int64_t(sizeof(Real)) <= 512;
  }

  // whether whole vectors of the rows before step `stop` end before the tensor does
  bool has_room(int64_t stop, int64_t row, int64_t columns) const {
    return (plan.offset[stop] - 1) * row + round_up(columns, V) <= (plan.size() - 1) * row + columns;
  }

  // rows of the chunk in panels of columns: [panel][n][vector]
  template <class Row>
  void pack_right(Real* to, int64_t columns, int64_t s, int64_t stop, const Team& team,
                  Row row) const {
    const int64_t vectors = (columns + V - 1) / V, N = plan.offset[stop] - plan.offset[s];
    const auto fetch_record = [&](int64_t r, int64_t step) __attribute__((always_inline)) {
      fetch(row(r, step), columns);
    };
    each_record(s, stop, team, fetch_record, [&](int64_t n, int64_t r, int64_t step) {
      const Real* const numbers = row(r, step);
      for (int64_t v = 0; v < vectors; ++v) {
        const int64_t panel = v / WEIGHT_PANEL, P = smaller(WEIGHT_PANEL, vectors - panel * WEIGHT_PANEL);
        store(to + panel * WEIGHT_PANEL * V * N + (n * P + v % WEIGHT_PANEL) * V,
              load(numbers + v * V, smaller(V, columns - v * V)));
      }
    });
  }

  // f(number in the chunk, row, step) for the records of a chunk that are this member's. Where rows
  // are out of order, and the processor does not foresee them, fetch_record(row, step) comes before.
  template <class Fetch, class F>
  ELMAN_INLINE void each_record(int64_t s, int64_t stop, const Team& team, Fetch fetch_record,
                                F f) const {
    constexpr int64_t BEFORE = 8;
    int64_t from, end;
    team.share(plan.offset[stop] - plan.offset[s], from, end);
    int64_t step = s;
    for (int64_t n = from; n < end;) {
      while (plan.offset[step + 1] - plan.offset[s] <= n) ++step;
      const int64_t r = n - (plan.offset[step] - plan.offset[s]);
      const int64_t rows = smaller(plan.alive(step) - r, end - n);
      const int64_t fetched = plan.is_in_order ? 0 : rows;
      for (int64_t i = 0; i < smaller(BEFORE, fetched); ++i) fetch_record(r + i, step);
      for (int64_t i = 0; i < rows; ++i, ++n) {
        if (i + BEFORE < fetched) fetch_record(r + i + BEFORE, step);
        f(n, r + i, step);
      }
    }
  }

  // where products go: a matrix, and the one whose columns follow those of the first
  struct Into {
    Real* to;
    int64_t columns;
    Real* beside = nullptr;
    int64_t beside_columns = 0;
  };

  void weights(const Into& into, const int64_t* slots, int64_t gates, const Rows& on_right,
               int64_t N, bool add, const Team& team) const {
    weights_of(into, dgates, slots, gates, call.H, on_right, N, add, team);
  }

  // dW (gates * units, columns) (+)= gates' gradients times the rows on the right
  void weights_of(const Into& into, const Real* from, const int64_t* slots, int64_t gates,
                  int64_t units, const Rows& on_right, int64_t N, bool add,
                  const Team& team) const {
    constexpr int M = WEIGHT_ROWS<Real>;
    if (N == 1 && !into.beside) {
      return of_one_record(into, from, slots, gates, units, on_right.at, add, team);
    }
    const int64_t vectors = (into.columns + into.beside_columns + V - 1) / V;
    const int64_t pieces = (units + M - 1) / M;
    int64_t begin, end;
    team.share(gates * pieces, begin, end);
    for (int64_t v = 0; v < vectors; v += WEIGHT_PANEL) {
      const int64_t P = smaller(WEIGHT_PANEL, vectors - v);
      WeightTile<Real> tile{};
      tile.right = on_right.at + v * V * (on_right.row ? 1 : N);
      tile.right_row = on_right.row ? on_right.row : P * V;
      tile.N = N;
      tile.to_row = into.columns;
      tile.columns = into.columns - v * V;
      tile.beside_columns = into.beside_columns;
      tile.add = add;
      for (int64_t piece = begin; piece < end; ++piece) {
        const int64_t gate = piece / pieces, unit = piece % pieces * M;
        tile.gates = from + slots[gate] * plan.vectors * most * V + unit / V * most * V + unit % V;
        tile.to = into.to + (gate * units + unit) * into.columns + v * V;
        tile.beside = into.beside + (gate * units + unit) * into.beside_columns;
        tile.rows = units - unit;
        if (P == 1) weight_tile<M, 1, Real>(tile);
        if (P == 2) weight_tile<M, 2, Real>(tile);
        if (P == 3) weight_tile<M, 3, Real>(tile);
      }
    }
  }

  // The same for a single record: no sum waits for the next one, and what is written comes in the order
  // of memory.
  void of_one_record(const Into& into, const Real* from, const int64_t* slots, int64_t gates,
                     int64_t units, const Real* right, bool add, const Team& team) const {
    int64_t begin, end;
    team.share(gates * units, begin, end);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t gate = row / units, unit = row % units;
      const Vec<Real> one = broadcast(
          from[slots[gate] * plan.vectors * most * V + unit / V * most * V + unit % V]);
      Real* const to = into.to + row * into.columns;
      const int64_t whole = into.columns / V * V;
#pragma GCC unroll 4
      for (int64_t k = 0; k < whole; k += V) {
        const Vec<Real> product = fma(one, load(right + k), Vec<Real>{});
        store(to + k, add ? load(to + k) + product : product);
      }
      if (const int64_t rest = into.columns - whole) {
        const Vec<Real> product = fma(one, load(right + whole), Vec<Real>{});
        store(to + whole, add ? load(to + whole, rest) + product : product, rest);
      }
    }
  }

  // sums over the chunk, added to one bias or to two
  void biases(Real* to, Real* also, const Real* from, const int64_t* slots, int64_t gates,
              int64_t units, int64_t N, const Team& team) const {
    constexpr int AT_ONCE = 4;  // hide the latency of an addition
    const int64_t vectors = (units + V - 1) / V;
    int64_t begin, end;
    team.share(gates * vectors, begin, end);
    for (int64_t one = begin; one < end; one += AT_ONCE) {
      const Real* panels[AT_ONCE];
      Vec<Real> sums[AT_ONCE] = {};
      for (int k = 0; k < AT_ONCE; ++k) {
        const int64_t here = smaller(one + k, end - 1);
        panels[k] = from + (slots[here / vectors] * plan.vectors + here % vectors) * most * V;
      }
      for (int64_t n = 0; n < N; ++n) {
#pragma GCC unroll 4
        for (int k = 0; k < AT_ONCE; ++k) sums[k] += load(panels[k] + n * V);
      }
      for (int64_t k = 0; k < smaller(AT_ONCE, end - one); ++k) {
        const int64_t gate = (one + k) / vectors, unit = (one + k) % vectors * V;
        const int64_t here = smaller(V, units - unit), at = gate * units + unit;
        store(to + at, load(to + at, here) + sums[k], here);
        if (also) store(also + at, load(also + at, here) + sums[k], here);
      }
    }
  }
};

}  // namespace elman::ELMAN_ISA
