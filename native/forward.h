// The schedule of the forward pass: the loop over time with its products, for every cell.
#pragma once

#include "output_layer.h"

namespace elman::ELMAN_ISA {

template <class Real>
struct Forward {
  static constexpr int V = LANES<Real>;
  // from so many sequences on, a tile takes the product of the inputs along; below, it is taken for
  // many steps at once
  static constexpr int64_t FUSE_FROM = 8;
  // rows of such a product, and of one with weights that do not stay in the second cache
  static constexpr int64_t CHUNK_ROWS = 48, WIDE_CHUNK_ROWS = 160;

  const Call& call;
  const int64_t threads;
  const Cell& cell;
  Plan<Real> plan;
  // whether the weights of the inputs come from afar, which pays only for the rows of several steps
  const bool wide;
  const bool by_columns;
  // a few steps of not too many rows read their weights as they are, unless a stream takes many such
  const bool packed, fused;
  const int64_t steps;  // in a chunk
  const bool advances;  // whether row pointers follow from those of the step before
  int64_t turn = 0;     // steps that a stream has taken before
  Stage<Real> one, two;
  OutputLayer<Real> out;
  Buffer<Real> states, hidden, operands, totals;
  bool failed = false;

  explicit Forward(const Call& c, bool is_stream = false)
      : call(c),
        threads(team_of(c)),
        cell(*c.cell),
        plan(c),
        wide(REGISTERS == 16 && !is_near<Real>(cell.gates * plan.Hp * c.I)),
        by_columns(threads > 1 && splits_columns(c)),
        packed(is_stream ||
               pays_to_pack<Real>(c.T, own_rows(), cell.gates * c.H * c.I, cell.gates * c.H * c.R)),
        fused(c.T == 1 || (packed ? c.B >= FUSE_FROM && !(wide && 2 * c.B <= WIDE_CHUNK_ROWS)
                                  : own_rows() > FewRows<Real>::MOST)),
        steps(fused ? 1 : larger(1, (wide ? WIDE_CHUNK_ROWS : CHUNK_ROWS) / larger(1, c.B))),
        advances(!c.weight_ho && !cell.first && plan.is_even_paced()),
        one(c, 0, cell.first ? cell.first : cell.gates, c.R, packed),
        two(c, cell.first, cell.first ? cell.gates - cell.first : 0, c.H, packed),
        out(c),
        states(c.saved ? 0 : (cell.states - 1) * plan.Hp * c.B),
        hidden(c.weight_ho && !c.saved ? plan.Hp * c.B : 0),
        operands(cell.first && !c.saved ? plan.Hp * c.B : 0),
        totals(cell.first * plan.Hp * c.B) {}

  // the most that a member takes
  int64_t own_rows() const { return by_columns ? call.B : (call.B + threads - 1) / threads; }

  bool ready() const {
    return plan.ready() && one.ready() && two.ready() && out.ready() && states && hidden &&
           operands && totals;
  }

  int run() {
    if (!ready()) return NO_MEMORY;
    if (plan.bad_length) return BAD_LENGTH;
    in_large_pages(call.saved, plan.records() * plan.record * int64_t(sizeof(Real)));
    if (call.output_b == call.R && (call.batch_sizes || call.output_t == call.B * call.R)) {
      in_large_pages(call.output, plan.size() * call.R * int64_t(sizeof(Real)));
    }
    pack_biases();
    in_team(threads, [this](const Team& team) { work(team); });
    return failed ? NO_MEMORY : DONE;
  }

  void pack_biases() {
    one.pack_biases(call);
    if (cell.first) two.pack_biases(call);
    out.pack_biases();
  }

  void pack_weights(const Team& team) {
    if (packed) one.pack_weights(call, team);
    if (packed && cell.first) two.pack_weights(call, team);
    out.pack_weights(team);
  }

  Part<Real> part_of(const Team& team) const {
    return Part<Real>(RowShare<Real>::of(plan, by_columns ? Team{0, 1} : team), steps,
                      fused ? 0 : cell.gates * plan.Hp);
  }

  void work(const Team& team) {
    pack_weights(team);
    Part<Real> part = part_of(team);
    if (!part.ready()) failed = true;
    team.wait();
    if (!failed) pass(part, team);
  }

  // one member's rows or columns from their first states to their last ones
  void pass(Part<Real>& part, const Team& team) {
    walk(part, 0, plan.longest, team);
    finish(part, by_columns ? team : Team{0, 1});
    plan.clear_ends(call.output, call.output_t, call.output_b, call.R, team);
  }

  // the steps from `begin` up to `end` of one member's rows or columns
  void walk(Part<Real>& part, int64_t begin, int64_t end, const Team& team) {
    const Team columns = by_columns ? team : Team{0, 1};
    const bool keeps = call.kept && !call.saved;
    int64_t later = plan.segments - 1;
    for (int64_t s = begin; s < end; s += steps) {
      const int64_t stop = smaller(s + steps, end);
      if (!fused) inputs(part, s, stop, columns);
      int64_t before = 0;
      for (int64_t step = s; step < stop; ++step) {
        const int64_t alive = part.alive(plan, step);
        if (step == begin || !advances) {
          point(part, step, alive);
        } else {
          advance(part, step, alive);
        }
        if (call.resets) reset(part, step, alive);
        // segment k begins at bound[k + 1]
        if (keeps && step == plan.bound[later]) part.keep(plan, --later, alive, columns);
        take(part, one, part.h, step, before, alive, columns);
        if (cell.first) {
          columns.wait();
          take(part, two, part.operand, step, before, alive, columns);
        }
        columns.wait();
        if (call.weight_ho) {
          out.take(part, plan.sum_at(), alive, columns);
          columns.wait();
        }
        before += alive;
      }
    }
  }

  // row pointers of a step
  void point(Part<Real>& part, int64_t s, int64_t alive) {
    for (int64_t i = 0; i < alive; ++i) {
      const int64_t r = part.row(i);
      if (fused) part.x[i] = plan.input(r, s);
      part.output[i] = plan.output(r, s);
      part.h[i] = s ? plan.output(r, s - 1) : plan.row(plan.first_state(0), r, plan.width(0));
      part.state[0][i] = part.h[i];
      Real* const record = call.saved ? plan.saved(r, s) : nullptr;
      part.saved[i] = record;
      part.after[0][i] = part.output[i];
      if (call.weight_ho) {
        part.after[0][i] = record ? record + plan.hidden_at() : hidden + r * plan.Hp;
      }
      if (cell.first) {
        part.operand[i] = record ? record + plan.operand_at() : operands + r * plan.Hp;
      }
      if (cell.states > 1) {
        Real* const own = states + r * plan.Hp;
        part.after[1][i] = record ? record + plan.extra_state_at(1) : own;
        part.state[1][i] = s == 0 || record ? plan.state_before(1, r, s) : own;
      }
    }
  }

  // the same from those of the step before, where nothing but time changes
  void advance(Part<Real>& part, int64_t step, int64_t alive) {
    const int64_t input_t = plan.pace(step - 1, call.input_t, call.input_b);
    const int64_t output_t = plan.pace(step - 1, call.output_t, call.output_b);
    const int64_t more = call.saved ? plan.alive(step - 1) * plan.record : 0;
    if (fused) {
      for (int64_t i = 0; i < alive; ++i) part.x[i] += input_t;
    }
    for (int64_t i = 0; i < alive; ++i) {
      Real* const before = part.output[i];
      part.h[i] = part.state[0][i] = before;
      part.output[i] = part.after[0][i] = before + output_t;
    }
    if (!plan.is_in_order && !by_columns) fetch_rows(part, alive);
    if (call.saved) {
      for (int64_t i = 0; i < alive; ++i) part.saved[i] += more;
    }
    if (cell.states > 1) {
      for (int64_t i = 0; i < alive; ++i) {
        part.state[1][i] = part.after[1][i];
        part.after[1][i] += more;
      }
    }
  }

  // rows that begin anew
  void reset(Part<Real>& part, int64_t step, int64_t alive) const {
    for (int64_t i = 0; i < alive; ++i) {
      if (!plan.is_reset(part.row(i), step)) continue;
      part.h[i] = plan.all(plan.initial(0));
      for (int64_t k = 0; k < cell.states; ++k) part.state[k][i] = plan.all(plan.initial(k));
    }
  }

  // Rows out of order lie apart, where the processor does not foresee them: a step's are fetched at
  // once.
  ELMAN_INLINE void fetch_rows(const Part<Real>& part, int64_t alive) const {
    for (int64_t i = 0; i < alive; ++i) {
      if (fused) fetch(part.x[i], call.I);
      fetch(part.output[i], call.R);
    }
  }

  // where row n of a chunk stands, of the gates of a stage
  Real* wx_at(const Part<Real>& part, const Stage<Real>& stage, int64_t panel, int64_t n) const {
    const int64_t rows = part.rows * steps;
    return part.wx + (stage.first * plan.Hp + panel * stage.panels.stride(1)) * rows +
           n * stage.panels.vectors_of(panel) * V;
  }

  // W_ih x + b_ih for the steps of a chunk
  void inputs(Part<Real>& part, int64_t s, int64_t stop, const Team& columns) {
    int64_t n = 0;
    for (int64_t step = s; step < stop; ++step) {
      const int64_t alive = part.alive(plan, step);
      for (int64_t i = 0; i < alive; ++i) part.x[n++] = plan.input(part.row(i), step);
    }
    inputs(part, one, n, columns);
    if (cell.first) inputs(part, two, n, columns);
  }

  void inputs(Part<Real>& part, const Stage<Real>& stage, int64_t rows, const Team& columns) {
    int64_t from, to;
    columns.share(stage.panels.count, from, to);
    if (!packed) {
      const auto start = [&](GateTile<Real>& tile, int64_t panel, int64_t at) {
        tile.uh = wx_at(part, stage, panel, at);
      };
      const auto then = [](const GateTile<Real>&, int64_t, int64_t, int64_t) {};
      if (!stage.take_unpacked(call, part.x, nullptr, rows, from, to, start, then)) failed = true;
      return;
    }
    for (int64_t panel = from; panel < to; ++panel) {
      const int64_t P = stage.panels.vectors_of(panel);
      GateTile<Real> tile{};
      tile.start = stage.bias_x + panel * stage.panels.stride(1);
      tile.w_x = stage.w_x + panel * stage.panels.stride(call.I);
      tile.I = call.I;
      tile.ahead_x = ahead_of<Real>(stage.w_x, tile.w_x + stage.panels.stride(call.I),
                                    stage.panels.size(call.I), call.I, P, rows);
      in_tiles(rows, most_rows(static_cast<int>(P)), [&](int64_t at, int64_t M) {
        tile.x = part.x + at;
        tile.uh = wx_at(part, stage, panel, at);
        TILES<Real>.gate[P][M][0](tile);
        tile.ahead_x = tile.ahead_x.behind(tile.I);
      });
    }
  }

  // the products of a stage's gates and the formula behind them
  void take(Part<Real>& part, const Stage<Real>& stage, const Real* const* multiplied,
            int64_t step, int64_t before, int64_t alive, const Team& columns) {
    const Panels<Real>& panels = stage.panels;
    int64_t from, to;
    columns.share(panels.count, from, to);
    if (alive == 0 || from == to) return;
    if (!packed) {
      const auto start = [&](GateTile<Real>& tile, int64_t panel, int64_t at) {
        if (fused) return;
        tile.start = wx_at(part, stage, panel, before + at);
        tile.start_row = stage.panels.vectors_of(panel) * V;
      };
      const auto then = [&](const GateTile<Real>& tile, int64_t panel, int64_t at, int64_t M) {
        formula(part, stage, tile, panel, 0, at, M);
      };
      const Real* const* const x = fused ? part.x.at : nullptr;
      if (!stage.take_unpacked(call, x, multiplied, alive, from, to, start, then)) failed = true;
      return;
    }
    const int64_t K = (fused ? call.I : 0) + stage.K;
    const int64_t many = panels.at_once(alive, panels.vectors_of(from), K, to - from);
    const int64_t whole = panels.rest ? panels.count - 1 : panels.vectors / panels.wide;
    const PanelOrder order(from, to, whole, many, (step + turn) & 1);
    Ahead records =
        records_behind(part, stage, step, alive, panels.vectors_of(from), order.items);
    for (int64_t i = 0; i < order.items; ++i) {
      const int64_t panel = order.panel(i), N = order.count(i), next = order.next(i);
      const int64_t P = panels.vectors_of(panel);
      GateTile<Real> tile{};
      tile.start = stage.bias_x + panel * panels.stride(1);
      tile.start_panel = panels.stride(1);
      tile.w_x = stage.w_x + panel * panels.stride(call.I);
      tile.I = fused ? call.I : 0;
      tile.w_h = stage.w_h + panel * panels.stride(stage.K);
      tile.K = stage.K;
      tile.apart = stage.apart(cell, panel);
      tile.bias_h = stage.bias_h + panel * panels.stride(1);
      tile.uh = part.scratch;
      tile.wx = part.scratch + MOST_SUMS * V;
      tile.ahead_x = ahead_of<Real>(stage.w_x, stage.w_x + next * panels.stride(call.I),
                                    panels.size(call.I), tile.I, P, alive);
      tile.ahead_h = ahead_of<Real>(stage.w_h, stage.w_h + next * panels.stride(stage.K),
                                    panels.size(stage.K), stage.K, P, alive);
      // few rows are one tile of any width
      const int64_t most = alive <= FEW_ROWS ? FEW_ROWS : most_rows(static_cast<int>(P));
      in_tiles(alive, most, [&](int64_t at, int64_t M) {
        tile.x = part.x + at;
        tile.h = multiplied + at;
        if (records.step) {
          tile.ahead_x = records;
          tile.ahead_h = records.behind(tile.I);
          records = tile.ahead_h.behind(tile.K);
        }
        if (!fused) {
          tile.start = wx_at(part, stage, panel, before + at);
          tile.start_panel = panels.stride(1) * part.rows * steps;
          tile.start_row = P * V;
        }
        TILES<Real>.gate[P][M][N / 2](tile);
        for (int64_t n = 0; n < N; ++n) {
          formula(part, stage, tile, panel + n, n * M * P * V, at, M);
        }
        tile.ahead_x = tile.ahead_x.behind(tile.I);
        tile.ahead_h = tile.ahead_h.behind(tile.K);
      });
    }
  }

  // the records that the step behind the next one will write, fetched by the tiles of all items; those
  // of the very next step would come too late
  Ahead records_behind(const Part<Real>& part, const Stage<Real>& stage, int64_t step,
                       int64_t alive, int64_t P, int64_t items) const {
    if (!call.saved || by_columns || alive <= FEW_ROWS) return {};
    if (step + 2 >= plan.bound[plan.segment]) return {};
    const Panels<Real>& panels = stage.panels;
    if (!is_near<Real>(panels.size(call.I)) || !is_near<Real>(panels.size(stage.K))) return {};
    const int64_t fetches = (fused ? call.I : 0) + stage.K;
    const Later records = part.records(plan, step + 2);
    if (records.bytes == 0 || fetches == 0) return {};
    return records.by(tiles_of(alive, P) * items * fetches);
  }

  // the cell's step, or the operand of its second product, on one tile
  void formula(Part<Real>& part, const Stage<Real>& stage, const GateTile<Real>& tile,
               int64_t panel, int64_t skip, int64_t at, int64_t M) {
    const Panels<Real>& panels = stage.panels;
    const int64_t wide = panels.wide_of(panel), P = panels.vectors_of(panel);
    const bool is_operand = cell.first && stage.first == 0;
    StepTile<Real> s{};
    s.rows = M;
    s.unit = panel * panels.wide * V;
    s.units = smaller(wide * V, call.H - s.unit);
    for (int64_t g = 0; g < panels.gates; ++g) {
      s.wx[stage.first + g] = tile.wx + skip + panels.gate_at(panel, g);
      s.uh[stage.first + g] = tile.uh + skip + panels.gate_at(panel, g);
      s.wx_row[stage.first + g] = s.uh_row[stage.first + g] = P * V;
    }
    for (int64_t k = 0; k < cell.states; ++k) {
      s.state[k] = part.state[k] + at;
      s.after[k] = part.after[k] + at;
    }
    s.saved = call.saved && cell.saved ? part.saved + at : nullptr;
    s.saved_stride = plan.Hp;
    if (cell.first) {
      // the sums of the first product's gates wait for the second one
      Real* const total = totals + part.row(at) * cell.first * plan.Hp + s.unit;
      const int64_t total_row = part.stride * cell.first * plan.Hp;
      for (int64_t g = 0; g < cell.first; ++g) {
        if (is_operand) {
          for (int64_t m = 0; m < M; ++m)
            std::memcpy(total + m * total_row + g * plan.Hp, s.uh[g] + m * P * V,
                        static_cast<size_t>(wide * V) * sizeof(Real));
        } else {
          s.uh[g] = total + g * plan.Hp;
          s.uh_row[g] = total_row;
        }
      }
    }
    if (is_operand) {
      s.after[0] = part.operand + at;
      operand_of<Real>(cell)(s);
    } else {
      step_of<Real>(cell)(s);
    }
  }

  // the rows' own last states
  void finish(const Part<Real>& part, const Team& columns) {
    for (int64_t i = columns.index; i < part.rows; i += columns.size) {
      const int64_t r = part.row(i), steps_here = plan.length[r];
      for (int64_t s = 0; s < cell.states; ++s) {
        const int64_t width = plan.width(s);
        const Real* last = steps_here == 0 ? plan.row(plan.first_state(s), r, width)
                           : s == 0        ? plan.output(r, steps_here - 1)
                           : call.saved    ? plan.saved(r, steps_here - 1) + plan.extra_state_at(s)
                                           : states + r * plan.Hp;
        Real* const to = static_cast<Real*>(plan.final(s)) + plan.order[r] * width;
        // a cell's step puts out nothing but the state
        if (to != last) std::memcpy(to, last, static_cast<size_t>(width) * sizeof(Real));
      }
    }
  }
};

}  // namespace elman::ELMAN_ISA
