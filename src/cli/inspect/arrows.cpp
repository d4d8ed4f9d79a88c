// inspect arrows: how much of the attention of each head goes along arrows that somebody has drawn.
#include "cli/inspect.h"
#include "log/charts.h"
#include "qkv/base/json.h"
#include "qkv/log/console.h"
#include "train/attention_loss.h"

namespace qkv {
namespace {

struct InspectArrows : Inspection {
  void setup(Options& options) override {
    options.add("file", &file, "drawn attention, as train.attention_loss.file").required = true;
  }
  int run(const Subject& subject) override {
    const Experiment e = subject.load();
    const std::vector<DrawnText> texts = read_drawn(*e.task, file);
    Json list = Json::array();
    BarChart chart{"attention along the arrows", "share", {}, "Q"};
    for (const FollowedArrows& one : followed_arrows(e, texts)) {
      list.push_back({{"layer", one.layer}, {"head", one.head}, {"share", json_number32(one.share)}});
      chart.bars.emplace_back(fmt::format("{} {}", one.layer, one.head), one.share);
    }
    check_attention(e, !list.empty(), "inspect arrows");
    const Table table =
        table_of(list, {{"layer", "layer"}, {"head", "head"}, {"along the arrows", "share", "{:.3f}"}});
    subject.print(
        {{"texts", texts.size()}, {"heads", list}},
        table.str(console().unicode()) +
            fmt::format("Mean share of the attention of the words from which arrows start, in {} texts.\n",
                        texts.size()));
    if (draws()) pictures = {bar_chart(chart)};
    return 0;
  }
  std::string example() const override {
    return "qkv inspect runs/bank arrows configs/data/bank/arrows.jsonl";
  }

  std::string file;
};

QKV_REGISTER(Inspection, "arrows", InspectArrows,
             "how much of the attention of each head goes along arrows that were drawn");

}  // namespace
}  // namespace qkv
