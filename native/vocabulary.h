// The words of a cell (elman.cells), on vectors. Ranges and largest errors are stated here and held
// by tests/kernels/test_kernels_vocabulary.py over the whole range, infinities and NaN included.
#pragma once

#include <cmath>

#include "simd.h"

namespace elman::ELMAN_ISA {

template <class V>
struct RealOf;
template <>
struct RealOf<Vec<float>> {
  using type = float;
};
template <>
struct RealOf<Vec<double>> {
  using type = double;
};
template <class V>
using Real_t = typename RealOf<V>::type;

namespace words {

// The constants of e^x: 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2.
template <class Real>
struct Exponential;

template <>
struct Exponential<float> {
  using Int = int32_t;
  static constexpr float per_ln2 = 1.44269504088896341f;
  static constexpr float ln2_high = 0.693145751953125f;
  static constexpr float ln2_low = 1.42860682030941723e-6f;
  // x + magic rounds x to an integer n; n + the exponent's bias then stands in the lowest bits
  static constexpr float magic = 12582912.0f + 127;
  static constexpr int mantissa = 23;
  // beyond these e^x is infinite, or rounds to zero
  static constexpr float most = 88.8f, least = -104.0f;
  // within these e^x and 1 / (1 + e^x) are normal numbers
  static constexpr float safe = 87.0f;
  // tanh is 1 to the last bit from here on
  static constexpr float flat = 10.0f;
};

template <>
struct Exponential<double> {
  using Int = int64_t;
  static constexpr double per_ln2 = 1.44269504088896340736;
  static constexpr double ln2_high = 6.93147180369123816490e-01;
  static constexpr double ln2_low = 1.90821492927058770002e-10;
  static constexpr double magic = 6755399441055744.0 + 1023;
  static constexpr int mantissa = 52;
  static constexpr double most = 709.8, least = -746.0;
  static constexpr double safe = 708.0;
  static constexpr double flat = 20.0;
};

// (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2: for float a fit, relative error of e^r - 1 under 2e-8;
// for double the Taylor series, the first term left out under 1e-17
ELMAN_INLINE Vec<float> tail_of_exp(Vec<float> r) {
  Vec<float> p = broadcast(0.00139314472f);
  p = fma(p, r, 0.00836378429f);
  p = fma(p, r, 0.041666504f);
  p = fma(p, r, 0.166665733f);
  return fma(p, r, 0.5f);
}

ELMAN_INLINE Vec<double> tail_of_exp(Vec<double> r) {
  Vec<double> p = broadcast(1.0 / 6227020800.0);
  p = fma(p, r, 1.0 / 479001600.0);
  p = fma(p, r, 1.0 / 39916800.0);
  p = fma(p, r, 1.0 / 3628800.0);
  p = fma(p, r, 1.0 / 362880.0);
  p = fma(p, r, 1.0 / 40320.0);
  p = fma(p, r, 1.0 / 5040.0);
  p = fma(p, r, 1.0 / 720.0);
  p = fma(p, r, 1.0 / 120.0);
  p = fma(p, r, 1.0 / 24.0);
  p = fma(p, r, 1.0 / 6.0);
  return fma(p, r, 0.5);
}

template <class V>
ELMAN_INLINE V minimum(V a, V b) {
  // NaN on either side stays NaN, as in torch
  return ((a < b) | (a != a)) ? a : b;
}

template <class V>
ELMAN_INLINE V maximum(V a, V b) {
  return ((a > b) | (a != a)) ? a : b;
}

// NaN stays NaN
template <class V>
ELMAN_INLINE V within(V x, Real_t<V> least, Real_t<V> most) {
#if defined(__AVX512F__)
  if constexpr (sizeof(Real_t<V>) == 4) {
    const __m512 y = _mm512_maskz_max_ps(0xffff, _mm512_set1_ps(least), (__m512)x);
    return (V)_mm512_maskz_min_ps(0xffff, _mm512_set1_ps(most), y);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(Real_t<V>) == 4) {
    return (V)_mm256_min_ps(_mm256_set1_ps(most), _mm256_max_ps(_mm256_set1_ps(least), (__m256)x));
  }
#endif
  x = x < least ? broadcast(least) : x;
  return x > most ? broadcast(most) : x;
}

// x = n ln 2 + r; returns r, and n + bias in the lowest bits of `n`
template <class V>
ELMAN_INLINE V reduce(V x, Bits<Real_t<V>>& n) {
  using E = Exponential<Real_t<V>>;
  V shifted = fma(x, E::per_ln2, E::magic);
  n = (Bits<Real_t<V>>)shifted;
  V whole = shifted - E::magic;
  V r = fnma(whole, E::ln2_high, x);
  return fnma(whole, E::ln2_low, r);
}

// the same of -x
template <class V>
ELMAN_INLINE V reduce_negative(V x, Bits<Real_t<V>>& n) {
  using E = Exponential<Real_t<V>>;
  V shifted = fma(x, -E::per_ln2, E::magic);
  n = (Bits<Real_t<V>>)shifted;
  V whole = E::magic - shifted;
  V r = fms(whole, E::ln2_high, x);
  return fma(whole, E::ln2_low, r);
}

// 2^n for an n + bias in the lowest bits, within the range of the exponent
template <class V>
ELMAN_INLINE V power_of_two(Bits<Real_t<V>> n) {
  return (V)(n << Exponential<Real_t<V>>::mantissa);
}

template <class V>
ELMAN_INLINE Bits<Real_t<V>> sign_bit() {
  using Int = typename Exponential<Real_t<V>>::Int;
  return Bits<Real_t<V>>{} + (Int(1) << (8 * sizeof(Int) - 1));
}

template <class V>
ELMAN_INLINE V expm1_of_reduced(V r) {
  return fma(r * r, tail_of_exp(r), r);
}

// 1 / y for 1e-38 < y < 1e38
ELMAN_INLINE Vec<float> reciprocal(Vec<float> y) {
#if defined(__AVX512F__)
  Vec<float> guess = (Vec<float>)_mm512_maskz_rcp14_ps(0xffff, (__m512)y);
  return fma(guess, fnma(y, guess, 1.0f), guess);
#else
  return 1.0f / y;
#endif
}

ELMAN_INLINE Vec<double> reciprocal(Vec<double> y) { return 1.0 / y; }

// e^x, over the whole range; at most 2 ulp, and one step of the denormal grid below 1e-38
template <class V>
ELMAN_INLINE V exp(V x) {
  using E = Exponential<Real_t<V>>;
  using B = Bits<Real_t<V>>;
  x = within(x, E::least, E::most);
  B n;
  V r = reduce(x, n);
  // 2^n in two factors, for one alone may leave the exponent's range
  const B biased = (B)broadcast(E::magic);
  const B half = (n - biased) >> 1;
  const V first = power_of_two<V>(biased + half), second = power_of_two<V>(n - half);
  return (1 + expm1_of_reduced(r)) * first * second;
}

// e^r for |r| <= ln 2 / 2: for float a fit, relative error 1e-7
ELMAN_INLINE Vec<float> exp_of_reduced(Vec<float> r) {
  Vec<float> p = broadcast(0.00829023029f);
  p = fma(p, r, 0.0418983959f);
  p = fma(p, r, 0.166676402f);
  p = fma(p, r, 0.499991447f);
  p = fma(p, r, 0.999999702f);
  return fma(p, r, 1.0f);
}

ELMAN_INLINE Vec<double> exp_of_reduced(Vec<double> r) { return 1 + expm1_of_reduced(r); }

// 1 / (1 + e^-x), over the whole range: 4 ulp where it exceeds 2e-38; below it stays there
template <class V>
ELMAN_INLINE V sigmoid(V x) {
  using E = Exponential<Real_t<V>>;
  Bits<Real_t<V>> n;
  V r = reduce_negative(within(x, -E::safe, E::safe), n);
  return reciprocal(fma(power_of_two<V>(n), exp_of_reduced(r), Real_t<V>(1)));
}

// tanh x = (e^2x - 1) / (e^2x + 1), over the whole range: 4 ulp
ELMAN_INLINE Vec<double> tanh(Vec<double> x) {
  using E = Exponential<double>;
  Bits<double> n;
  Vec<double> y = within(x, -E::flat, E::flat);
  Vec<double> r = reduce(y + y, n);
  Vec<double> two_to_n = power_of_two<Vec<double>>(n);
  Vec<double> expm1 = fma(two_to_n, expm1_of_reduced(r), two_to_n - 1);
  // the sign of zero
  using B = Bits<double>;
  return (Vec<double>)((B)(expm1 * reciprocal(expm1 + 2)) | ((B)x & sign_bit<Vec<double>>()));
}

// The same with fewer operations: for x = n ln 2 / 2 + r and t = tanh r it is
// (2^n - 1 + t (2^n + 1)) / (2^n + 1 + t (2^n - 1)); t is a fit, relative error 6e-8
ELMAN_INLINE Vec<float> tanh(Vec<float> x) {
  using E = Exponential<float>;
  x = within(x, -E::flat, E::flat);
  const Vec<float> shifted = fma(x, 2 * E::per_ln2, E::magic);
  const Vec<float> two_to_n = power_of_two<Vec<float>>((Bits<float>)shifted);
  const Vec<float> r = fnma(shifted - E::magic, 0.34657359028f, x);
  const Vec<float> u = r * r;
  const Vec<float> t = r * fma(u, fms(u, 0.131097913f, 0.333312571f), 1.0f);
  // the difference in this order keeps the sign of zero
  const Vec<float> less = 1 - two_to_n, more = 1 + two_to_n;
  return fms(t, more, less) * reciprocal(fnma(t, less, more));
}

template <class V>
ELMAN_INLINE V relu(V x) {
  // NaN stays NaN, and -0 stays -0
  return x < 0 ? V{} : x;
}

template <class V>
ELMAN_INLINE V abs(V x) {
  return (V)((Bits<Real_t<V>>)x & ~sign_bit<V>());
}

template <class V>
ELMAN_INLINE V zeros_like(V) {
  return V{};
}

template <class C, class V>
ELMAN_INLINE V where(C condition, V a, V b) {
  return condition ? a : b;
}

// The rare words take the platform's scalar routine, lane by lane: its error, its speed.
template <class V, class F>
ELMAN_INLINE V each_lane(V x, F f) {
  for (int lane = 0; lane < LANES<Real_t<V>>; ++lane) x[lane] = f(x[lane]);
  return x;
}
template <class V>
ELMAN_INLINE V log(V x) {
  return each_lane(x, [](auto one) { return std::log(one); });
}
template <class V>
ELMAN_INLINE V log1p(V x) {
  return each_lane(x, [](auto one) { return std::log1p(one); });
}
template <class V>
ELMAN_INLINE V sin(V x) {
  return each_lane(x, [](auto one) { return std::sin(one); });
}
template <class V>
ELMAN_INLINE V cos(V x) {
  return each_lane(x, [](auto one) { return std::cos(one); });
}
template <class V>
ELMAN_INLINE V sqrt(V x) {
  return each_lane(x, [](auto one) { return std::sqrt(one); });
}

}  // namespace words
}  // namespace elman::ELMAN_ISA
