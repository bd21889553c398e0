// What one instruction set's kernels offer.
#pragma once

#include "call.h"

namespace elman {

struct Kernels {
  const char* name;
  const char* flags;  // that they were compiled with
  bool bfloat16;      // whether bfloat16 runs as it is
  int64_t vector_bytes;
  int (*forward)(const Call&);
  int (*backward)(const Call&);
  // adds n numbers of so many bytes to others
  void (*add)(void* to, const void* more, int64_t n, int64_t bytes, int64_t threads);
  // how many numbers a step of one row saves for the gradient
  int64_t (*record_size)(const Call&);
  // the cells and nonlinearities one after another; null behind the last
  const Cell* (*cell)(int64_t index, const char** name);
  const Activation* (*activation)(int64_t index, const char** name);
  // one word of the cells on n numbers of so many bytes, in place; false if there is none
  bool (*word)(const char* name, void* numbers, int64_t n, int64_t bytes);
  // layers that run a step at a time, each a call of one step whose final states stand where its
  // first ones do; null where there is no memory
  void* (*open)(const Call* layers, int64_t count);
  void (*step)(void* stream, int64_t bytes, const void* x, void* y, bool alone);
  void (*close)(void* stream, int64_t bytes);
};

}  // namespace elman
