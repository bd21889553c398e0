// What both passes share: the order of the rows, and where their numbers stand.
#pragma once

#include "call.h"
#include "memory.h"
#include "team.h"

namespace elman::ELMAN_ISA {

// How a call's gates lie in panels, and its rows in order of falling length.
template <class Real>
struct Plan {
  static constexpr int V = LANES<Real>;
  // records in a chunk of the backward pass
  static constexpr int64_t CHUNK = sizeof(Real) == 2 ? 1024 : 192;
  const Call& call;
  const Cell& cell;
  int64_t vectors, Hp, Rp;          // vectors of hidden units; H and R rounded up to them
  int64_t record;                   // numbers saved for one step of one row
  Buffer<int64_t> order, length;    // row in the batch and steps of the r-th longest row
  Buffer<int64_t> steps;            // of each row in the batch
  Buffer<int64_t> offset;           // records before step t, for t = 0 … T
  Buffer<Real> zeros;
  // Segment k of the steps begins at bound[k + 1] and ends at bound[k], the last one in time first;
  // there is one alone where a pass is not checkpointed.
  Buffer<int64_t> bound;
  int64_t segments = 0, segment = 0;
  // the first step of the segment that a pass is in, and the records before it
  int64_t begin = 0, base = 0;
  int64_t longest = 0;
  bool bad_length = false;
  bool is_in_order = true;  // whether the rows stand as they came

  explicit Plan(const Call& c)
      : call(c),
        cell(*c.cell),
        vectors((c.H + V - 1) / V),
        Hp(vectors * V),
        Rp(round_up(c.R, V)),
        record(record_size_of(c)),
        order(c.B),
        length(c.B),
        steps(c.B),
        offset(c.T + 2),
        zeros(larger(Hp, Rp), true),
        bound((c.checkpointed ? root_of(c.T) : 1) + 2) {
    if (!ready()) return;
    arrange();
    cut();
  }

  bool ready() const { return order && length && steps && offset && zeros && bound; }

  // the square root of n, rounded up
  static int64_t root_of(int64_t n) {
    int64_t root = 1;
    while (root * root < n) ++root;
    return root;
  }

  // saved values, then the states that are not fed back, then the hidden state and the output
  // layer's sum where there is such a layer, or the operand of a second product
  static int64_t record_size_of(const Call& c) {
    const int64_t wide = round_up(c.H, V);
    int64_t size = (c.cell->saved + c.cell->states - 1) * wide;
    if (c.weight_ho) size += wide;
    if (c.weight_ho && c.activation->reads_a) size += round_up(c.R, V);
    if (c.cell->first) size += wide;
    // tiles take many rows at once: a line more where these would meet in the first cache
    if (sizeof(Real) == 2 && size && size % 512 == 0) size += V;
    return size;
  }
  int64_t extra_state_at(int64_t s) const { return (cell.saved + s - 1) * Hp; }
  int64_t hidden_at() const { return (cell.saved + cell.states - 1) * Hp; }
  int64_t sum_at() const { return hidden_at() + Hp; }
  int64_t operand_at() const { return hidden_at(); }

  void arrange() {
    if (call.batch_sizes) return arrange_packed();
    const int64_t T = call.T, B = call.B;
    // offset[t + 1] first counts the rows of t steps
    for (int64_t t = 0; t <= T + 1; ++t) offset[t] = 0;
    for (int64_t b = 0; b < B; ++b) {
      const int64_t own = steps[b] = call.lengths ? call.lengths[b] : T;
      if (own < 0 || own > T) {
        bad_length = true;
        longest = 0;
        return;
      }
      ++offset[own];
      longest = larger(longest, own);
    }
    // the longest first, equal ones as they came
    int64_t before = 0;
    for (int64_t t = T; t >= 0; --t) {
      const int64_t rows = offset[t];
      offset[t] = before;
      before += rows;
    }
    for (int64_t b = 0; b < B; ++b) {
      const int64_t r = offset[steps[b]]++;
      order[r] = b;
      is_in_order = is_in_order && r == b;
      length[r] = steps[b];
    }
    // offset[t] is now the number of rows with at least t steps: t = 1 … T become a running sum
    int64_t sum = 0;
    for (int64_t t = 0; t < T; ++t) {
      const int64_t alive = offset[t + 1];
      offset[t] = sum;
      sum += alive;
    }
    offset[T] = sum;
  }

  // the same for rows that come packed, the longest first
  void arrange_packed() {
    int64_t alive = call.B, sum = 0;
    offset[call.T] = 0;
    for (int64_t t = 0; t < call.T; ++t) {
      const int64_t rows = call.batch_sizes[t];
      if (rows < 1 || rows > alive) {
        bad_length = true;
        return;
      }
      while (alive > rows) steps[--alive] = t;
      offset[t] = sum;
      sum += rows;
    }
    offset[call.T] = sum;
    longest = call.T;
    while (alive > 0) steps[--alive] = call.T;
    for (int64_t r = 0; r < call.B; ++r) {
      order[r] = r;
      length[r] = steps[r];
    }
  }

  // where the chunk that ends at a step begins: one step at least, whatever the threads
  int64_t chunk_start(int64_t stop) const {
    int64_t s = stop - 1;
    while (s > 0 && offset[stop] - offset[s - 1] <= CHUNK) --s;
    return s;
  }

  bool is_one_step() const { return longest == 1; }
  bool is_one_chunk() const { return longest == 0 || chunk_start(longest) == 0; }

  // records of the largest chunk, one at least; 0 where the plan found no memory
  int64_t largest_chunk() const {
    if (!ready()) return 0;
    int64_t most = 1;
    for (int64_t stop = longest; stop > 0;) {
      const int64_t s = chunk_start(stop);
      most = larger(most, offset[stop] - offset[s]);
      stop = s;
    }
    return most;
  }

  // whole chunks to a segment, so that sums are taken in one order with and without checkpoints
  void cut() {
    bound[0] = longest;
    if (longest > 0) bound[segments = 1] = 0;
    if (!call.checkpointed) return;
    const int64_t span = root_of(longest);
    segments = 0;
    for (int64_t s = longest; s > 0; bound[++segments] = s) {
      const int64_t stop = s;
      while (s > 0 && stop - s < span) s = chunk_start(s);
    }
  }
  int64_t largest_segment() const {
    int64_t most = 0;
    for (int64_t k = 0; k < segments; ++k) {
      most = larger(most, offset[bound[k]] - offset[bound[k + 1]]);
    }
    return most;
  }
  void enter(int64_t k) {
    segment = k;
    begin = bound[k + 1];
    base = offset[begin];
  }
  // the state that is not put out, of row r before segment k
  Real* kept(int64_t k, int64_t r) const {
    return static_cast<Real*>(call.kept) + (k * call.B + r) * Hp;
  }

  ELMAN_INLINE int64_t alive(int64_t s) const { return offset[s + 1] - offset[s]; }
  // whether all rows have one length
  bool is_even() const { return longest == 0 || alive(longest - 1) == call.B; }
  // where the step s of row r stands in time
  ELMAN_INLINE int64_t time(int64_t r, int64_t s) const {
    return call.reverse ? length[r] - 1 - s : s;
  }
  ELMAN_INLINE bool is_reset(int64_t r, int64_t s) const {
    if (!call.resets) return false;
    // a cut lies before the step of its time: backwards it is met on the way from there
    if (call.reverse) return s > 0 && call.resets[(length[r] - s) * call.B + order[r]];
    return call.resets[s * call.B + order[r]];
  }

  // where step s of row r stands in a sequence whose steps and rows lie so far apart
  ELMAN_INLINE int64_t place(int64_t r, int64_t s, int64_t by_step, int64_t by_row) const {
    const int64_t t = time(r, s);
    if (call.batch_sizes) return (offset[t] + r) * by_row;
    return t * by_step + order[r] * by_row;
  }
  // The way from there to step s + 1, one for all rows; packed ones that run in reverse have none.
  bool is_even_paced() const { return !(call.batch_sizes && call.reverse); }
  ELMAN_INLINE int64_t pace(int64_t s, int64_t by_step, int64_t by_row) const {
    if (call.batch_sizes) return alive(s) * by_row;
    return call.reverse ? -by_step : by_step;
  }

  ELMAN_INLINE const Real* input(int64_t r, int64_t s) const {
    return static_cast<const Real*>(call.input) + place(r, s, call.input_t, call.input_b);
  }
  ELMAN_INLINE Real* output(int64_t r, int64_t s) const {
    return static_cast<Real*>(call.output) + place(r, s, call.output_t, call.output_b);
  }
  ELMAN_INLINE const Real* doutput(int64_t r, int64_t s) const {
    return static_cast<const Real*>(call.doutput) + place(r, s, call.doutput_t, call.doutput_b);
  }
  ELMAN_INLINE Real* dinput(int64_t r, int64_t s) const {
    return static_cast<Real*>(call.dinput) + place(r, s, call.B * call.I, call.I);
  }
  // steps of all rows; none of a plan that is not ready
  int64_t records() const { return ready() ? offset[call.T] : 0; }
  // steps of all rows that the input and the output have
  int64_t size() const { return call.batch_sizes ? offset[call.T] : call.T * call.B; }
  ELMAN_INLINE Real* saved(int64_t r, int64_t s) const {
    return static_cast<Real*>(call.saved) + (offset[s] - base + r) * record;
  }
  ELMAN_INLINE const Real* row(const void* matrix, int64_t r, int64_t width) const {
    return matrix ? static_cast<const Real*>(matrix) + order[r] * width
                  : static_cast<const Real*>(zeros);
  }
  ELMAN_INLINE const Real* all(const void* vector) const {
    return vector ? static_cast<const Real*>(vector) : static_cast<const Real*>(zeros);
  }
  const void* first_state(int64_t s) const { return s ? call.state_1 : call.state_0; }
  const void* initial(int64_t s) const { return s ? call.initial_1 : call.initial_0; }
  void* final(int64_t s) const { return s ? call.final_1 : call.final_0; }
  int64_t width(int64_t s) const { return s ? call.H : call.R; }

  // Zeros behind the rows' ends, in a tensor of `width` columns whose steps and rows in the batch lie
  // so far apart; each member of the team takes some, in the order in which they lie in memory.
  void clear_ends(void* tensor, int64_t by_step, int64_t by_row, int64_t width,
                  const Team& team) const {
    const int64_t T = call.T, B = call.B;
    if (!tensor || offset[T] == size()) return;
    const auto clear = [&](int64_t t, int64_t b, int64_t rows) {
      std::memset(static_cast<void*>(static_cast<Real*>(tensor) + t * by_step + b * by_row), 0,
                  static_cast<size_t>(rows * width) * sizeof(Real));
    };
    if (by_step == width) {
      for (int64_t b = team.index; b < B; b += team.size) clear(steps[b], b, T - steps[b]);
      return;
    }
    for (int64_t t = team.index; t < T; t += team.size) {
      for (int64_t b = 0; b < B; ++b) {
        const int64_t from = b;
        while (b < B && steps[b] <= t) ++b;
        if (by_row == width) {
          if (b > from) clear(t, from, b - from);
        } else {
          for (int64_t k = from; k < b; ++k) clear(t, k, 1);
        }
      }
    }
  }

  // whether anybody asks for the gradient of the fed-back state before a step
  bool goes_back(int64_t step) const { return step > 0 || call.dstate_0 || call.dinitial_0; }
  // the state s before step `step` of row r
  ELMAN_INLINE const Real* state_before(int64_t s, int64_t r, int64_t step) const {
    if (is_reset(r, step)) return all(initial(s));
    if (step == 0) return row(first_state(s), r, width(s));
    if (s == 0) return output(r, step - 1);
    return step == begin ? kept(segment, r) : saved(r, step - 1) + extra_state_at(s);
  }
};

}  // namespace elman::ELMAN_ISA
