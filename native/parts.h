// The rows of one thread, and the row pointers of the step that it is at.
#pragma once

#include "plan.h"
#include "product.h"
#include "team.h"

namespace elman::ELMAN_ISA {

// The rows and panels of one thread, and the row pointers of the step that it is at.
template <class Real>
struct Part {
  static constexpr int V = LANES<Real>;
  int64_t begin, stride, rows;  // rows begin, begin + stride, … of the plan
  Buffer<const Real*> x, h, state[MOST_STATES];
  Buffer<Real*> after[MOST_STATES], saved, output, operand;
  Buffer<Real> scratch, wx;

  Part(int64_t begin_, int64_t stride_, int64_t B, int64_t steps, int64_t wx_size)
      : begin(begin_),
        stride(stride_),
        rows(larger((B - begin_ + stride_ - 1) / stride_, 0)),
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
  int64_t alive(const Plan<Real>& plan, int64_t s) const {
    const int64_t alive = plan.alive(s) - begin;
    return stride == 1 ? alive : larger((alive + stride - 1) / stride, 0);
  }
  ELMAN_INLINE int64_t row(int64_t i) const { return begin + i * stride; }

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
struct PartBack {
  int64_t begin, stride, rows;
  Buffer<const Real*> doutput, state[MOST_STATES], after[MOST_STATES], saved, output;
  Buffer<Real*> dafter[MOST_STATES], dstate[MOST_STATES], dtotal[MOST_STATES];
  Buffer<Real*> dgates, dsum, dhidden, doperand, sums;
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
        dtotal{Buffer<Real*>(rows), Buffer<Real*>(rows)},
        dgates(rows),
        dsum(rows),
        dhidden(rows),
        doperand(rows),
        sums(rows),
        offsets(rows) {}
  bool ready() const {
    return doutput && state[0] && state[1] && after[0] && after[1] && saved && output && dafter[0] &&
           dafter[1] && dstate[0] && dstate[1] && dtotal[0] && dtotal[1] && dgates && dsum &&
           dhidden && doperand && sums && offsets;
  }
  int64_t alive(const Plan<Real>& plan, int64_t s) const {
    const int64_t alive = plan.alive(s) - begin;
    return stride == 1 ? alive : larger((alive + stride - 1) / stride, 0);
  }
  ELMAN_INLINE int64_t row(int64_t i) const { return begin + i * stride; }
};

}  // namespace elman::ELMAN_ISA
