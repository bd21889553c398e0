// Layers that run one step at a time: weights stay packed, states and buffers stay where they are.
#pragma once

#include <new>

#include "forward.h"

namespace elman::ELMAN_ISA {

// One layer and its parts, one for each thread.
template <class Real>
struct StreamLayer {
  Call call;
  Forward<Real> forward;
  Part<Real>** parts;

  explicit StreamLayer(const Call& c)
      : call(c), forward(call, true), parts(new (std::nothrow) Part<Real>*[members()]{}) {
    if (!parts || !forward.ready()) return;
    forward.pack_biases();
    for (int i = 0; i < members(); ++i) {
      const Team team{i, members()};
      forward.pack_weights(team);
      parts[i] = new (std::nothrow) Part<Real>(forward.part_of(team));
    }
  }
  StreamLayer(const StreamLayer&) = delete;
  StreamLayer& operator=(const StreamLayer&) = delete;
  ~StreamLayer() {
    for (int i = 0; parts && i < members(); ++i) delete parts[i];
    delete[] parts;
  }

  int members() const { return static_cast<int>(forward.threads); }
  bool ready() const {
    if (!parts || !forward.ready()) return false;
    for (int i = 0; i < members(); ++i)
      if (!parts[i] || !parts[i]->ready()) return false;
    return true;
  }
  // `alone` with one thread: a team may be smaller than was asked for, and then its members take the
  // rows of several
  void step(const void* x, void* y, bool alone) {
    call.input = x;
    call.output = y;
    in_team(alone ? 1 : members(), [this](const Team& team) {
      const int shares = forward.by_columns ? team.index + 1 : members();
      for (int i = team.index; i < shares; i += team.size) forward.pass(*parts[i], team);
    });
    ++forward.turn;
  }
};

template <class Real>
struct Stream {
  StreamLayer<Real>** layers;
  const int64_t count;
  Buffer<Real> between;  // what one layer hands to the next: two rows of buffers, in turn
  int64_t width;

  Stream(const Call* calls, int64_t count_)
      : layers(new (std::nothrow) StreamLayer<Real>*[static_cast<size_t>(count_)]{}),
        count(count_),
        between(2 * widest(calls, count_)),
        width(widest(calls, count_)) {
    for (int64_t l = 0; layers && l < count; ++l) {
      layers[l] = new (std::nothrow) StreamLayer<Real>(calls[l]);
    }
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() {
    for (int64_t l = 0; layers && l < count; ++l) delete layers[l];
    delete[] layers;
  }

  static int64_t widest(const Call* calls, int64_t count) {
    int64_t most = 0;
    for (int64_t l = 0; l < count; ++l) most = larger(most, calls[l].B * calls[l].R);
    return most;
  }
  bool ready() const {
    if (!layers || !between) return false;
    for (int64_t l = 0; l < count; ++l)
      if (!layers[l] || !layers[l]->ready()) return false;
    return true;
  }
  void step(const void* x, void* y, bool alone) {
    for (int64_t l = 0; l < count; ++l) {
      void* const to = l + 1 == count ? y : between + (l & 1) * width;
      layers[l]->step(x, to, alone);
      x = to;
    }
  }
};

}  // namespace elman::ELMAN_ISA
