// Whole stacks of layers forward. For the module alone.
#pragma once

#include <vector>

#include "scan.h"

namespace elman {

// The layers of a stack, from the lowest one on, in both directions where there are two.
class Stack {
 public:
  // What Python says of it, as `run_stack` has them.
  struct Given {
    int64_t flags, directions;
    nb::handle input, weights, hx, lengths, resets, batch_sizes;

    bool is_layer() const { return flags & CallReader::LAYER; }
  };

  explicit Stack(const Given& given) : given_(given) {}

  // all read; false where something is not plain
  bool read(Call first) {
    const nb::handle weights = given_.weights;
    const bool is_list = PyTuple_Check(weights.ptr()) || PyList_Check(weights.ptr());
    const Py_ssize_t count = is_list ? PySequence_Fast_GET_SIZE(weights.ptr()) : 0;
    if (count == 0 || count % given_.directions) return false;
    calls_.assign(static_cast<size_t>(count), first);
    for (Py_ssize_t k = 0; k < count; ++k) {
      Call& call = at(k);
      CallReader reader(call, given_.flags);
      PyObject* const* const w =
          items_of(PySequence_Fast_GET_ITEM(weights.ptr(), k), WEIGHTS);
      if (!w) return false;
      if (k < given_.directions) {
        reader.batch_sizes(given_.batch_sizes.ptr());
        input_ = reader.sequences(given_.input.ptr(), w);
        reader.lengths(given_.lengths.ptr());
        reader.resets(given_.resets.ptr());
      } else {
        reader.above(at(0), columns(), w);
      }
      reader.states(given_.hx.ptr(), k, count);
      if (!reader.is_plain() || call.H != at(0).H || call.R != at(0).R) return false;
      if (k % given_.directions) call.reverse = 1;
    }
    return true;
  }

  // makes what comes out, and has the calls write and read there
  bool make() {
    const Call& first = at(0);
    for (int64_t s = 0; s < first.cell->states; ++s) {
      const int64_t sizes[3] = {count(), first.B, width(s)};
      states[s] = given_.is_layer() ? Tensors::make(given_.input, sizes, 3, first.bytes)
                                    : Tensors::make(given_.input, sizes + 1, 2, first.bytes);
      void* const data = data_of(states[s]);
      if (!data) return false;
      for (int64_t k = 0; k < count(); ++k) {
        (s ? at(k).final_1 : at(k).final_0) = number(data, k * first.B * width(s));
      }
    }
    // the new state is all that a cell puts out
    output = given_.is_layer() ? make_like_input(columns()) : states[0];
    // what layers hand up: kept for the gradient, or in two places in turn
    const int64_t above = layers() - 1, places = is_training() ? above : std::min<int64_t>(above, 2);
    return make_numbers(between, places * steps() * columns()) && connect(places);
  }

  // makes room for what the gradient needs of the steps of the rows; false for a bad length
  bool save(const Kernels& kernels) {
    const int64_t numbers = records(kernels);
    return numbers >= 0 && make_numbers(saved, count() * numbers) && have_saved(numbers);
  }

  int forward(const Kernels& kernels) const {
    nb::gil_scoped_release release;
    int status = DONE;
    for (size_t k = 0; k < calls_.size() && status == DONE; ++k) status = kernels.forward(calls_[k]);
    return status;
  }

  // Of layers the output and the state as they return it, of a cell its states; of either, if a gradient
  // is wanted, the output, the states, what is saved and what stands between layers.
  nb::object made() const {
    const bool two = at(0).cell->states > 1;
    const nb::object all = two ? nb::make_tuple(states[0], states[1]) : nb::make_tuple(states[0]);
    if (is_training()) return nb::make_tuple(output, all, saved, between);
    if (!given_.is_layer()) return all;
    return nb::make_tuple(output, two ? all : states[0]);
  }

  bool is_training() const { return given_.flags & CallReader::SAVE; }

 protected:
  Call& at(int64_t k) { return calls_[static_cast<size_t>(k)]; }
  const Call& at(int64_t k) const { return calls_[static_cast<size_t>(k)]; }
  int64_t count() const { return static_cast<int64_t>(calls_.size()); }
  int64_t layers() const { return count() / given_.directions; }
  int64_t width(int64_t state) const { return state ? at(0).H : at(0).R; }
  // what a layer puts out
  int64_t columns() const { return given_.directions * at(0).R; }
  // steps of all rows that the input has
  int64_t steps() const {
    return at(0).batch_sizes ? packed_steps(at(0)) : at(0).T * at(0).B;
  }
  // the numbers of a call's records; below zero for a bad length
  int64_t records(const Kernels& kernels) const {
    return steps_of(at(0)) * kernels.record_size(at(0));
  }
  // how far the steps of what stands between layers lie apart: time comes first
  int64_t step_between() const { return at(0).batch_sizes ? 0 : at(0).B * columns(); }

  void* number(void* data, int64_t n) const {
    return data ? static_cast<char*>(data) + n * at(0).bytes : nullptr;
  }
  // null for None
  void* data_of(nb::handle tensor) const {
    DLTensor t;
    return Tensors::read(tensor.ptr(), t) ? t.data : nullptr;
  }
  // so many numbers; None for none
  bool make_numbers(nb::object& tensor, int64_t numbers) const {
    tensor = nb::none();
    if (numbers == 0) return true;
    tensor = Tensors::make(given_.input, &numbers, 1, at(0).bytes);
    return data_of(tensor);
  }
  nb::object make_like_input(int64_t columns) const {
    int64_t sizes[Tensors::MOST_DIMS];
    std::copy(input_.sizes, input_.sizes + input_.dims - 1, sizes);
    sizes[input_.dims - 1] = columns;
    return Tensors::make(given_.input, sizes, input_.dims, at(0).bytes);
  }

  // Has every layer write where the one above reads, in so many places in turn, and those on top the
  // output.
  bool connect(int64_t places) {
    // nobody has asked for a gradient of what was just made
    CallReader reader(at(count() - 1), given_.flags & ~CallReader::NO_GRADIENT);
    int64_t by_step = 0, by_row = 0;
    void* const top = reader.sequence(output.ptr(), columns(), by_step, by_row);
    if (!reader.is_plain() || !top) return false;
    void* const below = data_of(between);
    for (int64_t k = 0; k < count(); ++k) {
      const int64_t layer = k / given_.directions;
      const bool is_top = layer + 1 == layers();
      void* const data =
          is_top ? top : number(below, layer % places * steps() * columns());
      Call& call = at(k);
      call.output = number(data, k % given_.directions * call.R);
      call.output_t = is_top ? by_step : step_between();
      call.output_b = is_top ? by_row : columns();
      for (int64_t n = 0; n < given_.directions && !is_top; ++n) {
        Call& above = at((layer + 1) * given_.directions + n);
        above.input = data;
        above.input_t = call.output_t;
        above.input_b = call.output_b;
      }
    }
    return true;
  }

  // where each call's records are, so many numbers
  bool have_saved(int64_t numbers) {
    void* const data = data_of(saved);
    for (int64_t k = 0; k < count(); ++k) at(k).saved = number(data, k * numbers);
    return data || numbers == 0;
  }

  const Given given_;
  std::vector<Call> calls_;
  DLTensor input_{};
  nb::object output, states[MOST_STATES], saved, between;
};

// Runs whole sequences, or a single step, forward: of layers (output, state) as they return them, of a
// cell its states; with SAVE (output, states, saved, between) for `run_stack_back`. `weights` are those
// of each layer and direction. A status where it did not run.
inline nb::object run_stack(int64_t kernels, int64_t cell, int64_t activation, int64_t threads,
                            int64_t flags, int64_t directions, nb::handle input, nb::handle weights,
                            nb::handle hx, nb::handle cuts) {
  PyObject* const* const three = items_of(cuts, 3);
  if (!three) return status_of(NOT_PLAIN);
  Stack stack({flags, directions, input, weights, hx, three[0], three[1], three[2]});
  const Kernels& k = kernels_at(kernels);
  if (!stack.read(call_of(cell, activation, threads, flags)) || !stack.make() ||
      (stack.is_training() && !stack.save(k))) {
    return status_of(NOT_PLAIN);
  }
  const int status = stack.forward(k);
  return status == DONE ? stack.made() : status_of(status);
}

}  // namespace elman
