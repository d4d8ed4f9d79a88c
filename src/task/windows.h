// The windows of a text: the examples of the task language-model, for other tasks that read texts.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "qkv/task/task.h"

namespace qkv {

struct WindowOptions {
  Index frame = 0;                          ///< tokens that come around a window
  const char* limit = "model.max_seq_len";  ///< what limits data.length, in words
  std::vector<std::string> specials = {};   ///< special tokens that the tokenizer must know
};

/// The task language-model: ids [B, T] and targets [B, T], the token after each; kNoTarget where a window has
/// ended. It is Surveyed.
std::unique_ptr<Task> make_windows(const TaskInput& input, const WindowOptions& options);

}  // namespace qkv
