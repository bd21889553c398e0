// The plain C interface: what Python hands over, and what a cell is. Every field is eight bytes, in
// the order of elman/kernels/cpu.py, so that a packed row of integers is a Call.
#pragma once

#include <cstdint>

namespace elman {

constexpr int MOST_GATES = 6;
constexpr int MOST_STATES = 2;

// The upper half of a float32.
struct Bfloat16 {
  uint16_t bits;
};

// One tile of a cell's step: `rows` sequences by `units` hidden units from `unit` on. A gate's
// vectors stand side by side; state rows are the user's or ours, read up to the last unit only.
template <class Real, class Saved = Real>
struct StepTile {
  int64_t rows, units, unit;
  // W_ih x + b_ih for the gates that the cell wants apart, and W_hh h + b_hh, or their sum
  const Real* wx[MOST_GATES];
  const Real* uh[MOST_GATES];
  int64_t wx_row[MOST_GATES], uh_row[MOST_GATES];
  const Real* const* state[MOST_STATES];
  Real* const* after[MOST_STATES];
  // one record for a row, `saved_stride` numbers for each saved value; null where nothing is saved
  Saved* const* saved;
  int64_t saved_stride;
};

// One tile of its gradient.
template <class Real, class Saved = Real>
struct BackwardTile {
  int64_t rows, units, unit;
  // the gradient of the output, or null, and of each state from the step behind
  const Real* const* doutput;
  Real* const* dafter[MOST_STATES];
  // where the gradient of each state before goes; may be `dafter`
  Real* const* dstate[MOST_STATES];
  // where the whole gradient of each state goes, that of the output included; null if nobody asks
  Real* const* dtotal[MOST_STATES];
  const Real* const* state[MOST_STATES];
  const Real* const* after[MOST_STATES];
  const Saved* const* saved;
  int64_t saved_stride;
  // the gates' gradients: row, then `gate_stride` from one gate to the next, `unit_stride` from one
  // vector of units to the next
  Real* const* dgates;
  int64_t gate_stride, unit_stride;
};

// What the schedules know of a cell.
struct Cell {
  int64_t gates, states, saved;
  // gates that the cell wants as W_ih x and W_hh h apart, as bits
  int64_t apart;
  // how many different gate gradients there are, and which one belongs to each gate's product
  int64_t slots, dwx[MOST_GATES], duh[MOST_GATES];
  // gates of the first product where a second one follows, else 0
  int64_t first;
  // whether the gradient of the fed-back state reaches the state before outside the product
  int64_t direct;
  // which states the gradient reads: as bits those before the step, then those after it
  int64_t reads;
  // of which states, as bits, the step itself adds to the gradient on its way to the step before
  int64_t adds;
  void (*step_f32)(const StepTile<float>&);
  void (*step_f64)(const StepTile<double>&);
  void (*backward_f32)(const BackwardTile<float>&);
  void (*backward_f64)(const BackwardTile<double>&);
  // the operand of the second product, and its gradient
  void (*operand_f32)(const StepTile<float>&);
  void (*operand_f64)(const StepTile<double>&);
  void (*operand_backward_f32)(const BackwardTile<float>&);
  void (*operand_backward_f64)(const BackwardTile<double>&);
  // the same with bfloat16 records; null where the machine has no tiles for them
  void (*step_bf16)(const StepTile<float, Bfloat16>&);
  void (*backward_bf16)(const BackwardTile<float, Bfloat16>&);
  void (*operand_bf16)(const StepTile<float, Bfloat16>&);
  void (*operand_backward_bf16)(const BackwardTile<float, Bfloat16>&);
};

// A nonlinearity of the output layer: y = f(a) in place, and da = dy f'(a, y) in place.
struct Activation {
  int64_t reads_a;
  void (*apply_f32)(float* a, int64_t n);
  void (*apply_f64)(double* a, int64_t n);
  void (*derive_f32)(float* dy, const float* a, const float* y, int64_t n);
  void (*derive_f64)(double* dy, const double* a, const double* y, int64_t n);
};

// One scan of one layer and direction. Pointers may be null where the thing is absent. Strides are
// counted in numbers; the innermost dimension is contiguous. Sequences that come packed, as torch's
// PackedSequence, have the rows of a step one behind the other, longest first, and its number of rows
// in `batch_sizes`; their steps lie no fixed number apart.
struct Call {
  int64_t bytes;  // of a number: 2, 4 or 8
  int64_t threads;
  int64_t T, B, I, H, R;
  int64_t reverse;
  const Cell* cell;
  const Activation* activation;
  const void *input, *weight_ih, *weight_hh, *bias_ih, *bias_hh, *weight_ho, *bias_ho;
  int64_t input_t, input_b;
  const void *state_0, *state_1;
  const void *initial_0, *initial_1;
  const int64_t* lengths;
  const uint8_t* resets;
  const int64_t* batch_sizes;
  void* output;
  int64_t output_t, output_b;
  void *final_0, *final_1;
  void* saved;
  // A checkpointed pass saves nothing but a few states that are not put out; the backward pass makes
  // the records of one segment of the steps after the other again.
  int64_t checkpointed;
  void* kept;
  // backward alone
  const void* doutput;
  int64_t doutput_t, doutput_b;
  const void *dfinal_0, *dfinal_1;
  void* dinput;
  void *dweight_ih, *dweight_hh, *dbias_ih, *dbias_hh, *dweight_ho, *dbias_ho;
  void *dstate_0, *dstate_1;
  void *dinitial_0, *dinitial_1;  // float32 where numbers have two bytes
  // the whole gradient of each state after each step, (T, B, ·), and its norm, (T, B)
  void *dtotal_0, *dtotal_1;
  double *dnorm_0, *dnorm_1;
  // bound of the norm of what a row's state hands to the step before; 0 for none
  double gradient_clip;
};

enum Status : int { DONE = 0, NO_MEMORY = 1, BAD_LENGTH = 2 };

}  // namespace elman
