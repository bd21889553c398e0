// The gradient of whole stacks of layers. For the module alone.
#pragma once

#include "stack.h"

namespace elman {

class StackBack : public Stack {
 public:
  using Stack::Stack;

  // What `made` has of the forward pass: the output, what is saved, what stands between layers.
  bool have(nb::handle made, const Kernels& kernels) {
    PyObject* const* const three = items_of(made, 3);
    if (!three) return false;
    output = nb::borrow(three[0]);
    saved = nb::borrow(three[1]);
    between = nb::borrow(three[2]);
    const int64_t numbers = records(kernels), all = count() * numbers;
    const int64_t handed = (layers() - 1) * steps() * columns();
    if (numbers < 0) return false;
    CallReader reader(at(0), given_.flags);
    reader.numbers(saved.ptr(), all, all);
    const void* const there = reader.numbers(between.ptr(), handed, handed);
    return reader.is_plain() && (there || handed == 0) && have_saved(numbers) &&
           connect(layers() - 1);
  }

  // The gradients of the output, None for a cell, and of the states.
  bool take(nb::handle grads) {
    PyObject* const* const given = items_of(grads, 1 + at(0).cell->states);
    if (!given) return false;
    Call& top = at(count() - given_.directions);
    CallReader sequence(top, given_.flags);
    void* const data = sequence.sequence(given[0], columns(), top.doutput_t, top.doutput_b);
    if (!sequence.is_plain()) return false;
    lead(layers() - 1, data, top.doutput_t, top.doutput_b);
    for (int64_t k = 0; k < count(); ++k) {
      for (int64_t s = 0; s < at(k).cell->states; ++s) {
        if (given[1 + s] == Py_None) continue;
        CallReader reader(at(k), given_.flags);
        (s ? at(k).dfinal_1 : at(k).dfinal_0) = reader.state(given[1 + s], width(s), k, count());
        if (!reader.is_plain()) return false;
      }
    }
    return true;
  }

  // Makes the gradients that are wanted, of the input, two states and the weights of each call; what
  // comes back to an input with the batch first has time first.
  bool make(nb::handle wanted) {
    PyObject* const* const want = items_of(wanted, 3 + count() * WEIGHTS);
    if (!want) return false;
    for (Py_ssize_t i = 0; i < 3 + count() * WEIGHTS; ++i) found.append(nb::none());
    lowest_ = layers();
    if (!make_of_weights(want + 3) || !make_of_states(want + 1)) return false;
    const bool goes_to_input = want[0] == Py_True;
    if (goes_to_input) {
      lowest_ = 0;
      int64_t sizes[3] = {at(0).T, at(0).B, at(0).I};
      if (input_.dims < 3) std::copy(input_.sizes, input_.sizes + input_.dims, sizes);
      found[0] = Tensors::make(given_.input, sizes, input_.dims, at(0).bytes);
    }
    return make_between(goes_to_input ? data_of(found[0]) : nullptr);
  }

  // from the top down to the lowest layer that somebody asks for
  int back(const Kernels& kernels) const {
    nb::gil_scoped_release release;
    for (int64_t layer = layers() - 1; layer >= lowest_; --layer) {
      const int64_t first = layer * given_.directions;
      for (int64_t k = first; k < first + given_.directions; ++k) {
        const int status = kernels.backward(at(k));
        if (status != DONE) return status;
      }
      if (given_.directions < 2 || !at(first).dinput) continue;
      kernels.add(at(first).dinput, at(first + 1).dinput, steps() * at(first).I, at(first).bytes,
                  at(first).threads);
    }
    return DONE;
  }

  nb::list found;

 private:
  // the output's gradient of each direction of a layer
  void lead(int64_t layer, void* data, int64_t by_step, int64_t by_row) {
    for (int64_t n = 0; n < given_.directions; ++n) {
      Call& call = at(layer * given_.directions + n);
      call.doutput = number(data, n * call.R);
      call.doutput_t = by_step;
      call.doutput_b = by_row;
    }
  }

  bool make_of_weights(PyObject* const* want) {
    for (int64_t k = 0; k < count(); ++k) {
      PyObject* const* const weights =
          items_of(PySequence_Fast_GET_ITEM(given_.weights.ptr(), k), WEIGHTS);
      Call& call = at(k);
      void** const to[WEIGHTS] = {&call.dweight_ih, &call.dweight_hh, &call.dbias_ih,
                                  &call.dbias_hh,   &call.dweight_ho, &call.dbias_ho};
      for (Py_ssize_t i = 0; i < WEIGHTS; ++i) {
        if (weights[i] == Py_None || want[k * WEIGHTS + i] != Py_True) continue;
        const nb::object one = Tensors::make_like(weights[i], call.bytes);
        if (one.is_none()) return false;
        *to[i] = data_of(one);
        found[static_cast<size_t>(3 + k * WEIGHTS + i)] = one;
        lowest_ = std::min(lowest_, k / given_.directions);
      }
    }
    return true;
  }

  bool make_of_states(PyObject* const* want) {
    for (int64_t s = 0; s < at(0).cell->states && !given_.hx.is_none(); ++s) {
      if (want[s] != Py_True) continue;
      const nb::handle hx = given_.hx;
      const nb::object one = Tensors::make_like(
          at(0).cell->states > 1 ? PyTuple_GET_ITEM(hx.ptr(), s) : hx.ptr(), at(0).bytes);
      if (one.is_none()) return false;
      void* const data = data_of(one);
      for (int64_t k = 0; k < count(); ++k) {
        (s ? at(k).dstate_1 : at(k).dstate_0) = number(data, k * at(k).B * width(s));
      }
      found[static_cast<size_t>(1 + s)] = one;
      lowest_ = 0;
    }
    return true;
  }

  // What goes from layer to layer, in two places in turn, and from the second direction before it is
  // added to that of the first.
  bool make_between(void* dinput) {
    const int64_t above = layers() - 1 - lowest_, size = steps() * columns();
    const bool any = above > 0 || dinput;
    const int64_t wide = std::max(above > 0 ? columns() : 0, dinput ? at(0).I : 0);
    const int64_t places = std::clamp<int64_t>(above, 0, 2);
    if (!make_numbers(handed_, places * size) ||
        !make_numbers(other_, any && given_.directions > 1 ? steps() * wide : 0)) {
      return false;
    }
    void* const handed = data_of(handed_);
    void* const other = data_of(other_);
    for (int64_t layer = layers() - 1; layer >= lowest_; --layer) {
      const int64_t first = layer * given_.directions;
      void* const to = layer > lowest_ ? number(handed, layer % places * size) : dinput;
      at(first).dinput = to;
      if (given_.directions > 1) at(first + 1).dinput = to ? other : nullptr;
      if (layer > lowest_) lead(layer - 1, to, step_between(), columns());
    }
    return true;
  }

  int64_t lowest_ = 0;
  nb::object handed_, other_;
};

// Runs the gradient of `run_stack` with SAVE: `made` the output, what is saved and what stands between
// layers, `grads` of the output and the states. The gradients of the input, two states and the weights
// of each layer and direction, None for those that are not wanted; or a status.
inline nb::object run_stack_back(int64_t kernels, int64_t cell, int64_t activation, int64_t threads,
                                 int64_t flags, int64_t directions, nb::handle input,
                                 nb::handle weights, nb::handle hx, nb::handle cuts,
                                 nb::handle made, nb::handle grads, nb::handle wanted) {
  PyObject* const* const three = items_of(cuts, 3);
  if (!three) return status_of(NOT_PLAIN);
  StackBack stack({flags, directions, input, weights, hx, three[0], three[1], three[2]});
  const Kernels& k = kernels_at(kernels);
  if (!stack.read(call_of(cell, activation, threads, flags)) || !stack.have(made, k) ||
      !stack.take(grads) || !stack.make(wanted)) {
    return status_of(NOT_PLAIN);
  }
  const int status = stack.back(k);
  return status == DONE ? nb::object(stack.found) : status_of(status);
}

}  // namespace elman
