#include "claims/claim.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

namespace qkv {

TEST_CASE("a finding passes when its number is finite and within its bound") {
  using Relation = Finding::Relation;
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const auto passed = [](double value, Relation relation, double bound) {
    return Finding{"x", value, relation, bound}.passed();
  };
  CHECK(passed(2, Relation::equal, 2));
  CHECK_FALSE(passed(2.001, Relation::equal, 2));
  CHECK(passed(2, Relation::at_most, 2));
  CHECK_FALSE(passed(2.001, Relation::at_most, 2));
  CHECK(passed(2, Relation::at_least, 2));
  CHECK_FALSE(passed(1.999, Relation::at_least, 2));
  CHECK_FALSE(passed(nan, Relation::at_most, 2));
  CHECK_FALSE(passed(inf, Relation::at_least, 2));
}

TEST_CASE("evidence passes when there is some and all of it passes") {
  TrainedModels trained(1);
  Evidence evidence(1, trained);
  CHECK_FALSE(evidence.passed());
  evidence.equal("one", 1, 1);
  CHECK(evidence.passed());
  evidence.at_most("two", 2, 1);
  CHECK_FALSE(evidence.passed());
}

TEST_CASE("every claim is a sentence, and those without training come first") {
  const std::vector<std::string> names = claim_names();
  CHECK(names.size() >= 27);
  std::vector<bool> trains;
  for (const std::string& name : names) {
    CAPTURE(name);
    const auto& entry = Registry<Claim>::instance().at(name, "claim");
    CHECK(entry.help.size() > 20);
    trains.push_back(entry.make()->trains());
  }
  CHECK(std::is_sorted(trains.begin(), trains.end()));
}

TEST_CASE("the claims that need no training hold for any seed") {
  std::vector<std::string> names;
  for (const std::string& name : claim_names())
    if (!Registry<Claim>::instance().at(name, "claim").make()->trains()) names.push_back(name);
  for (std::uint64_t seed : {1, 2, 3, 4, 5}) {
    std::size_t told = 0;
    const auto verdicts = check_claims(names, seed, [&](const Verdict&) { told++; });
    CHECK(told == names.size());
    for (const Verdict& verdict : verdicts)
      for (const Finding& one : verdict.findings) {
        CAPTURE(seed);
        CAPTURE(verdict.claim);
        CAPTURE(one.what);
        CAPTURE(one.value);
        CAPTURE(one.bound);
        CHECK(one.passed());
      }
  }
}

TEST_CASE("models are trained once, from the seed") {
  const std::vector<std::string> few = {"train.max_epochs=0", "train.max_steps=3", "schedule.warmup_steps=0"};
  TrainedModels one(1), other(2);
  const TrainedModel& model = one.shipped("bank-static.toml", few);
  CHECK(&one.shipped("bank-static.toml", few) == &model);
  const std::string name = "embed.weight";
  CHECK(model.value(name).to_vector() != model.initial(name).to_vector());
  CHECK(model.initial(name).to_vector() != other.shipped("bank-static.toml", few).initial(name).to_vector());
  CHECK_THROWS_WITH_AS(model.value("embed"), "claims: parameter must exist; got 'embed'", Error);
}

TEST_CASE("unknown claims and configs are errors") {
  CHECK_THROWS_WITH_AS(check_claims({"one-hot"}, 1), doctest::Contains("unknown claim 'one-hot'"), Error);
  CHECK_NOTHROW(shipped_config("bank.toml"));
  CHECK_THROWS_WITH_AS(shipped_config("banks.toml"),
                       doctest::Contains("claims: config 'banks.toml' must be installed with qkv"), Error);
}

}  // namespace qkv
