// The processor's tiles (AMX) by plain instructions, for machines without them: what Intel's manual
// (Instruction Set Extensions Programming Reference, chapter 3) says each instruction does, and a
// trap where the processor has one. Stands before native/kernels.cpp with `make amx` and `make sanitize`.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#define __AMX_TILE__ 1
#define __AMX_BF16__ 1

namespace emulated_tiles {

constexpr int TILES = 8, ROWS = 16, BYTES = 64;

struct Shapes {
  uint8_t palette, start, reserved[14];
  uint16_t bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(Shapes) == 64);

// those of one thread
struct State {
  Shapes shapes;
  uint8_t tiles[TILES][ROWS][BYTES];
};
inline thread_local State state;

inline void trap_unless(bool allowed) {
  if (!allowed) __builtin_trap();
}

inline void check(int tile) {
  trap_unless(state.shapes.palette == 1 && state.shapes.rows[tile] > 0);
}

inline void load_shapes(const void* from) {
  Shapes shapes;
  std::memcpy(&shapes, from, sizeof shapes);
  // no palette: as tilerelease
  if (shapes.palette == 0) shapes = {};
  trap_unless(shapes.palette <= 1);
  for (const uint8_t byte : shapes.reserved) trap_unless(byte == 0);
  for (int tile = 0; tile < 16; ++tile) {
    const int rows = shapes.rows[tile], bytes = shapes.bytes[tile];
    trap_unless(tile < TILES ? rows <= ROWS && bytes <= BYTES : rows == 0 && bytes == 0);
    trap_unless((rows == 0) == (bytes == 0) && bytes % 4 == 0);
  }
  state = {};
  state.shapes = shapes;
}

inline void store_shapes(void* to) { std::memcpy(to, &state.shapes, 64); }

inline void zero(int tile) {
  check(tile);
  std::memset(state.tiles[tile], 0, sizeof state.tiles[tile]);
}

inline void load(int tile, const void* from, int64_t stride) {
  zero(tile);
  for (int row = 0; row < state.shapes.rows[tile]; ++row) {
    std::memcpy(state.tiles[tile][row], static_cast<const char*>(from) + row * stride,
                state.shapes.bytes[tile]);
  }
}

inline void store(int tile, void* to, int64_t stride) {
  check(tile);
  for (int row = 0; row < state.shapes.rows[tile]; ++row) {
    std::memcpy(static_cast<char*>(to) + row * stride, state.tiles[tile][row],
                state.shapes.bytes[tile]);
  }
}

// denormal numbers are zeros, those that come and those that go
inline float flushed(float number) {
  return std::fabs(number) < 0x1p-126f ? std::copysign(0.f, number) : number;
}

inline float widened(const uint8_t* at) {
  uint32_t bits = 0;
  std::memcpy(reinterpret_cast<uint8_t*>(&bits) + 2, at, 2);
  float number;
  std::memcpy(&number, &bits, sizeof number);
  return flushed(number);
}

// The sums of the even numbers and those of the odd ones run over k apart, and then join.
inline void add_product(int to, int left, int right) {
  check(to);
  check(left);
  check(right);
  const Shapes& shapes = state.shapes;
  const int columns = shapes.bytes[to] / 4, pairs = shapes.bytes[left] / 4;
  trap_unless(shapes.rows[to] == shapes.rows[left] && shapes.bytes[to] == shapes.bytes[right] &&
              shapes.rows[right] == pairs);
  for (int row = 0; row < shapes.rows[to]; ++row) {
    float sums[2][ROWS] = {};
    for (int pair = 0; pair < pairs; ++pair) {
      for (int odd = 0; odd < 2; ++odd) {
        const float factor = widened(&state.tiles[left][row][4 * pair + 2 * odd]);
        for (int column = 0; column < columns; ++column) {
          const float other = widened(&state.tiles[right][pair][4 * column + 2 * odd]);
          sums[odd][column] = flushed(std::fma(factor, other, sums[odd][column]));
        }
      }
    }
    for (int column = 0; column < columns; ++column) {
      uint8_t* at = &state.tiles[to][row][4 * column];
      float sum;
      std::memcpy(&sum, at, sizeof sum);
      sum = flushed(flushed(sum) + flushed(sums[0][column] + sums[1][column]));
      std::memcpy(at, &sum, sizeof sum);
    }
  }
}

}  // namespace emulated_tiles

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#define _tile_loadconfig emulated_tiles::load_shapes
#define _tile_storeconfig emulated_tiles::store_shapes
#define _tile_loadd emulated_tiles::load
#define _tile_stored emulated_tiles::store
#define _tile_zero emulated_tiles::zero
#define _tile_dpbf16ps emulated_tiles::add_product
