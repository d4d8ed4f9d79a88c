#pragma once
#include <string>
#include <vector>

#include "log/jsonl.h"

namespace qkv::test {

/// All records of a metrics.jsonl but a torn last one.
inline std::vector<Record> read_metrics(const std::string& path) {
  MetricsReader reader(path);
  std::vector<Record> records;
  for (Record record; reader.next(record);) records.push_back(std::move(record));
  return records;
}

}  // namespace qkv::test
