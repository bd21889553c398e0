// Whole stacks of layers forward, without a gradient. For the module alone.
#pragma once

#include <vector>

#include "scan.h"

namespace elman {

// The layers of a stack, from the lowest one on, in both directions where there are two.
class Stack {
 public:
  // all read, as `infer` has them; false where something is not plain
  bool read(Call first, int64_t flags, int64_t directions, nb::handle input, nb::handle weights,
            nb::handle hx, nb::handle lengths, nb::handle batch_sizes) {
    const bool is_list = PyTuple_Check(weights.ptr()) || PyList_Check(weights.ptr());
    const Py_ssize_t count = is_list ? PySequence_Fast_GET_SIZE(weights.ptr()) : 0;
    if (count == 0 || count % directions) return false;
    calls_.assign(static_cast<size_t>(count), first);
    for (Py_ssize_t k = 0; k < count; ++k) {
      Call& call = calls_[static_cast<size_t>(k)];
      CallReader reader(call, flags);
      PyObject* const* const w =
          items_of(PySequence_Fast_GET_ITEM(weights.ptr(), k), WEIGHTS);
      if (!w) return false;
      if (k < directions) {
        reader.batch_sizes(batch_sizes.ptr());
        input_ = reader.sequences(input.ptr(), w);
        reader.lengths(lengths.ptr());
      } else {
        reader.above(calls_[0], directions * calls_[0].R, w);
      }
      reader.states(hx.ptr(), k, count);
      if (!reader.is_plain() || call.H != calls_[0].H || call.R != calls_[0].R) return false;
      if (k % directions) call.reverse = 1;
    }
    return true;
  }

  // makes what comes out, and has the calls write and read there
  bool make(nb::handle input, int64_t flags, int64_t directions) {
    const Call& first = calls_[0];
    const bool is_layer = flags & CallReader::LAYER;
    const int64_t count = static_cast<int64_t>(calls_.size()), columns = directions * first.R;
    const int64_t widths[MOST_STATES] = {first.R, first.H};
    for (int64_t s = 0; s < first.cell->states; ++s) {
      const int64_t sizes[3] = {count, first.B, widths[s]};
      states[s] = Tensors::make(input, is_layer ? sizes : sizes + 1, is_layer ? 3 : 2, first.bytes);
      DLTensor t;
      if (!Tensors::read(states[s].ptr(), t)) return false;
      for (int64_t k = 0; k < count; ++k) {
        (s ? at(k).final_1 : at(k).final_0) = at_number(t.data, k * first.B * widths[s]);
      }
    }
    if (!is_layer) {
      // the new state is all that a cell puts out
      at(0).output = at(0).final_0;
      at(0).output_b = first.R;
      return first.output;
    }
    for (int64_t below = 0; below < count; below += directions) {
      const bool is_top = below + directions == count;
      const nb::object into = is_top ? make_like_input(input, columns)
                                     : between(input, columns, below / directions % 2);
      for (int64_t k = below; k < below + directions; ++k) {
        // between layers time comes first
        CallReader reader(at(k), is_top ? flags : flags & ~CallReader::BATCH_FIRST);
        void* const data = reader.sequence(into.ptr(), columns, at(k).output_t, at(k).output_b);
        if (!data) return false;
        at(k).output = at_number(data, (k - below) * first.R);
        for (int64_t n = 0; n < directions && !is_top; ++n) {
          Call& above = at(below + directions + n);
          above.input = data;
          above.input_t = at(k).output_t;
          above.input_b = at(k).output_b;
        }
      }
      output = into;
    }
    return true;
  }

  int run(const Kernels& kernels) const {
    nb::gil_scoped_release release;
    int status = DONE;
    for (size_t k = 0; k < calls_.size() && status == DONE; ++k) status = kernels.forward(calls_[k]);
    return status;
  }

  nb::object output, states[MOST_STATES];

 private:
  nb::object make_like_input(nb::handle input, int64_t columns) const {
    int64_t sizes[Tensors::MOST_DIMS];
    std::copy(input_.sizes, input_.sizes + input_.dims - 1, sizes);
    sizes[input_.dims - 1] = columns;
    return Tensors::make(input, sizes, input_.dims, calls_[0].bytes);
  }

  // What layers hand up: two in turn, one that is read and one that is written.
  nb::object between(nb::handle input, int64_t columns, int64_t turn) {
    if (!between_[turn].is_valid()) {
      const Call& first = calls_[0];
      const int64_t sizes[3] = {first.T, first.B, columns};
      between_[turn] = first.batch_sizes ? make_like_input(input, columns)
                                         : Tensors::make(input, sizes, 3, first.bytes);
    }
    return between_[turn];
  }

  Call& at(int64_t k) { return calls_[static_cast<size_t>(k)]; }
  void* at_number(void* data, int64_t n) const {
    return static_cast<char*>(data) + n * calls_[0].bytes;
  }

  std::vector<Call> calls_;
  nb::object between_[2];
  DLTensor input_{};
};

// Runs whole sequences, or a single step, forward: of layers (output, state) as they return them, of a
// cell its states. `weights` are those of each layer and direction. A status where it did not run.
inline nb::object infer(int64_t kernels, int64_t cell, int64_t activation, int64_t threads,
                        int64_t flags, int64_t directions, nb::handle input, nb::handle weights,
                        nb::handle hx, nb::handle lengths, nb::handle batch_sizes) {
  const bool is_layer = flags & CallReader::LAYER;
  Stack stack;
  if (!stack.read(call_of(cell, activation, threads, flags), flags, directions, input, weights, hx,
                  lengths, batch_sizes) ||
      !stack.make(input, flags, directions)) {
    return status_of(NOT_PLAIN);
  }
  const int status = stack.run(kernels_at(kernels));
  if (status != DONE) return status_of(status);
  nb::object after = stack.states[0];
  if (reinterpret_cast<const Cell*>(cell)->states > 1) {
    after = nb::make_tuple(stack.states[0], stack.states[1]);
  } else if (!is_layer) {
    after = nb::make_tuple(stack.states[0]);
  }
  return is_layer ? nb::make_tuple(stack.output, after) : after;
}

}  // namespace elman
