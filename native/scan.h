// Calls of tensors: from Python's objects to the kernels and back. For the module alone.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>

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

// The tensors of both passes: `tensors` as `tensors_of` has them, `cuts` the lengths and the resets,
// `made` the output and what is saved.
inline bool read_both(Call& call, CallReader& reader, nb::handle tensors, nb::handle cuts,
                      PyObject* const* made) {
  PyObject* const* const all = items_of(tensors, TENSORS);
  PyObject* const* const two = items_of(cuts, 2);
  if (!all || !two) return false;
  reader.tensors(all);
  reader.lengths(two[0]);
  reader.resets(two[1]);
  call.output = reader.sequence(made[0], call.R, call.output_t, call.output_b);
  (call.checkpointed ? call.kept : call.saved) = reader.numbers(made[1]);
  return reader.is_plain() && call.output;
}

// Runs a call of tensors forward; `made` has the final states last.
inline int scan(int64_t kernels, int64_t cell, int64_t activation, int64_t threads, int64_t flags,
                nb::handle tensors, nb::handle cuts, nb::handle made) {
  Call call = call_of(cell, activation, threads, flags);
  CallReader reader(call, flags);
  const int64_t states = call.cell->states;
  PyObject* const* const to = items_of(made, 2 + states);
  if (!to || !read_both(call, reader, tensors, cuts, to)) return NOT_PLAIN;
  call.final_0 = reader.numbers(to[2], call.B * call.R, call.R);
  if (states > 1) call.final_1 = reader.numbers(to[3], call.B * call.H, call.H);
  if (!reader.is_plain()) return NOT_PLAIN;
  nb::gil_scoped_release release;
  return kernels_at(kernels).forward(call);
}

// Runs its gradient: `grads` of the output and the final states, `results` as `tensors`, `seen` the
// addresses of what is watched.
inline int scan_back(int64_t kernels, int64_t cell, int64_t activation, int64_t threads,
                     int64_t flags, nb::handle tensors, nb::handle cuts, nb::handle made,
                     nb::handle grads, nb::handle results, const std::array<int64_t, 4>& seen,
                     double gradient_clip) {
  Call call = call_of(cell, activation, threads, flags);
  CallReader reader(call, flags);
  const int64_t states = call.cell->states;
  PyObject* const* const from = items_of(made, 2);
  PyObject* const* const given = items_of(grads, 1 + states);
  PyObject* const* const found = items_of(results, TENSORS);
  if (!from || !given || !found || !read_both(call, reader, tensors, cuts, from)) return NOT_PLAIN;
  call.doutput = reader.sequence(given[0], call.R, call.doutput_t, call.doutput_b);
  call.dfinal_0 = reader.numbers(given[1], call.B * call.R, call.R);
  if (states > 1) call.dfinal_1 = reader.numbers(given[2], call.B * call.H, call.H);
  void** const to[TENSORS] = {&call.dinput,    &call.dweight_ih, &call.dweight_hh, &call.dbias_ih,
                              &call.dbias_hh,  &call.dweight_ho, &call.dbias_ho,   &call.dstate_0,
                              &call.dstate_1,  &call.dinitial_0, &call.dinitial_1};
  for (Py_ssize_t i = 0; i < TENSORS; ++i) *to[i] = reader.any(found[i]);
  if (!reader.is_plain()) return NOT_PLAIN;
  call.dtotal_0 = reinterpret_cast<void*>(seen[0]);
  call.dtotal_1 = reinterpret_cast<void*>(seen[1]);
  call.dnorm_0 = reinterpret_cast<double*>(seen[2]);
  call.dnorm_1 = reinterpret_cast<double*>(seen[3]);
  call.gradient_clip = gradient_clip;
  nb::gil_scoped_release release;
  return kernels_at(kernels).backward(call);
}

// Runs whole sequences, or a single step, forward, and makes what comes out of it: of a layer
// (output, state) as it returns them, of a cell its states. A status where it did not run.
inline nb::object infer(int64_t kernels, int64_t cell, int64_t activation, int64_t threads,
                        int64_t flags, nb::handle input, nb::handle weights, nb::handle hx,
                        nb::handle lengths) {
  const bool is_layer = flags & CallReader::LAYER;
  Call call = call_of(cell, activation, threads, flags);
  CallReader reader(call, flags);
  PyObject* const* const w = items_of(weights, WEIGHTS);
  if (!w) return nb::int_(int(NOT_PLAIN));
  const DLTensor x = reader.sequences(input.ptr(), w);
  reader.states(hx.ptr());
  reader.lengths(lengths.ptr());
  if (!reader.is_plain()) return nb::int_(int(NOT_PLAIN));

  const int64_t widths[MOST_STATES] = {call.R, call.H};
  nb::object output, states[MOST_STATES];
  void* finals[MOST_STATES] = {};
  for (int64_t k = 0; k < call.cell->states; ++k) {
    const int64_t sizes[3] = {1, call.B, widths[k]};
    states[k] = is_layer ? Tensors::make(input, sizes, 3, call.bytes)
                         : Tensors::make(input, sizes + 1, 2, call.bytes);
    finals[k] = reader.numbers(states[k].ptr());
  }
  if (is_layer) {
    int64_t sizes[3];
    for (int32_t d = 0; d < x.dims; ++d) sizes[d] = x.sizes[d];
    sizes[x.dims - 1] = call.R;
    output = Tensors::make(input, sizes, x.dims, call.bytes);
    call.output = reader.sequence(output.ptr(), call.R, call.output_t, call.output_b);
  } else {
    // the new state is all that it puts out
    call.output = finals[0];
    call.output_t = 0;
    call.output_b = call.R;
  }
  call.final_0 = finals[0];
  call.final_1 = finals[1];
  if (!reader.is_plain()) return nb::int_(int(NOT_PLAIN));
  int status;
  {
    nb::gil_scoped_release release;
    status = kernels_at(kernels).forward(call);
  }
  if (status != 0) return nb::int_(status);
  nb::object after = states[0];
  if (call.cell->states > 1) {
    after = nb::make_tuple(states[0], states[1]);
  } else if (!is_layer) {
    after = nb::make_tuple(states[0]);
  }
  return is_layer ? nb::make_tuple(output, after) : after;
}

}  // namespace elman
