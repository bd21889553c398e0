// Calls of tensors: from Python's objects to the kernels and back. For the module alone.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>

#include <algorithm>
#include <cstring>

#include "kernels.h"
#include "tensors.h"

namespace elman {

namespace nb = nanobind;

// the status of a call whose tensors are not plain: the caller has another way
constexpr int NOT_PLAIN = 3;
// input, weights, states and initial states
constexpr Py_ssize_t TENSORS = 11, WEIGHTS = 6;

inline const Kernels& kernels_at(int64_t address) {
  return *reinterpret_cast<const Kernels*>(address);
}

// The items of a tuple or list of so many; null if it is none.
inline PyObject* const* items_of(nb::handle sequence, Py_ssize_t count) {
  if (!PyTuple_Check(sequence.ptr()) && !PyList_Check(sequence.ptr())) return nullptr;
  if (PySequence_Fast_GET_SIZE(sequence.ptr()) != count) return nullptr;
  return PySequence_Fast_ITEMS(sequence.ptr());
}

// A call without tensors.
inline Call call_of(int64_t cell, int64_t activation, int64_t threads, int64_t flags) {
  Call call{};
  call.threads = threads;
  call.reverse = flags & CallReader::REVERSE ? 1 : 0;
  call.checkpointed = flags & CallReader::CHECKPOINTED ? 1 : 0;
  call.cell = reinterpret_cast<const Cell*>(cell);
  call.activation = reinterpret_cast<const Activation*>(activation);
  return call;
}

// The tensors of both passes: `tensors` as `tensors_of` has them, `cuts` the lengths, the resets and the
// batch sizes.
inline bool read_both(CallReader& reader, nb::handle tensors, nb::handle cuts) {
  PyObject* const* const all = items_of(tensors, TENSORS);
  PyObject* const* const three = items_of(cuts, 3);
  if (!all || !three) return false;
  reader.batch_sizes(three[2]);
  reader.tensors(all);
  reader.lengths(three[0]);
  reader.resets(three[1]);
  return reader.is_plain();
}

// the steps of all rows; below zero where a length is bad
inline int64_t steps_of(const Call& call) {
  if (call.batch_sizes) return packed_steps(call);
  if (!call.lengths) return call.T * call.B;
  int64_t steps = 0;
  for (int64_t b = 0; b < call.B; ++b) {
    if (call.lengths[b] < 0 || call.lengths[b] > call.T) return -1;
    steps += call.lengths[b];
  }
  return steps;
}

// What comes out of a forward pass.
struct Made {
  nb::object output, states[MOST_STATES], saved = nb::none();

  // makes all of it like the input, and has the call write there
  bool make(Call& call, CallReader& reader, nb::handle input) {
    const int64_t widths[MOST_STATES] = {call.R, call.H};
    for (int64_t k = 0; k < call.cell->states; ++k) {
      const int64_t state[2] = {call.B, widths[k]};
      states[k] = Tensors::make(input, state, 2, call.bytes);
      (k ? call.final_1 : call.final_0) = reader.numbers(states[k].ptr());
    }
    const int64_t sizes[3] = {call.T, call.B, call.R}, packed[2] = {packed_steps(call), call.R};
    output = call.batch_sizes ? Tensors::make(input, packed, 2, call.bytes)
                              : Tensors::make(input, sizes, 3, call.bytes);
    call.output = reader.sequence(output.ptr(), call.R, call.output_t, call.output_b);
    return reader.is_plain() && call.output;
  }

  // Makes room for what the gradient needs: of the steps of the rows alone, or of all steps with zeros
  // where nothing is saved.
  bool save(Call& call, CallReader& reader, nb::handle input, int64_t record, bool is_whole) {
    const int64_t steps = is_whole ? call.T * call.B : steps_of(call);
    // the long way says which length is bad
    if (steps < 0) return false;
    const int64_t numbers = steps * record;
    if (numbers == 0) return true;
    saved = Tensors::make(input, &numbers, 1, call.bytes);
    call.saved = reader.numbers(saved.ptr());
    if (call.saved && is_whole) std::memset(call.saved, 0, static_cast<size_t>(numbers * call.bytes));
    return reader.is_plain();
  }
};

inline int run(int (*pass)(const Call&), const Call& call) {
  nb::gil_scoped_release release;
  return pass(call);
}

inline nb::object status_of(int status) { return nb::int_(status); }

// Runs a call of tensors forward; the output, the final states, and what the gradient needs. A status
// where it did not run.
inline nb::object scan(int64_t kernels, int64_t cell, int64_t activation, int64_t threads,
                       int64_t flags, nb::handle tensors, nb::handle cuts) {
  Call call = call_of(cell, activation, threads, flags);
  CallReader reader(call, flags);
  // what a checkpointed pass keeps is the long way's affair
  if (flags & CallReader::SAVE && call.checkpointed) return status_of(NOT_PLAIN);
  if (!read_both(reader, tensors, cuts)) return status_of(NOT_PLAIN);
  const Kernels& k = kernels_at(kernels);
  const nb::handle input = items_of(tensors, TENSORS)[0];
  Made made;
  if (!made.make(call, reader, input) ||
      (flags & CallReader::SAVE &&
       !made.save(call, reader, input, k.record_size(call), flags & CallReader::WHOLE))) {
    return status_of(NOT_PLAIN);
  }
  const int status = run(k.forward, call);
  if (status != DONE) return status_of(status);
  nb::list states;
  for (int64_t i = 0; i < call.cell->states; ++i) states.append(made.states[i]);
  return nb::make_tuple(made.output, states, made.saved);
}

// Runs the gradient of a call: `made` the output and what is saved, `grads` of the output and the final
// states; `wanted` for each of the tensors whether its gradient is, or where that goes; `seen` the
// addresses of what is watched. The gradients, None for those that are not wanted; or a status.
inline nb::object scan_back(int64_t kernels, int64_t cell, int64_t activation, int64_t threads,
                            int64_t flags, nb::handle tensors, nb::handle cuts, nb::handle made,
                            nb::handle grads, nb::handle wanted,
                            const std::array<int64_t, 4>& seen, double gradient_clip) {
  Call call = call_of(cell, activation, threads, flags);
  CallReader reader(call, flags);
  const int64_t states = call.cell->states;
  PyObject* const* const from = items_of(made, 2);
  PyObject* const* const given = items_of(grads, 1 + states);
  PyObject* const* const want = items_of(wanted, TENSORS);
  if (!from || !given || !want || !read_both(reader, tensors, cuts)) return status_of(NOT_PLAIN);
  call.output = reader.sequence(from[0], call.R, call.output_t, call.output_b);
  (call.checkpointed ? call.kept : call.saved) = reader.numbers(from[1]);
  call.doutput = reader.sequence(given[0], call.R, call.doutput_t, call.doutput_b);
  call.dfinal_0 = reader.numbers(given[1], call.B * call.R, call.R);
  if (states > 1) call.dfinal_1 = reader.numbers(given[2], call.B * call.H, call.H);
  if (!reader.is_plain() || !call.output) return status_of(NOT_PLAIN);
  // nothing was saved though something should be: the long way says so
  const Kernels& k = kernels_at(kernels);
  const bool keeps = call.checkpointed ? states > 1 : k.record_size(call) > 0;
  if (keeps && !call.kept && !call.saved && steps_of(call) != 0) return status_of(NOT_PLAIN);
  void** const to[TENSORS] = {&call.dinput,    &call.dweight_ih, &call.dweight_hh, &call.dbias_ih,
                              &call.dbias_hh,  &call.dweight_ho, &call.dbias_ho,   &call.dstate_0,
                              &call.dstate_1,  &call.dinitial_0, &call.dinitial_1};
  PyObject* const* const all = items_of(tensors, TENSORS);
  nb::list found;
  for (Py_ssize_t i = 0; i < TENSORS; ++i) {
    nb::object one = nb::none();
    if (all[i] != Py_None && want[i] != Py_None && want[i] != Py_False) {
      one = want[i] == Py_True ? Tensors::make_like(all[i], call.bytes) : nb::borrow(want[i]);
      if (one.is_none()) return status_of(NOT_PLAIN);
      *to[i] = reader.any(one.ptr());
    }
    found.append(one);
  }
  if (!reader.is_plain()) return status_of(NOT_PLAIN);
  call.dtotal_0 = reinterpret_cast<void*>(seen[0]);
  call.dtotal_1 = reinterpret_cast<void*>(seen[1]);
  call.dnorm_0 = reinterpret_cast<double*>(seen[2]);
  call.dnorm_1 = reinterpret_cast<double*>(seen[3]);
  call.gradient_clip = gradient_clip;
  const int status = run(k.backward, call);
  return status == DONE ? nb::object(found) : status_of(status);
}

}  // namespace elman
