// What generated code stands on: the interface, vectors, and the words of a cell.
#pragma once

#include "call.h"
#include "vocabulary.h"

// a cell's function with bfloat16 records
#if defined(ELMAN_BFLOAT16)
#define ELMAN_LOW(function) function<float, Bfloat16>
#else
#define ELMAN_LOW(function) nullptr
#endif

namespace elman::ELMAN_ISA {

// a = f(a), n numbers
template <class Real, class Function>
void apply(Real* a, int64_t n) {
  constexpr int V = LANES<Real>;
  for (int64_t k = 0; k < n; k += V) {
    const int64_t here = smaller(V, n - k);
    store(a + k, Function::f(load(a + k, here)), here);
  }
}

// dy = dy f'(a, y), n numbers
template <class Real, class Function>
void derive(Real* dy, const Real* a, const Real* y, int64_t n) {
  constexpr int V = LANES<Real>;
  for (int64_t k = 0; k < n; k += V) {
    const int64_t here = smaller(V, n - k);
    const Vec<Real> slope = Function::derivative(load(a + k, here), load(y + k, here));
    store(dy + k, load(dy + k, here) * slope, here);
  }
}

}  // namespace elman::ELMAN_ISA
