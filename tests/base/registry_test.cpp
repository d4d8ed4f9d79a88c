#include "qkv/base/registry.h"

#include <doctest/doctest.h>

namespace qkv {

struct Animal {
  using Factory = std::unique_ptr<Animal>(int age, const std::string& name);
  virtual ~Animal() = default;
  virtual std::string sound() const = 0;
};
QKV_DECLARE_REGISTRY(Animal);
QKV_DEFINE_REGISTRY(Animal);

namespace {

struct Cat : Animal {
  Cat(int age, const std::string& name) : text(name + std::to_string(age)) {}
  std::string sound() const override { return "meow " + text; }
  std::string text;
};
struct Dog : Animal {
  Dog(int, const std::string&) {}
  std::string sound() const override { return "woof"; }
};
QKV_REGISTER(Animal, "cat", Cat, "");
QKV_REGISTER(Animal, "house-dog", Dog, "barks");

}  // namespace

TEST_CASE("a registered type is made by name with the arguments of its factory") {
  auto& animals = Registry<Animal>::instance();
  CHECK(animals.at("cat", "animal").make(3, "tom")->sound() == "meow tom3");
  CHECK(animals.at("house-dog", "animal").help == "barks");
  CHECK(animals.at("cat", "animal").help == "");
  CHECK(animals.at("cat", "animal").origin == "qkv");
  CHECK(animals.names() == std::vector<std::string>{"cat", "house-dog"});
}

TEST_CASE("an unknown name is an error with the nearest one and a name is taken once") {
  auto& animals = Registry<Animal>::instance();
  CHECK_THROWS_WITH_AS(animals.at("house-dgo", "animal"),
                       "unknown animal 'house-dgo' (did you mean 'house-dog'?)", Error);
  CHECK_THROWS_WITH_AS(animals.at("xyzxyz", "animal"), "unknown animal 'xyzxyz' (known: cat, house-dog)",
                       Error);
  CHECK_THROWS_WITH_AS((register_type<Animal, Cat>("cat", "")),
                       "registry: name 'cat' must be unique; got it twice", Error);
}

TEST_CASE("registrations of a plug-in wait for commit and carry its name") {
  auto& animals = Registry<Animal>::instance();
  {
    PendingRegistrations dropped("libbad.so");
    Registrar held([] { register_type<Animal, Dog>("wolf", ""); });
    CHECK(dropped.size() == 1);
  }
  CHECK_FALSE(animals.contains("wolf"));
  PendingRegistrations kept("libgood.so");
  CHECK_THROWS_WITH_AS(PendingRegistrations("libinner.so"),
                       "registry: one plug-in is loaded at a time; got libinner.so inside libgood.so", Error);
  Registrar held([] { register_type<Animal, Dog>("fox", ""); });
  CHECK_FALSE(animals.contains("fox"));
  kept.commit();
  CHECK(animals.at("fox", "animal").origin == "libgood.so");
  CHECK(registration_origin() == "qkv");
}

}  // namespace qkv
