// Answers: what verbs do for each text of the command line, or each line of standard input.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace qkv {

/// Calls `answer` with each of `texts`, or where there are none with each line of standard input. Where it
/// throws for one of several, the error is printed with its number (as JSON in its place, else on stderr with
/// an empty line in its place), and the others go on. The exit code: 3 if there was such an error.
int answer_each(const std::vector<std::string>& texts, bool json,
                const std::function<void(const std::string& text)>& answer, const std::string& prompt = "");

}  // namespace qkv
