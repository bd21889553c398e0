// Products of bfloat16 numbers in tiles, summed in float32: the processor's own tiles (AMX), or
// vectors that take two numbers at once (AVX512-BF16). One order of summation: every sum runs over k
// from first to last, whatever rows and columns stand beside it.
#pragma once

#include "panels.h"

#if defined(ELMAN_BFLOAT16)

#include <type_traits>

namespace elman::ELMAN_ISA {

// A tile has 16 rows of 64 bytes: 16 sums, or 32 bfloat16 numbers. Sums are taken two tiles by two.
constexpr int64_t TILE = 16, BLOCK = 32;
// numbers in a tile of bfloat16, and in a block of sums
constexpr int64_t TILE_SIZE = TILE * BLOCK, BLOCK_SIZE = BLOCK * BLOCK;

ELMAN_INLINE int64_t blocks_of(int64_t n) { return (n + BLOCK - 1) / BLOCK; }

// A product over n numbers, zeros behind them in their last block: rows on the left, so many numbers
// apart and from one block to the next; on the right one or two tiles for each block.
struct Product {
  const Bfloat16* left;
  int64_t row, next;
  const Bfloat16* right;
  int64_t n;
};

#if defined(__AMX_BF16__)

// Whole tiles for this thread; what another library had set up comes back behind it.
class TileShapes {
 public:
  TileShapes() {
    struct alignas(64) {
      uint8_t palette = 1, start = 0, reserved[14]{};
      uint16_t bytes[16]{};
      uint8_t rows[16]{};
    } whole;
    for (int tile = 0; tile < 8; ++tile) {
      whole.bytes[tile] = 64;
      whole.rows[tile] = TILE;
    }
    _tile_storeconfig(before_);
    // all of the memory is read, more than the compiler is told
    __asm__ volatile("" ::"r"(&whole), "r"(before_) : "memory");
    _tile_loadconfig(&whole);
  }
  TileShapes(const TileShapes&) = delete;
  TileShapes& operator=(const TileShapes&) = delete;
  ~TileShapes() { _tile_loadconfig(before_); }

 private:
  alignas(64) uint8_t before_[64];
};

// M x N tiles of sums stand in tiles 0 to 3, the operands in 4 to 7.
template <int M, int N>
ELMAN_INLINE void add_product(const Product& p) {
  const Bfloat16 *a = p.left, *right = p.right;
  for (int64_t k = 0; k < p.n; k += BLOCK) {
    _tile_loadd(6, right, 64);
    _tile_loadd(4, a, p.row * 2);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (N > 1) {
      _tile_loadd(7, right + TILE_SIZE, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (M > 1) {
      _tile_loadd(5, a + TILE * p.row, p.row * 2);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (N > 1) _tile_dpbf16ps(3, 5, 7);
    }
    a += p.next;
    right += N * TILE_SIZE;
  }
}

// `to` = `from`, or zeros where that is null, + product(0) + product(1) + …: M x N tiles of sums with
// rows so many numbers apart; 0 of `from` where all rows begin with the same.
template <int M, int N, class Products, class Fetches>
ELMAN_INLINE void add_products(float* to, int64_t to_row, const float* from, int64_t from_row,
                               int64_t, int64_t count, Products product, Fetches&) {
  __asm__ volatile("" ::: "memory");
  if (from) {
    _tile_loadd(0, from, from_row * 4);
    if constexpr (N > 1) _tile_loadd(1, from + TILE, from_row * 4);
    if constexpr (M > 1) _tile_loadd(2, from + TILE * from_row, from_row * 4);
    if constexpr (M > 1 && N > 1) _tile_loadd(3, from + TILE * from_row + TILE, from_row * 4);
  } else {
    _tile_zero(0);
    if constexpr (N > 1) _tile_zero(1);
    if constexpr (M > 1) _tile_zero(2);
    if constexpr (M > 1 && N > 1) _tile_zero(3);
  }
  for (int64_t i = 0; i < count; ++i) add_product<M, N>(product(i));
  _tile_stored(0, to, to_row * 4);
  if constexpr (N > 1) _tile_stored(1, to + TILE, to_row * 4);
  if constexpr (M > 1) _tile_stored(2, to + TILE * to_row, to_row * 4);
  if constexpr (M > 1 && N > 1) _tile_stored(3, to + TILE * to_row + TILE, to_row * 4);
  __asm__ volatile("" ::: "memory");
}

// a tile has its sums side by side
template <int N, class To, class From, class Of>
ELMAN_INLINE bool add_side_by_side(int64_t, To, From, Of) {
  return false;
}

#else

// nothing to set up
struct TileShapes {
  TileShapes() {}
};

// R rows of the sums, from row `at` on.
template <int R, int N, class Products, class Fetches>
ELMAN_INLINE void add_to_rows(float* to, int64_t to_row, const float* from, int64_t from_row,
                              int64_t at, int64_t count, Products product, Fetches& ahead) {
  __m512 sums[R][N];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) {
      sums[r][n] = from ? (__m512)load(from + (at + r) * from_row + n * TILE) : __m512{};
    }
  }
  for (int64_t i = 0; i < count; ++i) {
    const Product p = product(i);
    const Bfloat16 *a = p.left + at * p.row, *right = p.right;
    for (int64_t k = 0; k < p.n; k += BLOCK, a += p.next, right += N * TILE_SIZE) {
      const int64_t pairs = smaller(TILE, (p.n - k + 1) / 2);
      for (int64_t pair = 0; pair < pairs; ++pair) {
        if constexpr (R > FEW_ROWS) ahead.fetch();
        __m512bh columns[N];
#pragma GCC unroll 2
        for (int n = 0; n < N; ++n) {
          columns[n] = (__m512bh)_mm512_loadu_si512(right + n * TILE_SIZE + pair * BLOCK);
        }
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          int32_t two;
          std::memcpy(&two, a + r * p.row + 2 * pair, sizeof two);
          const auto both = (__m512bh)_mm512_set1_epi32(two);
#pragma GCC unroll 2
          for (int n = 0; n < N; ++n) sums[r][n] = _mm512_dpbf16_ps(sums[r][n], both, columns[n]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) store(to + (at + r) * to_row + n * TILE, (Vec<float>)sums[r][n]);
  }
}

// to(g) = from(g) + product(g) of one row for each of G products, which have their row on the left and n
// in common: the sums of one alone are too few to hide how long each takes.
template <int G, int N, class To, class From, class Of>
ELMAN_INLINE void add_row_of_each(To to, From from, Of product) {
  __m512 sums[G][N];
  const Bfloat16* right[G];
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g) {
    right[g] = product(g).right;
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) sums[g][n] = (__m512)load(from(g) + n * TILE);
  }
  const Product p = product(0);
  const Bfloat16* a = p.left;
  for (int64_t k = 0, at = 0; k < p.n; k += BLOCK, a += p.next, at += N * TILE_SIZE) {
    const int64_t pairs = smaller(TILE, (p.n - k + 1) / 2);
    for (int64_t pair = 0; pair < pairs; ++pair) {
      int32_t two;
      std::memcpy(&two, a + 2 * pair, sizeof two);
      const auto both = (__m512bh)_mm512_set1_epi32(two);
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
#pragma GCC unroll 2
        for (int n = 0; n < N; ++n) {
          sums[g][n] = _mm512_dpbf16_ps(
              sums[g][n], both,
              (__m512bh)_mm512_loadu_si512(right[g] + at + n * TILE_SIZE + pair * BLOCK));
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g) {
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) store(to(g) + n * TILE, (Vec<float>)sums[g][n]);
  }
}

// The same for so many products; false where they are too many.
template <int N, class To, class From, class Of>
ELMAN_INLINE bool add_side_by_side(int64_t count, To to, From from, Of product) {
  if (count == 2) add_row_of_each<2, N>(to, from, product);
  if (count == 3) add_row_of_each<3, N>(to, from, product);
  if (count == 4) add_row_of_each<4, N>(to, from, product);
  return count >= 2 && count <= 4;
}

// As above; rows behind the last one are left out, to the next 1, 2, 4, 8 or 12.
template <int M, int N, class Products, class Fetches>
ELMAN_INLINE void add_products(float* to, int64_t to_row, const float* from, int64_t from_row,
                               int64_t rows, int64_t count, Products product, Fetches& ahead) {
  for (int64_t at = 0, left; (left = rows - at) > 0; at += left > 8 ? 12 : 8) {
    if (left > 8) {
      add_to_rows<12, N>(to, to_row, from, from_row, at, count, product, ahead);
    } else if (left > 4) {
      add_to_rows<8, N>(to, to_row, from, from_row, at, count, product, ahead);
    } else if (left > 2) {
      add_to_rows<4, N>(to, to_row, from, from_row, at, count, product, ahead);
    } else if (left > 1) {
      add_to_rows<2, N>(to, to_row, from, from_row, at, count, product, ahead);
    } else {
      add_to_rows<1, N>(to, to_row, from, from_row, at, count, product, ahead);
    }
  }
}

#endif

// The same where nothing is fetched ahead.
template <int M, int N, class Products>
ELMAN_INLINE void add_products(float* to, int64_t to_row, const float* from, int64_t from_row,
                               int64_t rows, int64_t count, Products product) {
  struct {
    void fetch() {}
  } nothing;
  add_products<M, N>(to, to_row, from, from_row, rows, count, product, nothing);
}

// How often so many rows pass over the right side of a product.
ELMAN_INLINE int64_t passes_of(int64_t rows) {
  int64_t passes = 3 * (rows / BLOCK);
  for (int64_t left = rows % BLOCK; left > 0; left -= left > 8 ? 12 : 8) ++passes;
  return passes;
}

// What to fetch while so many rows pass over `pairs` pairs of numbers of a right side: as many numbers
// from `next` on, where that is not null. Nothing for a few rows, which wait for their weights alone.
ELMAN_INLINE Ahead ahead_of(const Bfloat16* next, const Bfloat16* here, int64_t numbers, int64_t pairs,
                            int64_t rows) {
  if (!next || rows <= FEW_ROWS) return {reinterpret_cast<const char*>(here), 0};
  const int64_t step = numbers * int64_t(sizeof(Bfloat16)) / (passes_of(rows) * pairs);
  return {reinterpret_cast<const char*>(next), step, step > LINE ? step / 2 : 0};
}

// f(M, N) for a block of so many rows and columns: one tile of each, or two.
template <class F>
ELMAN_INLINE void in_shape(int64_t rows, int64_t columns, F f) {
  using One = std::integral_constant<int, 1>;
  using Two = std::integral_constant<int, 2>;
  if (rows > TILE) {
    columns > TILE ? f(Two(), Two()) : f(Two(), One());
  } else {
    columns > TILE ? f(One(), Two()) : f(One(), One());
  }
}

// f(first row, rows) for blocks of rows
template <class F>
ELMAN_INLINE void in_blocks(int64_t rows, F f) {
  for (int64_t at = 0; at < rows; at += BLOCK) f(at, smaller(BLOCK, rows - at));
}

// The first n bfloat16 numbers of a block, zeros behind them.
ELMAN_INLINE __mmask32 first_bits(int64_t n) { return static_cast<__mmask32>((uint64_t(1) << n) - 1); }
ELMAN_INLINE __m512i load_block(const Bfloat16* from, int64_t n) {
  return _mm512_maskz_loadu_epi16(first_bits(n), from);
}
ELMAN_INLINE __m512i first_of(__m512i block, int64_t n) {
  return _mm512_maskz_mov_epi16(first_bits(n), block);
}
ELMAN_INLINE void store_block(Bfloat16* to, __m512i block) { _mm512_storeu_si512(to, block); }
ELMAN_INLINE void store_block(Bfloat16* to, __m512i block, int64_t n) {
  _mm512_mask_storeu_epi16(to, first_bits(n), block);
}

ELMAN_INLINE __m256i lower(__m512i block) { return __builtin_shufflevector(block, block, 0, 1, 2, 3); }
ELMAN_INLINE __m256i upper(__m512i block) { return __builtin_shufflevector(block, block, 4, 5, 6, 7); }
ELMAN_INLINE Vec<float> lower_of(__m512i block) { return (Vec<float>)upper_halves(lower(block)); }
ELMAN_INLINE Vec<float> upper_of(__m512i block) { return (Vec<float>)upper_halves(upper(block)); }
// a block of float32 numbers, rounded
ELMAN_INLINE __m512i narrow(Vec<float> lower, Vec<float> upper) {
  return (__m512i)_mm512_cvtne2ps_pbh((__m512)upper, (__m512)lower);
}
ELMAN_INLINE __m512i narrow(const float* from) { return narrow(load(from), load(from + TILE)); }

// n numbers of a row, in float32
inline void widen_row(float* to, const Bfloat16* from, int64_t n) {
  for (int64_t k = 0; k < n; k += BLOCK) {
    const int64_t here = smaller(BLOCK, n - k);
    const __m512i block = load_block(from + k, here);
    store(to + k, lower_of(block), smaller(here, TILE));
    if (here > TILE) store(to + k + TILE, upper_of(block), here - TILE);
  }
}

// Two rows of 16 numbers, a pair for each column.
ELMAN_INLINE Vec<float> pairs_of(__m256i even, __m256i odd) {
  return (Vec<float>)(_mm512_maskz_cvtepu16_epi32(0xffff, even) | upper_halves(odd));
}

ELMAN_INLINE void store_pairs(Bfloat16* tile, int64_t row, Vec<float> pairs) {
  store(reinterpret_cast<float*>(tile + row * BLOCK), pairs);
}

// Up to 16 rows of up to 32 numbers as the right side of a product with their transpose.
inline void pack_turned(Bfloat16* tile, const Bfloat16* from, int64_t row, int64_t rows,
                        int64_t columns) {
  Vec<float> pairs[TILE];
#pragma GCC unroll 16
  for (int64_t r = 0; r < TILE; ++r) {
    pairs[r] = r < rows ? (Vec<float>)load_block(from + r * row, columns) : Vec<float>{};
  }
  transpose<float>(pairs);
#pragma GCC unroll 16
  for (int64_t r = 0; r < TILE; ++r) store_pairs(tile, r, pairs[r]);
}

// Up to 32 rows of up to 32 numbers, row(0), row(1), …, as the right side of a product: a tile, and
// a second one where there are more than 16 columns.
template <class Row>
ELMAN_INLINE void pack_right(Bfloat16* tiles, int64_t rows, int64_t columns, Row row) {
  for (int64_t k = 0; k < TILE; ++k) {
    const __m512i none = _mm512_setzero_si512();
    const __m512i even = 2 * k < rows ? load_block(row(2 * k), columns) : none;
    const __m512i odd = 2 * k + 1 < rows ? load_block(row(2 * k + 1), columns) : none;
    store_pairs(tiles, k, pairs_of(lower(even), lower(odd)));
    if (columns > TILE) store_pairs(tiles + TILE_SIZE, k, pairs_of(upper(even), upper(odd)));
  }
}

// Up to 32 rows of 32 numbers, turned, as the left side of a product: a tile of the first 16
// columns, and one of the others.
inline void pack_left(Bfloat16* tiles, int64_t rows, const Bfloat16* from) {
  Vec<float> first[TILE], others[TILE];
#pragma GCC unroll 16
  for (int64_t k = 0; k < TILE; ++k) {
    const __m512i none = _mm512_setzero_si512();
    const __m512i even = 2 * k < rows ? load_block(from + 2 * k * BLOCK, BLOCK) : none;
    const __m512i odd = 2 * k + 1 < rows ? load_block(from + (2 * k + 1) * BLOCK, BLOCK) : none;
    first[k] = pairs_of(lower(even), lower(odd));
    others[k] = pairs_of(upper(even), upper(odd));
  }
  transpose<float>(first);
  transpose<float>(others);
#pragma GCC unroll 16
  for (int64_t k = 0; k < TILE; ++k) {
    store_pairs(tiles, k, first[k]);
    store_pairs(tiles + TILE_SIZE, k, others[k]);
  }
}

}  // namespace elman::ELMAN_ISA

#endif
