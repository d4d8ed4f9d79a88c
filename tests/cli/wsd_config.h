// A small word-sense config with its data, in a folder of its own.
#pragma once
#include <fstream>
#include <string>

#include "../base/temporary_folder.h"
#include "qkv/base/random.h"

namespace qkv::test {

/// Sentences of equal length, of words of equal length: every batch has the same shapes.
struct WsdConfig : TemporaryFolder {
  WsdConfig() {
    for (const char* split : {"train", "val", "test"}) {
      std::ofstream out(*this / (std::string(split) + ".tsv"));
      Stream stream(1, split);
      for (int i = 0; i < 128; i++) {
        const bool river = i % 2 == 0;
        out << (river ? "river" : "money");
        char separator = '\t';
        for (int word = 0; word < 8; word++, separator = ' ') {
          out << separator;
          if (word == 4)
            out << "[bank]";
          else if (word == 2)
            out << (river ? "fish" : "loan");
          else
            out << std::string{'w', static_cast<char>('a' + stream.below(5)), 'r', 'd'};
        }
        out << '\n';
      }
    }
  }
  /// The config file: a [data] table with the three files and `data` in it, then `text`.
  std::string write(const std::string& text, const std::string& data = "") const {
    std::ofstream(*this / "config.toml")
        << "[data]\ntrain = \"train.tsv\"\nval = \"val.tsv\"\ntest = \"test.tsv\"\n"
        << data << "\n"
        << text;
    return *this / "config.toml";
  }
};

}  // namespace qkv::test
