// Products of bfloat16 numbers in the processor's own tiles (AMX), summed in float32. One order of
// summation: every sum runs over k from first to last, whatever rows and columns stand beside it.
#pragma once

#include "panels.h"

#if defined(ELMAN_TILES)

#include <type_traits>

namespace elman::ELMAN_ISA {

// A tile has 16 rows of 64 bytes: 16 sums, or 32 bfloat16 numbers. Sums are taken two tiles by two.
constexpr int64_t TILE = 16, BLOCK = 32;
// numbers in a tile of bfloat16, and in a block of sums
constexpr int64_t TILE_SIZE = TILE * BLOCK, BLOCK_SIZE = BLOCK * BLOCK;

ELMAN_INLINE int64_t blocks_of(int64_t n) { return (n + BLOCK - 1) / BLOCK; }

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
ELMAN_INLINE void no_sums() {
  _tile_zero(0);
  if constexpr (N > 1) _tile_zero(1);
  if constexpr (M > 1) _tile_zero(2);
  if constexpr (M > 1 && N > 1) _tile_zero(3);
}

// Rows `row` numbers apart; 0 where all rows begin with the same.
template <int M, int N>
ELMAN_INLINE void load_sums(const float* from, int64_t row) {
  __asm__ volatile("" ::: "memory");
  _tile_loadd(0, from, row * 4);
  if constexpr (N > 1) _tile_loadd(1, from + TILE, row * 4);
  if constexpr (M > 1) _tile_loadd(2, from + TILE * row, row * 4);
  if constexpr (M > 1 && N > 1) _tile_loadd(3, from + TILE * row + TILE, row * 4);
}

template <int M, int N>
ELMAN_INLINE void store_sums(float* to, int64_t row) {
  _tile_stored(0, to, row * 4);
  if constexpr (N > 1) _tile_stored(1, to + TILE, row * 4);
  if constexpr (M > 1) _tile_stored(2, to + TILE * row, row * 4);
  if constexpr (M > 1 && N > 1) _tile_stored(3, to + TILE * row + TILE, row * 4);
  __asm__ volatile("" ::: "memory");
}

// Rows on the left of a product: so many numbers apart, from one block of k to the next, and from one
// tile of rows to the one below.
struct Left {
  const Bfloat16* at;
  int64_t row, next, below;
};
// rows as a matrix has them
ELMAN_INLINE Left rows_of(const Bfloat16* at, int64_t row) {
  return {at, row, BLOCK, TILE * row};
}

// The sums += left times right, over `blocks` blocks of k; on the right N tiles for each block.
template <int M, int N>
ELMAN_INLINE void add_product(Left left, const Bfloat16* right, int64_t blocks) {
  __asm__ volatile("" ::: "memory");
  const Bfloat16* a = left.at;
  for (int64_t k = 0; k < blocks; ++k) {
    _tile_loadd(6, right, 64);
    _tile_loadd(4, a, left.row * 2);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (N > 1) {
      _tile_loadd(7, right + TILE_SIZE, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (M > 1) {
      _tile_loadd(5, a + left.below, left.row * 2);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (N > 1) _tile_dpbf16ps(3, 5, 7);
    }
    a += left.next;
    right += N * TILE_SIZE;
  }
}

// Brings a block of lines near: into the second cache to be read, or the first one to be written.
template <bool WRITE, class Number>
ELMAN_INLINE void bring_lines(const Number* from, int64_t n) {
  constexpr int64_t LINE = 64 / sizeof(Number);
  for (int64_t k = 0; k < n; k += LINE) __builtin_prefetch(from + k, WRITE, WRITE ? 3 : 2);
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
ELMAN_INLINE __m512i load_block(const Bfloat16* from, int64_t n) {
  const auto mask = static_cast<__mmask32>((uint64_t(1) << n) - 1);
  return _mm512_maskz_loadu_epi16(mask, from);
}
ELMAN_INLINE void store_block(Bfloat16* to, __m512i block) { _mm512_storeu_si512(to, block); }
ELMAN_INLINE void store_block(Bfloat16* to, __m512i block, int64_t n) {
  _mm512_mask_storeu_epi16(to, static_cast<__mmask32>((uint64_t(1) << n) - 1), block);
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

// Weights (groups * units, columns) for products of gate gradients: [panel of 32 columns][group]
// [block of units], each group's units filled up with zeros.
struct TileColumns {
  const int64_t groups, units, columns, panels, blocks;
  Buffer<Bfloat16> w;

  TileColumns(int64_t groups_, int64_t units_, int64_t columns_)
      : groups(groups_),
        units(units_),
        columns(columns_),
        panels(blocks_of(columns_)),
        blocks(blocks_of(units_)),
        w(panels * stride()) {}
  int64_t stride() const { return groups * blocks * 2 * TILE_SIZE; }
  int64_t columns_of(int64_t panel) const { return smaller(BLOCK, columns - panel * BLOCK); }

  void pack(const Bfloat16* matrix, const Team& team) {
    int64_t from, to;
    team.share(panels, from, to);
    for (int64_t panel = from; panel < to; ++panel) {
      const int64_t here = columns_of(panel), tiles = here > TILE ? 2 : 1;
      Bfloat16* at = w + panel * stride();
      for (int64_t group = 0; group < groups; ++group) {
        for (int64_t k = 0; k < units; k += BLOCK, at += tiles * TILE_SIZE) {
          const Bfloat16* rows = matrix + (group * units + k) * columns + panel * BLOCK;
          pack_right(at, smaller(BLOCK, units - k), here,
                     [&](int64_t row) { return rows + row * columns; });
        }
      }
    }
  }

  // Rows of `to` (+)= gate gradients, [slot][block of units][row][unit] with `room` rows, times the
  // weights of some panels, the last one first if `back`.
  void multiply(float* to, int64_t to_row, const Bfloat16* gates, int64_t room, int64_t rows,
                const int64_t* slots, bool add, int64_t from, int64_t end, bool back) const {
    for (int64_t i = from; i < end; ++i) {
      const int64_t panel = back ? end - 1 - (i - from) : i, here = columns_of(panel);
      in_blocks(rows, [&](int64_t at, int64_t rows_here) {
        float* const sums = to + at * to_row + panel * BLOCK;
        in_shape(rows_here, here, [&](auto m, auto n) {
          constexpr int M = m(), N = n();
          if (add) {
            load_sums<M, N>(sums, to_row);
          } else {
            no_sums<M, N>();
          }
          const Bfloat16* right = w + panel * stride();
          for (int64_t group = 0; group < groups; ++group) {
            const Bfloat16* const left = gates + (slots[group] * blocks * room + at) * BLOCK;
            add_product<M, N>({left, BLOCK, room * BLOCK, TILE * BLOCK}, right, blocks);
            right += blocks * N * TILE_SIZE;
          }
          store_sums<M, N>(sums, to_row);
        });
      });
    }
  }
};

}  // namespace elman::ELMAN_ISA

#endif
