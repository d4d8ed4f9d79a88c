#include "data/byte_reader.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "qkv/base/text.h"

namespace qkv {

static constexpr int kGzip = 16 + MAX_WBITS;  // zlib.h: a gzip header and no other

struct ByteReader::Inflate {
  Inflate() {
    QKV_CHECK(inflateInit2(&stream, kGzip) == Z_OK, "gzip: zlib must start; got {}", zlibVersion());
  }
  ~Inflate() { inflateEnd(&stream); }
  z_stream stream = {};
  bool inside = false;    // a member, which has begun and not ended
  std::size_t lines = 1;  // of the text so far
};

ByteReader::ByteReader(const std::string& path)
    : path_(path), file_(path, O_RDONLY | O_NONBLOCK, Fault::data, "cannot be read") {
  refill();
  if (starts_with(block_, "\x1f\x8b"))
    inflate_ = std::make_unique<Inflate>();
  else
    check_unpacked(path, block_);
}

ByteReader::~ByteReader() = default;

// The next bytes as they are stored; false at the end.
bool ByteReader::refill() {
  block_.resize(kBlock);
  ssize_t n;
  do n = ::read(file_.get(), block_.data(), block_.size());
  while (n < 0 && errno == EINTR);
  if (n < 0) fail(Fault::data, "{}: cannot be read; got {}", path_, std::strerror(errno));
  block_.resize(std::size_t(n));
  return n > 0;
}

bool ByteReader::read(std::string& out) {
  const std::size_t before = out.size();
  if (inflate_) {
    out.resize(before + kBlock);
    out.resize(before + unpack(&out[before], kBlock));
    inflate_->lines += std::size_t(std::count(out.begin() + std::ptrdiff_t(before), out.end(), '\n'));
  } else if (!block_.empty() || refill()) {
    out += block_;
    block_.clear();
  }
  return out.size() > before;
}

// Fills `to`, or gives out what there is at the end.
std::size_t ByteReader::unpack(char* to, std::size_t room) {
  z_stream& stream = inflate_->stream;
  stream.next_out = reinterpret_cast<Bytef*>(to);
  stream.avail_out = static_cast<uInt>(room);
  auto damaged = [&](const char* got) {
    const auto lines = std::count(to, to + room - stream.avail_out, '\n');
    fail(Fault::data, "{}:{}: a file of gzip must be whole; got {} behind byte {} of the file", path_,
         inflate_->lines + std::size_t(lines), got,
         ::lseek(file_.get(), 0, SEEK_CUR) - off_t(stream.avail_in));
  };
  while (stream.avail_out > 0) {
    if (stream.avail_in == 0) {
      if (stream.next_in && !refill()) {
        if (inflate_->inside) damaged("its end");
        break;
      }
      stream.next_in = reinterpret_cast<Bytef*>(block_.data());
      stream.avail_in = static_cast<uInt>(block_.size());
    }
    inflate_->inside = true;
    const int code = inflate(&stream, Z_NO_FLUSH);
    if (code == Z_STREAM_END) {
      inflate_->inside = false;
      inflateReset(&stream);
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      damaged(stream.msg ? stream.msg : zError(code));
    }
  }
  return room - stream.avail_out;
}

std::size_t gzip_size(std::string_view text) {
  z_stream stream = {};
  QKV_CHECK(deflateInit2(&stream, 9, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) == Z_OK,
            "gzip: zlib must start; got {}", zlibVersion());
  std::vector<Bytef> out(ByteReader::kBlock);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));  // is not written to
  stream.avail_in = static_cast<uInt>(text.size());
  do {
    stream.next_out = out.data(), stream.avail_out = static_cast<uInt>(out.size());
  } while (deflate(&stream, Z_FINISH) == Z_OK);
  deflateEnd(&stream);
  return stream.total_out;
}

}  // namespace qkv
