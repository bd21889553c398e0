// Memory for one call, kept by its thread for the next one.
#pragma once

#include <cstdlib>

#include "simd.h"

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace elman::ELMAN_ISA {

// bytes of the processor's first cache
inline int64_t first_cache() {
  static const int64_t found = [] {
    long bytes = 0;
#if defined(__linux__) && defined(_SC_LEVEL1_DCACHE_SIZE)
    bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE);
#endif
    return bytes > 0 ? bytes : long(32 << 10);
  }();
  return found;
}

// Asks for large pages under fresh memory of many megabytes: touching it small page by small page
// costs as much as computing what is written there.
inline void in_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t PAGE = 2 << 20;
  const uintptr_t from = (reinterpret_cast<uintptr_t>(memory) + PAGE - 1) / PAGE * PAGE;
  const uintptr_t to = (reinterpret_cast<uintptr_t>(memory) + static_cast<uintptr_t>(bytes)) / PAGE * PAGE;
  if (memory && to > from + PAGE) madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
#endif
}

// Fetches numbers that are needed soon, into the first cache or the second one, to be read or to be
// written. It has to be inlined, and what calls it: the compiler leaves out calls of functions that
// only fetch.
template <int CACHE = 1, bool WRITE = false, class Number>
ELMAN_INLINE void fetch(const Number* numbers, int64_t n) {
  constexpr uintptr_t LINE = 64;
  const uintptr_t from = reinterpret_cast<uintptr_t>(numbers);
  const uintptr_t end = from + static_cast<uintptr_t>(n) * sizeof(Number);
  for (uintptr_t line = from / LINE * LINE; line < end; line += LINE) {
    __builtin_prefetch(reinterpret_cast<const void*>(line), WRITE, 4 - CACHE);
  }
}

// Under AddressSanitizer every block is its own, of exactly its size.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool EXACT = true;
#else
constexpr bool EXACT = false;
#endif

// Blocks that a thread keeps from one call to the next: fresh memory costs more to touch than a
// small call takes. Where there is no room for another one, the one that was given first goes.
struct Kept {
  // more than one call has
  static constexpr int MOST = 64;
  static constexpr int64_t MOST_BYTES = 32 << 20;
  void* at[MOST];
  int64_t bytes[MOST], turn[MOST];  // when it was given
  int count = 0;
  int64_t total = 0, turns = 0;

  // a block of at least so many bytes, which are made those that it has
  void* take(int64_t& wanted) {
    int best = -1;
    for (int i = 0; i < count; ++i) {
      if (bytes[i] >= wanted && bytes[i] <= 2 * wanted && (best < 0 || bytes[i] < bytes[best])) {
        best = i;
      }
    }
    if (best < 0) {
      void* fresh = nullptr;
      if (posix_memalign(&fresh, 64, static_cast<size_t>(larger(wanted, 1)))) return nullptr;
      in_large_pages(fresh, wanted);
      return fresh;
    }
    wanted = bytes[best];
    return removed(best);
  }
  void give(void* block, int64_t size) {
    if (EXACT || size > MOST_BYTES || is_gone) {
      std::free(block);
      return;
    }
    while (count == MOST || total + size > MOST_BYTES) {
      std::free(removed(oldest()));
    }
    at[count] = block;
    bytes[count] = size;
    turn[count++] = turns++;
    total += size;
  }
  ~Kept() {
    while (count) std::free(removed(0));
    is_gone = true;
  }

 private:
  bool is_gone = false;  // what is given back later is freed

  int oldest() const {
    int first = 0;
    for (int i = 1; i < count; ++i) {
      if (turn[i] < turn[first]) first = i;
    }
    return first;
  }
  void* removed(int i) {
    void* const found = at[i];
    total -= bytes[i];
    --count;
    at[i] = at[count];
    bytes[i] = bytes[count];
    turn[i] = turn[count];
    return found;
  }
};
inline thread_local Kept kept;

// Memory for one call, aligned to a cache line; not initialised. A little of it needs no allocation.
template <class T>
struct Buffer {
  static constexpr int64_t NEAR = 256 / sizeof(T);
  T* at = nullptr;
  int64_t bytes = NEAR * sizeof(T);
  alignas(64) T near_by[NEAR];

  explicit Buffer(int64_t count, bool zero = false) {
    if (count <= NEAR && !EXACT) {
      at = near_by;
    } else {
      bytes = EXACT ? count * int64_t(sizeof(T)) : round_up(count * int64_t(sizeof(T)), 256);
      at = static_cast<T*>(kept.take(bytes));
    }
    if (at && zero) std::memset(at, 0, static_cast<size_t>(bytes));
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (at && at != near_by) kept.give(at, bytes);
  }
  operator T*() const { return at; }
};

}  // namespace elman::ELMAN_ISA
