// The Python module: integers, bytes and tensors in, tensors or a status out. It picks the instruction
// set at run time.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <cstring>
#include <mutex>

#include "stack_back.h"

#if defined(ELMAN_X86)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace elman {

#define ELMAN_DECLARE(isa)         \
  namespace isa {                  \
  extern const Kernels KERNELS;    \
  }
// portable, or neon on ARM64
ELMAN_DECLARE(ELMAN_NARROWEST)
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
#if defined(ELMAN_TILES)
  // a header stands for them
  return true;
#else
  // leaf 7: AMX-BF16 and AMX-TILE
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1)) return false;
  // Linux: Documentation/arch/x86/xstate.rst
  constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
  return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#endif
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
  all.push_back({&ELMAN_NARROWEST::KERNELS, true});
  return all;
}

const Kernels& named(const std::string& name) {
  for (const Variant& one : variants()) {
    if (name == one.kernels->name && one.runs) return *one.kernels;
  }
  throw nb::value_error("this machine does not run these kernels");
}

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

// Whether the threads of a parallel region are gone, as they are in a forked child.
bool alone = false;

// Layers that keep their weights packed.
class Stream {
 public:
  Stream(int64_t kernels, const std::vector<nb::bytes>& layers) : kernels_(kernels_at(kernels)) {
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
  m.def("name", [](int64_t kernels) { return kernels_at(kernels).name; },
        "Which instruction set it is.");
  m.def("flags", [](int64_t kernels) { return kernels_at(kernels).flags; },
        "What they were compiled with.");
  m.def("bfloat16", [](int64_t kernels) { return kernels_at(kernels).bfloat16; },
        "Whether they run bfloat16 as it is.");
  m.def("vector_bytes", [](int64_t kernels) { return kernels_at(kernels).vector_bytes; },
        "The size of a vector.");
  m.def("cells", [](int64_t kernels) {
    nb::dict found;
    const char* name = nullptr;
    for (int64_t i = 0; const Cell* cell = kernels_at(kernels).cell(i, &name); ++i) {
      found[name] = nb::make_tuple(reinterpret_cast<int64_t>(cell), cell->saved);
    }
    return found;
  }, "Each built-in cell, and how many values a step saves.");
  m.def("activations", [](int64_t kernels) {
    nb::dict found;
    const char* name = nullptr;
    for (int64_t i = 0; const Activation* one = kernels_at(kernels).activation(i, &name); ++i) {
      found[name] = nb::make_tuple(reinterpret_cast<int64_t>(one), one->reads_a);
    }
    return found;
  }, "Each nonlinearity of an output layer, and whether its derivative reads the sum.");
  m.def("forward", [](int64_t kernels, nb::bytes call) {
    return run(kernels_at(kernels).forward, read(call));
  }, "Runs a call forward; 0, or why not.");
  m.def("backward", [](int64_t kernels, nb::bytes call) {
    return run(kernels_at(kernels).backward, read(call));
  }, "Runs a call's gradient; 0, or why not.");
  m.def("open_tensors", [](nb::handle capsule, nb::handle tensor, nb::handle parameter,
                           int64_t large, nb::handle make_large) {
    Tensors::open(capsule.ptr(), tensor.ptr(), parameter.ptr());
    Tensors::make_large_by(large, make_large);
  }, "What reads tensors: DLPack's interface of their class, it, and the class of parameters; and how"
     " those of so many bytes and more are made, like another one and of some sizes.");
  m.def("scan", scan, "Runs a call of tensors forward; what comes out, or why not.");
  m.def("scan_back", scan_back, "Runs its gradient; the gradients, or why not.");
  m.def("run_stack", run_stack, "Runs layers, or a cell, forward; what comes out, or why not.",
        nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
        nb::arg(), nb::arg().none(), nb::arg());
  m.def("run_stack_back", run_stack_back, "Runs their gradient; the gradients, or why not.",
        nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
        nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg());
  m.def("stay_alone", [] { alone = true; }, "From now on, streams run on one thread.");
  nb::class_<Stream>(m, "Stream", "Layers that run one step at a time.")
      .def(nb::init<int64_t, const std::vector<nb::bytes>&>())
      .def("step", &Stream::step, "Reads the inputs at one address, writes the outputs at another.")
      .def("take", &Stream::take, "The same for tensors; false where they are not plain.",
           nb::arg().none(), nb::arg().none());
  m.def("word", [](int64_t kernels, const char* name, int64_t numbers, int64_t n, int64_t bytes) {
    return kernels_at(kernels).word(name, reinterpret_cast<void*>(numbers), n, bytes);
  }, "Applies a word of the cells to n numbers in place.");
}
