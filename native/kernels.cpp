// One instruction set's kernels: this file is compiled once for each.
#include "backward.h"
#include "cells.h"
#include "forward.h"
#include "kernels.h"
#include "stream.h"
#include "tile_backward.h"
#include "tile_forward.h"

namespace elman::ELMAN_ISA {
namespace {

#if defined(ELMAN_BFLOAT16)
constexpr bool HAS_BFLOAT16 = true;
#else
constexpr bool HAS_BFLOAT16 = false;
#endif

int forward(const Call& call) {
#if defined(ELMAN_BFLOAT16)
  if (call.bytes == 2) return TileForward(call).run();
#endif
  return call.bytes == 4 ? Forward<float>(call).run() : Forward<double>(call).run();
}

int backward(const Call& call) {
#if defined(ELMAN_BFLOAT16)
  if (call.bytes == 2) return TileBackward(call).run();
#endif
  return call.bytes == 4 ? Backward<float>(call).run() : Backward<double>(call).run();
}

// of numbers that are added as `Real`
template <class Number, class Real = Number>
void add_numbers(void* sums, const void* others, int64_t n, int64_t threads) {
  auto* const to = static_cast<Number*>(sums);
  const auto* const more = static_cast<const Number*>(others);
  // fewer of them are had sooner than a team
  constexpr int64_t ALONE = 1 << 17, V = LANES<Real>;
  in_team(n < ALONE ? 1 : threads, [=](const Team& team) {
    int64_t from, end;
    team.share(n / V, from, end);
    for (int64_t k = from * V; k < end * V; k += V) store(to + k, load(to + k) + load(more + k));
  });
  const int64_t whole = n / V * V;
  if (whole == n) return;
  Number rest[2][V]{};
  const size_t bytes = static_cast<size_t>(n - whole) * sizeof(Number);
  std::memcpy(rest[0], to + whole, bytes);
  std::memcpy(rest[1], more + whole, bytes);
  store(rest[0], load(rest[0]) + load(rest[1]));
  std::memcpy(to + whole, rest[0], bytes);
}

void add(void* to, const void* more, int64_t n, int64_t bytes, int64_t threads) {
#if defined(ELMAN_BFLOAT16)
  if (bytes == 2) return add_numbers<Bfloat16, float>(to, more, n, threads);
#endif
  return bytes == 4 ? add_numbers<float>(to, more, n, threads)
                    : add_numbers<double>(to, more, n, threads);
}

int64_t record_size(const Call& call) {
#if defined(ELMAN_BFLOAT16)
  if (call.bytes == 2) return Plan<Bfloat16>::record_size_of(call);
#endif
  return call.bytes == 4 ? Plan<float>::record_size_of(call) : Plan<double>::record_size_of(call);
}

const Cell* cell(int64_t index, const char** name) {
  if (index >= static_cast<int64_t>(sizeof CELLS / sizeof *CELLS)) return nullptr;
  *name = CELLS[index].name;
  return CELLS[index].cell;
}

const Activation* activation(int64_t index, const char** name) {
  if (index >= static_cast<int64_t>(sizeof ACTIVATIONS / sizeof *ACTIVATIONS)) return nullptr;
  *name = ACTIVATIONS[index].name;
  return ACTIVATIONS[index].activation;
}

// the words with one argument, for the tests of their range and error
#define ELMAN_WORD(name)                                               \
  struct Word_##name {                                                 \
    template <class Value>                                             \
    static ELMAN_INLINE Value f(Value a) {                             \
      return words::name(a);                                           \
    }                                                                  \
  }
ELMAN_WORD(abs);
ELMAN_WORD(cos);
ELMAN_WORD(exp);
ELMAN_WORD(log);
ELMAN_WORD(log1p);
ELMAN_WORD(relu);
ELMAN_WORD(sigmoid);
ELMAN_WORD(sin);
ELMAN_WORD(sqrt);
ELMAN_WORD(tanh);
#undef ELMAN_WORD

template <class Real>
struct NamedWord {
  const char* name;
  void (*f)(Real*, int64_t);
};
template <class Real>
constexpr NamedWord<Real> WORDS[] = {
    {"abs", apply<Real, Word_abs>},         {"cos", apply<Real, Word_cos>},
    {"exp", apply<Real, Word_exp>},         {"log", apply<Real, Word_log>},
    {"log1p", apply<Real, Word_log1p>},     {"relu", apply<Real, Word_relu>},
    {"sigmoid", apply<Real, Word_sigmoid>}, {"sin", apply<Real, Word_sin>},
    {"sqrt", apply<Real, Word_sqrt>},       {"tanh", apply<Real, Word_tanh>},
};

template <class Real>
bool word_of(const char* name, void* numbers, int64_t n) {
  for (const NamedWord<Real>& one : WORDS<Real>) {
    if (std::strcmp(one.name, name) == 0) {
      one.f(static_cast<Real*>(numbers), n);
      return true;
    }
  }
  return false;
}

bool word(const char* name, void* numbers, int64_t n, int64_t bytes) {
  return bytes == 4 ? word_of<float>(name, numbers, n) : word_of<double>(name, numbers, n);
}

template <class Real>
void* opened(const Call* layers, int64_t count) {
  auto* const stream = new (std::nothrow) Stream<Real>(layers, count);
  if (stream && !stream->ready()) {
    delete stream;
    return nullptr;
  }
  return stream;
}

void* open(const Call* layers, int64_t count) {
  return layers->bytes == 4 ? opened<float>(layers, count) : opened<double>(layers, count);
}

void step(void* stream, int64_t bytes, const void* x, void* y, bool alone) {
  if (bytes == 4) {
    static_cast<Stream<float>*>(stream)->step(x, y, alone);
  } else {
    static_cast<Stream<double>*>(stream)->step(x, y, alone);
  }
}

void close(void* stream, int64_t bytes) {
  if (bytes == 4) {
    delete static_cast<Stream<float>*>(stream);
  } else {
    delete static_cast<Stream<double>*>(stream);
  }
}

}  // namespace

extern const Kernels KERNELS;
const Kernels KERNELS = {ELMAN_ISA_NAME, ELMAN_FLAGS, HAS_BFLOAT16, VECTOR_BYTES, forward,
                         backward,       add,         record_size,  cell,         activation,
                         word,           open,        step,         close};

}  // namespace elman::ELMAN_ISA
