// The threads of one call: torch's own team.
#pragma once

#include "call.h"
#include "simd.h"

#if defined(__SANITIZE_THREAD__)
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>
#elif defined(_OPENMP)
#include <omp.h>
#endif

namespace elman::ELMAN_ISA {

#if defined(__SANITIZE_THREAD__)
// ThreadSanitizer does not see OpenMP's barrier, so that every step would be a race to it: the same
// team with threads and a barrier that it sees.
class Meeting {
 public:
  explicit Meeting(int size) : size_(size) {}
  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    const int turn = turn_;
    if (++here_ == size_) {
      here_ = 0;
      ++turn_;
      all_.notify_all();
    } else {
      all_.wait(lock, [&] { return turn_ != turn; });
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_;
  const int size_;
  int here_ = 0, turn_ = 0;
};
#endif

struct Team {
  int index, size;
#if defined(__SANITIZE_THREAD__)
  Meeting* meeting = nullptr;
#endif
  void wait() const {
#if defined(__SANITIZE_THREAD__)
    if (size > 1) meeting->wait();
#elif defined(_OPENMP)
    if (size > 1) {
#pragma omp barrier
    }
#endif
  }
  // this member's part of n things: from `first` on, up to `last`
  ELMAN_INLINE void share(int64_t n, int64_t& first, int64_t& last) const {
    first = size == 1 ? 0 : n * index / size;
    last = size == 1 ? n : n * (index + 1) / size;
  }
};

// One thread's columns of every row, with a wait after each step, instead of its own rows.
inline bool splits_columns(const Call& c) { return c.threads > 1 && c.B < 6 * c.threads; }

// How many threads pay: a step must be worth their waiting for each other.
inline int64_t team_of(const Call& c) {
  const int64_t work = 2 * c.B * c.cell->gates * c.H * (c.I + c.R);
  return work < (splits_columns(c) ? 1'000'000 : 200'000) ? 1 : c.threads;
}

// Runs work(team) on each of `threads` threads; one thread opens no parallel region.
template <class Work>
inline void in_team([[maybe_unused]] int64_t threads, Work work) {
#if defined(__SANITIZE_THREAD__)
  if (threads > 1) {
    const int size = static_cast<int>(threads);
    Meeting meeting(size);
    std::vector<std::thread> team;
    for (int i = 0; i < size; ++i) {
      team.emplace_back([&work, &meeting, i, size] { work(Team{i, size, &meeting}); });
    }
    for (std::thread& one : team) one.join();
    return;
  }
#elif defined(_OPENMP)
  if (threads > 1) {
#pragma omp parallel num_threads(static_cast<int>(threads))
    work(Team{omp_get_thread_num(), omp_get_num_threads()});
    return;
  }
#endif
  work(Team{0, 1});
}

}  // namespace elman::ELMAN_ISA
