#include "diagnosis/cause.h"
#include "log/record_keys.h"

namespace qkv {

static void not_finite(const RunCase& c, Suspicion& s) {
  if (!c.nonfinite) return;
  const Record& r = *c.nonfinite;
  s.score = 1;
  s.because("step {} was not finite: pass {}{}{}", r.step(), r.text(key::pass),
            r.has(key::op) ? fmt::format(", op '{}'", r.text(key::op)) : "",
            r.has(key::parameters) ? fmt::format(", parameter '{}'", r.text(key::parameters)) : "");
  if (r.has(key::examples)) s.because("training examples {} give such values", r.text(key::examples));
  s.advice = fmt::format("`qkv why RUN {}` replays the step and shows what went into the op", r.step());
}

QKV_REGISTER(Cause, "not-finite", CauseOf<not_finite>, "a value became NaN or infinite");

}  // namespace qkv
