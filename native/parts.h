// What one thread takes of a pass, and the row pointers of the step that it is at.
#pragma once

#include "plan.h"
#include "product.h"
#include "team.h"

namespace elman::ELMAN_ISA {

// The rows of one thread: every stride-th row of the plan from `begin` on, `rows` of them.
template <class Real>
struct RowShare {
  int64_t begin, stride, rows;

  // Where all rows have one length they come in blocks, so that those of a thread lie side by side in
  // memory; else they are dealt out in turn, so that every thread has some of each length.
  static RowShare of(const Plan<Real>& plan, const Team& team) {
    const int64_t B = plan.call.B;
    if (!plan.is_even()) {
      return {team.index, team.size, (B - team.index + team.size - 1) / team.size};
    }
    int64_t from, to;
    team.share(B, from, to);
    return {from, 1, to - from};
  }

  ELMAN_INLINE int64_t row(int64_t i) const { return begin + i * stride; }
  int64_t alive(const Plan<Real>& plan, int64_t s) const {
    const int64_t alive = larger(plan.alive(s) - begin, 0);
    return stride == 1 ? smaller(alive, rows) : (alive + stride - 1) / stride;
  }
  // the records of a step, and those of other threads' rows between them
  Later records(const Plan<Real>& plan, int64_t s) const {
    const int64_t some = alive(plan, s);
    if (some == 0) return {};
    const int64_t span = row(some - 1) - begin + 1;
    return {plan.saved(begin, s), span * plan.record * int64_t(sizeof(Real))};
  }
};

// The rows and panels of one thread, and the row pointers of the step that it is at.
template <class Real>
struct Part : RowShare<Real> {
  static constexpr int V = LANES<Real>;
  using RowShare<Real>::rows;
  using RowShare<Real>::row;
  Buffer<const Real*> x, h, state[MOST_STATES];
  Buffer<Real*> after[MOST_STATES], saved, output, operand;
  Buffer<Real> scratch, wx;

  Part(const RowShare<Real>& share, int64_t steps, int64_t wx_size)
      : RowShare<Real>(share),
        x(rows * steps),
        h(rows),
        state{Buffer<const Real*>(rows), Buffer<const Real*>(rows)},
        after{Buffer<Real*>(rows), Buffer<Real*>(rows)},
        saved(rows),
        output(rows),
        operand(rows),
        // a dense panel's last gates are read with a vector behind them
        scratch((2 * MOST_SUMS + 1) * V),
        wx(rows * steps * wx_size) {}
  bool ready() const {
    return x && h && state[0] && state[1] && after[0] && after[1] && saved && output && operand &&
           scratch && wx;
  }

  // the states before a segment that its output does not hold
  void keep(const Plan<Real>& plan, int64_t segment, int64_t alive, const Team& columns) const {
    for (int64_t i = columns.index; i < alive; i += columns.size) {
      std::memcpy(plan.kept(segment, row(i)), state[1][i],
                  static_cast<size_t>(plan.call.H) * sizeof(Real));
    }
    columns.wait();
  }
};

// Row pointers of one step back.
template <class Real>
struct PartBack : RowShare<Real> {
  using RowShare<Real>::rows;
  Buffer<const Real*> doutput, state[MOST_STATES], after[MOST_STATES], saved, output;
  Buffer<Real*> dafter[MOST_STATES], dstate[MOST_STATES], dtotal[MOST_STATES];
  Buffer<Real*> dgates, dsum, dhidden, doperand, dinput;
  Buffer<int64_t> offsets;

  explicit PartBack(const RowShare<Real>& share)
      : RowShare<Real>(share),
        doutput(rows),
        state{Buffer<const Real*>(rows), Buffer<const Real*>(rows)},
        after{Buffer<const Real*>(rows), Buffer<const Real*>(rows)},
        saved(rows),
        output(rows),
        dafter{Buffer<Real*>(rows), Buffer<Real*>(rows)},
        dstate{Buffer<Real*>(rows), Buffer<Real*>(rows)},
        dtotal{Buffer<Real*>(rows), Buffer<Real*>(rows)},
        dgates(rows),
        dsum(rows),
        dhidden(rows),
        doperand(rows),
        dinput(rows),
        offsets(rows) {}
  bool ready() const {
    return doutput && state[0] && state[1] && after[0] && after[1] && saved && output && dafter[0] &&
           dafter[1] && dstate[0] && dstate[1] && dtotal[0] && dtotal[1] && dgates && dsum &&
           dhidden && doperand && dinput && offsets;
  }
};

}  // namespace elman::ELMAN_ISA
