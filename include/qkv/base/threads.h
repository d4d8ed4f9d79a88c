// ThreadPool: a fixed set of workers that share numbered tasks.
#pragma once
#include <memory>
#include <type_traits>
#include <utility>

namespace qkv {

/// Base of objects that act on their thread while they live; they nest, and the innermost acts.
template <class T>
class ThreadScoped {
 public:
  ThreadScoped(const ThreadScoped&) = delete;
  ThreadScoped& operator=(const ThreadScoped&) = delete;
  /// The innermost live one of this thread, or null.
  static T* current() { return innermost(); }

 protected:
  ThreadScoped() : outer_(innermost()) { innermost() = static_cast<T*>(this); }
  ~ThreadScoped() { innermost() = outer_; }
  /// The live one around this, or null.
  T* outer() const { return outer_; }

 private:
  static T*& innermost() {
    static thread_local T* object = nullptr;  // of a template: one for the library and all plug-ins
    return object;
  }
  T* outer_;
};

template <class Signature>
class FunctionRef;

/// A reference to any callable, without allocation. It must not outlive the callable.
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, FunctionRef>>>
  FunctionRef(F&& f)  // implicit, so that a lambda can be passed directly
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// Runs numbered tasks on a fixed number of workers; the calling thread is worker 0.
///
/// Task i of n belongs to worker i * size / n, so that a worker meets the same data in every run, but what is
/// left of a worker that is late is done by others. So results must be stored by task; then they do not
/// depend on the threads. Two tasks never run at once under one worker number. Tasks must not wait for each
/// other: where waiting for the workers costs more than they save, because other processes want the CPUs, the
/// caller runs all tasks itself for a while. Workers spin for some microseconds after a run, then sleep. A
/// run allocates nothing. `run` inside a task executes inline, unless that task is the only one of its run:
/// then the workers are free for it. Calls from several threads take turns.
class ThreadPool {
 public:
  using Body = FunctionRef<void(int task, int worker)>;

  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;
  /// Returns after all tasks. If tasks throw, the exception of the lowest of them is rethrown; tasks after a
  /// failed one may be skipped.
  void run(int n_tasks, Body body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Whether this thread is inside a task that has the workers at its side, so that `run` would execute inline.
/// The same for any number of threads.
bool in_task();

/// While one lives, `run` on this thread executes inline: for code that holds a lock which the workers may
/// need, such as the loader's while it builds the static objects of a plug-in.
class RunInline {
 public:
  RunInline();
  ~RunInline();
  RunInline(const RunInline&) = delete;
  RunInline& operator=(const RunInline&) = delete;

 private:
  int previous_;
};

/// The CPUs this process may use, at least 1.
int available_threads();

/// The pool of the process, made at the first call with `available_threads()` workers.
ThreadPool& pool();

/// Gives `pool()` another size; 0 means `available_threads()`. Not during a run.
void set_threads(int threads);

}  // namespace qkv
