// Vectors of the machine, one size per instruction set. The same source is compiled once for each;
// the build names the namespace (ELMAN_ISA) and the width (ELMAN_VECTOR_BYTES).
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "call.h"

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define ELMAN_INLINE inline __attribute__((always_inline))

namespace elman::ELMAN_ISA {

constexpr int VECTOR_BYTES = ELMAN_VECTOR_BYTES;
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int REGISTERS = 32;
#else
constexpr int REGISTERS = 16;
#endif

template <class Real>
struct Simd;

template <>
struct Simd<float> {
  typedef float Vec __attribute__((vector_size(VECTOR_BYTES)));
  typedef float Loose __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
  typedef int32_t Bits __attribute__((vector_size(VECTOR_BYTES)));
};

template <>
struct Simd<double> {
  typedef double Vec __attribute__((vector_size(VECTOR_BYTES)));
  typedef double Loose __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
  typedef int64_t Bits __attribute__((vector_size(VECTOR_BYTES)));
};

template <class Real>
using Vec = typename Simd<Real>::Vec;
template <class Real>
using Bits = typename Simd<Real>::Bits;

// numbers in a vector
template <class Real>
constexpr int LANES = VECTOR_BYTES / static_cast<int>(sizeof(Real));

template <class Real>
ELMAN_INLINE Vec<Real> load(const Real* from) {
  return *reinterpret_cast<const typename Simd<Real>::Loose*>(from);
}

template <class Real>
ELMAN_INLINE void store(Real* to, Vec<Real> v) {
  *reinterpret_cast<typename Simd<Real>::Loose*>(to) = v;
}

template <class Real>
ELMAN_INLINE Vec<Real> broadcast(Real one) {
  // a number less zero is that number, whatever its sign
  return one - Vec<Real>{};
}

// a b + c, c - a b, and a b - c, each rounded once where the instruction set can do so, and twice
// elsewhere. A compiler that may join a product with its sum does it in one place and leaves it in
// another, and so the same formula would have other bits there: none may (-ffp-contract=off), and
// what is to be joined is written down.
#if defined(__AVX512F__) || defined(__FMA__)
#if defined(__AVX512F__)
#define ELMAN_JOINED(name, letter, a, b, c) _mm512_##name##_##letter(a, b, c)
using Floats = __m512;
using Doubles = __m512d;
#else
#define ELMAN_JOINED(name, letter, a, b, c) _mm256_##name##_##letter(a, b, c)
using Floats = __m256;
using Doubles = __m256d;
#endif
#define ELMAN_JOIN(function, name)                                                        \
  ELMAN_INLINE Vec<float> function(Vec<float> a, Vec<float> b, Vec<float> c) {            \
    return (Vec<float>)ELMAN_JOINED(name, ps, (Floats)a, (Floats)b, (Floats)c);           \
  }                                                                                       \
  ELMAN_INLINE Vec<double> function(Vec<double> a, Vec<double> b, Vec<double> c) {        \
    return (Vec<double>)ELMAN_JOINED(name, pd, (Doubles)a, (Doubles)b, (Doubles)c);       \
  }
ELMAN_JOIN(fma, fmadd)
ELMAN_JOIN(fnma, fnmadd)
ELMAN_JOIN(fms, fmsub)
#undef ELMAN_JOIN
#undef ELMAN_JOINED
#else
#if defined(__aarch64__)
ELMAN_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return (Vec<float>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
ELMAN_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return (Vec<double>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
#else
ELMAN_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return a * b + c; }
ELMAN_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return a * b + c; }
#endif
// a change of sign rounds nothing
template <class V>
ELMAN_INLINE V fnma(V a, V b, V c) {
  return fma(-a, b, c);
}
template <class V>
ELMAN_INLINE V fms(V a, V b, V c) {
  return fma(a, b, -c);
}
#endif

// The same of vectors and numbers.
template <class V, class One>
ELMAN_INLINE V as(One one) {
  if constexpr (std::is_arithmetic_v<One>) {
    return broadcast(one);
  } else {
    return one;
  }
}
#define ELMAN_OF_BOTH(function)                                        \
  template <class A, class B, class C>                                 \
  ELMAN_INLINE auto function(A a, B b, C c) -> decltype(a * b + c) {   \
    using V = decltype(a * b + c);                                     \
    return function(as<V>(a), as<V>(b), as<V>(c));                     \
  }
ELMAN_OF_BOTH(fma)
ELMAN_OF_BOTH(fnma)
ELMAN_OF_BOTH(fms)
#undef ELMAN_OF_BOTH

#if defined(__AVX512BF16__)
#define ELMAN_BFLOAT16 1

// bfloat16 numbers become float32 where they are loaded, and are rounded to the nearest, half to
// even, where they are stored; numbers below 1e-38 become zero.
ELMAN_INLINE __m512i upper_halves(__m256i numbers) {
  return _mm512_maskz_slli_epi32(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, numbers), 16);
}
ELMAN_INLINE Vec<float> load(const Bfloat16* from) {
  return (Vec<float>)upper_halves(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
ELMAN_INLINE void store(Bfloat16* to, Vec<float> v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh((__m512)v));
}
#endif

// The first n numbers, zeros behind them; n is 0 up to LANES.
template <class Real>
ELMAN_INLINE Vec<Real> load(const Real* from, int64_t n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(Real) == 4) {
    return (Vec<Real>)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), from);
  } else {
    return (Vec<Real>)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), from);
  }
#else
  if (n == LANES<Real>) return load(from);
  Vec<Real> v{};
  std::memcpy(&v, from, static_cast<size_t>(n) * sizeof(Real));
  return v;
#endif
}

template <class Real>
ELMAN_INLINE void store(Real* to, Vec<Real> v, int64_t n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(Real) == 4) {
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << n) - 1), (__m512)v);
  } else {
    _mm512_mask_storeu_pd(to, static_cast<__mmask8>((1u << n) - 1), (__m512d)v);
  }
#else
  if (n == LANES<Real>) {
    store(to, v);
  } else {
    std::memcpy(to, &v, static_cast<size_t>(n) * sizeof(Real));
  }
#endif
}

// Whether all lanes of a comparison are true.
template <class Truth>
ELMAN_INLINE bool all(Truth truth) {
#if defined(__AVX512DQ__)
  if constexpr (sizeof(truth[0]) == 4) {
    return _mm512_movepi32_mask((__m512i)truth) == 0xffff;
  } else {
    return _mm512_movepi64_mask((__m512i)truth) == 0xff;
  }
#else
  auto both = truth[0];
  for (size_t i = 1; i < sizeof(truth) / sizeof(both); ++i) both &= truth[i];
  return both != 0;
#endif
}

ELMAN_INLINE int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
ELMAN_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
ELMAN_INLINE int64_t larger(int64_t a, int64_t b) { return a < b ? b : a; }

template <class Real>
inline void copy_row(Real* to, const Real* from, int64_t n) {
  constexpr int64_t V = LANES<Real>;
  for (int64_t k = 0; k < n; k += V) {
    const int64_t here = smaller(V, n - k);
    store(to + k, load(from + k, here), here);
  }
}

}  // namespace elman::ELMAN_ISA
