// What torch's tensors say of themselves, read by DLPack's C interface: neither Python's attributes nor
// torch's headers. For the module alone.
#pragma once

#include <nanobind/nanobind.h>

#include <limits>
#include <numeric>

#include "call.h"

namespace elman {

// https://github.com/dmlc/dlpack, dlpack.h: a tensor that stays its owner's, and the interface that a
// class of tensors puts out as `__dlpack_c_exchange_api__`.
struct DLTensor {
  void* data;
  int32_t device, device_index, dims;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *sizes, *strides;
  uint64_t byte_offset;
};
struct DLPackExchange {
  uint32_t major, minor;
  void *previous, *allocate, *take, *give;
  int (*look)(void* tensor, DLTensor* found);
  void* stream;
};
constexpr const char* DLPACK_CAPSULE = "dlpack_exchange_api";
constexpr uint32_t DLPACK_MAJOR = 1;
constexpr int32_t DLPACK_CPU = 1;
enum DLPackCode : uint8_t { DLPACK_INT = 0, DLPACK_FLOAT = 2, DLPACK_BFLOAT = 4, DLPACK_BOOL = 6 };

inline int64_t numbers_of(const DLTensor& t) {
  int64_t numbers = 1;
  for (int32_t k = 0; k < t.dims; ++k) numbers *= t.sizes[k];
  return numbers;
}

// Reads common tensors: of torch's own kinds, on the CPU, their numbers in memory as they are. Nothing
// here raises: what is not common is not plain, and the caller has another way.
class Tensors {
 public:
  static constexpr int32_t MOST_DIMS = 3;

  // what the class of tensors puts out, it, and that of parameters; null where there is none
  static void open(PyObject* capsule, PyObject* tensor, PyObject* parameter) {
    auto* const found =
        static_cast<DLPackExchange*>(PyCapsule_GetPointer(capsule, DLPACK_CAPSULE));
    if (!found) {
      PyErr_Clear();
    } else if (found->major == DLPACK_MAJOR) {
      Py_INCREF(tensor);
      Py_INCREF(parameter);
      tensor_ = reinterpret_cast<PyTypeObject*>(tensor);
      parameter_ = reinterpret_cast<PyTypeObject*>(parameter);
      is_neg_ = PyUnicode_InternFromString("is_neg");
      requires_grad_ = PyUnicode_InternFromString("requires_grad");
      new_empty_ = PyUnicode_InternFromString("new_empty");
      look_ = found->look;
    }
  }

  // who makes tensors of so many bytes and more
  static void make_large_by(int64_t bytes, nanobind::handle maker) {
    large_ = bytes;
    make_large_ = maker.inc_ref().ptr();
  }

  // A contiguous one of another one's type, not initialised.
  static nanobind::object make(nanobind::handle like, const int64_t* sizes, int32_t dims,
                               int64_t bytes) {
    PyObject* all[1 + MOST_DIMS] = {like.ptr()};
    for (int32_t d = 0; d < dims; ++d) {
      all[1 + d] = PyLong_FromLongLong(sizes[d]);
      bytes *= sizes[d];
    }
    const size_t count = static_cast<size_t>(1 + dims);
    PyObject* const made =
        bytes < large_ ? PyObject_VectorcallMethod(new_empty_, all, count, nullptr)
                       : PyObject_Vectorcall(make_large_, all, count, nullptr);
    for (int32_t d = 0; d < dims; ++d) Py_XDECREF(all[1 + d]);
    if (!made) nanobind::raise_python_error();
    return nanobind::steal(made);
  }

  // One of the sizes of another one, which has been read; None if that is not so.
  static nanobind::object make_like(nanobind::handle like, int64_t bytes) {
    DLTensor t;
    if (!read(like.ptr(), t) || t.dims > MOST_DIMS) return nanobind::none();
    return make(like, t.sizes, t.dims, bytes);
  }

  // Reads one; false if it is not plain.
  static bool read(PyObject* object, DLTensor& found) {
    if (!look_ || (Py_TYPE(object) != parameter_ && Py_TYPE(object) != tensor_)) return false;
    // one of a transform has no numbers: looking at it is an error
    if (look_(object, &found) != 0) {
      PyErr_Clear();
      return false;
    }
    if (found.device != DLPACK_CPU || found.lanes != 1) return false;
    // one that a mode left behind has none either
    if (!found.data && numbers_of(found) > 0) return false;
    return Py_TYPE(object) == parameter_ || is(object, is_neg_, true) == 0;
  }

  static bool asks_for_gradient(PyObject* object) { return is(object, requires_grad_, false) != 0; }

 private:
  // 0 or 1, what an attribute or a method without arguments says; -1 if it raised
  static int is(PyObject* object, PyObject* name, bool method) {
    PyObject* const said =
        method ? PyObject_CallMethodNoArgs(object, name) : PyObject_GetAttr(object, name);
    const int is_so = said ? PyObject_IsTrue(said) : -1;
    Py_XDECREF(said);
    if (is_so < 0) PyErr_Clear();
    return is_so;
  }

  inline static int (*look_)(void*, DLTensor*) = nullptr;
  inline static PyTypeObject *tensor_ = nullptr, *parameter_ = nullptr;
  inline static PyObject *is_neg_ = nullptr, *requires_grad_ = nullptr, *new_empty_ = nullptr;
  inline static PyObject* make_large_ = nullptr;
  inline static int64_t large_ = 0;
};

// the bytes of a number that the kernels take; 0 for others
inline int64_t bytes_of(const DLTensor& t) {
  if (t.code == DLPACK_BFLOAT && t.bits == 16) return 2;
  return t.code == DLPACK_FLOAT && (t.bits == 32 || t.bits == 64) ? t.bits / 8 : 0;
}
inline bool is_contiguous(const DLTensor& t) {
  if (numbers_of(t) == 0) return true;
  int64_t next = 1;
  for (int32_t k = t.dims - 1; k >= 0; --k) {
    if (t.sizes[k] != 1 && t.strides[k] != next) return false;
    next *= t.sizes[k];
  }
  return true;
}

// the steps of all rows of a packed call
inline int64_t packed_steps(const Call& call) {
  return call.batch_sizes ? std::accumulate(call.batch_sizes, call.batch_sizes + call.T, int64_t{0}) : 0;
}

// The tensors of a call, looked at one after the other; the first that is not plain, or has another
// size than the ones before ask for, ends it.
class CallReader {
 public:
  // the bits of `flags`
  enum Flag : int64_t { BATCH_FIRST = 1, REVERSE = 2, CHECKPOINTED = 4, NO_GRADIENT = 8, LAYER = 16,
                        SAVE = 32, WHOLE = 64 };

  CallReader(Call& call, int64_t flags) : call_(call), flags_(flags) {}

  bool is_plain() const { return plain_; }

  // How many rows each step has, where sequences come packed: read before them.
  void batch_sizes(PyObject* object) {
    DLTensor t;
    if (!whole_numbers(object, t)) return;
    const auto* const sizes = static_cast<const int64_t*>(data(t));
    need(t.sizes[0] > 0);
    if (!plain_) return;
    // rows are made of them before a plan says that they are wrong
    constexpr int64_t MOST = std::numeric_limits<int64_t>::max();
    int64_t sum = 0;
    for (int64_t k = 0; k < t.sizes[0] && plain_; ++k) {
      need(sizes[k] > 0 && sizes[k] <= sizes[k ? k - 1 : 0] && sizes[k] <= MOST - sum);
      sum += plain_ ? sizes[k] : 0;
    }
    if (!plain_) return;
    call_.batch_sizes = sizes;
    call_.T = t.sizes[0];
    call_.B = sizes[0];
  }

  // input, six weights, two states, two initial states, in the order of `tensors_of`
  void tensors(PyObject* const* all) {
    DLTensor x;
    input(all[0], x);
    weights(all + 1);
    call_.state_0 = numbers(all[7], call_.B * call_.R, call_.R);
    call_.state_1 = numbers(all[8], call_.B * call_.H, call_.H);
    call_.initial_0 = numbers(all[9], call_.R, call_.R);
    call_.initial_1 = numbers(all[10], call_.H, call_.H);
  }

  // The input, which it gives back, and six weights; a cell takes a single step.
  DLTensor sequences(PyObject* object, PyObject* const* all) {
    DLTensor x{};
    input(object, x);
    need(flags_ & LAYER || x.dims == 2);
    weights(all);
    return x;
  }

  // The six weights of a layer that reads what another call puts out, so many numbers wide.
  void above(const Call& below, int64_t columns, PyObject* const* all) {
    call_.bytes = below.bytes;
    call_.T = below.T;
    call_.B = below.B;
    call_.I = columns;
    call_.lengths = below.lengths;
    call_.resets = below.resets;
    call_.batch_sizes = below.batch_sizes;
    weights(all);
  }

  // The state as layers or a cell take it: a tensor, a tuple of two, or None; that of the k-th of so
  // many layers and directions.
  void states(PyObject* hx, int64_t k, int64_t count) {
    if (hx == Py_None) return;
    const bool two = call_.cell->states > 1;
    need(two ? PyTuple_Check(hx) && PyTuple_GET_SIZE(hx) == 2 : !PyTuple_Check(hx));
    if (!plain_) return;
    call_.state_0 = state(two ? PyTuple_GET_ITEM(hx, 0) : hx, call_.R, k, count);
    if (two) call_.state_1 = state(PyTuple_GET_ITEM(hx, 1), call_.H, k, count);
  }

  // Of one of these, (count, B, width) of layers or (B, width) of a cell and not None, what belongs to
  // the k-th.
  void* state(PyObject* object, int64_t width, int64_t k, int64_t count) {
    DLTensor t;
    need(object != Py_None);
    if (!there(object, t)) return nullptr;
    const int32_t dims = flags_ & LAYER ? 3 : 2;
    need(t.dims == dims && t.sizes[dims - 2] == call_.B && t.sizes[dims - 1] == width);
    need(plain_ && (dims == 2 ? count == 1 : t.sizes[0] == count));
    void* const all = data(t);
    return all ? static_cast<char*>(all) + k * call_.B * width * call_.bytes : nullptr;
  }

  // those of a weight, which may be absent, of exactly this size; `columns` is -1 for a vector
  const void* matrix(PyObject* object, int64_t rows, int64_t columns) {
    DLTensor t;
    if (!there(object, t)) return nullptr;
    need(t.dims == (columns < 0 ? 1 : 2) && t.sizes[0] == rows);
    if (plain_ && columns >= 0) need(t.sizes[1] == columns);
    return data(t);
  }

  // so many in rows of `width`, whatever the dimensions
  void* numbers(PyObject* object, int64_t count, int64_t width) {
    DLTensor t;
    if (!there(object, t)) return nullptr;
    need(t.dims > 0 && t.dims <= Tensors::MOST_DIMS);
    need(plain_ && t.sizes[t.dims - 1] == width && numbers_of(t) == count);
    return data(t);
  }

  // any number of them
  void* numbers(PyObject* object) {
    DLTensor t;
    return there(object, t) ? data(t) : nullptr;
  }
  // of any type
  void* any(PyObject* object) {
    DLTensor t;
    return there(object, t, false) ? data(t) : nullptr;
  }

  // a sequence (T, B, width), or packed, whose rows may lie anywhere
  void* sequence(PyObject* object, int64_t width, int64_t& time, int64_t& row) {
    DLTensor t;
    if (!there(object, t)) return nullptr;
    int64_t T = 1, B = 1;
    strides(t, T, B, time, row);
    need(plain_ && T == call_.T && B == call_.B && t.sizes[t.dims - 1] == width);
    return plain_ ? t.data : nullptr;
  }

  void lengths(PyObject* object) {
    DLTensor t;
    if (!whole_numbers(object, t)) return;
    need(t.sizes[0] == call_.B);
    call_.lengths = static_cast<const int64_t*>(data(t));
  }
  void resets(PyObject* object) {
    DLTensor t;
    if (!there(object, t, false)) return;
    need(t.code == DLPACK_BOOL && t.dims == 2 && t.sizes[0] == call_.T && t.sizes[1] == call_.B);
    call_.resets = static_cast<const uint8_t*>(data(t));
  }

 private:
  void need(bool condition) { plain_ = plain_ && condition; }

  // Whether it is there and all is plain so far; as numbers of the call's type unless told otherwise.
  bool there(PyObject* object, DLTensor& t, bool of_the_type = true) {
    if (object == Py_None || !plain_) return false;
    need(Tensors::read(object, t));
    if (plain_ && of_the_type) need(bytes_of(t) == call_.bytes);
    if (plain_ && flags_ & NO_GRADIENT) need(!Tensors::asks_for_gradient(object));
    return plain_;
  }

  // a vector of int64
  bool whole_numbers(PyObject* object, DLTensor& t) {
    if (!there(object, t, false)) return false;
    need(t.code == DLPACK_INT && t.bits == 64 && t.dims == 1);
    return plain_;
  }

  void* data(const DLTensor& t) {
    need(is_contiguous(t));
    return plain_ ? t.data : nullptr;
  }

  // Steps and rows of a sequence, and how far these lie apart; a single step may come without steps.
  // Those of packed ones are known.
  void strides(const DLTensor& t, int64_t& T, int64_t& B, int64_t& time, int64_t& row) {
    need(t.dims == 2 || t.dims == 3);
    if (!plain_) return;
    const int32_t last = t.dims - 1;
    need(t.strides[last] == 1 || t.sizes[last] == 1);
    if (call_.batch_sizes) {
      need(t.dims == 2 && t.sizes[0] == packed_steps(call_));
      T = call_.T;
      B = call_.B;
      time = 0;
      row = t.strides[0];
      return;
    }
    const bool turned = t.dims == 3 && flags_ & BATCH_FIRST;
    const int32_t rows = turned ? 0 : last - 1;
    B = t.sizes[rows];
    row = t.strides[rows];
    T = t.dims == 3 ? t.sizes[1 - rows] : 1;
    time = t.dims == 3 ? t.strides[1 - rows] : 0;
  }

  void input(PyObject* object, DLTensor& t) {
    need(object != Py_None);
    if (!there(object, t, false)) return;
    call_.bytes = bytes_of(t);
    strides(t, call_.T, call_.B, call_.input_t, call_.input_b);
    need(call_.bytes > 0);
    if (!plain_) return;
    call_.I = t.sizes[t.dims - 1];
    call_.input = t.data;
  }

  void weights(PyObject* const* all) {
    DLTensor ih;
    need(all[0] != Py_None && all[1] != Py_None);
    if (!there(all[0], ih)) return;
    const int64_t gates = call_.cell->gates;
    need(ih.dims == 2 && ih.sizes[0] % gates == 0 && ih.sizes[1] == call_.I);
    if (!plain_) return;
    const int64_t rows = ih.sizes[0];
    call_.weight_ih = data(ih);
    call_.H = call_.R = rows / gates;
    if (all[4] != Py_None) {
      DLTensor ho;
      if (!there(all[4], ho)) return;
      need(ho.dims == 2);
      if (!plain_) return;
      call_.R = ho.sizes[0];
      call_.weight_ho = matrix(all[4], call_.R, call_.H);
    }
    call_.weight_hh = matrix(all[1], rows, call_.R);
    call_.bias_ih = matrix(all[2], rows, -1);
    call_.bias_hh = matrix(all[3], rows, -1);
    call_.bias_ho = matrix(all[5], call_.R, -1);
  }

  Call& call_;
  const int64_t flags_;
  bool plain_ = true;
};

}  // namespace elman
