// The gradients of the input and of what is fed back as one product.
#pragma once

#include "gradients.h"
#include "parts.h"

namespace elman::ELMAN_ISA {

// Their weights side by side: for cells each of whose gates has one gradient for both, where the
// columns of both together fill fewer vectors.
template <class Real>
struct JoinedGradients {
  // a tile hands its sums out by way of memory
  static constexpr int64_t PRICE = 4;
  const Call& call;
  const Plan<Real>& plan;
  const int64_t columns;  // of both; 0 where they are not joined
  Buffer<Real> weights;

  JoinedGradients(const Call& c, const Plan<Real>& p, bool by_columns)
      : call(c),
        plan(p),
        columns(!by_columns && pays(c, p) ? c.R + c.I : 0),
        weights(c.cell->gates * c.H * columns) {}

  static bool pays(const Call& c, const Plan<Real>& p) {
    const Cell& cell = *c.cell;
    return c.dinput && !c.weight_ho && !cell.first && !cell.direct &&
           alike_gates(cell, cell.gates) == cell.gates &&
           pay_side_by_side<Real>(c.R, c.I, cell.gates * c.H, PRICE, p.records());
  }

  // each member of the team brings its own rows
  void bring_weights(const Team& team) const {
    int64_t from, to;
    team.share(call.cell->gates * call.H, from, to);
    for (int64_t k = from; k < to; ++k) {
      Real* const both = weights + k * columns;
      copy_row(both, static_cast<const Real*>(call.weight_hh) + k * call.R, call.R);
      copy_row(both + call.R, static_cast<const Real*>(call.weight_ih) + k * call.I, call.I);
    }
  }

  // where the gradients of a step's inputs go
  void aim(PartBack<Real>& part, int64_t step, int64_t alive) const {
    for (int64_t i = 0; i < alive; ++i) {
      const int64_t r = part.row(i);
      part.dinput[i] = plan.dinput(r, step);
      if (!plan.is_in_order) fetch<1, true>(part.dinput[i], call.I);
    }
  }
};

}  // namespace elman::ELMAN_ISA
