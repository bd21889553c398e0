// The Python module: integers, bytes and tensors in, a status out. It picks the instruction set at run
// time.
#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <cstring>
#include <mutex>

#include "kernels.h"
#include "tensors.h"

#if defined(ELMAN_X86)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace nb = nanobind;

namespace elman {

#define ELMAN_DECLARE(isa)         \
  namespace isa {                  \
  extern const Kernels KERNELS;    \
  }
ELMAN_DECLARE(portable)
#if defined(ELMAN_X86)
ELMAN_DECLARE(avx2)
ELMAN_DECLARE(avx512)
ELMAN_DECLARE(avx512_bf16)
ELMAN_DECLARE(amx)
#endif
#undef ELMAN_DECLARE

namespace {

struct Variant {
  const Kernels* kernels;
  bool runs;
};

#if defined(ELMAN_X86)
// Whether the processor multiplies vectors of bfloat16.
bool has_bfloat16() {
  // the second part of leaf 7
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 5 & 1;
}

// Whether the processor multiplies bfloat16 in tiles, and the system lets this process use them.
bool allows_tiles() {
  // leaf 7: AMX-BF16 and AMX-TILE
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1)) return false;
  // Linux: Documentation/arch/x86/xstate.rst
  constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
  return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#endif

std::vector<Variant> variants() {
  std::vector<Variant> all;
#if defined(ELMAN_X86)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl");
  const bool bfloat16 = avx512 && has_bfloat16();
  all.push_back({&amx::KERNELS, bfloat16 && allows_tiles()});
  all.push_back({&avx512_bf16::KERNELS, bfloat16});
  all.push_back({&avx512::KERNELS, avx512});
  all.push_back({&avx2::KERNELS, avx2});
#endif
  all.push_back({&portable::KERNELS, true});
  return all;
}

const Kernels& named(const std::string& name) {
  for (const Variant& one : variants()) {
    if (name == one.kernels->name && one.runs) return *one.kernels;
  }
  throw nb::value_error("this machine does not run these kernels");
}

const Kernels& at(int64_t kernels) { return *reinterpret_cast<const Kernels*>(kernels); }

Call read(nb::bytes packed) {
  // a forward call leaves the fields of the backward pass away
  Call call{};
  const size_t size = packed.size();
  if (size != sizeof call && size != offsetof(Call, doutput)) {
    throw nb::value_error("the call has another layout");
  }
  std::memcpy(&call, packed.c_str(), size);
  return call;
}

int run(int (*pass)(const Call&), nb::bytes packed) {
  const Call call = read(packed);
  nb::gil_scoped_release release;
  return pass(call);
}

// the status of a call whose tensors are not plain: the caller has another way
constexpr int NOT_PLAIN = 3;
// input, weights, states and initial states
constexpr Py_ssize_t TENSORS = 11;

// The items of a tuple or list of so many; null if it is none.
PyObject* const* items_of(nb::handle sequence, Py_ssize_t count) {
  if (!PyTuple_Check(sequence.ptr()) && !PyList_Check(sequence.ptr())) return nullptr;
  if (PySequence_Fast_GET_SIZE(sequence.ptr()) != count) return nullptr;
  return PySequence_Fast_ITEMS(sequence.ptr());
}

// A call without tensors.
Call call_of(int64_t cell, int64_t activation, int64_t threads, int64_t flags) {
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
bool read_both(Call& call, CallReader& reader, nb::handle tensors, nb::handle cuts,
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
int scan(int64_t kernels, int64_t cell, int64_t activation, int64_t threads, int64_t flags,
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
  return at(kernels).forward(call);
}

// Runs its gradient: `grads` of the output and the final states, `results` as `tensors`, `seen` the
// addresses of what is watched.
int scan_back(int64_t kernels, int64_t cell, int64_t activation, int64_t threads, int64_t flags,
              nb::handle tensors, nb::handle cuts, nb::handle made, nb::handle grads,
              nb::handle results, const std::array<int64_t, 4>& seen, double gradient_clip) {
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
  return at(kernels).backward(call);
}

// Whether the threads of a parallel region are gone, as they are in a forked child.
bool alone = false;

// Layers that keep their weights packed.
class Stream {
 public:
  Stream(int64_t kernels, const std::vector<nb::bytes>& layers) : kernels_(at(kernels)) {
    std::vector<Call> calls;
    for (const nb::bytes& one : layers) calls.push_back(read(one));
    bytes_ = calls.at(0).bytes;
    rows_ = calls.front().B;
    reads_ = calls.front().I;
    writes_ = calls.back().R;
    for (const Call& c : calls) work_ += c.B * c.cell->gates * c.H * (c.I + c.R);
    stream_ = kernels_.open(calls.data(), static_cast<int64_t>(calls.size()));
    if (!stream_) throw std::bad_alloc();
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() {
    if (stream_) kernels_.close(stream_, bytes_);
  }
  // a small step keeps the GIL: letting it go costs as much
  void step(int64_t x, int64_t y) {
    if (work_ < RELEASE_FROM) {
      run(x, y);
      return;
    }
    nb::gil_scoped_release release;
    const std::lock_guard<std::mutex> one_at_a_time(mutex_);
    run(x, y);
  }
  // The same from one tensor to another; false, and nothing is done, where they are not plain, have
  // other sizes or share memory.
  bool take(nb::handle x, nb::handle y) {
    DLTensor from, to;
    if (!fits(x, from, reads_) || !fits(y, to, writes_)) return false;
    const int64_t a = reinterpret_cast<int64_t>(from.data), b = reinterpret_cast<int64_t>(to.data);
    if (a < b + rows_ * writes_ * bytes_ && b < a + rows_ * reads_ * bytes_) return false;
    step(a, b);
    return true;
  }

 private:
  bool fits(nb::handle tensor, DLTensor& found, int64_t columns) const {
    return Tensors::read(tensor.ptr(), found) && bytes_of(found) == bytes_ && found.dims == 2 &&
           found.sizes[0] == rows_ && found.sizes[1] == columns && is_contiguous(found);
  }
  // multiplications of a step
  static constexpr int64_t RELEASE_FROM = 1'000'000;
  void run(int64_t x, int64_t y) {
    kernels_.step(stream_, bytes_, reinterpret_cast<const void*>(x), reinterpret_cast<void*>(y),
                  alone);
  }
  std::mutex mutex_;
  int64_t work_ = 0;
  const Kernels& kernels_;
  int64_t bytes_ = 0, rows_ = 0, reads_ = 0, writes_ = 0;
  void* stream_ = nullptr;
};

}  // namespace
}  // namespace elman

NB_MODULE(_native, m) {
  using namespace elman;
  m.doc() = "The native kernels.";
  m.def("variants", [] {
    nb::list names;
    for (const Variant& one : variants())
      if (one.runs) names.append(one.kernels->name);
    return names;
  }, "The instruction sets that are built in and run here, the widest first.");
  m.def("is_amd", [] {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_is("amd") != 0;
#else
    return false;
#endif
  }, "Whether the processor is an AMD.");
  m.def("kernels", [](const std::string& name) {
    return reinterpret_cast<int64_t>(&named(name));
  }, "The kernels of an instruction set.");
  m.def("name", [](int64_t kernels) { return at(kernels).name; }, "Which instruction set it is.");
  m.def("flags", [](int64_t kernels) { return at(kernels).flags; },
        "What they were compiled with.");
  m.def("bfloat16", [](int64_t kernels) { return at(kernels).bfloat16; },
        "Whether they run bfloat16 as it is.");
  m.def("vector_bytes", [](int64_t kernels) { return at(kernels).vector_bytes; },
        "The size of a vector.");
  m.def("cells", [](int64_t kernels) {
    nb::dict found;
    const char* name = nullptr;
    for (int64_t i = 0; const Cell* cell = at(kernels).cell(i, &name); ++i) {
      found[name] = nb::make_tuple(reinterpret_cast<int64_t>(cell), cell->saved);
    }
    return found;
  }, "Each built-in cell, and how many values a step saves.");
  m.def("activations", [](int64_t kernels) {
    nb::dict found;
    const char* name = nullptr;
    for (int64_t i = 0; const Activation* one = at(kernels).activation(i, &name); ++i) {
      found[name] = nb::make_tuple(reinterpret_cast<int64_t>(one), one->reads_a);
    }
    return found;
  }, "Each nonlinearity of an output layer, and whether its derivative reads the sum.");
  m.def("forward", [](int64_t kernels, nb::bytes call) { return run(at(kernels).forward, call); },
        "Runs a call forward; 0, or why not.");
  m.def("backward", [](int64_t kernels, nb::bytes call) { return run(at(kernels).backward, call); },
        "Runs a call's gradient; 0, or why not.");
  m.def("open_tensors", [](nb::handle capsule, nb::handle tensor, nb::handle parameter) {
    Tensors::open(capsule.ptr(), tensor.ptr(), parameter.ptr());
  }, "What reads tensors: DLPack's interface of their class, it, and the class of parameters.");
  m.def("are_plain", [](nb::args tensors) {
    int64_t bytes = 0;
    for (const nb::handle one : tensors) {
      if (one.is_none()) continue;
      DLTensor t;
      if (!Tensors::read(one.ptr(), t)) return false;
      if (!bytes_of(t) || (bytes && bytes_of(t) != bytes)) return false;
      bytes = bytes_of(t);
    }
    return true;
  }, "Whether tensors are common ones of one type that the kernels take; None is passed over.");
  m.def("scan", scan, "Runs a call of tensors forward; 0, or why not.");
  m.def("scan_back", scan_back, "Runs its gradient; 0, or why not.");
  m.def("stay_alone", [] { alone = true; }, "From now on, streams run on one thread.");
  nb::class_<Stream>(m, "Stream", "Layers that run one step at a time.")
      .def(nb::init<int64_t, const std::vector<nb::bytes>&>())
      .def("step", &Stream::step, "Reads the inputs at one address, writes the outputs at another.")
      .def("take", &Stream::take, "The same for tensors; false where they are not plain.",
           nb::arg().none(), nb::arg().none());
  m.def("word", [](int64_t kernels, const char* name, int64_t numbers, int64_t n, int64_t bytes) {
    return at(kernels).word(name, reinterpret_cast<void*>(numbers), n, bytes);
  }, "Applies a word of the cells to n numbers in place.");
}
